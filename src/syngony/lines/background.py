"""What lies under the lines of a scan, and how far its points scatter, from the scan alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, percentile_filter, uniform_filter1d

from syngony.pattern import Pattern
from syngony.views.background import opening_background
from syngony.views.maxima import local_maxima, rise, widths
from syngony.wavelengths import TUBE_LINES

_COPPER = TUBE_LINES["CuKa"]
_BLOCKS = 700
_FLATTEST, _STEEPEST = 14.0, 5.0  # degrees (CuKa): halos are 6 degrees wide and more, lines of nanocrystals 1
_LINES_TO_SCALE = 14.0
_SUPPLE = 0.6  # of the final curve's stiffness, while points are sorted: a stiff curve would sink under a halo
_STIFF = 0.03  # share of a halo's height that a stiff curve may fall short of it, and no line be suspected
_NOISE_BLOCK = 60
_DIFFERENCE = 1.5  # variance of y[i] - (y[i-1] + y[i+1]) / 2 in that of one point
_MAD = 1.4826

Array = NDArray[np.float64]


def separate_background(pattern: Pattern) -> tuple[Array, Array]:
    """Background under the lines, and the standard uncertainty of every point.

    The background is a smooth curve through the mean of the points between the lines (not their lower
    edge): penalised least squares with weights that fall for points above it, after S.-J. Baek et al.,
    Analyst 140, 250 (2015), with the scatter of each neighbourhood in place of one for the scan.

    The scatter between the lines is measured, as counts may have been scaled, subtracted or clipped. On the
    lines it grows with the intensity by the gain, which is 1 for counts.

    Returns:
        background: (n,) in the units of the pattern's intensity.
        noise: (n,) one standard uncertainty of each intensity, above zero.
    """
    background, quiet_noise = background_and_quiet_noise(pattern)
    net = np.maximum(smoothed(pattern.intensity - background, 1.0), 0.0)
    gain = gain_of(pattern.intensity, background, quiet_noise)
    return background, np.sqrt(quiet_noise**2 + gain * net)


def background_and_quiet_noise(pattern: Pattern, length: float | None = None) -> tuple[Array, Array]:
    """Background (n,), and the scatter (n,) that points have between the lines.

    Args:
        pattern: the scan.
        length: degrees; waves of the background that are shorter are not followed. From the widths of the lines
            when None.
    """
    two_theta, intensity = pattern.two_theta, pattern.intensity
    step = float(np.median(np.diff(two_theta)))
    noise = _first_noise(intensity)
    rough = opening_background(intensity, step, width=2.0 * pattern.wavelength / _COPPER)
    net = intensity - rough
    signal = np.maximum(smoothed(net, 3.0), 0.0)
    width = typical_width(net, noise**2 + gain_of(intensity, rough, noise) * signal) * step
    if length is None:
        scale = np.clip(_LINES_TO_SCALE * width * _COPPER / pattern.wavelength, _STEEPEST, _FLATTEST)
        length = scale * pattern.wavelength / _COPPER
    length = min(length, 0.5 * (two_theta[-1] - two_theta[0]))
    background = rough
    for _ in range(2):
        background = _curve_between_lines(two_theta, intensity, noise, length)
        noise = _quiet_noise(intensity, background, noise, width / step)
    return background, noise


def typical_width(net: Array, variance: Array) -> float:
    """FWHM, in points, that the strong maxima of a scan have; `variance` is that of each point.

    The scan is smoothed no more than it takes for four maxima to stand out, and the smoothing is taken out
    in squares. Where nothing stands out, two points.
    """
    best: tuple[int, float] = (0, 2.0)
    smoothing = 1.5
    while smoothing < min(len(net) / 8.0, 200.0) and best[0] < 4:
        smooth, error = smoothed(net, smoothing), np.sqrt(smoothed_variance(variance, smoothing))
        tops = local_maxima(smooth, 8.0 * error)
        risen = rise(smooth, tops)
        excess = risen.prominence / error[tops]
        height = smooth[tops]
        strong = np.flatnonzero((excess > 8.0) & (height > 0.05 * height.max(initial=0.0)))
        if min(len(strong), 4) > best[0]:
            strong = strong[np.argsort(-height[strong])[:16]]
            half = widths(smooth, tops[strong], risen.take(strong))
            square = half**2 - smoothing**2
            width = np.sqrt(np.maximum(square, 1.0))
            order = np.argsort(width)
            weight = np.cumsum(np.sqrt(excess[strong][order]))
            best = len(strong), float(width[order][np.searchsorted(weight, 0.5 * weight[-1])])
        smoothing *= 1.5
    return max(best[1], 2.0)


def smoothed(values: Array, fwhm: float) -> Array:
    """Values (n,) after a Gaussian of `fwhm` points."""
    return gaussian_filter1d(values, max(fwhm, 0.3) / 2.3548, mode="nearest", truncate=3.0)


def smoothed_variance(variance: Array, fwhm: float) -> Array:
    """Variance (n,) of the `smoothed` values of independent points."""
    return smoothed(variance, max(fwhm, 2.0)) * _variance_share(fwhm)


def _variance_share(fwhm: float) -> float:
    """Sum of the squared weights of a Gaussian on a grid: 1 unsmoothed, 1/(2 √π σ) where it is wide."""
    sigma = max(fwhm, 0.3) / 2.3548
    return 1.0 / math.sqrt(1.0 + 4.0 * math.pi * sigma**2)


def smoothed_curvature(values: Array, variance: Array, fwhm: float) -> tuple[Array, Array]:
    """Second derivative, by point, downwards positive, of `smoothed` values (n,), and its standard uncertainty."""
    sigma = fwhm / 2.3548
    weights = gaussian_filter1d(np.eye(1, 2 * int(4 * sigma) + 9, int(4 * sigma) + 4)[0], sigma, order=2)
    curvature = -gaussian_filter1d(values, sigma, order=2, mode="nearest")
    return curvature, np.sqrt(gaussian_filter1d(variance, sigma, mode="nearest") * (weights**2).sum())


def gain_of(intensity: Array, background: Array, quiet_noise: Array) -> float:
    """Variance by unit of intensity: 1 for counts, another for scaled counts.

    Between lines the variance is the gain times the level, unless some background was taken off; then
    the tops of the lines tell. Their curvature adds to the scatter: both are upper limits.
    """
    net = intensity - background
    level = np.median(np.maximum(background, 0.0))
    limits = []
    if level > 0:
        limits.append(float(np.median(quiet_noise**2) / level))
    difference = intensity[1:-1] - 0.5 * (intensity[2:] + intensity[:-2])
    lower = np.minimum(np.minimum(net[:-2], net[2:]), net[1:-1])
    strong = lower > np.maximum(8.0 * quiet_noise[1:-1], 0.02 * net.max())
    if strong.sum() >= 12:
        ratios = (difference[strong] ** 2 / _DIFFERENCE - quiet_noise[1:-1][strong] ** 2) / net[1:-1][strong]
        limits.append(max(float(np.quantile(ratios, 0.4)) / 0.275, 0.0))  # 40 % of chi-squared is below 0.275
    return min(limits) if limits else 0.0


def _first_noise(intensity: Array) -> Array:
    """Scatter (n,) from second differences, blocks with lines overruled by their neighbours."""
    difference = np.abs(intensity[1:-1] - 0.5 * (intensity[2:] + intensity[:-2]))
    blocks = np.array_split(difference, max(1, len(difference) // _NOISE_BLOCK))
    floor = _floor(intensity)
    cut = 3.0 * np.median(difference) * _MAD + 3.0 * _quantum(intensity)
    scatter = []
    for block in blocks:
        median = _MAD * np.median(block)
        # Columns of few counts: most differences are zero, and the median says nothing.
        scatter.append(median if median > 0 else float(np.sqrt(np.mean(np.minimum(block, cut) ** 2))))
    low = percentile_filter(np.array(scatter), 35, size=min(7, len(scatter)), mode="nearest")
    centres = np.linspace(0, len(intensity) - 1, 2 * len(blocks) + 1)[1::2]
    return np.maximum(np.interp(np.arange(len(intensity)), centres, low) / np.sqrt(_DIFFERENCE), floor)


def _quiet_noise(intensity: Array, background: Array, noise: Array, width: float) -> Array:
    """Scatter (n,) of the points that are no part of a line, averaged over a neighbourhood."""
    net = intensity - background
    # Of few counts two may meet by chance.
    chance = 2.0 * _quantum(intensity)
    lines = smoothed(net, width) > 3.0 * np.sqrt(smoothed_variance(noise**2, width)) + chance / width
    quiet = ~maximum_filter1d(lines, int(width) + 1) & (np.abs(net) < 4.0 * noise + chance)
    if quiet.sum() < 20:
        return noise
    reach = max(61, len(net) // 15)
    share, square = quiet.astype(float), np.where(quiet, net**2, 0.0)
    for _ in range(2):
        share, square = (uniform_filter1d(values, reach, mode="nearest") for values in (share, square))
    # Where no quiet point is near, the old value counts as much as one point in fifty.
    found = np.sqrt((square + 0.02 * noise**2) / (share + 0.02))
    return np.maximum(found, _floor(intensity))


def _curve_between_lines(two_theta: Array, intensity: Array, noise: Array, length: float) -> Array:
    """Whittaker's smooth curve (n,) through what is between the lines; waves shorter than `length` are not followed."""
    points = max(1, len(two_theta) // _BLOCKS)
    edges = np.arange(0, len(two_theta) - points + 1, points)
    counts = np.diff(np.append(edges, len(two_theta)))
    centre = np.add.reduceat(two_theta, edges) / counts
    mean = np.add.reduceat(intensity, edges) / counts
    error = np.sqrt(np.add.reduceat(noise**2, edges)) / counts
    grid = np.linspace(centre[0], centre[-1], len(centre))
    mean, error = np.interp(grid, centre, mean), np.interp(grid, centre, error)
    spacing = grid[1] - grid[0]
    stiffness = max((_SUPPLE * length / (2.0 * np.pi * spacing)) ** 4, 1.0)
    weight = 1.0 / error**2
    weight *= 1.0 / np.median(weight)
    curve = _whittaker(mean, np.full(len(mean), 1.0), stiffness)
    share = np.full(len(mean), 0.5)
    for _ in range(40):
        above = (mean - curve) / np.hypot(error, _STIFF * (curve - curve.min()))
        # Sums of few counts are skew: what is far above a small mean may still be background.
        skewness = error / np.maximum(curve, 0.1 * error)
        limit = 2.0 + np.minimum(1.5 * skewness, 1.5)
        target = 1.0 / (1.0 + np.exp(np.clip(3.0 * (above - limit), -40.0, 40.0)))
        change = np.abs(target - share).max()
        share = target
        curve = _whittaker(mean, np.maximum(share * weight, 1e-5 * weight), stiffness)
        if change < 0.02:
            break
    stiffness = max(stiffness / _SUPPLE**4, 1.0)
    return np.interp(two_theta, grid, _whittaker(mean, np.maximum(share * weight, 1e-5 * weight), stiffness))


def _whittaker(values: Array, weight: Array, stiffness: float) -> Array:
    """Weighted least squares with a penalty on second differences."""
    n = len(values)
    if n < 3:
        return np.full(n, float(np.average(values, weights=weight)))
    main = np.full(n, 6.0)
    main[[0, -1]], main[[1, -2]] = 1.0, 5.0
    if n == 3:
        main[1] = 4.0
    first = np.full(n - 1, -4.0)
    first[[0, -1]] = -2.0
    bands = np.zeros((3, n))
    bands[2] = stiffness * main + weight
    bands[1, 1:] = stiffness * first
    bands[0, 2:] = stiffness
    return solveh_banded(bands, weight * values, check_finite=False)


def _quantum(intensity: Array) -> float:
    """Smallest difference between two values of the column: 1 for counts."""
    gaps = np.diff(np.unique(intensity))
    return float(gaps.min())


def _floor(intensity: Array) -> float:
    """Least scatter a column can have: that of its rounding, or of double precision."""
    span = float(np.ptp(intensity))
    return max(min(_quantum(intensity), 0.01 * span) / np.sqrt(12.0), 1e-6 * span)
