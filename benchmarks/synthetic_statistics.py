"""Make the statistics that synthetic crystals are drawn from.

    python benchmarks/synthetic_statistics.py ../shared/data/materials_project.parquet
        # src/syngony/tables/synthetic_statistics.json

Only structures on the training side of the split by reduced formula are counted, and only sums, quantiles and
mixtures of normal distributions are kept: no structure can be read back from the table.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import spglib
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.optimize import nnls
from scipy.special import logsumexp

from syngony.elements import ELEMENTS
from syngony.learning.split import side_of
from syngony.sources.synthetic.lattices import bravais_lattice, shape_of
from syngony.structure import lattice_vectors
from syngony.structure_table import read_table
from syngony.symmetry import LABEL_TOLERANCE

TABLE = Path(__file__).resolve().parents[1] / "src" / "syngony" / "tables" / "synthetic_statistics.json"

MOST_ORBITS = 60
MOST_KINDS = 8
COMPONENTS = 32  # of the mixture for a Bravais lattice; fewer where structures are few
_PER_COMPONENT = 60  # structures at least


class Counts:
    """What is summed over the structures."""

    def __init__(self) -> None:
        self.orbits: dict[int, Counter[int]] = defaultdict(Counter)
        self.letters: dict[int, Counter[str]] = defaultdict(Counter)
        self.kinds = np.zeros((MOST_ORBITS, MOST_KINDS), dtype=int)
        self.together = np.zeros((len(ELEMENTS), len(ELEMENTS)), dtype=int)
        self.places = np.zeros(len(ELEMENTS), dtype=int)
        self.shapes: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        self.compositions: list[NDArray[np.float64]] = []
        self.volumes: list[float] = []

    def add(self, lattice: NDArray[np.float64], species: list[str], coords: NDArray[np.float64]) -> None:
        """Count one structure; those whose symmetry is not found are left out."""
        kinds = [ELEMENTS.index(symbol) for symbol in species]
        data = spglib.get_symmetry_dataset((lattice, coords, kinds), symprec=LABEL_TOLERANCE)
        if data is None:
            return
        number = data.number
        first = np.unique(data.crystallographic_orbits, return_index=True)[1]
        present = sorted(set(kinds))
        self.orbits[number][min(len(first), MOST_ORBITS)] += 1
        self.letters[number].update(data.wyckoffs[i] for i in first)
        self.kinds[min(len(first), MOST_ORBITS) - 1, min(len(present), MOST_KINDS) - 1] += 1
        self.together[np.ix_(present, present)] += 1
        for i in first:
            self.places[kinds[i]] += 1
        name = bravais_lattice(number)
        self.shapes[name].append(shape_of(name, data.std_lattice))
        self.compositions.append(np.bincount(kinds, minlength=len(ELEMENTS)).astype(float))
        self.volumes.append(abs(float(np.linalg.det(lattice))))


def mixture(points: NDArray[np.float64], seed: int = 0) -> list[list[float]]:
    """Weight, mean and covariance of normal components, by expectation maximisation.

    Args:
        points: (n, d).

    Returns:
        One row a component: weight, d means, d (d + 1) / 2 covariances of the lower triangle.
    """
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    if len(points) > 1000:  # freaks of a large crowd
        points = points[((points >= low) & (points <= high)).all(axis=1)]
    n, d = points.shape
    number = int(np.clip(n // _PER_COMPONENT, 1, COMPONENTS))
    spread = points.std(axis=0) + 1e-3
    floor = np.diag((0.02 * spread + 1e-3) ** 2)  # no component narrower: the mixture smooths, it does not remember
    _, owner = kmeans2(points / spread, number, minit="++", rng=np.random.default_rng(seed))
    share = np.eye(number)[owner]
    for _ in range(100):
        weight = share.sum(axis=0) + 1e-9
        mean = share.T @ points / weight[:, None]
        offset = points[:, None] - mean
        covariance = np.einsum("nk,nki,nkj->kij", share, offset, offset, optimize=True) / weight[:, None, None] + floor
        half = np.einsum("kij,nkj->nki", np.linalg.inv(np.linalg.cholesky(covariance)), offset)
        log = np.log(weight / n) - 0.5 * (half**2).sum(-1) - 0.5 * np.linalg.slogdet(covariance)[1]
        share = np.exp(log - logsumexp(log, axis=1, keepdims=True))
    lower = np.tril_indices(d)
    rows = [[w / n, *m, *c[lower]] for w, m, c in zip(weight, mean, covariance, strict=True) if w > 1]
    return [[float(f"{x:.5g}") for x in row] for row in rows]


def collect(path: Path, limit: int | None) -> Counts:
    """The sums over the training side of a structure table."""
    table = read_table(path, ["formula", "lattice", "species", "frac_coords"])
    counts = Counts()
    warnings.simplefilter("ignore")
    if limit is not None and limit < table.num_rows:
        table = table.take(np.linspace(0, table.num_rows - 1, limit).astype(int))
    for row in table.to_pylist():
        if side_of(row["formula"]) == "train":
            counts.add(lattice_vectors(row["lattice"]), row["species"], np.reshape(row["frac_coords"], (-1, 3)))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--limit", type=int, help="so many rows only, evenly spread")
    arguments = parser.parse_args()
    counts = collect(arguments.structures, arguments.limit)
    compositions, volumes = np.array(counts.compositions), np.array(counts.volumes)
    # Relative errors are fitted, so that large cells do not decide alone.
    atomic, _ = nnls(compositions / volumes[:, None], np.ones(len(volumes)))
    factors = volumes / (compositions @ atomic)
    dense = [s for s in range(len(ELEMENTS)) if counts.together[s, s]]
    header = {
        "description": "Statistics of crystal structures: for each space group how many crystallographic orbits are "
        "occupied and on which Wyckoff letters; kinds of atoms by number of orbits (a row for 1, 2 ... orbits); "
        "structures that hold two elements (rows of the lower triangle, the diagonal is structures with the "
        "element) and orbits of each; volume of an atom in Å^3; quantiles of the cell volume over the sum of these; "
        "for each Bravais lattice a mixture of normal distributions of ln volume (Å^3) and shape (weight, means, "
        "lower triangle of the covariance).",
        "source": "Materials Project (A. Jain et al., APL Materials 1, 011002, 2013; CC BY 4.0), release of February "
        "2025; the training side of the split by reduced formula; spglib at symprec 0.1 Å; made by "
        "benchmarks/synthetic_statistics.py.",
    }
    body = {
        "structures": len(volumes),
        "orbits": {n: dict(sorted(counts.orbits[n].items())) for n in sorted(counts.orbits)},
        "letters": {n: dict(sorted(counts.letters[n].items())) for n in sorted(counts.letters)},
        "kinds": counts.kinds.tolist(),
        "elements": [ELEMENTS[i] for i in dense],
        "together": [counts.together[i, dense[: k + 1]].tolist() for k, i in enumerate(dense)],
        "places": counts.places[dense].tolist(),
        "atomic_volume": [round(float(v), 3) for v in atomic[dense]],
        "volume_factor": [round(float(q), 4) for q in np.quantile(factors, np.linspace(0.005, 0.995, 100))],
        "shapes": {name: mixture(np.array(points)) for name, points in sorted(counts.shapes.items())},
    }
    write(TABLE, header | body)
    print(f"{len(volumes):,} structures, {len(dense)} elements, {TABLE.stat().st_size / 1024:.0f} kB")


def write(path: Path, content: dict) -> None:
    """JSON with one entry of the inner lists and objects a line, so that a change shows as one line."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            inner = ",\n ".join(f"{json.dumps(str(k))}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n {inner}\n}}")
        elif isinstance(value, list) and isinstance(value[0], list):
            inner = ",\n ".join(json.dumps(row) for row in value)
            parts.append(f"{json.dumps(key)}: [\n {inner}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    path.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
