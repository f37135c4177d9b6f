"""From a clean scan to fitted lines: the doublet, the curve of widths, what the fit leaves, false lines."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from syngony.lattice.clean_scan import CleanScan
from syngony.lattice.line_candidates import candidates, left_over
from syngony.lattice.line_fit import fit_lines, partner
from syngony.lattice.tube import kalpha_doublet, leaked
from syngony.pattern import Pattern
from syngony.wavelengths import TUBE_LINES

Array = NDArray[np.float64]
Split = tuple[float, float]  # Kα2 over Kα1: wavelength, intensity

_SINGLE: Split = (1.0, 0.0)
_KA2_SHARE = 0.5
_WIDEST = 1.6  # degrees for CuKa: wider things are halos
_MOST_LINES = 250
_GROUP = 7
_STRONG = 0.05  # of the strongest: lines that tell whether there is a doublet
_MEDIAN_SQUARE = 0.455  # of a normal distribution
_AREA = 1.4  # of a pseudo-Voigt of height and FWHM 1, somewhat smoothed


class Found(NamedTuple):
    """Fitted lines, (n,) each, in order of position; see `lines.Lines`."""

    position: Array
    area: Array
    position_uncertainty: Array
    significance: Array
    fwhm: Array
    wavelength: float


class Fit(NamedTuple):
    """Result of a fit of n lines to m points.

    Attributes:
        lines: (n, 4) position, area, ln FWHM, Lorentzian share.
        errors: (n, 4) their standard uncertainties.
        model: (m,) all lines together.
        chi2: (n,) reduced chi-squared of the group of each line.
    """

    lines: Array
    errors: Array
    model: Array
    chi2: Array

    @property
    def width(self) -> Array:
        """(n,) FWHM, degrees."""
        return np.exp(self.lines[:, 2])

    @property
    def inflation(self) -> Array:
        """(n,) factor on uncertainties where the fit is worse than its noise."""
        return np.sqrt(np.maximum(self.chi2, 1.0))

    @property
    def significance(self) -> Array:
        """(n,) area over its uncertainty."""
        return self.lines[:, 1] / (self.errors[:, 1] * self.inflation)


class WidthCurve(NamedTuple):
    """ln FWHM as a polynomial in 2θ / 50 degrees, the scatter of lines about it, and their Lorentzian share."""

    polynomial: Array
    scatter: float
    mixing: float
    low: float
    high: float

    def held(self, position: Array) -> Array:
        """(n, 4) what lines at these angles are held at: see `fit_lines`."""
        t = np.clip(position, self.low, self.high) / 50.0
        held = np.empty((len(t), 4))
        held[:, 0] = np.polynomial.polynomial.polyval(t, self.polynomial)
        held[:, 1], held[:, 2], held[:, 3] = self.mixing, self.scatter, 0.1
        return held


def search_lines(pattern: Pattern, min_significance: float) -> Found:
    """See `lines.find_lines`."""
    scan = CleanScan.from_pattern(pattern)
    doublet = kalpha_doublet(pattern.wavelength)
    split, wavelength = _SINGLE, pattern.wavelength
    if doublet is not None:
        pair = (doublet[1] / doublet[0], _KA2_SHARE)
        if _is_doublet(scan, pair):
            split, wavelength = pair, doublet[0]
    fit = _fit_all(scan, split, min_significance, _WIDEST * pattern.wavelength / TUBE_LINES["CuKa"])
    position, area, width = fit.lines[:, 0], fit.lines[:, 1], fit.width
    kept = ~leaked(position, area, fit.errors[:, 1], width, wavelength) if len(area) else np.zeros(0, dtype=bool)
    uncertainty = np.sqrt((fit.errors[:, 0] * fit.inflation) ** 2 + (0.01 * width) ** 2 + (0.03 * scan.step) ** 2)
    return Found(position[kept], area[kept], uncertainty[kept], fit.significance[kept], width[kept], wavelength)


def _fit_all(scan: CleanScan, split: Split, min_significance: float, widest: float) -> Fit:
    """Candidates, a first fit with free widths, then rounds of: curve of widths, fit, drop, add what is left."""
    variance = scan.variance(scan.rough_signal())
    positions, heights, _ = candidates(scan.x, scan.net, variance, scan.width, split, _MOST_LINES)
    lines = _start(positions, heights, np.full(len(positions), math.log(scan.width)), 0.5)
    fit = _fit(scan, lines, _free(scan, len(lines)), split, variance, 1, 8)
    for turn in range(3):
        curve = _width_curve(scan, fit, widest)
        fit = _fit(scan, lines, curve.held(lines[:, 0]), split, scan.variance(fit.model), 2, 5)
        lines = fit.lines[_believed(scan, fit, 2.5 if turn < 2 else min_significance, widest)]
        if turn < 2:
            curve = _width_curve(scan, fit, widest)
            middle = float(np.median(np.exp(curve.held(fit.lines[:, 0])[:, 0]))) if len(fit.lines) else scan.width
            rest, variance = scan.net - fit.model, scan.variance(fit.model)
            at, heights = left_over(scan.x, rest, fit.model, variance, middle, fit.lines[:, 0])
            held = curve.held(at)
            more = _start(at, heights, held[:, 0], curve.mixing)
            lines = np.concatenate([lines, more[: max(0, _MOST_LINES - len(lines))]])
    fit = _fit(scan, lines, curve.held(lines[:, 0]), split, scan.variance(fit.model), 2, 6)
    kept = _believed(scan, fit, min_significance, widest)
    return Fit(fit.lines[kept], fit.errors[kept], fit.model, fit.chi2[kept])


def _start(positions: Array, heights: Array, log_width: Array, mixing: float) -> Array:
    """Parameters (n, 4) to start a fit with."""
    lines = np.empty((len(positions), 4))
    lines[:, 0], lines[:, 2], lines[:, 3] = positions, log_width, mixing
    lines[:, 1] = np.maximum(heights, 1e-300) * np.exp(log_width) * _AREA
    return lines


def _free(scan: CleanScan, n: int) -> Array:
    return np.tile([math.log(scan.width), 0.5, 0.4, 0.4], (n, 1))


def _fit(
    scan: CleanScan, lines: Array, held: Array, split: Split, variance: Array, sweeps: int, rounds: int
) -> Fit:  # fmt: skip
    """Fit lines (n, 4) in any order; see `fit_lines`."""
    order = np.argsort(lines[:, 0], kind="stable")
    lines, held = np.ascontiguousarray(lines[order]), np.ascontiguousarray(held[order])
    errors = np.full(lines.shape, np.inf)
    starts = _groups(lines, split)
    model, chi2 = fit_lines(
        scan.x, scan.net, variance, lines, errors, held, starts, 0.5 * scan.noise, *split, sweeps, rounds
    )
    return Fit(lines, errors, model, np.repeat(chi2, np.diff(starts)))


def _groups(lines: Array, split: Split) -> NDArray[np.int64]:
    """First line of each group that must be fitted together, and the number of lines."""
    n = len(lines)
    if n == 0:
        return np.zeros(1, dtype=np.int64)
    width, end = np.exp(lines[:, 2]), lines[:, 0]
    if split[1] > 0:
        end = np.array([partner(p, split[0])[0] for p in end])
    gap = (lines[1:, 0] - end[:-1]) / (0.5 * (width[1:] + width[:-1]))
    starts = [0]
    for i in range(1, n):
        if gap[i - 1] > 2.0:
            starts.append(i)
        elif i - starts[-1] >= _GROUP:
            begin = starts[-1] + 2
            starts.append(begin + int(np.argmax(gap[begin - 1 : i])))
    return np.array([*starts, n], dtype=np.int64)


def _width_curve(scan: CleanScan, fit: Fit, widest: float) -> WidthCurve:
    """The curve that widths follow, by the lines that stand alone or are strong.

    Two lines under one maximum are too wide, nothing is too narrow: lines above the curve count less.
    """
    position, width = fit.lines[:, 0], fit.width
    distance = np.full(len(position), np.inf)
    if len(position) > 1:
        gaps = np.diff(position) / np.maximum(width[1:], width[:-1])
        distance[1:], distance[:-1] = gaps, np.minimum(np.append(np.inf, gaps)[:-1], gaps)
    clear = (fit.lines[:, 1] > 8.0 * fit.errors[:, 1]) & (fit.errors[:, 2] < 0.3) & (width < widest)
    alone = clear & (distance > 1.5)
    if alone.sum() >= 3:
        clear = alone
    if not clear.any():
        return WidthCurve(np.array([math.log(scan.width)]), 0.3, 0.5, 0.0, 180.0)
    t, value = position[clear] / 50.0, fit.lines[clear, 2]
    weight = 1.0 / (fit.errors[clear, 2] ** 2 + 0.08**2)
    degree = 0 if len(t) < 4 else 1 if len(t) < 8 else 2
    ridge = np.diag([1e-6, 30.0, 60.0][: degree + 1])
    basis = np.vander(t, degree + 1, increasing=True)
    curve = np.array([np.median(value), 0.0, 0.0][: degree + 1])
    for _ in range(6):
        off = (value - basis @ curve) / 0.12
        robust = weight / np.maximum(1.0, np.abs(off)) / np.maximum(1.0, off) ** 2
        curve = np.linalg.solve((basis * robust[:, None]).T @ basis + ridge, basis.T @ (robust * value))
    off = value - basis @ curve
    scatter = 1.4826 * float(np.median(np.abs(off - np.median(off)))) if len(t) > 4 else 0.15
    mixing = float(np.average(fit.lines[clear, 3], weights=weight))
    low, high = float(position[clear].min()) - 5.0, float(position[clear].max()) + 5.0
    return WidthCurve(curve, float(np.clip(scatter, 0.06, 0.3)), mixing, low, high)


def _is_doublet(scan: CleanScan, pair: Split) -> bool:
    """Whether the strong lines are pairs of Kα1 and Kα2 rather than single: the fit that misses less.

    Misfits are logarithms of likelihood ratios by Student's t, as neither fit has all weak lines. Tubes show
    both unless something was done about it: single lines must be better by what makes them e^7 times as likely.
    """
    models = [_strong_lines(scan, split) for split in (pair, _SINGLE)]
    best = np.maximum(*models)
    near = maximum_filter1d(best, 2 * int(1.5 * scan.width / scan.step) + 1)
    seen = (best > 2.0 * scan.noise) & (best > 0.15 * near) & (near > 0.5 * _STRONG * best.max())
    if not seen.any():
        return True
    squares = [(scan.net - model)[seen] ** 2 / scan.variance(best)[seen] for model in models]
    scale = max(min(float(np.median(square)) for square in squares) / _MEDIAN_SQUARE, 1.0)
    pairs, singles = (float(5.0 * np.log1p(square / (4.0 * scale)).sum()) * scale for square in squares)
    return pairs <= singles + 2.0 * 7.0 * scale


def _strong_lines(scan: CleanScan, split: Split) -> Array:
    """Model (m,) of the lines above `_STRONG` of the strongest, fitted with widths of their own."""
    variance = scan.variance(scan.rough_signal())
    positions, heights, excess = candidates(scan.x, scan.net, variance, scan.width, split, _MOST_LINES)
    strong = (heights > _STRONG * heights.max(initial=0.0)) & (excess > 8.0)
    lines = _start(positions[strong], heights[strong], np.full(int(strong.sum()), math.log(scan.width)), 0.5)
    if len(lines) == 0:
        return np.zeros(len(scan.x))
    fit = _fit(scan, lines, _free(scan, len(lines)), split, variance, 1, 8)
    curve, variance = _width_curve(scan, fit, math.inf), scan.variance(fit.model)
    at, heights = left_over(scan.x, scan.net - fit.model, fit.model, variance, scan.width, fit.lines[:, 0])
    strong = heights > 0.5 * _STRONG * fit.model.max()
    held = curve.held(at[strong])
    lines = np.concatenate([fit.lines, _start(at[strong], heights[strong], held[:, 0], curve.mixing)])
    return _fit(scan, lines, curve.held(lines[:, 0]), split, variance, 1, 6).model


def _believed(scan: CleanScan, fit: Fit, min_significance: float, widest: float) -> NDArray[np.bool_]:
    """(n,) which lines are lines: strong enough, of a line's width, inside the scan, no misfit of a stronger one."""
    position, width = fit.lines[:, 0], fit.width
    kept = (fit.significance > min_significance) & (width < widest) & (width > 0.5 * scan.step)
    kept &= (position > scan.x[0]) & (position < scan.x[-1]) & (fit.errors[:, 0] < width)
    for k in np.argsort(-fit.lines[:, 1]):
        if kept[k]:
            near = np.abs(position - position[k]) < 0.3 * width[k]
            near[k] = False
            kept &= ~near
            if fit.significance[k] < 2.0 * min_significance:
                kept[k] = scan.chance(position[k], width[k]) > min_significance
    return kept
