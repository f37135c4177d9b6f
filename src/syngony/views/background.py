"""A quick background: what lies under the lines of a scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d


def opening_background(
    intensity: NDArray[np.floating], step: float, width: float = 2.0, smoothing: float = 0.15
) -> NDArray[np.float64]:
    """Background by a morphological opening: follows what is wider than `width`, passes under lines.

    The scan is smoothed first, so that the minimum of noise does not pull the background down.

    Args:
        intensity: (n,) on a regular grid.
        step: degrees of 2θ between points.
        width: degrees; lines are narrower, the background's features wider.
        smoothing: degrees, width of the first moving average.

    Returns:
        (n,) background in the units of `intensity`.
    """
    window = max(3, round(width / step))
    smooth = uniform_filter1d(np.asarray(intensity, dtype=float), max(1, round(smoothing / step)))
    opened = maximum_filter1d(minimum_filter1d(smooth, window, mode="nearest"), window, mode="nearest")
    return uniform_filter1d(opened, window, mode="nearest")
