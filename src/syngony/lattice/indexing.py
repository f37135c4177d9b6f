"""Index a pattern: its lines, and the unit cells that explain them, best first."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.errors import InputError
from syngony.lattice import kernels
from syngony.lattice.candidates import Candidate, Judge
from syngony.lattice.distortion import on_all_lines
from syngony.lattice.line_weights import weigh_lines
from syngony.lattice.merit import de_wolff, smith_snyder
from syngony.lattice.refinement import standard_uncertainties
from syngony.lattice.search import Clock, SearchSettings, judge_of, ranked, search
from syngony.lattice.suspicion import orders_of_one_spacing, symmetries_within_reach, too_few, why_none
from syngony.lines.lines import Lines, find_lines
from syngony.pattern import Pattern, two_theta_from_q
from syngony.unit_cell import LATTICE_SYSTEMS, UnitCell

log = logging.getLogger(__name__)

DEFAULT_BUDGET = 30.0
"""Seconds for one pattern."""

MAX_VOLUME, MAX_AXIS = 4000.0, 60.0
"""Å^3 of the primitive cell and Å of the longest axis of the reduced cell."""

LEAST_SCORE = 2.0
"""Cells whose odds are below a hundred to one are not shown."""

_PATIENCE = 4.0  # seconds until the user is told
_MERIT_LINES = 20
_MOST_CELLS = 10
_ZERO_SPREAD, _ZERO_SPREAD_CALCULATED = 0.07, 0.02
_CERTAIN_CALCULATED = 0.99


@dataclass(frozen=True, eq=False)
class IndexedCell:
    """A unit cell that explains lines.

    Attributes:
        cell: refined on all lines, conventional.
        uncertainties: (6,) standard uncertainties of a, b, c (Å) and alpha, beta, gamma (degrees); zero where
            symmetry fixes a value.
        zero_shift: degrees, 2θ observed = 2θ of the cell + shift.
        score: decimal logarithm of the odds that the cell explains the lines against accident
            (`syngony.lattice.fit`): the ranking.
        m20, f20: de Wolff's and Smith and Snyder's figures for the first twenty lines, or all if fewer.
        hkl: (n, 3) indices of each line, zeros where not indexed.
        two_theta_calculated: (n,) degrees with the shift; NaN where not indexed.
        indexed: (n,) which lines are explained.
        intensity_explained: 0 to 1, of all lines.
        lines_predicted: distinct lines that the lattice could give in the range of these.
    """

    cell: UnitCell
    uncertainties: NDArray[np.float64]
    zero_shift: float
    score: float
    m20: float
    f20: float
    hkl: NDArray[np.int64]
    two_theta_calculated: NDArray[np.float64]
    indexed: NDArray[np.bool_]
    intensity_explained: float
    lines_predicted: int

    @property
    def lines_indexed(self) -> int:
        """Number of lines explained."""
        return int(np.count_nonzero(self.indexed))

    @property
    def lines_total(self) -> int:
        """Number of lines that were to be explained."""
        return len(self.indexed)

    def as_dict(self, two_theta: NDArray[np.float64]) -> dict[str, Any]:
        """Plain values for JSON.

        Args:
            two_theta: (n,) degrees of the lines.
        """
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        return {
            **{name: round(value, 6) for name, value in zip(names, self.cell.parameters, strict=True)},
            "volume": round(self.cell.volume, 3),
            "centring": self.cell.centring,
            "crystal_system": "trigonal" if self.cell.lattice_system == "rhombohedral" else self.cell.lattice_system,
            "lattice_system": self.cell.lattice_system,
            "merit": round(self.score, 2),
            "m20": _finite(self.m20),
            "f20": _finite(self.f20),
            "uncertainties": {n: round(float(u), 6) for n, u in zip(names, self.uncertainties, strict=True)},
            "lines_indexed": self.lines_indexed,
            "lines_total": self.lines_total,
            "lines_predicted": self.lines_predicted,
            "intensity_explained": round(self.intensity_explained, 4),
            "unindexed": [round(float(x), 4) for x in two_theta[~self.indexed]],
            "zero_shift": round(self.zero_shift, 4),
        }


@dataclass(frozen=True, eq=False)
class Indexing:
    """What the lattice search says of one pattern.

    Attributes:
        lines: the lines.
        cells: best first; empty where no cell explains them.
        reason: why there is no cell, or what to beware of; None where the first cell stands.
        scores: best score of each lattice system that was tried, the cells that are not shown too.
    """

    lines: Lines
    cells: tuple[IndexedCell, ...]
    reason: str | None = None
    scores: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; every line with its indices in the first cell."""
        first = self.cells[0] if self.cells else None
        return {
            "reason": self.reason,
            "cells": [cell.as_dict(self.lines.two_theta) for cell in self.cells],
            "scores": {name: round(value, 2) for name, value in self.scores.items()},
            "lines": [
                {
                    "two_theta": round(float(self.lines.two_theta[i]), 4),
                    "intensity": round(float(self.lines.intensity[i]), 2),
                    "uncertainty": round(float(self.lines.position_uncertainty[i]), 4),
                    "hkl": [int(x) for x in first.hkl[i]] if first is not None and first.indexed[i] else None,
                }
                for i in range(len(self.lines))
            ],
        }


def index_pattern(
    pattern: Pattern,
    time_budget: float | None = DEFAULT_BUDGET,
    *,
    max_volume: float = MAX_VOLUME,
    max_axis: float = MAX_AXIS,
    clock: Clock = time.perf_counter,
) -> Indexing:
    """Find the lines of a pattern, and the cells that explain them.

    Args:
        pattern: the scan.
        time_budget: seconds; the best cells found by then are returned. None is no limit.
        max_volume: Å^3, of the primitive cell.
        max_axis: Å, of the reduced cell.
        clock: of the budget: see `SearchSettings`.

    Raises:
        InputError: a limit is not above zero.
    """
    return index_lines(find_lines(pattern), time_budget, max_volume=max_volume, max_axis=max_axis, clock=clock)


def search_lattices(
    two_theta: ArrayLike,
    wavelength: float | str,
    intensity: ArrayLike | None = None,
    time_budget: float | None = None,
    position_uncertainty: ArrayLike = 0.02,
    *,
    max_volume: float = MAX_VOLUME,
    max_axis: float = MAX_AXIS,
) -> list[IndexedCell]:
    """Unit cells that explain a list of lines, best first.

    Args:
        two_theta: (n,) degrees, in any order.
        wavelength: Å, or the name of a tube line.
        intensity: (n,) any scale, if known.
        time_budget: seconds; None is no limit.
        position_uncertainty: degrees, one for all or (n,).
        max_volume: Å^3, of the primitive cell.
        max_axis: Å, of the reduced cell.

    Raises:
        LineError: the list is none.
        InputError: a limit is not above zero.
        WavelengthError: the wavelength is absurd or unknown.
    """
    lines = Lines.from_positions(two_theta, wavelength, intensity, position_uncertainty)
    return list(index_lines(lines, time_budget, max_volume=max_volume, max_axis=max_axis).cells)


def index_lines(
    lines: Lines,
    time_budget: float | None = DEFAULT_BUDGET,
    zero_shift: bool = True,
    *,
    max_volume: float = MAX_VOLUME,
    max_axis: float = MAX_AXIS,
    clock: Clock = time.perf_counter,
) -> Indexing:
    """Search the cells that explain lines.

    Args:
        lines: found, or given.
        time_budget: seconds; None is no limit.
        zero_shift: False for lines that have none: they are exact, or a standard was mixed in.
        max_volume: Å^3, of the primitive cell.
        max_axis: Å, of the reduced cell.
        clock: of the budget: see `SearchSettings`.

    Raises:
        InputError: a limit is not above zero.
    """
    for limit, what in ((max_volume, "max_volume"), (max_axis, "max_axis")):
        if not limit > 0:
            raise InputError(f"{what} is {limit:g}: it must be above zero")
    reason = too_few(lines) or orders_of_one_spacing(lines)
    if reason is not None:
        return Indexing(lines, (), reason)
    spread = _ZERO_SPREAD_CALCULATED if lines.calculated else _ZERO_SPREAD
    settings = SearchSettings(
        time_budget, clock, max_volume=max_volume, max_axis=max_axis, zero_spread=spread if zero_shift else 0.0,
        certain=_CERTAIN_CALCULATED if lines.calculated else SearchSettings.certain,
        systems=symmetries_within_reach(len(lines)),
    )  # fmt: skip
    weighed = weigh_lines(lines)
    evidence = (lines.two_theta, lines.wavelength, weighed.uncertainty, weighed.weight, weighed.stray, settings)
    with _compiling_told():
        found = search(*evidence)
    everything = judge_of(*evidence)
    if lines.calculated:
        found = on_all_lines(found, everything)
    cells = [
        _indexed(candidate, everything, lines)
        for candidate in ranked(found, _MOST_CELLS)
        if candidate.log_odds > LEAST_SCORE * math.log(10.0)
    ]
    scores: dict[str, float] = {}
    for candidate in found:
        system = candidate.cell.lattice_system
        scores[system] = max(scores.get(system, -math.inf), candidate.log_odds / math.log(10.0))
    ordered = {system: scores[system] for system in LATTICE_SYSTEMS if system in scores}
    return Indexing(lines, tuple(cells), why_none(lines, cells), ordered)


@contextmanager
def _compiling_told() -> Iterator[None]:
    """Tell the user where functions are compiled, which takes a minute on a new machine."""
    before = kernels.compiled()

    def tell() -> None:
        if kernels.compiled() > before:
            log.warning("Compiling the lattice search for this machine: once, a minute.")

    notice = threading.Timer(_PATIENCE, tell)
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()


def _indexed(candidate: Candidate, everything: Judge, lines: Lines) -> IndexedCell:
    """A candidate refined on all lines."""
    refined = everything.judge(candidate.symmetry, candidate.centring, candidate.parameters, candidate.zero_shift)
    final = refined or candidate
    n, m = len(lines), len(final.error)
    hkl, indexed, calculated = np.zeros((n, 3), np.int64), np.zeros(n, np.bool_), np.full(n, np.nan)
    indexed[:m] = final.indexed
    hkl[indexed] = final.hkl[final.indexed]
    calculated[indexed] = two_theta_from_q((final.q - final.error)[final.indexed], lines.wavelength) + final.zero_shift
    first = min(m, _MERIT_LINES)
    inside = final.indexed[:first]
    q, limit = final.q[:first], float(final.q[first - 1])
    possible = max(1, round(candidate.predicted * (limit / float(candidate.q[-1])) ** 1.5))
    return IndexedCell(
        final.cell,
        standard_uncertainties(final, everything),
        final.zero_shift,
        candidate.log_odds / math.log(10.0),
        de_wolff(q[inside], (q - final.error[:first])[inside], possible, limit),
        smith_snyder(lines.two_theta[:first][inside], calculated[:first][inside], possible, first),
        hkl,
        calculated,
        indexed,
        float(lines.intensity[indexed].sum() / lines.intensity.sum()),
        final.predicted,
    )


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
