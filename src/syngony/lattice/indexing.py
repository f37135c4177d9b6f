"""Index a pattern: its lines, and the unit cells that explain them, best first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.candidates import Candidate
from syngony.lattice.cell import UnitCell
from syngony.lattice.lines import Lines, find_lines
from syngony.lattice.merit import de_wolff, smith_snyder
from syngony.lattice.search import SearchSettings, search
from syngony.pattern import Pattern, two_theta_from_q

_MERIT_LINES = 20

_ALIGNMENT = 0.008
"""Degrees: what asymmetry, displacement and transparency leave in positions beyond one shift of all."""


@dataclass(frozen=True, eq=False)
class IndexedCell:
    """A unit cell that explains lines.

    Attributes:
        cell: refined, conventional.
        zero_shift: degrees, 2θ observed = 2θ of the cell + shift.
        score: decimal logarithm of the odds that the cell explains the lines against accident (`lattice.fit`):
            the ranking.
        m20, f20: de Wolff's and Smith and Snyder's figures for the first twenty lines, or all if fewer.
        hkl: (n, 3) indices of each line, zeros where not indexed.
        two_theta_calculated: (n,) degrees with the shift; NaN where not indexed.
        indexed: (n,) which lines are explained.
        intensity_explained: 0 to 1, of all lines.
        lines_predicted: distinct lines that the cell could give in the range of these.
    """

    cell: UnitCell
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


@dataclass(frozen=True, eq=False)
class Indexing:
    """What the lattice search says of one pattern.

    Attributes:
        lines: the lines.
        cells: best first; empty where no cell explains them.
        reason: why there is no cell, or why the first is doubtful; None where it stands.
    """

    lines: Lines
    cells: tuple[IndexedCell, ...]
    reason: str | None = None


def index_pattern(pattern: Pattern, time_budget: float | None = 30.0) -> Indexing:
    """Search the lines of a pattern and the cells that explain them."""
    return index_lines(find_lines(pattern), time_budget)


def index_lines(lines: Lines, time_budget: float | None = 30.0, zero_shift: bool = True) -> Indexing:
    """Search the cells that explain lines.

    Args:
        lines: found, or given.
        time_budget: seconds; None is no limit.
        zero_shift: whether the lines may be shifted alike.
    """
    if len(lines) < 5:
        return Indexing(lines, (), f"{len(lines)} lines: too few for any cell")
    settings = SearchSettings(time_budget=time_budget, zero_spread=0.07 if zero_shift else 0.0)
    stray = stray_probability(lines)
    found_by_fit = np.isfinite(lines.significance)
    uncertainty = np.where(found_by_fit, np.hypot(lines.position_uncertainty, _ALIGNMENT), lines.position_uncertainty)
    found = search(lines.two_theta, lines.wavelength, uncertainty, 1.0 - stray, stray, settings)
    return Indexing(lines, tuple(_indexed(candidate, lines) for candidate in found))


def stray_probability(lines: Lines) -> NDArray[np.float64]:
    """(n,) prior probability that a line is not of the main phase: larger for weak and for uncertain lines."""
    given = np.isinf(lines.significance)
    weak = np.exp(-lines.intensity / 5.0)
    unsure = np.exp(-np.where(given, 1e9, lines.significance) / 5.0)
    return np.where(given, 0.02, 0.02 + 0.13 * weak + 0.2 * unsure)


def _indexed(candidate: Candidate, lines: Lines) -> IndexedCell:
    m = len(candidate.error)
    indexed = candidate.indexed
    calculated = np.full(m, np.nan)
    calculated[indexed] = (
        two_theta_from_q(candidate.q[indexed] - candidate.error[indexed], lines.wavelength) + candidate.zero_shift
    )
    first = min(m, _MERIT_LINES)
    inside = indexed[:first]
    q, limit = candidate.q[:first], float(candidate.q[first - 1])
    possible = round(candidate.predicted * (limit / float(candidate.q[-1])) ** 1.5)
    intensity = lines.intensity[:m]
    return IndexedCell(
        candidate.cell,
        candidate.zero_shift,
        candidate.log_odds / math.log(10.0),
        de_wolff(q[inside], q[inside] - candidate.error[:first][inside], possible, limit),
        smith_snyder(lines.two_theta[:first][inside], calculated[:first][inside], possible, first),
        np.where(indexed[:, None], candidate.hkl, 0),
        calculated,
        indexed,
        float(intensity[indexed].sum() / intensity.sum()),
        candidate.predicted,
    )
