"""Where lines may be: maxima and shoulders of a smoothed scan, and what a fit leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from syngony.lines.background import smoothed, smoothed_curvature, smoothed_variance
from syngony.lines.fit import strip_partner
from syngony.views.maxima import local_maxima, rise

Array = NDArray[np.float64]


def candidates(
    x: Array, net: Array, variance: Array, width: float, profile: tuple[float, float, float], most: int
) -> tuple[Array, Array, Array]:
    """Maxima, and shoulders by the second derivative, with Kα2 stripped.

    Args:
        x, net, variance: (n,) degrees, intensity without background, squared uncertainty.
        width: typical FWHM, degrees.
        profile: see `joint_fit.Profile`.
        most: so many are kept, those that stand out most.

    Returns:
        (k,) positions in order (degrees), heights of the smoothed scan, and these over their uncertainty.
    """
    step = float(np.median(np.diff(x)))
    grid = x[0] + step * np.arange(int((x[-1] - x[0]) / step + 1e-6) + 1)
    net, variance = np.interp(grid, x, net), np.interp(grid, x, variance)
    points = width / step
    narrow, fine = max(0.7 * points, 1.5), max(0.6 * points, 2.0)
    smooth, error = smoothed(net, narrow), np.sqrt(smoothed_variance(variance, narrow))
    curvature, curvature_error = smoothed_curvature(net, variance, fine)
    ratio, share, _ = profile
    if share > 0:
        smooth, damp = strip_partner(grid, smooth, ratio, share, width)
        curvature, _ = strip_partner(grid, curvature, ratio, share, width)
        error, curvature_error = error * damp, curvature_error * damp
    tops = local_maxima(smooth, 4.0 * error)
    tops = tops[rise(smooth, tops).prominence > 3.0 * error[tops]]
    shoulders = local_maxima(curvature, 5.0 * curvature_error)
    near = maximum_filter1d(curvature, 2 * int(1.5 * points) + 1)
    clear = (curvature[shoulders] > 0.04 * near[shoulders]) & (smooth[shoulders] > 4.0 * error[shoulders])
    shoulders = shoulders[clear]
    if len(shoulders):
        tops = tops[_distance(tops, shoulders) > 0.7 * points]
    found = np.sort(np.concatenate([shoulders, tops]))
    excess = (smooth / error)[found]
    kept = np.sort(np.argsort(-excess)[:most])
    return grid[found[kept]], smooth[found[kept]], excess[kept]


def left_over(x: Array, rest: Array, model: Array, variance: Array, width: float, lines: Array) -> tuple[Array, Array]:
    """Places (k,) in degrees, and heights, where a fit leaves more than noise and than a profile's misfit.

    Args:
        x, rest, model, variance: (n,) degrees, what the fit leaves, the fit, squared uncertainty.
        width: typical FWHM, degrees.
        lines: (m,) positions of the lines that are fitted.
    """
    points = max(0.8 * width / float(np.median(np.diff(x))), 1.5)
    smooth, error = smoothed(rest, points), np.sqrt(smoothed_variance(variance, points))
    near = maximum_filter1d(model, 2 * int(points) + 1)
    tops = local_maxima(smooth, 4.5 * error)
    tops = tops[smooth[tops] > 0.05 * near[tops]]
    tops = tops[_distance(x[tops], lines) > 0.4 * width]
    return x[tops], smooth[tops]


def _distance(places: NDArray, others: NDArray) -> Array:
    """(k,) from each place to the nearest of the others."""
    if len(others) == 0:
        return np.full(len(places), np.inf)
    return np.abs(places[:, None] - others[None, :]).min(1) if len(places) else np.empty(0)
