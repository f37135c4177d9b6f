"""Which lines of a pattern trial cells are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_LINES = 30
"""Lines that trials are made of and tested on."""

_ENOUGH = 18
_STRONG, _FEWEST_STRONG = 0.06, 5
"""Lines that are hardly strays: where they are few, they alone are tried for high symmetries too, as weak lines may
be of other phases."""

_WEAK_BUT_LINES, _MOSTLY = 0.155, 0.85
"""Probability of being astray that the weakest lines have whose significance is beyond doubt; share of lines that
two selections may have in common."""


def trial_selections(stray: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Which lines trials are made of: those least likely to be strays; where these are few, the strongest alone; and
    the first lines that are lines beyond doubt, weak ones too, which are those of lowest index in a clean sample.
    """
    sure, strong = trial_lines(stray), np.flatnonzero(stray <= _STRONG)[:MOST_LINES]
    selections = [sure]
    if _FEWEST_STRONG <= len(strong) < _ENOUGH:
        selections.append(strong)
    low = np.flatnonzero(stray <= _WEAK_BUT_LINES)[:MOST_LINES]
    if len(np.intersect1d(low, sure)) < _MOSTLY * len(low):
        selections.append(low)
    return selections


def trial_lines(stray: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which lines trials are made of and tested on: the first `MOST_LINES` of those least likely to be strays.

    Where weak lines are many, the strong ones further up say more of the lattice.
    """
    for limit in (0.06, 0.1, 0.15):
        sure = np.flatnonzero(stray <= limit)
        if len(sure) >= _ENOUGH:
            return sure[:MOST_LINES]
    return np.arange(min(len(stray), MOST_LINES))
