"""What a picture of a determination holds: scan, background, lines, what cells predict, what phases explain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from syngony.absences.lattice_lines import lattice_lines
from syngony.errors import InputError
from syngony.library.file import Library
from syngony.lines.background import separate_background, smoothed
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.report.phase_sticks import phase_sticks
from syngony.unit_cell import UnitCell
from syngony.wavelengths import TUBE_LINES

if TYPE_CHECKING:
    from syngony.determination import Determination

MOST_POINTS = 6000
"""Of a scan that are drawn: more than a screen has, and a longer scan keeps its highest and lowest points."""

WORTH_DRAWING = 0.05
"""Probability of a phase from which its lines are drawn; of a second one, `SURE`."""

SURE = 0.5
"""Probability of a phase from which its lines are shown before anybody asks."""

_MOST_CELLS = 4
_MOST_PHASES = 4
_MOST_TICKS = 400  # of one cell
_SAME_TUBE = 3e-3  # relative: mean of a doublet against its first line


def drawing_of(
    pattern: Pattern,
    result: Determination,
    libraries: Sequence[Library] = (),
    taken_off: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Everything a picture needs, in plain values.

    Args:
        pattern: the scan as it was determined.
        result: what was said of it.
        libraries: those that were searched; phases of others are not drawn.
        taken_off: (n,) a background that a user had taken off: it is drawn where it was, under the scan.

    Returns:
        two_theta, intensity, background: of the scan, thinned to `MOST_POINTS`;
        lines: two_theta, intensity, hkl and whether the first cell explains it;
        cells: label, two_theta and hkl of every line that each could have;
        phases: label, two_theta, height (in the scan's units, above its background), base, hkl, and whether each is
        likely enough to be shown at first.
    """
    background, _ = separate_background(pattern)
    top = float(smoothed(pattern.intensity - background, 2.0).max())
    intensity = pattern.intensity
    if taken_off is not None:
        intensity, background = intensity + taken_off, background + taken_off
    kept = thinned(intensity, MOST_POINTS)
    return {
        "wavelength": pattern.wavelength,
        "two_theta": _rounded(pattern.two_theta[kept], 4),
        "intensity": _rounded(intensity[kept], 5, significant=True),
        "background": _rounded(background[kept], 5, significant=True),
        "lines": [{**line, "explained": line["hkl"] is not None} for line in result.lines],
        "cells": _cells(pattern, result),
        "phases": _phases(pattern, result, libraries, background, top),
    }


def thinned(intensity: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places (k <= most,) of a scan that show its shape: the highest and lowest point of each stretch."""
    n = len(intensity)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most // 2 + 1).astype(int)
    pairs = ((a + int(intensity[a:b].argmin()), a + int(intensity[a:b].argmax())) for a, b in pairwise(edges.tolist()))
    return np.unique(np.array([place for pair in pairs for place in pair]))


def lines_wavelength(pattern: Pattern, result: Determination) -> float:
    """Å, that the positions of the lines refer to: the pattern's, or Kα1 where a doublet was resolved.

    The first cell tells: its indexed lines lie where one of the two wavelengths puts them.
    """
    first = next((line for line in TUBE_LINES if line.endswith("Ka1") and _near(TUBE_LINES[line], pattern)), None)
    indexed = [line for line in result.lines if line["hkl"] is not None]
    if first is None or not result.cells or not indexed:
        return pattern.wavelength
    cell = result.cells[0]
    hkl = np.array([line["hkl"] for line in indexed])
    q = np.einsum("ni,ij,nj->n", hkl, unit_cell_of(cell).reciprocal_metric, hkl)
    observed = np.array([line["two_theta"] for line in indexed]) - cell["zero_shift"]
    known = (pattern.wavelength, TUBE_LINES[first])
    return min(known, key=lambda length: float(np.nanmedian(np.abs(two_theta_from_q(q, length) - observed))))


def unit_cell_of(cell: dict[str, Any]) -> UnitCell:
    """An entry of `Determination.cells` as a cell."""
    return UnitCell(
        cell["a"], cell["b"], cell["c"], cell["alpha"], cell["beta"], cell["gamma"],
        cell["centring"], cell["lattice_system"],
    )  # fmt: skip


def _near(length: float, pattern: Pattern) -> bool:
    return abs(length / pattern.wavelength - 1.0) < _SAME_TUBE


def _cells(pattern: Pattern, result: Determination) -> list[dict[str, Any]]:
    """Every line that the best cells could have in the range of the scan."""
    wavelength = lines_wavelength(pattern, result)
    drawn = []
    for place, entry in enumerate(result.cells[:_MOST_CELLS]):
        span = np.clip(pattern.two_theta[[0, -1]] - entry["zero_shift"], 0.01, 180.0)
        low, high = q_from_two_theta(span, wavelength)
        try:
            lines = lattice_lines(unit_cell_of(entry), float(low), float(high), _MOST_TICKS)
        except InputError:  # none of its lines lies in the scan
            continue
        last = np.searchsorted(lines.line, np.arange(len(lines)), side="right") - 1
        drawn.append(
            {
                "label": f"cell {place + 1}: {entry['lattice_system']} {entry['centring']}",
                "two_theta": _rounded(two_theta_from_q(lines.q, wavelength) + entry["zero_shift"], 4),
                "hkl": lines.hkl[last].tolist(),
            }
        )
    return drawn


def _phases(
    pattern: Pattern, result: Determination, libraries: Sequence[Library], background: NDArray[np.float64], top: float
) -> list[dict[str, Any]]:
    drawn = []
    least = {1: WORTH_DRAWING, 2: SURE}  # the sample itself; what is in the rest of it
    likely = [phase for phase in result.known_phases if phase["probability"] >= least[phase["component"]]]
    for phase in likely[:_MOST_PHASES]:
        sticks = phase_sticks(pattern, phase, libraries)
        if sticks is not None:
            also = "in the rest: " if phase["component"] > 1 else ""
            drawn.append(
                {
                    "label": f"{also}{phase['name'] or phase['formula']} ({phase['probability']:.0%})",
                    "two_theta": _rounded(sticks.two_theta, 4),
                    "height": _rounded(sticks.height * top, 5, significant=True),
                    "base": _rounded(np.interp(sticks.two_theta, pattern.two_theta, background), 5, significant=True),
                    "hkl": sticks.hkl.tolist(),
                    "shown": phase["probability"] >= SURE,
                }
            )
    return drawn


def _rounded(values: NDArray[np.float64], digits: int, significant: bool = False) -> list[float]:
    """Plain numbers of few digits, so that a report stays small."""
    if significant:
        return [float(f"{value:.{digits}g}") for value in values.tolist()]
    return np.round(values, digits).tolist()
