"""What `joint_evidence.py` kept, as the evidence that `syngony.determination` weighs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from syngony.determination.cells import cell_features
from syngony.determination.evidence import CellEvidence, Evidence
from syngony.determination.posterior import LATTICE_OF_GROUP
from syngony.extinction_groups import extinction_groups
from syngony.inference import Scores
from syngony.lattice.indexing import IndexedCell, Indexing
from syngony.lattice.near_symmetry import lattices_of_higher_symmetry
from syngony.library.match import KnownPhase
from syngony.lines.lines import Lines
from syngony.unit_cell import LATTICE_SYSTEMS, UnitCell


@dataclass(frozen=True, eq=False)
class Row:
    """One scan: what is true and what was gathered.

    Attributes:
        kind: lab, ideal or mixture.
        truth: space group number.
        unknown: True where its compound was taken out of the libraries.
        right: (k,) which cells are the crystal's own, and of the lattice system of its label or nearly of it.
        evidence: of all witnesses that were asked.
    """

    kind: str
    truth: int
    unknown: bool
    right: np.ndarray
    evidence: Evidence


def read_rows(folder: Path, side: str, library: str = "library") -> list[Row]:
    """All scans of a side that the lattice search and the network were asked about; fewer may have known phases.

    Args:
        folder: of `joint_evidence.py`.
        side: of the split.
        library: the witness of known phases: all libraries, or ``shipped``.
    """
    kept = {name: _lines(folder, f"{side}-{name}") for name in ("lattice", "network", library)}
    places = sorted(set(kept["lattice"]) & set(kept["network"] or kept["lattice"]))
    return [_row(*(kept[name].get(place) for name in ("lattice", "network", library))) for place in places]


def _lines(folder: Path, stem: str) -> dict[int, dict[str, Any]]:
    files = sorted(folder.glob(f"{stem}.jsonl")) + sorted(folder.glob(f"{stem}-*.jsonl"))
    rows = (json.loads(line) for file in files for line in file.read_text().splitlines())
    return {row["place"]: row for row in rows}


def _row(lattice: dict[str, Any], network: dict[str, Any] | None, library: dict[str, Any] | None) -> Row:
    cells = tuple(_cell(entry) for entry in lattice["cells"])
    calculated = lattice["kind"] == "ideal"
    indexing = None
    if lattice["lines"] is not None:
        indexing = Indexing(_blank_lines(lattice["lines"]), cells, lattice["reason"], lattice["scores"])
    about = [
        CellEvidence(
            cell,
            cell_features(indexing, place),
            _groups(entry["groups"]),
            tuple(lattices_of_higher_symmetry(cell.cell)) if calculated else (),
        )
        for place, (cell, entry) in enumerate(zip(cells, lattice["cells"], strict=True))
        if indexing is not None
    ]
    scores = None
    if network is not None:
        groups = network["space_groups"]
        scores = Scores(np.array([network["systems"]]), None if groups is None else np.array([groups]))
    phases, known = None, 0
    if library is not None:
        known = library["entries"]
        phases = tuple(KnownPhase(**(entry | {"relatives": ()})) for entry in library["phases"])
    system = LATTICE_SYSTEMS[LATTICE_OF_GROUP[lattice["truth"] - 1]]
    pairs = zip(lattice["cells"], about, strict=True)
    right = np.array([entry["right"] and system in lattice_systems(one) for entry, one in pairs], dtype=bool)
    return Row(
        lattice["kind"],
        lattice["truth"],
        bool(library and library["unknown"]),
        right,
        Evidence(scores, indexing, tuple(about), phases, known, calculated=calculated),
    )


def lattice_systems(one: CellEvidence) -> list[str]:
    """The lattice system of a cell, then those that it is nearly of, the nearest first."""
    return [one.cell.cell.lattice_system, *(near.cell.lattice_system for near in one.near)]


def _cell(entry: dict[str, Any]) -> IndexedCell:
    total = entry["lines_total"]
    indexed = np.arange(total) < entry["lines_indexed"]
    figures = {k: entry[k] for k in ("zero_shift", "score", "m20", "f20", "intensity_explained", "lines_predicted")}
    return IndexedCell(
        cell=UnitCell(**entry["cell"]),
        uncertainties=np.zeros(6),
        hkl=np.zeros((total, 3), np.int64),
        two_theta_calculated=np.zeros(total),
        indexed=indexed,
        **figures,
    )


def _groups(kept: list[tuple[int, float]]) -> tuple:
    return tuple(replace(extinction_groups()[i], probability=p) for i, p in kept)


def _blank_lines(count: int) -> Lines:
    zeros = np.zeros(count)
    return Lines(zeros, zeros, zeros, zeros, zeros, 1.0, (0.0, 1.0))
