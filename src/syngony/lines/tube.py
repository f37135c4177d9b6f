"""What else a tube sends: the Kα doublet, Kβ through a worn filter, W Lα from an old filament."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from syngony.lines.fit import partner
from syngony.wavelengths import TUBE_LINES

Array = NDArray[np.float64]

TUNGSTEN = 1.47639
"""W Lα1, Å: International Tables for Crystallography C, table 4.2.2.4."""

KALPHA2_SHARE = 0.5
"""Kα2 to Kα1, of every anode."""

_MOST = 0.04  # of its parent, that a leak can be: a filter that lets more through is none
_PARENTS = 6


def leaked(position: Array, area: Array, error: Array, fwhm: Array, wavelength: float) -> NDArray[np.bool_]:
    """(n,) which lines are those of another wavelength of the tube.

    A leak has one ratio to all of its parents: strong lines that should show it and do not speak against
    it. Kβ is believed at one line, W Lα at two. A line more than twice as strong as the leak stays.

    Args:
        position, fwhm: (n,) degrees, in order.
        area, error: (n,) integrated intensities and their standard uncertainties.
        wavelength: Å of the positions.
    """
    found = np.zeros(len(position), dtype=bool)
    for leak, needed in _leaks_of(wavelength):
        found |= _of_one_leak(position, area, error, fwhm, leak / wavelength, needed, ~found)
    return found


def kalpha_doublet(wavelength: float) -> tuple[float, float] | None:
    """Wavelengths (Å) of Kα1 and Kα2 of the tube that a stated wavelength may be of, or None.

    People state the mean or Kα1, to four digits or more, whatever falls on the sample.
    """
    anode = _anode(wavelength)
    return None if anode is None else (TUBE_LINES[f"{anode}Ka1"], TUBE_LINES[f"{anode}Ka2"])


def _anode(wavelength: float) -> str | None:
    for name, mean in TUBE_LINES.items():
        if name.endswith("Ka") and TUBE_LINES[f"{name}1"] * (1 - 2e-4) < wavelength < mean * (1 + 2e-4):
            return name[:-2]
    return None


def _leaks_of(wavelength: float) -> list[tuple[float, int]]:
    """Wavelengths (Å) that may leak beside this one, and lines needed to believe it."""
    anode = _anode(wavelength)
    found = [(TUBE_LINES[f"{anode}Kb"], 1)] if f"{anode}Kb" in TUBE_LINES else []
    return [*found, (TUNGSTEN, 2)] if anode in ("Cu", "Co") else found


def _of_one_leak(
    position: Array, area: Array, error: Array, fwhm: Array, ratio: float, needed: int, free: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    found = np.zeros(len(position), dtype=bool)
    places, children, parents, shares, limits = [], [], [], [], []
    for parent in np.argsort(-area)[:_PARENTS]:
        place = partner(float(position[parent]), ratio)[0]
        if not position[0] - 1.0 < place < position[-1]:
            continue
        near = np.abs(position - place)
        near[~free] = np.inf
        child = int(near.argmin())
        share = area[child] / area[parent]
        places.append(place)
        parents.append(parent)
        limits.append(6.0 * float(np.median(error)) / area[parent])
        match = near[child] < 0.3 * fwhm[child] + 0.01 and share < _MOST
        children.append(child if match else -1)
        shares.append(share if match else math.nan)
    matched = np.array([child >= 0 for child in children], dtype=bool)
    if matched.sum() < needed:
        return found
    typical = float(np.median(np.array(shares)[matched]))
    absent = (~matched & (np.array(limits) < 0.5 * typical)).sum()
    alike = (matched & (np.array(shares) < 2.0 * typical)).sum()
    if alike < max(needed, 1 + absent):
        return found
    expected = np.zeros(len(position))
    for parent in np.flatnonzero(area > 0.02 * area.max()):
        place = partner(float(position[parent]), ratio)[0]
        near = np.abs(position - place) < 0.3 * fwhm + 0.01
        expected[near] += typical * area[parent]
    return free & (area < 2.0 * expected)
