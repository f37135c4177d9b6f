"""From a scan to fitted lines: candidates, a curve of widths, the doublet, what the fit leaves, false lines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import find_peaks

from syngony.lattice.background import (
    background_and_quiet_noise,
    gain_of,
    smoothed,
    smoothed_curvature,
    smoothed_variance,
    typical_width,
)
from syngony.lattice.line_fit import fit_lines, partner, strip_partner
from syngony.pattern import Pattern
from syngony.wavelengths import TUBE_LINES

Array = NDArray[np.float64]

_NO_DOUBLET = (1.0, 0.0)
_KA2_SHARE = 0.5
_MISFIT = 0.01  # of its height, that a pseudo-Voigt may miss a real line by
_WIDEST = 1.6  # degrees for CuKa: wider things are halos
_MOST_LINES = 250
_GROUP = 7
_GAUSS_AREA = 1.0645


class Found(NamedTuple):
    """Fitted lines, (n,) each, in order of position; see `lines.Lines`."""

    position: Array
    area: Array
    position_uncertainty: Array
    significance: Array
    fwhm: Array
    wavelength: float


@dataclass
class _Scan:
    """A scan made ready: spikes gone, background off."""

    x: Array
    net: Array
    noise: Array  # between the lines
    gain: float
    step: float
    width: float  # typical FWHM, degrees
    widest: float

    def variance(self, signal: Array) -> Array:
        """(n,) of each point, `signal` being what the lines give there."""
        signal = np.maximum(signal, 0.0)
        return self.noise**2 + self.gain * signal + (_MISFIT * signal) ** 2


def search_lines(pattern: Pattern, min_significance: float) -> Found:
    """See `lines.find_lines`."""
    scan = _prepare(pattern)
    doublet = kalpha_doublet(pattern.wavelength)
    split, wavelength = _NO_DOUBLET, pattern.wavelength
    if doublet is not None:
        pair = (doublet[1] / doublet[0], _KA2_SHARE)
        if _is_doublet(scan, pair):
            split, wavelength = pair, doublet[0]
    fit = _fit_all(scan, split, min_significance)
    fit = _without_leaks(fit, wavelength, pattern.wavelength)
    return Found(*fit, wavelength)


def kalpha_doublet(wavelength: float) -> tuple[float, float] | None:
    """Wavelengths (Å) of Kα1 and Kα2 of the tube that a stated wavelength may be of, or None.

    People state the mean or Kα1, to four digits or more, whatever falls on the sample.
    """
    for name, mean in TUBE_LINES.items():
        if name.endswith("Ka"):
            first, second = TUBE_LINES[f"{name}1"], TUBE_LINES[f"{name}2"]
            if first * (1 - 2e-4) < wavelength < mean * (1 + 2e-4):
                return first, second
    return None


def _prepare(pattern: Pattern) -> _Scan:
    background, noise = background_and_quiet_noise(pattern)
    x, net = pattern.two_theta, pattern.intensity - background
    step = float(np.median(np.diff(x)))
    gain = gain_of(pattern.intensity, background, noise)
    points = typical_width(net, noise)
    net = _without_spikes(net, np.sqrt(noise**2 + gain * np.maximum(net, 0.0)), noise, points)
    points = typical_width(net, noise)
    # Noise of neighbours may be correlated (smoothed, resampled scans): what matters is its scatter on a line's scale.
    ratio = smoothed(net, points) / np.sqrt(smoothed_variance(noise**2, points))
    below = ratio[ratio < 0]
    if len(below) > 20:
        noise = noise * max(1.0, float(np.median(-below)) / 0.6745)
    widest = _WIDEST * pattern.wavelength / TUBE_LINES["CuKa"]
    return _Scan(x, net, noise, gain, step, points * step, widest)


def _without_spikes(net: Array, noise: Array, quiet: Array, points: float) -> Array:
    """Points that stand out as no line of this width can, replaced by the mean of their neighbours."""
    neighbour = math.exp(-4.0 * math.log(2.0) / max(points, 1.0) ** 2)
    mean = 0.5 * (net[2:] + net[:-2])
    out = net[1:-1] - mean
    allowed = 1.5 * (1.0 - neighbour) * np.maximum(net[1:-1], 0.0) + 6.0 * np.hypot(
        quiet[1:-1], np.sqrt(0.5) * _from(noise, mean, net)
    )
    spikes = np.flatnonzero(out > allowed) + 1
    cleaned = net.copy()
    cleaned[spikes] = mean[spikes - 1]
    return cleaned


def _from(noise: Array, mean: Array, net: Array) -> Array:
    """Noise that the neighbours of each inner point tell of it (a spike's own is no measure)."""
    return np.maximum(noise[2:], noise[:-2])


def _candidates(
    scan: _Scan, signal: Array, variance: Array, split: tuple[float, float], width: float
) -> tuple[Array, Array]:
    """Positions and heights of maxima, and of shoulders by the second derivative, Kα2 stripped."""
    points = width / scan.step
    grid = scan.x[0] + scan.step * np.arange(int((scan.x[-1] - scan.x[0]) / scan.step + 1e-6) + 1)
    signal, variance = np.interp(grid, scan.x, signal), np.interp(grid, scan.x, variance)
    ratio, share = split
    narrow = max(0.7 * points, 1.5)
    smooth, error = smoothed(signal, narrow), np.sqrt(smoothed_variance(variance, narrow))
    fine = max(0.6 * points, 2.0)
    curvature, curvature_error = smoothed_curvature(signal, variance, fine)
    if share > 0:
        smooth, damp = strip_partner(grid, smooth, ratio, share, width)
        curvature, _ = strip_partner(grid, curvature, ratio, share, width)
        error, curvature_error = error * damp, curvature_error * damp
    tops, _ = find_peaks(smooth, height=4.0 * error)
    tops = tops[_prominence(smooth, tops) > 3.0 * error[tops]]
    shoulders, _ = find_peaks(curvature, height=5.0 * curvature_error)
    near = maximum_filter1d(curvature, 2 * int(1.5 * points) + 1)
    shoulders = shoulders[
        (curvature[shoulders] > 0.04 * near[shoulders]) & (smooth[shoulders] > 4.0 * error[shoulders])
    ]
    chosen = list(shoulders)
    for top in tops:
        if len(shoulders) == 0 or np.abs(shoulders - top).min() > 0.7 * points:
            chosen.append(top)
    found = np.sort(np.array(chosen, dtype=int))
    if len(found) > _MOST_LINES:
        found = np.sort(found[np.argsort(-(smooth / error)[found])[:_MOST_LINES]])
    return grid[found], smooth[found]


def _prominence(values: Array, peaks: NDArray[np.intp]) -> Array:
    from scipy.signal import peak_prominences

    return peak_prominences(values, peaks)[0] if len(peaks) else np.empty(0)


def _start(positions: Array, heights: Array, width: float) -> Array:
    """Parameters (n, 4) to start a fit with."""
    lines = np.empty((len(positions), 4))
    lines[:, 0] = positions
    lines[:, 1] = np.maximum(heights, 1e-300) * width * _GAUSS_AREA * 1.3
    lines[:, 2], lines[:, 3] = math.log(width), 0.5
    return lines


def _groups(lines: Array, split: tuple[float, float]) -> NDArray[np.int64]:
    """First line of each group that must be fitted together, and the number of lines."""
    n = len(lines)
    if n == 0:
        return np.zeros(1, dtype=np.int64)
    width = np.exp(lines[:, 2])
    end = lines[:, 0].copy()
    if split[1] > 0:
        end = np.array([partner(p, split[0])[0] for p in end])
    gap = (lines[1:, 0] - end[:-1]) / (0.5 * (width[1:] + width[:-1]))
    starts = [0]
    cuts = set((np.flatnonzero(gap > 2.0) + 1).tolist())
    for i in range(1, n):
        if i in cuts:
            starts.append(i)
        elif i - starts[-1] >= _GROUP:
            begin = starts[-1] + 2
            starts.append(begin + int(np.argmax(gap[begin - 1 : i])))
    return np.array([*starts, n], dtype=np.int64)


class _Fit(NamedTuple):
    lines: Array  # (n, 4) position, area, ln FWHM, mixing
    errors: Array  # (n, 4)
    model: Array  # (m,)
    chi2: Array  # (n,) of the group of each line


def _fit(
    scan: _Scan, lines: Array, held: Array, split: tuple[float, float], variance: Array, sweeps: int, rounds: int
) -> _Fit:
    order = np.argsort(lines[:, 0], kind="stable")
    lines, held = np.ascontiguousarray(lines[order]), np.ascontiguousarray(held[order])
    errors = np.full(lines.shape, np.inf)
    starts = _groups(lines, split)
    level = 0.5 * scan.noise
    model, chi2 = fit_lines(
        scan.x, scan.net, variance, lines, errors, held, starts, level, split[0], split[1], sweeps, rounds
    )
    return _Fit(lines, errors, model, np.repeat(chi2, np.diff(starts)))


def _loose(scan: _Scan, n: int) -> Array:
    held = np.empty((n, 4))
    held[:] = (math.log(scan.width), 0.5, 0.4, 0.4)
    return held


class _Shape(NamedTuple):
    """ln FWHM = polynomial in 2θ / 50°, with the scatter of lines about it; mixing likewise."""

    width: Array
    scatter: float
    mixing: Array
    low: float
    high: float

    def held(self, position: Array) -> Array:
        t = np.clip(position, self.low, self.high) / 50.0
        held = np.empty((len(t), 4))
        held[:, 0] = np.polynomial.polynomial.polyval(t, self.width)
        held[:, 1] = np.clip(np.polynomial.polynomial.polyval(t, self.mixing), 0.0, 1.0)
        held[:, 2], held[:, 3] = self.scatter, 0.1
        return held


def _shape_of(scan: _Scan, fit: _Fit) -> _Shape:
    """The curve that widths follow, by the lines that stand alone or are strong."""
    lines, errors = fit.lines, fit.errors
    width = np.exp(lines[:, 2])
    distance = np.full(len(lines), np.inf)
    if len(lines) > 1:
        gaps = np.diff(lines[:, 0]) / np.maximum(width[1:], width[:-1])
        distance[1:], distance[:-1] = gaps, np.minimum(distance[:-1], gaps)
    with np.errstate(divide="ignore", invalid="ignore"):
        clear = (lines[:, 1] / errors[:, 1] > 8.0) & (errors[:, 2] < 0.3) & (width < scan.widest)
    alone = clear & (distance > 1.5)
    if alone.sum() >= 3:
        clear = alone
    if clear.sum() == 0:
        return _Shape(np.array([math.log(scan.width)]), 0.3, np.array([0.5]), 0.0, 180.0)
    t, value = lines[clear, 0] / 50.0, lines[clear, 2]
    weight = 1.0 / (errors[clear, 2] ** 2 + 0.08**2)
    degree = 0 if clear.sum() < 4 else 1 if clear.sum() < 8 else 2
    ridge = np.array([1e-6, 30.0, 60.0])[: degree + 1]
    curve = np.array([np.median(value), 0.0, 0.0][: degree + 1])
    basis = np.vander(t, degree + 1, increasing=True)
    for _ in range(6):
        off = (value - basis @ curve) / 0.12
        # Two lines under one maximum are too wide; nothing is too narrow: outliers above count less.
        robust = weight / np.maximum(1.0, np.abs(off)) / np.maximum(1.0, off) ** 2
        curve = np.linalg.solve((basis * robust[:, None]).T @ basis + np.diag(ridge), basis.T @ (robust * value))
    off = value - basis @ curve
    scatter = 1.4826 * float(np.median(np.abs(off - np.median(off)))) if clear.sum() > 4 else 0.15
    mixing = lines[clear, 3]
    return _Shape(
        curve, float(np.clip(scatter, 0.06, 0.3)), np.array([np.average(mixing, weights=weight)]),
        float(lines[clear, 0].min()) - 5.0, float(lines[clear, 0].max()) + 5.0,
    )  # fmt: skip


def _is_doublet(scan: _Scan, pair: tuple[float, float]) -> bool:
    """Whether the strong lines are pairs of Kα1 and Kα2 rather than single: the fit that needs less misfit and lines.

    Bayes' information criterion (G. Schwarz, Ann. Statist. 6, 461, 1978). Without evidence a tube shows both.
    """
    rough = np.maximum(smoothed(scan.net, 0.5 * scan.width / scan.step), 0.0)
    variance = scan.variance(rough)
    scores, models = [], []
    for split in (pair, _NO_DOUBLET):
        positions, heights = _candidates(scan, scan.net, variance, split, scan.width)
        strong = heights > np.maximum(0.05 * heights.max(initial=0.0), 8.0 * scan.noise.min())
        positions, heights = positions[strong], heights[strong]
        if len(positions) == 0:
            return True
        fit = _fit(scan, _start(positions, heights, scan.width), _loose(scan, len(positions)), split, variance, 2, 6)
        models.append(fit.model)
        scores.append(3.0 * len(positions))
    seen = np.maximum(*models) > 2.0 * scan.noise
    misfits = [float(((scan.net - model)[seen] ** 2 / variance[seen]).sum()) for model in models]
    scale = max(min(misfits) / max(int(seen.sum()), 1), 1.0)
    return misfits[0] / scale + scores[0] * math.log(max(seen.sum(), 2)) <= misfits[1] / scale + scores[1] * math.log(
        max(seen.sum(), 2)
    )


def _fit_all(scan: _Scan, split: tuple[float, float], min_significance: float) -> tuple[Array, ...]:
    rough = np.maximum(smoothed(scan.net, 0.5 * scan.width / scan.step), 0.0)
    variance = scan.variance(rough)
    positions, heights = _candidates(scan, scan.net, variance, split, scan.width)
    if len(positions) == 0:
        empty = np.empty(0)
        return empty, empty, empty, empty, empty
    fit = _fit(scan, _start(positions, heights, scan.width), _loose(scan, len(positions)), split, variance, 1, 8)
    shape = _shape_of(scan, fit)
    lines = fit.lines
    for turn in range(3):
        fit = _fit(scan, lines, shape.held(lines[:, 0]), split, scan.variance(fit.model), 2, 5)
        lines = _pruned(scan, fit, shape, min_significance if turn == 2 else 2.5)
        if turn < 2:
            shape = _shape_of(scan, fit)
            more = _left_over(scan, fit, shape, split)
            lines = np.concatenate([lines, more])
        if len(lines) == 0:
            break
    if len(lines):
        fit = _fit(scan, lines, shape.held(lines[:, 0]), split, scan.variance(fit.model), 2, 6)
        keep = _kept(scan, fit, shape, min_significance)
    else:
        keep = np.zeros(len(fit.lines), dtype=bool)
    lines, errors, chi2 = fit.lines[keep], fit.errors[keep], fit.chi2[keep]
    width = np.exp(lines[:, 2])
    inflation = np.sqrt(np.maximum(chi2, 1.0))
    uncertainty = np.sqrt((errors[:, 0] * inflation) ** 2 + (0.01 * width) ** 2 + (0.03 * scan.step) ** 2)
    return lines[:, 0], lines[:, 1], uncertainty, lines[:, 1] / (errors[:, 1] * inflation), width


def _kept(scan: _Scan, fit: _Fit, shape: _Shape, min_significance: float) -> NDArray[np.bool_]:
    lines, errors = fit.lines, fit.errors
    width = np.exp(lines[:, 2])
    with np.errstate(invalid="ignore"):
        significance = lines[:, 1] / errors[:, 1] / np.sqrt(np.maximum(fit.chi2, 1.0))
    keep = (significance > min_significance) & (width < scan.widest) & (width > 0.5 * scan.step)
    keep &= (lines[:, 0] > scan.x[0]) & (lines[:, 0] < scan.x[-1]) & (errors[:, 0] < width)
    # Two lines on one place: the weaker is the misfit of the stronger.
    order = np.argsort(-lines[:, 1])
    for a in order:
        if keep[a]:
            near = np.abs(lines[:, 0] - lines[a, 0]) < 0.3 * width[a]
            near[a] = False
            keep &= ~near
    return keep


def _pruned(scan: _Scan, fit: _Fit, shape: _Shape, min_significance: float) -> Array:
    return fit.lines[_kept(scan, fit, shape, min_significance)]


def _left_over(scan: _Scan, fit: _Fit, shape: _Shape, split: tuple[float, float]) -> Array:
    """Lines (k, 4) to add where the fit leaves more than noise."""
    rest = scan.net - fit.model
    variance = scan.variance(fit.model)
    middle = float(np.median(np.exp(shape.held(fit.lines[:, 0])[:, 0])))
    points = max(0.8 * middle / scan.step, 1.5)
    smooth, error = smoothed(rest, points), np.sqrt(smoothed_variance(variance, points))
    near = maximum_filter1d(fit.model, 2 * int(points) + 1)
    tops, _ = find_peaks(smooth, height=4.5 * error)
    tops = tops[smooth[tops] > 0.05 * near[tops]]
    at = scan.x[tops]
    far = np.array([np.abs(fit.lines[:, 0] - p).min() for p in at]) > 0.4 * middle
    tops, at = tops[far], at[far]
    lines = _start(at, smooth[tops], middle)
    lines[:, 2:] = shape.held(at)[:, :2]
    return lines[: max(0, _MOST_LINES - len(fit.lines))]


def _without_leaks(fit: tuple[Array, ...], wavelength: float, stated: float) -> tuple[Array, ...]:
    return fit
