"""How much each line is to be trusted: the uncertainty of its position, and whether it is of the main phase at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.lines.lines import Lines

_ALIGNMENT, _ALIGNMENT_CALCULATED = 0.008, 0.006
"""Degrees: what asymmetry, displacement and transparency leave in positions beyond one shift of all."""


class WeighedLines(NamedTuple):
    """What a search is told of lines, (n,) each: uncertainty (degrees), weight, probability of being astray."""

    uncertainty: NDArray[np.float64]
    weight: NDArray[np.float64]
    stray: NDArray[np.float64]


def weigh_lines(lines: Lines) -> WeighedLines:
    """Uncertainties, weights in what may stay unexplained, and prior probabilities of belonging to something else."""
    stray = stray_probability(lines)
    alignment = _ALIGNMENT_CALCULATED if lines.calculated else _ALIGNMENT
    fitted = np.isfinite(lines.significance)
    uncertainty = np.where(fitted, np.hypot(lines.position_uncertainty, alignment), lines.position_uncertainty)
    return WeighedLines(uncertainty, (1.0 - stray) * (0.3 + np.sqrt(lines.intensity / 100.0)), stray)


def stray_probability(lines: Lines) -> NDArray[np.float64]:
    """(n,) prior probability that a line is not of the main phase: larger for weak and for uncertain lines.

    Lines that a user gives are taken for chosen: 2 % each. A calculated scan has no other phase, only lines that
    were taken for two or that are the misfit of others.
    """
    given = np.isinf(lines.significance)
    unsure = np.exp(-np.where(given, 1e9, lines.significance) / 5.0)
    if lines.calculated:
        return 0.003 + 0.1 * unsure
    weak = np.exp(-lines.intensity / 5.0)
    return np.where(given, 0.02, 0.005 + 0.035 * np.exp(-lines.intensity / 15.0) + 0.11 * weak + 0.2 * unsure)
