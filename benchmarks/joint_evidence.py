"""Gather the evidence of simulated scans, for fitting the joint posterior and for its ablation.

    python benchmarks/joint_evidence.py ../shared/data/materials_project.parquet -o runs/joint --side validation
    python benchmarks/joint_evidence.py ... --side test --kinds lab ideal
    python benchmarks/joint_evidence.py ... --witness library --library runs/mp.lib amcsd
    python benchmarks/joint_evidence.py ... --witness shipped        (the shipped library alone)

    syngony data fetch amcsd -o runs/amcsd.parquet
    python benchmarks/joint_evidence.py runs/amcsd.parquet --side minerals --trained MATERIALS_PROJECT.parquet ...

One JSON line a scan and witness in OUTPUT/SIDE-WITNESS.jsonl; a run goes on where it ended. Structures are of one side
of the split by reduced formula: the network was trained on none of them. Scans are drawn by place: laboratory scans of
one phase, ideal patterns, and equal mixtures of two. With libraries, half of the phases are taken out of them
(every entry of their reduced formula), or as --taken-out says. Structures are simulated as they are published: many
are relaxed a little off the symmetry of their label, and what a lattice search finds then is lower. Minerals are those
whose formulas are not on the training side of another table; they stay in the shipped library, which holds few of the
others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joint_witnesses import TAKEN_OUT
from lattice import standardised

from syngony.absences.ranking import rank_extinction_groups
from syngony.determination.cells import MOST_CELLS
from syngony.diffraction.laboratory import Laboratory
from syngony.diffraction.measure import measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.diffraction.texture import symmetric_strain
from syngony.errors import InputError, StructureError
from syngony.extinction_groups import extinction_groups
from syngony.lattice import index_pattern
from syngony.lattice.comparison import same_lattice
from syngony.learning.split import sides_of
from syngony.lines.lines import LineError
from syngony.pattern import Pattern
from syngony.structure import reduced_formula
from syngony.structure_table import StructureRecord, read_table

WAVELENGTH = 1.54184
SHARES = {"lab": 0.55, "ideal": 0.25, "mixture": 0.2}
ABSENCES = 3  # cells whose extinction groups are ranked


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan with its truth."""

    place: int
    name: str
    kind: str
    formula: str
    space_group: int
    pattern: Pattern
    metric: np.ndarray


def training_formulas(table: Path) -> set[str]:
    """Reduced formulas on the training side of a table."""
    formulas = read_table(table, columns=["formula"])["formula"].to_pylist()
    sides = sides_of(formulas)
    return {reduced_formula(formula) for formula, side in zip(formulas, sides, strict=True) if side == "train"}


def scans(
    table: Path,
    side: str,
    kinds: list[str],
    seed: int,
    places: range,
    done: set[int],
    laboratory: Laboratory | None = None,
    trained: Path | None = None,
) -> Iterator[Scan]:
    """Scans of one side's structures, each a function of the seed and its place."""
    source = read_table(table)
    formulas = source["formula"].to_pylist()
    if trained is None:
        rows = np.flatnonzero(sides_of(formulas) == side)
    else:
        known = training_formulas(trained)
        rows = np.array([i for i, formula in enumerate(formulas) if reduced_formula(formula) not in known])
    rows = np.random.default_rng(seed).permutation(rows)
    laboratory, grid = laboratory or Laboratory(), PaperGrid()
    weights = np.array([SHARES[kind] for kind in kinds])

    def record(place: int) -> StructureRecord:
        return StructureRecord.from_row(source.slice(int(rows[place % len(rows)]), 1).to_pylist()[0])

    for place in places:
        if place >= len(rows):
            return
        if place in done:
            continue
        rng = np.random.default_rng((seed, place))
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        try:
            row = record(place)
            structure = row.structure
            vectors = standardised(structure, idealised=False).lattice
            if kind == "ideal":
                lines = reflections(structure, WAVELENGTH, (0.0, 90.0))
                pattern = Pattern(grid.two_theta, paper_pattern(lines, grid), WAVELENGTH)
            else:
                phase, other = Phase.from_structure(structure), Phase.from_structure(record(place + 1).structure)
                conditions = laboratory.draw(rng)
                if kind == "mixture":
                    conditions = replace(conditions, impurity=1.0)
                drawn = measure(phase, conditions, rng, other)
                pattern = Pattern(drawn.two_theta, drawn.intensity, drawn.wavelength)
                e1, e2, e3, e4, e5, e6 = conditions.lattice_strain
                tensor = np.array([[e1, e6, e5], [e6, e2, e4], [e5, e4, e3]])
                vectors = vectors @ (np.eye(3) + symmetric_strain(phase, tensor))
        except (StructureError, InputError):
            continue
        formula = reduced_formula(source["formula"][int(rows[place])].as_py())
        yield Scan(place, row.material_id, kind, formula, row.space_group_number, pattern, vectors @ vectors.T)


def of_lattice(scan: Scan, budget: float) -> dict[str, Any]:
    """Cells with their figures, whether each is right, and the extinction groups of the best."""
    began = time.process_time()
    try:
        found = index_pattern(scan.pattern, budget, clock=time.thread_time)
    except LineError as error:
        return {"reason": str(error), "lines": None, "cells": [], "seconds": time.process_time() - began}
    searched = time.process_time()
    numbers = {(g.symbol, g.lattice_system): i for i, g in enumerate(extinction_groups())}
    cells = []
    for place, cell in enumerate(found.cells[:MOST_CELLS]):
        ranked: list[tuple[int, float]] = []
        if place < ABSENCES:
            try:
                groups = rank_extinction_groups(scan.pattern, cell.cell, zero_shift=cell.zero_shift, lines=found.lines)
                ranked = [(numbers[g.symbol, g.lattice_system], g.probability) for g in groups if g.probability > 1e-6]
            except InputError:
                ranked = []
        cells.append(
            {
                "cell": asdict(cell.cell),
                "right": bool(same_lattice(cell.cell.primitive_metric, scan.metric)),
                "groups": ranked,
                **{
                    name: getattr(cell, name)
                    for name in ("zero_shift", "score", "m20", "f20", "intensity_explained", "lines_predicted")
                },
                "lines_indexed": cell.lines_indexed,
                "lines_total": cell.lines_total,
            }
        )
    return {
        "reason": found.reason,
        "lines": len(found.lines),
        "cells": cells,
        "scores": found.scores,
        "seconds": searched - began,
        "absence_seconds": time.process_time() - searched,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/joint"))
    parser.add_argument("--side", default="validation", choices=("validation", "test", "minerals"))
    parser.add_argument("--taken-out", choices=TAKEN_OUT, help="of the libraries, of all compounds")
    parser.add_argument("--trained", type=Path, help="table of the network's training, for minerals")
    parser.add_argument("--kinds", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--witness", default="lattice", choices=("lattice", "library", "shipped", "network"))
    parser.add_argument("--library", nargs="*", default=[], help="names or files")
    parser.add_argument("--model", default="syngony")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of the lattice search")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="0/1", help="i/n: every n-th place from i; each part has a file of its own")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    part, parts = (int(x) for x in arguments.part.split("/"))
    tail = "" if parts == 1 else f"-{part}"
    place = arguments.output / f"{arguments.side}-{arguments.witness}{tail}.jsonl"
    done = {json.loads(line)["place"] for line in place.read_text().splitlines()} if place.is_file() else set()
    if arguments.witness == "lattice":

        def ask(scan: Scan) -> dict[str, Any]:
            return of_lattice(scan, arguments.budget)

    elif arguments.witness == "network":
        from joint_witnesses import network_witness

        ask = network_witness(arguments.model)
    else:
        from joint_witnesses import library_witness

        names = arguments.library if arguments.witness == "library" else []
        ask = library_witness(names, arguments.taken_out or ("none" if arguments.side == "minerals" else "half"))
    if (arguments.side == "minerals") != (arguments.trained is not None):
        parser.error("--side minerals needs --trained, and no other side takes it")
    places = range(part, arguments.count, parts)
    asked = arguments.side, arguments.kinds, arguments.seed, places, done
    source = scans(arguments.structures, *asked, trained=arguments.trained)
    with place.open("a") as stream:
        for scan in source:
            row = {"place": scan.place, "id": scan.name, "kind": scan.kind, "truth": scan.space_group}
            stream.write(json.dumps(row | ask(scan)) + "\n")
            stream.flush()


if __name__ == "__main__":
    main()
