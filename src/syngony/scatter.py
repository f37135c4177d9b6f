"""Whether a scan has any scatter: one without was calculated, not measured."""

from __future__ import annotations

import math

import numpy as np

from syngony.pattern import Pattern

_ORDER = 12
_TYPICAL, _LARGEST = 2e-6, 4e-4
"""Of the height of a scan. Lines of five points and more leave below 2e-7, and 1e-4 at most, in differences of this
order; counts, even smoothed ones, above 1e-5 and 2e-3, there and on the lines."""


def is_calculated(pattern: Pattern) -> bool:
    """Whether neighbouring points follow each other too smoothly for counts.

    Differences of high order take out every profile that is drawn finely enough and leave the scatter of single points.
    """
    heights = pattern.intensity
    if len(heights) <= 2 * _ORDER:
        return False
    differences = np.abs(np.diff(heights, _ORDER)) / math.sqrt(math.comb(2 * _ORDER, _ORDER))
    height = float(np.ptp(heights))
    return bool(np.median(differences) < _TYPICAL * height and differences.max() < _LARGEST * height)
