"""Lines fitted together: the groups that overlap, and the curve that all widths follow."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.lines.clean_scan import CleanScan
from syngony.lines.fit import fit_lines, partner

Array = NDArray[np.float64]
_GROUP = 7
_AREA = 1.4  # of a pseudo-Voigt of height and FWHM 1, somewhat smoothed


class Profile(NamedTuple):
    """What all lines of a scan have in common.

    Attributes:
        ratio, share: Kα2 over Kα1, wavelength and intensity; share 0 for single lines.
        skew: of axial divergence, see `line_fit.skewness`.
    """

    ratio: float = 1.0
    share: float = 0.0
    skew: float = 0.0


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


def start(positions: Array, heights: Array, log_width: Array, mixing: float) -> Array:
    """Parameters (n, 4) to start a fit with."""
    lines = np.empty((len(positions), 4))
    lines[:, 0], lines[:, 2], lines[:, 3] = positions, log_width, mixing
    lines[:, 1] = np.maximum(heights, 1e-300) * np.exp(log_width) * _AREA
    return lines


def free_widths(scan: CleanScan, n: int) -> Array:
    """(n, 4) what lines are held at before the widths are known: next to nothing."""
    return np.tile([math.log(scan.width), 0.5, 0.4, 0.4], (n, 1))


def fit_together(
    scan: CleanScan, lines: Array, held: Array, profile: Profile, variance: Array, sweeps: int, rounds: int
) -> Fit:  # fmt: skip
    """Fit lines (n, 4) in any order; see `fit_lines`."""
    order = np.argsort(lines[:, 0], kind="stable")
    lines, held = np.ascontiguousarray(lines[order]), np.ascontiguousarray(held[order])
    errors = np.full(lines.shape, np.inf)
    starts = _groups(lines, profile)
    model, chi2 = fit_lines(
        scan.x, scan.net, variance, lines, errors, held, starts, 0.5 * scan.noise, *profile, sweeps, rounds
    )
    return Fit(lines, errors, model, np.repeat(chi2, np.diff(starts)))


def _groups(lines: Array, profile: Profile) -> NDArray[np.int64]:
    """First line of each group that must be fitted together, and the number of lines."""
    n = len(lines)
    if n == 0:
        return np.zeros(1, dtype=np.int64)
    width, end = np.exp(lines[:, 2]), lines[:, 0]
    if profile.share > 0:
        end = np.array([partner(p, profile.ratio)[0] for p in end])
    gap = (lines[1:, 0] - end[:-1]) / (0.5 * (width[1:] + width[:-1]))
    starts = [0]
    for i in range(1, n):
        if gap[i - 1] > 2.0:
            starts.append(i)
        elif i - starts[-1] >= _GROUP:
            begin = starts[-1] + 2
            starts.append(begin + int(np.argmax(gap[begin - 1 : i])))
    return np.array([*starts, n], dtype=np.int64)


def width_curve(scan: CleanScan, fit: Fit, widest: float) -> WidthCurve:
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
