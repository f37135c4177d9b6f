"""How often is the right unit cell first? By crystal system and conditions, with times.

    python benchmarks/lattice.py ../shared/data/materials_project.parquet --per-system 100
    python benchmarks/lattice.py --measured ../shared/data/measured_patterns.parquet

Structures: so many of each crystal system, drawn with a fixed seed, with the symmetry of their labels (spglib).
*ideal*: their first 30 lines above 1 % of the strongest, exact (CuKa; lines nearer than 0.02 degrees are one).
*lab*: a scan drawn by `Laboratory`, its lines by `find_lines`. A cell is right when its reduced primitive cell agrees
with the truth within 1 % in lengths and 1 degree in angles; a sublattice or superlattice of the truth is wrong, and
counted as *derivative*; *hidden* are those of them where no line tells: the first cell is smaller and leaves no line
that the truth would explain (they are below 1 %, or under the noise). Every pattern is searched down to triclinic
unless a cell is beyond doubt before.

Measured: scans of high confidence; a success is a first cell of the labelled lattice system that explains
85 % of the intensity of the lines. Nothing is fitted to them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import Counter
from pathlib import Path

import numpy as np
import spglib

from syngony.diffraction.laboratory import Laboratory
from syngony.diffraction.measure import measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.reflections import reflections
from syngony.diffraction.texture import symmetric_strain
from syngony.errors import StructureError
from syngony.lattice import IndexedCell, Indexing, index_lines, index_pattern, search_lattices
from syngony.lattice.comparison import is_derivative, same_lattice
from syngony.lines.lines import Lines
from syngony.pattern import Pattern, two_theta_from_q
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, LABEL_TOLERANCE, crystal_system_index
from syngony.unit_cell import UnitCell

WAVELENGTH = 1.54184


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path, nargs="?")
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--per-system", type=int, default=100)
    parser.add_argument("--systems", nargs="+", default=list(CRYSTAL_SYSTEMS))
    parser.add_argument("--conditions", nargs="+", default=["ideal", "lab"])
    parser.add_argument("--budget", type=float, default=30.0, help="seconds a pattern")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--part", default="0/1", help="i/n: every n-th pattern from i, to share the work among processes"
    )
    parser.add_argument("-o", "--output", type=Path, help="one JSON line a pattern; a run goes on where it ended")
    parser.add_argument("--verbose", action="store_true", help="print each failure")
    arguments = parser.parse_args()
    arguments.known = known_rows(arguments.output)
    compile_search()
    if arguments.structures:
        for conditions in arguments.conditions:
            print_table(simulated(arguments, conditions), conditions)
    if arguments.measured:
        print_table(measured(arguments), "measured")
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}, "
          f"numpy {np.__version__}, load {os.getloadavg()[0]:.1f}")  # fmt: skip


def compile_search() -> None:
    """Search once for a cell of each system, so that what the first searches load or compile is in no time printed."""
    edges = range(-3, 4)
    hkl = np.array([(h, k, l) for h in range(4) for k in edges for l in edges if (h, k, l) > (0, 0, 0)])  # noqa: E741
    for *axes, alpha, beta, gamma in (
        (9.1, 9.1, 9.1, 90, 90, 90), (5.1, 5.1, 7.4, 90, 90, 90), (5.1, 5.1, 7.4, 90, 90, 120),
        (5.1, 6.3, 7.4, 90, 90, 90), (5.1, 6.3, 7.4, 90, 97, 90), (5.1, 6.3, 7.4, 83, 97, 106),
    ):  # fmt: skip
        metric = np.linalg.inv(UnitCell(*axes, alpha, beta, gamma).metric)
        q = np.unique(np.round(np.einsum("ij,jk,ik->i", hkl, metric, hkl), 6))[:24]
        search_lattices(two_theta_from_q(q, WAVELENGTH), WAVELENGTH, time_budget=1.0)


def known_rows(path: Path | None) -> dict[tuple[str, str], dict]:
    """Rows of an earlier, interrupted run, by conditions and id."""
    if path is None or not path.is_file():
        return {}
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    path.write_text("".join(lines))
    rows = [json.loads(line) for line in lines]
    return {(row["conditions"], row["id"]): row for row in rows}


def note(arguments: argparse.Namespace, rows: list[dict], row: dict) -> None:
    """Keep a row, in the file too, so that an interrupted run goes on."""
    rows.append(row)
    if arguments.output:
        with arguments.output.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def sample(arguments: argparse.Namespace) -> list[tuple[str, StructureRecord, StructureRecord]]:
    """(system, record, record of an impurity), so many of each system; the same for the same seed."""
    table = read_table(arguments.structures)
    numbers = np.array(table["space_group_number"].to_pylist())
    systems = np.array([CRYSTAL_SYSTEMS[crystal_system_index(int(n))] for n in numbers])
    rng = np.random.default_rng(arguments.seed)
    part, parts = (int(x) for x in arguments.part.split("/"))
    chosen: list[tuple[int, str, int, int]] = []
    for system in CRYSTAL_SYSTEMS:
        rows = rng.permutation(np.flatnonzero(systems == system))[: arguments.per_system]
        if system in arguments.systems:
            chosen += [(i, system, int(row), int(rows[i - 1])) for i, row in enumerate(rows)][part::parts]
    chosen.sort(key=lambda choice: choice[0])  # one of each system in turn, so that a part of a run is a sample too

    def records(place: int) -> list[StructureRecord]:
        return [StructureRecord.from_row(row) for row in table.take([c[place] for c in chosen]).to_pylist()]

    return list(zip([c[1] for c in chosen], records(2), records(3), strict=True))


def standardised(structure: Structure, idealised: bool = True) -> Structure:
    """A primitive cell with the symmetry of its label: spglib at the labels' tolerance, idealised or as it is."""
    symbols = sorted(set(structure.species))
    cell = (structure.lattice, structure.frac_coords, [symbols.index(s) for s in structure.species])
    found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=not idealised, symprec=LABEL_TOLERANCE)
    if found is None:
        raise StructureError("spglib finds no symmetry")
    lattice, positions, kinds = found
    return Structure(lattice, [symbols[kind] for kind in kinds], positions)


def ideal_lines(structure: Structure) -> Lines:
    """The first 30 lines above 1 %, exact."""
    lines = reflections(structure, WAVELENGTH, (0.0, 150.0))
    strong = lines.intensity > 1.0
    two_theta, intensity = lines.two_theta[strong], lines.intensity[strong]
    starts = np.flatnonzero(np.diff(two_theta, prepend=-1.0) > 0.02)
    height = np.add.reduceat(intensity, starts)
    angle = np.add.reduceat(intensity * two_theta, starts) / height
    return Lines.from_positions(angle[:30], WAVELENGTH, height[:30], 0.005)


def lab_scan(
    structure: Structure, vectors: np.ndarray, rng: np.random.Generator, impurity: Phase | None
) -> tuple[Pattern, np.ndarray]:
    """A scan, and the primitive vectors (3, 3) of the cell that it shows, strained as the sample was."""
    phase = Phase.from_structure(structure)
    conditions = Laboratory().draw(rng)
    scan = measure(phase, conditions, rng, impurity)
    e1, e2, e3, e4, e5, e6 = conditions.lattice_strain
    tensor = np.array([[e1, e6, e5], [e6, e2, e4], [e5, e4, e3]])
    strained = vectors @ (np.eye(3) + symmetric_strain(phase, tensor))
    return Pattern(scan.two_theta, scan.intensity, scan.wavelength), strained


def simulated(arguments: argparse.Namespace, conditions: str) -> list[dict]:
    """One row a structure."""
    rows: list[dict] = []
    for system, record, other in sample(arguments):
        if (conditions, record.material_id) in arguments.known:
            rows.append(arguments.known[conditions, record.material_id])
            continue
        rng = np.random.default_rng([arguments.seed, *record.material_id.encode()])
        try:
            structure = standardised(record.structure)
            vectors = structure.lattice
            if conditions == "ideal":
                lines = ideal_lines(structure)
                began = time.process_time()
                found = index_lines(lines, time_budget=arguments.budget, zero_shift=False, clock=time.thread_time)
            else:
                pattern, vectors = lab_scan(structure, vectors, rng, Phase.from_structure(other.structure))
                began = time.process_time()
                found = index_pattern(pattern, time_budget=arguments.budget, clock=time.thread_time)
        except StructureError as error:
            print(f"{record.material_id}: {error}")
            continue
        seconds = time.process_time() - began
        truth = vectors @ vectors.T
        verdicts = [
            "right" if same_lattice(cell.primitive_metric, truth)
            else "derivative" if is_derivative(cell.primitive_metric, truth) else "wrong"
            for cell in (c.cell for c in found.cells[:10])
        ]  # fmt: skip
        weaker = bool(verdicts) and verdicts[0] == "derivative" and hides(found, truth)
        row = {
            "hidden": weaker, "conditions": conditions, "system": system, "id": record.material_id, "seconds": seconds,
            "verdict": verdicts[0] if verdicts else "none", "top10": "right" in verdicts, "lines": len(found.lines),
            "scores": [round(c.score, 1) for c in found.cells[:3]],
            "predicted_a_line": [round(c.lines_predicted / c.lines_total, 2) for c in found.cells[:1]],
        }  # fmt: skip
        note(arguments, rows, row)
        if arguments.verbose and row["verdict"] != "right":
            tell(row, truth, found)
    return rows


def hides(found: Indexing, truth: np.ndarray) -> bool:
    """Whether the first cell is smaller than the truth and leaves no line where the truth has one."""
    first = found.cells[0]
    if first.cell.primitive_volume >= 0.9 * np.sqrt(np.linalg.det(truth)):
        return False
    left = ~first.indexed
    if not left.any():
        return True
    two_theta = found.lines.two_theta[left] - first.zero_shift
    reach = 3.0 * np.hypot(found.lines.position_uncertainty[left], 0.01)
    spacing = found.lines.wavelength / (2.0 * np.sin(np.radians(0.5 * two_theta)))
    most = [int(np.sqrt(truth[i, i]) / spacing.min()) + 1 for i in range(3)]
    hkl = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), -1).reshape(-1, 3)
    q = np.einsum("ij,jk,ik->i", hkl, np.linalg.inv(truth), hkl)
    sine = 0.5 * found.lines.wavelength * np.sqrt(q[(q > 0)])
    its = np.sort(2.0 * np.degrees(np.arcsin(sine[sine < 1.0])))
    after = np.clip(np.searchsorted(its, two_theta), 1, len(its) - 1)
    return not bool((np.minimum(abs(its[after] - two_theta), abs(its[after - 1] - two_theta)) < reach).any())


def describe(cell: IndexedCell) -> str:
    """A found cell in one line."""
    return (
        f"{np.round(cell.cell.parameters, 3)} {cell.cell.lattice_system} {cell.cell.centring} "
        f"V {cell.cell.primitive_volume:.1f} score {cell.score:.1f} {cell.lines_indexed}/{cell.lines_total} "
        f"{cell.intensity_explained:.2f}"
    )


def tell(row: dict, truth: np.ndarray, found: Indexing) -> None:
    """One failure, to look at."""
    from syngony.lattice.comparison import reduced_metric
    from syngony.unit_cell import parameters_of

    print(row, "truth", np.round(parameters_of(reduced_metric(truth)), 3), f"V {np.sqrt(np.linalg.det(truth)):.1f}")
    for cell in found.cells[:3]:
        print("  ", describe(cell))


def measured(arguments: argparse.Namespace) -> list[dict]:
    """One row a measured scan of high confidence."""
    import pyarrow.parquet as pq

    rows: list[dict] = []
    every = pq.read_table(arguments.measured).to_pylist()
    table = [row for row in every if row["label_confidence"] == "high"]
    part, parts = (int(x) for x in arguments.part.split("/"))
    for row in table[part::parts]:
        if ("measured", row["pattern_id"]) in arguments.known:
            rows.append(arguments.known["measured", row["pattern_id"]])
            continue
        numbers = [int(n) for n in str(row["space_group"]).split("|")]
        systems = {lattice_system(n) for n in numbers}
        pattern = Pattern(row["two_theta"], row["intensity"], row["wavelength"])
        began = time.process_time()
        found = index_pattern(pattern, time_budget=arguments.budget, clock=time.thread_time)
        seconds = time.process_time() - began
        verdict = "none"
        if found.cells:
            first = found.cells[0]
            verdict = "right" if first.cell.lattice_system in systems and first.intensity_explained >= 0.85 else "wrong"
        note(arguments, rows, {
            "conditions": "measured", "system": row["crystal_system"], "id": row["pattern_id"], "seconds": seconds,
            "verdict": verdict, "top10": any(c.cell.lattice_system in systems for c in found.cells[:10]),
            "lines": len(found.lines), "material": row["material"],
        })  # fmt: skip
        if arguments.verbose and verdict != "right":
            print(rows[-1], systems)
            for cell in found.cells[:3]:
                print("  ", describe(cell))
    return rows


def lattice_system(space_group: int) -> str:
    """Of a space group: rhombohedral for the R groups, else hexagonal for the trigonal ones."""
    system = CRYSTAL_SYSTEMS[crystal_system_index(space_group)]
    if system == "trigonal":
        return "rhombohedral" if space_group in (146, 148, 155, 160, 161, 166, 167) else "hexagonal"
    return system


def print_table(rows: list[dict], title: str) -> None:
    """Markdown."""
    print(f"\n| {title} | n | right first | in ten | derivative | hidden | none | s, median | 95 % | most |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for system in [*CRYSTAL_SYSTEMS[::-1], None]:
        of = [row for row in rows if system in (None, row["system"])]
        if not of:
            continue
        counts = Counter(row["verdict"] for row in of)
        seconds = np.array([row["seconds"] for row in of])
        print(
            f"| {system or 'all'} | {len(of)} | {counts['right'] / len(of):.0%} "
            f"| {np.mean([r['top10'] for r in of]):.0%} | {counts['derivative']} "
            f"| {sum(r.get('hidden', False) for r in of)} | {counts['none']} | {np.median(seconds):.2f} "
            f"| {np.quantile(seconds, 0.95):.2f} | {seconds.max():.1f} |"
        )


if __name__ == "__main__":
    main()
