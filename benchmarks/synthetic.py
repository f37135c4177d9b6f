"""Synthetic crystals beside those of a database: speed, what is rejected, and how alike they are.

    python benchmarks/synthetic.py ../shared/data/materials_project.parquet --count 3000

Two comparisons are printed. "As drawn": space groups as frequent as in the database (flatten 0), so that every
other difference is the generator's. "By system": the median number of lines of each crystal system.
Quantiles of the database are over as many structures, evenly spread over its training side.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from syngony.diffraction.packed import pack_table, packed_lines
from syngony.diffraction.reflections import shell
from syngony.learning.split import sides_of
from syngony.sources.synthetic import FLATTEN, Drawn, draw_number
from syngony.structure_table import StructureRecord, read_table, schema
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.wavelengths import parse_wavelength

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WEAKEST = 1e-3  # of the strongest |F|^2: what a good scan may show
SPLIT = 1e-4  # relative, of Q

MEASURES = {
    "lines": "lines at 5-90 degrees CuKa, |F|^2 above 0.1 % of the strongest",
    "sites": "atoms in the primitive cell",
    "volume": "volume an atom (Å^3)",
    "elements": "elements",
    "nearest": "shortest distance (Å)",
}


def features(table: pa.Table) -> dict[str, NDArray[np.float64]]:
    """The measures of every structure of a table, and ``space_group``."""
    packed = pack_table(table)
    q_min, q_max = shell(parse_wavelength("CuKa"), (5.0, 90.0))
    lines = packed_lines(packed, q_max, weakest=WEAKEST)
    # Computed cells are not quite symmetric: what rounding splits (0.005 degrees at most) is one line.
    apart = np.diff(lines.q, prepend=0.0) > SPLIT * lines.q
    apart[lines.offsets[:-1]] = True
    visible = np.concatenate([[0], np.cumsum(apart & (lines.q >= q_min))])
    sites = np.diff(packed.offsets)
    volume = np.abs(np.linalg.det(packed.lattice)) / sites
    elements = [len(set(packed.element[a:b])) for a, b in zip(packed.offsets[:-1], packed.offsets[1:], strict=True)]
    return {
        "lines": np.diff(visible[lines.offsets]).astype(float),
        "sites": sites.astype(float),
        "volume": volume,
        "elements": np.array(elements, dtype=float),
        "nearest": np.array([nearest(packed.structure(i)) for i in range(len(packed))]),
        "space_group": table["space_group_number"].to_numpy()[packed.rows].astype(float),
    }


def nearest(structure: Any) -> float:
    """Shortest distance between two atoms, Å."""
    from scipy.spatial import cKDTree

    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    inside = (structure.frac_coords % 1.0) @ structure.lattice
    around = (inside[:, None] + steps @ structure.lattice).reshape(-1, 3)
    return float(cKDTree(around).query(inside, k=2)[0][:, 1].min())


def database(path: Path, count: int) -> pa.Table:
    """Structures evenly spread over the training side of a table."""
    table = read_table(path)
    rows = np.flatnonzero(sides_of(table["formula"].to_pylist()) == "train")
    return table.take(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])


def drawn(count: int, seed: int, flatten: float) -> tuple[list[Drawn], float]:
    """Numbers of a series, and the processor seconds they took in this process."""
    draw_number(0, seed + 1, flatten)  # compiled code and tables are loaded
    begin = time.process_time()
    series = [draw_number(number, seed, flatten) for number in range(count)]
    return series, time.process_time() - begin


def as_table(series: list[Drawn]) -> pa.Table:
    """The crystals of a series as a structure table in memory."""
    rows = [entry.outcome.row() for entry in series if isinstance(entry.outcome, StructureRecord)]
    return pa.Table.from_pylist(rows, schema=schema())


def systems(groups: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the crystal systems of space groups."""
    return np.array([crystal_system_index(int(group)) for group in groups])


def report(count: int, seed: int, path: Path) -> dict[str, Any]:
    """All figures."""
    result: dict[str, Any] = {"count": count, "seed": seed}
    for flatten in (0.0, FLATTEN):
        series, seconds = drawn(count, seed, flatten)
        rejected = sum((entry.rejected for entry in series), Counter[str]())
        attempts = count + sum(rejected.values())
        result[f"flatten {flatten:g}"] = {
            "per_second": round(count / seconds, 1),
            "attempts": attempts,
            "rejected": {kind: round(number / attempts, 4) for kind, number in rejected.most_common()},
            "given_up": sum(not isinstance(entry.outcome, StructureRecord) for entry in series),
        }
        if flatten == 0.0:
            ours = features(as_table(series))
    theirs = features(database(path, count))
    for measure in MEASURES:
        result[measure] = {
            "synthetic": np.quantile(ours[measure], QUANTILES).round(2).tolist(),
            "database": np.quantile(theirs[measure], QUANTILES).round(2).tolist(),
        }
    shares = [np.bincount(f["space_group"].astype(int), minlength=231) / len(f["space_group"]) for f in (ours, theirs)]
    result["space groups"] = {
        "total_variation": round(float(np.abs(shares[0] - shares[1]).sum() / 2), 3),
        "different_synthetic": int((shares[0] > 0).sum()),
        "different_database": int((shares[1] > 0).sum()),
    }
    result["median lines by system"] = {
        name: [float(np.median(f["lines"][systems(f["space_group"]) == index])) for f in (ours, theirs)]
        for index, name in enumerate(CRYSTAL_SYSTEMS)
    }
    result["median sites by system"] = {
        name: [float(np.median(f["sites"][systems(f["space_group"]) == index])) for f in (ours, theirs)]
        for index, name in enumerate(CRYSTAL_SYSTEMS)
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path, help="the database's structure table")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    arguments = parser.parse_args()
    result = report(arguments.count, arguments.seed, arguments.structures)
    if arguments.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
        return
    for key, value in result.items():
        if key in MEASURES:
            print(f"{MEASURES[key]}, quantiles {', '.join(map(str, QUANTILES))}")
            for name, quantiles in value.items():
                print(f"  {name:10s} " + " ".join(f"{q:8.2f}" for q in quantiles))
        elif key.startswith("median"):
            print(f"{key} (synthetic, database)")
            for name, (ours, theirs) in value.items():
                print(f"  {name:12s} {ours:7.1f} {theirs:7.1f}")
        else:
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
