"""The axis on which libraries hold lines: ln Q, where a change of the lattice's scale is a translation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.diffraction.phase import HIGHEST_TWO_THETA, Q_LIMIT
from syngony.pattern import q_from_two_theta
from syngony.wavelengths import TUBE_LINES

REFERENCE = TUBE_LINES["CuKa"]
"""Å. Lines are wavelength-free; angles, widths and intensities are compared as CuKa would show them."""

LOWEST_TWO_THETA = 3.0
"""Degrees of CuKa (d = 29 Å): few scans begin lower."""

Q_FIRST = float(q_from_two_theta([LOWEST_TWO_THETA], REFERENCE)[0])
Q_LAST = Q_LIMIT
"""1/Å^2: the lines a library holds lie between."""

STEP = 0.0027
"""Width of a bin in ln Q: 0.135 % of a length, the width of a good line at 40 degrees."""

BINS = math.ceil((math.log(Q_LAST) - math.log(Q_FIRST)) / STEP)
TWO_THETA_RANGE = (LOWEST_TWO_THETA, HIGHEST_TWO_THETA)

FINE_BITS = 4
FINE = 1 << FINE_BITS
"""Parts of a bin in which positions are stored, so that they fit sixteen bits."""


def place(q: ArrayLike) -> NDArray[np.float64]:
    """Position of Q (1/Å^2) on the axis, in bins from its start; a whole number is a bin's left edge."""
    return (np.log(np.asarray(q, dtype=float)) - math.log(Q_FIRST)) / STEP
