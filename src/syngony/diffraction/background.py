"""What lies under the lines, and how people take it off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.conditions import Conditions

_AIR_RANGE = 14.0  # Å: air scatter halves every 4.4 degrees of 2θ with copper radiation


def background_curve(two_theta: NDArray[np.float64], conditions: Conditions) -> NDArray[np.float64]:
    """Background (n,) at any angles, relative to the strongest point of the lines: polynomial, air, halo, fluorescence.

    The polynomial never falls below a tenth of its level at mid-range.
    """
    c = conditions
    x = (two_theta - 0.5 * (c.start + c.stop)) / (0.5 * (c.stop - c.start))
    level = np.full(len(two_theta), c.fluorescence)
    if c.background > 0:
        level += c.background * np.maximum(1.0 + x * (c.slope + c.curvature * x), 0.1)
    if c.air_scatter > 0 or c.hump > 0:
        s = np.sin(two_theta * (np.pi / 360.0)) * (2.0 / c.wavelength)  # 1/d
        if c.air_scatter > 0:
            level += c.air_scatter * np.exp(-_AIR_RANGE * s)
        if c.hump > 0:
            level += c.hump * np.exp(-0.5 * ((s - 1.0 / c.hump_d) / c.hump_width) ** 2)
    return level


def laid_background(expected: NDArray[np.float64], conditions: Conditions) -> NDArray[np.float64]:
    """The curve that the owner of a scan takes off it, laid by hand or by a program.

    It passes `subtraction_depth` standard deviations below the true background (the eye follows the
    lower edge of the noise) and is wrong by half a wave of relative size `subtraction_error`.

    Args:
        expected: (n,) true background in counts, at angles evenly over the scan.
        conditions: of the subtraction.
    """
    wave = np.cos(np.linspace(0.0, np.pi, len(expected)))
    laid = expected * (1.0 + conditions.subtraction_error * wave)
    return np.maximum(laid - conditions.subtraction_depth * np.sqrt(expected), 0.0)
