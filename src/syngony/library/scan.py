"""A measured scan as the search sees it: background off, on the axes of the library, smoothed to several widths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from syngony.errors import PatternError
from syngony.library.axis import BINS, Q_FIRST, Q_LAST, REFERENCE, STEP, TWO_THETA_RANGE, place
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.views.background import opening_background

GRID = 0.02
"""Degrees of CuKa: the regular grid of the scan's profile."""

SMALLEST_SPAN = 10.0
"""Degrees of CuKa that scan and library must share."""

_NOISE_CUT = 3.0  # standard deviations of noise, in whose size the root turns into a straight line


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan ready for the search.

    Attributes:
        two_theta: (p,) degrees of CuKa, steps of `GRID`: what CuKa would show, whatever the wavelength.
        net: (p,) intensity without background, the strongest point 1; negative where noise is.
        noise: standard deviation of `net` between lines.
        wavelength: Å, of the scan.
        low, high: places on the axis of the library (bins) between which the scan measured.
    """

    two_theta: NDArray[np.float64]
    net: NDArray[np.float64]
    noise: float
    wavelength: float
    low: float
    high: float

    @classmethod
    def from_pattern(cls, pattern: Pattern) -> Scan:
        """Prepare a pattern.

        Raises:
            PatternError: it shares less than 10 degrees (CuKa) with what libraries hold, or shows no line.
        """
        angles = two_theta_from_q(q_from_two_theta(pattern.two_theta, pattern.wavelength), REFERENCE)
        inside = np.isfinite(angles) & (angles >= TWO_THETA_RANGE[0]) & (angles <= TWO_THETA_RANGE[1])
        if np.count_nonzero(inside) < 20 or np.ptp(angles[inside]) < SMALLEST_SPAN:
            raise PatternError(
                f"the scan ({pattern.two_theta[0]:g} to {pattern.two_theta[-1]:g}° at {pattern.wavelength:g} Å) shares "
                f"less than {SMALLEST_SPAN:g} degrees with what libraries hold, d = {Q_FIRST**-0.5:.0f} to "
                f"{Q_LAST**-0.5:.2f} Å: measure there, or check the wavelength"
            )
        x, y = angles[inside], pattern.intensity[inside]
        n = int(np.ptp(x) / GRID)
        edges = x[0] + GRID * np.arange(n + 1)
        y = _means(x, y, edges)
        grid = 0.5 * (edges[1:] + edges[:-1])
        net = y - opening_background(y, GRID)
        top = float(gaussian_filter1d(net, 1.0).max())
        if not top > 0:
            raise PatternError("the scan shows no line above its background: measure longer, or check its columns")
        net /= top
        low, high = place(q_from_two_theta(grid[[0, -1]], REFERENCE))
        return cls(grid, net, _noise(net), pattern.wavelength, float(low), float(high))

    def without(self, profile: NDArray[np.float64]) -> Scan:
        """The scan with a fitted share (p,) in the units of `net` taken off, on the same scale."""
        return Scan(self.two_theta, self.net - profile, self.noise, self.wavelength, self.low, self.high)

    def root(self, width: float) -> NDArray[np.float64]:
        """(p,) root of the profile smoothed by `width` (standard deviation, degrees).

        Where the profile is under the noise that is left the root becomes a straight line through zero, so
        that noise does not pass for weak lines.
        """
        return soft_root(gaussian_filter1d(self.net, width / GRID), self.floor(width))

    def floor(self, width: float) -> float:
        """What `soft_root` takes for a profile that is smoothed by `width` degrees."""
        return max(_NOISE_CUT * self.noise / np.sqrt(max(1.0, 2 * np.sqrt(np.pi) * width / GRID)), 2e-4)

    def binned(self, width: float) -> NDArray[np.float64]:
        """(BINS,) the root on the library's axis, smoothed by `width` bins; 0 where nothing was measured."""
        edges = two_theta_from_q(Q_FIRST * np.exp(STEP * np.arange(BINS + 1)), REFERENCE)
        bins = np.maximum(_means(self.two_theta, self.net, edges), 0.0)
        centres = 0.5 * (edges[1:] + edges[:-1])
        bins[(centres < self.two_theta[0]) | (centres > self.two_theta[-1])] = 0.0
        per_bin = np.sqrt(np.maximum(1.0, np.diff(edges) / GRID))
        return gaussian_filter1d(soft_root(bins, np.maximum(_NOISE_CUT * self.noise / per_bin, 2e-4)), width)


def soft_root(values: NDArray[np.float64], floor: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of the intensity, linear below `floor`: sign(y) (sqrt(|y| + f) - sqrt(f))."""
    return np.sign(values) * (np.sqrt(np.abs(values) + floor) - np.sqrt(floor))


def _means(x: NDArray[np.float64], y: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the piecewise linear curve (x, y) in each cell; beyond its ends it is continued flat."""
    area = np.concatenate([[0.0], np.cumsum(0.5 * (y[1:] + y[:-1]) * np.diff(x))])
    inside = np.clip(edges, x[0], x[-1])
    segment = np.clip(np.searchsorted(x, inside, side="right") - 1, 0, len(x) - 2)
    along = inside - x[segment]
    slope = (y[segment + 1] - y[segment]) / (x[segment + 1] - x[segment])
    total = area[segment] + along * (y[segment] + 0.5 * slope * along)
    total += (edges - inside) * np.where(edges < x[0], y[0], y[-1])
    return np.diff(total) / np.diff(edges)


def _noise(net: NDArray[np.float64]) -> float:
    """Standard deviation between lines, from differences over two steps (neighbours may share counts)."""
    quiet = net < np.quantile(net, 0.6)
    both = quiet[2:] & quiet[:-2]
    steps = (net[2:] - net[:-2])[both]
    if not len(steps):
        return 1e-3
    return float(max(1.4826 * np.median(np.abs(steps)), 0.3 * steps.std()) / np.sqrt(2.0))
