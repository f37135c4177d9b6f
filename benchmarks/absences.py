"""Given the right cell, is the right extinction group found?

    python benchmarks/absences.py ../shared/data/materials_project.parquet --per-system 100 --seed 0

Structures of the test side (the prior counts the training side) are measured in the simulated laboratory; the cell
given is that of the strained crystal, in a setting that does not follow from its space group: orthorhombic axes in
random order, monoclinic a and c the shortest of the lattice. The zero shift given is none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from syngony.absences.ranking import rank_extinction_groups
from syngony.diffraction.conditions import Conditions
from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.phase import Phase
from syngony.errors import SyngonyError
from syngony.extinction_groups import AXIS_PERMUTATIONS, ExtinctionGroup, extinction_group_of
from syngony.learning.split import sides_of
from syngony.pattern import Pattern
from syngony.structure_table import StructureRecord, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, LABEL_TOLERANCE, crystal_system_index
from syngony.unit_cell import UnitCell, parameters_of


class Case(NamedTuple):
    """A scan, its cell, and what is to be found."""

    name: str
    space_group: int
    pattern: Pattern
    cell: UnitCell
    truth: ExtinctionGroup
    conditions: Conditions


def sample(table: Path, per_system: int, seed: int, side: str) -> Iterator[StructureRecord]:
    """So many structures of each crystal system, of one side of the split (``all`` for the whole table)."""
    source = read_table(table)
    numbers = source["space_group_number"].to_numpy()
    systems = np.array([crystal_system_index(int(n)) for n in range(1, 231)])[numbers - 1]
    chosen = np.ones(len(numbers), dtype=bool)
    if side != "all":
        chosen = sides_of(source["formula"].to_pylist()) == side
    rng = np.random.default_rng(seed)
    for system in range(len(CRYSTAL_SYSTEMS)):
        rows = np.flatnonzero(chosen & (systems == system))
        for row in rng.permutation(rows)[:per_system]:
            yield StructureRecord.from_row(source.slice(int(row), 1).to_pylist()[0])


def strained_lattice(record: StructureRecord, phase: Phase, strain: tuple[float, ...]) -> NDArray[np.float64]:
    """Cell vectors (3, 3) after the strain of `Conditions`, averaged over the Laue group as the simulator does."""
    e1, e2, e3, e4, e5, e6 = strain
    tensor = np.array([[e1, e6, e5], [e6, e2, e4], [e5, e4, e3]])
    turns = np.linalg.inv(phase.reciprocal) @ phase.rotations.astype(float) @ phase.reciprocal
    mean = (turns @ tensor @ turns.transpose(0, 2, 1)).mean(0)
    return record.structure.lattice @ (np.eye(3) + mean)


def conventional_cell(record: StructureRecord, lattice: NDArray[np.float64], rng: np.random.Generator) -> UnitCell:
    """A conventional cell, its axes in no standard order."""
    structure = record.structure
    numbers = [sorted(set(structure.species)).index(s) + 1 for s in structure.species]
    dataset = spglib.get_symmetry_dataset(
        (structure.lattice.tolist(), structure.frac_coords.tolist(), numbers), symprec=LABEL_TOLERANCE
    )
    if dataset is None or dataset.number != record.space_group_number:
        raise SyngonyError("spglib labels it otherwise")
    axes = np.linalg.inv(dataset.transformation_matrix).T @ lattice
    metric = axes @ axes.T
    centring = gemmi.get_spacegroup_reference_setting(dataset.number).hm[0]
    system = CRYSTAL_SYSTEMS[crystal_system_index(dataset.number)]
    if system == "trigonal":
        system = "rhombohedral" if centring == "R" else "hexagonal"
    if system == "orthorhombic":
        # Cells of a search have the centred face at C, whatever the symbol says.
        face = {"A": 0, "C": 2}.get(centring)
        orders = [order for order in AXIS_PERMUTATIONS if face is None or order[2] == face]
        order = list(orders[rng.integers(len(orders))])
        metric = metric[np.ix_(order, order)]
        centring = "C" if face is not None else centring
    if system == "monoclinic":
        metric, centring = shortest_monoclinic(metric, centring)
    if system == "triclinic":
        return UnitCell(*parameters_of(metric), "P", system)
    return UnitCell(*symmetric(parameters_of(metric), system), centring, system)


def shortest_monoclinic(metric: NDArray[np.float64], centring: str) -> tuple[NDArray[np.float64], str]:
    """b stays; a and c become the shortest two vectors of their plane, beta obtuse; centring P or C."""
    best = None
    for p, q, r, s in np.ndindex(7, 7, 7, 7):
        a, c = np.array([p - 3, 0, q - 3]), np.array([r - 3, 0, s - 3])
        if a[0] * c[2] - a[2] * c[0] != 1:
            continue
        turn = np.array([a, [0, 1, 0], c])
        new = turn @ metric @ turn.T
        # C stays C when (a + b) / 2 is still a lattice vector.
        if centring == "C" and (a[0] % 2 == 0 or a[2] % 2 != 0):
            continue
        if new[0, 2] > 1e-9:
            continue
        size = new[0, 0] + new[2, 2]
        if best is None or size < best[0] - 1e-9:
            best = size, new
    assert best is not None
    return best[1], centring


def symmetric(parameters: NDArray[np.float64], system: str) -> tuple[float, ...]:
    """Parameters with the equalities of their lattice system, as a refinement would give them."""
    a, b, c, alpha, beta, gamma = (float(x) for x in parameters)
    if system == "cubic":
        a = b = c = (a + b + c) / 3
    elif system in ("tetragonal", "hexagonal", "rhombohedral"):
        a = b = (a + b) / 2
    alpha = gamma = 90.0
    if system != "monoclinic":
        beta = 90.0
    if system in ("hexagonal", "rhombohedral"):
        gamma = 120.0
    return a, b, c, alpha, beta, gamma


def cases(table: Path, per_system: int, seed: int, lab: bool, side: str) -> Iterator[Case]:
    """Measured structures; those that cannot be simulated or labelled anew are left out."""
    impurity = None
    for index, record in enumerate(sample(table, per_system, seed, side)):
        rng = np.random.default_rng([seed, index])
        try:
            phase = Phase.from_structure(record.structure)
            conditions = Laboratory().draw(rng) if lab else Conditions(counts=1e5)
            cell = conventional_cell(record, strained_lattice(record, phase, conditions.lattice_strain), rng)
            pattern = Pattern(*measure(phase, conditions, rng, impurity))
        except SyngonyError:
            continue
        impurity = phase
        truth = extinction_group_of(record.space_group_number)
        yield Case(record.material_id, record.space_group_number, pattern, cell, truth, conditions)


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        abs(confidence[which == b].mean() - right[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--per-system", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conditions", choices=("lab", "ideal"), default="lab")
    parser.add_argument("--side", choices=("test", "validation", "train", "all"), default="test")
    parser.add_argument("--failures", action="store_true", help="name every pattern whose group is not first")
    arguments = parser.parse_args()
    rows: list[tuple[int, int, float, float, float]] = []
    for case in cases(
        arguments.table, arguments.per_system, arguments.seed, arguments.conditions == "lab", arguments.side
    ):
        begin = time.perf_counter()
        ranking = rank_extinction_groups(case.pattern, case.cell)
        seconds = time.perf_counter() - begin
        rank = [group.space_groups for group in ranking].index(case.truth.space_groups)
        rows.append((crystal_system_index(case.space_group), rank, ranking[0].probability, ranking[rank].probability,
                     seconds))  # fmt: skip
        if arguments.failures and rank:
            print(f"{case.name:12s} {case.space_group:3d} {case.truth.symbol:12s} rank {rank + 1:2d} "
                  f"p {ranking[rank].probability:.3f}; first {ranking[0].symbol:12s} {ranking[0].probability:.3f}; "
                  f"V {case.cell.volume:6.0f}; counts {case.conditions.counts:6.0f}")  # fmt: skip
    print_table(np.array(rows))


def print_table(rows: NDArray[np.float64]) -> None:
    system, rank, confidence, _, seconds = rows.T
    print(f"{'':14s}{'n':>5s}{'first':>8s}{'three':>8s}{'said':>8s}{'ECE':>8s}{'median s':>10s}{'95 % s':>8s}")
    for name, kept in [(s, system == i) for i, s in enumerate(CRYSTAL_SYSTEMS)] + [("all", system >= 0)]:
        if not kept.any():
            continue
        right = rank[kept] == 0
        print(
            f"{name:14s}{kept.sum():5d}{right.mean():8.3f}{(rank[kept] < 3).mean():8.3f}{confidence[kept].mean():8.3f}"
            f"{calibration_error(confidence[kept], right):8.3f}{np.median(seconds[kept]):10.3f}"
            f"{np.quantile(seconds[kept], 0.95):8.3f}"
        )


if __name__ == "__main__":
    main()
