"""What is gathered of a pattern before anything is concluded: network, lattice search, library."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from syngony.absences.ranking import rank_extinction_groups
from syngony.determination.cells import MOST_CELLS, cell_features, cell_shares, constants_for
from syngony.errors import InputError, PatternError
from syngony.extinction_groups import ExtinctionGroup
from syngony.inference import Scores
from syngony.lattice.indexing import IndexedCell, Indexing, index_pattern
from syngony.lattice.near_symmetry import NearLattice, lattices_of_higher_symmetry
from syngony.lattice.search import Clock
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library
from syngony.library.match import KnownPhase, match
from syngony.lines.lines import LineError
from syngony.lines.wavelength_check import doubt_of_wavelength
from syngony.pattern import Pattern
from syngony.scatter import is_calculated

KINDS = ("network", "lattice", "library")
"""What it looks like, what can be proved, what is remembered."""

PHASES = 5
"""Known phases that are listed."""

_SMALLEST_SHARE = 0.02  # of a cell, for its absences to be looked at
_MOST_ABSENCES = 3  # cells


@dataclass(frozen=True, eq=False)
class CellEvidence:
    """One cell and what its absences say.

    Attributes:
        cell: found by the search.
        features: (len(CELL_FEATURES),) see `cell_features`.
        extinction_groups: ranked; empty where they were not looked at.
        near: lattices of higher symmetry that it is nearly of, where the constants say what that is worth: a
            structure may be relaxed a little off its symmetry.
    """

    cell: IndexedCell
    features: NDArray[np.float64]
    extinction_groups: tuple[ExtinctionGroup, ...] = ()
    near: tuple[NearLattice, ...] = ()


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was gathered of one pattern.

    Attributes:
        scores: the network's, of one row; None where it was not asked.
        indexing: the lattice search; None where it was not asked or the pattern has no lines.
        cells: the best of them with their absences.
        phases: of the libraries, likeliest first; None where they were not asked.
        entries: how many structures those libraries hold.
        notes: what went wrong on the way, for the user.
        wrong_wavelength: why the stated wavelength can hardly be right, or None.
        calculated: the scan has no scatter: it was not measured.
    """

    scores: Scores | None = None
    indexing: Indexing | None = None
    cells: tuple[CellEvidence, ...] = ()
    phases: tuple[KnownPhase, ...] | None = None
    entries: int = 0
    notes: tuple[str, ...] = field(default=())
    wrong_wavelength: str | None = None
    calculated: bool = False


def gather(
    pattern: Pattern,
    scores: Scores | None,
    libraries: Sequence[Library] | None,
    time_budget: float | None,
    lattice: bool = True,
    without: Exclusion | None = None,
    clock: Clock = time.perf_counter,
) -> Evidence:
    """Ask each witness for itself; the network, which is asked of many at once, was asked before.

    Args:
        pattern: the scan.
        scores: of the network, of one row; None where it was not asked.
        libraries: None not to ask them.
        time_budget: seconds of the lattice search.
        lattice: False not to search one.
        without: entries of the libraries to pass over.
        clock: of the budget: see `syngony.lattice.search.SearchSettings`.
    """
    notes: list[str] = []
    indexing: Indexing | None = None
    cells: tuple[CellEvidence, ...] = ()
    wrong_wavelength: str | None = None
    if lattice:
        try:
            indexing = index_pattern(pattern, time_budget, clock=clock)
            wrong_wavelength = doubt_of_wavelength(pattern, indexing.lines)
            cells = with_absences(pattern, indexing)
        except LineError as error:
            notes.append(str(error))
    phases: tuple[KnownPhase, ...] | None = None
    if libraries:
        try:
            phases = tuple(match(pattern, libraries, PHASES, without=without))
        except PatternError as error:
            phases = ()
            notes.append(str(error))
    entries = sum(len(library) for library in libraries or ())
    calculated = is_calculated(pattern)
    return Evidence(scores, indexing, cells, phases, entries, tuple(notes), wrong_wavelength, calculated)


def with_absences(pattern: Pattern, indexing: Indexing) -> tuple[CellEvidence, ...]:
    """The best cells, and the extinction groups of those that may well be right."""
    best = indexing.cells[:MOST_CELLS]
    features = [cell_features(indexing, place) for place in range(len(best))]
    constants = constants_for(indexing.lines.calculated)
    shares, _ = cell_shares(features, constants)
    looked_at = {int(i) for i in np.argsort(-shares)[:_MOST_ABSENCES] if shares[i] > _SMALLEST_SHARE}
    found = []
    for place, (cell, about) in enumerate(zip(best, features, strict=True)):
        groups: tuple[ExtinctionGroup, ...] = ()
        if place in looked_at:
            try:
                groups = rank_extinction_groups(pattern, cell.cell, zero_shift=cell.zero_shift, lines=indexing.lines)
            except InputError:  # no line of the cell lies in the scan: nothing is absent
                groups = ()
        near = tuple(lattices_of_higher_symmetry(cell.cell)) if "near" in constants else ()
        found.append(CellEvidence(cell, about, groups, near))
    return tuple(found)
