"""A scan made ready for the search of lines: background off, spikes gone, scatter known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.lines.background import (
    background_and_quiet_noise,
    gain_of,
    smoothed,
    smoothed_variance,
    typical_width,
)
from syngony.pattern import Pattern

Array = NDArray[np.float64]

_MISFIT = 0.01  # of its height, that a pseudo-Voigt may miss a real line by


@dataclass(frozen=True, eq=False)
class CleanScan:
    """What the lines alone leave of a scan.

    Attributes:
        x: (n,) degrees.
        net: (n,) intensity without background and spikes.
        noise: (n,) scatter that points have between the lines.
        gain: variance by unit of intensity, 1 for counts.
        step: degrees, median.
        width: typical FWHM of a line, degrees.
    """

    x: Array
    net: Array
    noise: Array
    gain: float
    step: float
    width: float

    @classmethod
    def from_pattern(cls, pattern: Pattern) -> CleanScan:
        """Take background and spikes off a pattern."""
        background, noise = background_and_quiet_noise(pattern)
        x, net = pattern.two_theta, pattern.intensity - background
        step = float(np.median(np.diff(x)))
        gain = gain_of(pattern.intensity, background, noise)
        variance = noise**2 + gain * np.maximum(smoothed(net, 3.0), 0.0)
        net = _without_spikes(net, np.sqrt(variance), typical_width(net, variance))
        points = typical_width(net, variance)
        # Scans that were smoothed or resampled: what matters is their scatter on the scale of a line.
        ratio = smoothed(net, points) / np.sqrt(smoothed_variance(noise**2, points))
        below = ratio[ratio < 0]
        if len(below) > 20:
            noise = noise * max(1.0, float(np.median(-below)) / 0.6745)
        return cls(x, net, noise, gain, step, points * step)

    def variance(self, signal: Array) -> Array:
        """(n,) of each point, `signal` being what the lines give there."""
        signal = np.maximum(signal, 0.0)
        return self.noise**2 + self.gain * signal + (_MISFIT * signal) ** 2

    def rough_signal(self) -> Array:
        """(n,) what the lines give, before any fit."""
        return np.maximum(smoothed(self.net, 0.5 * self.width / self.step), 0.0)

    def chance(self, position: float, width: float) -> float:
        """How far counts about a position stand out, in standard deviations, where counts are too few to be normal.

        Signed root of the likelihood ratio of Poisson's law (T.-P. Li & Y.-Q. Ma, Astrophys. J. 272, 317, 1983).
        """
        if self.gain <= 0:
            return math.inf
        first, last = np.searchsorted(self.x, [position - 0.7 * width, position + 0.7 * width])
        expected = float((self.noise[first:last] ** 2).sum()) / self.gain**2
        found = expected + float(self.net[first:last].sum()) / self.gain
        if found <= expected or expected <= 0:
            return 0.0
        return math.sqrt(2.0 * (found * math.log(found / expected) - found + expected))


def _without_spikes(net: Array, noise: Array, points: float) -> Array:
    """Points that stand out as no line of this width can, replaced by the mean of their neighbours."""
    neighbour = math.exp(-4.0 * math.log(2.0) / max(points, 1.0) ** 2)
    mean = 0.5 * (net[2:] + net[:-2])
    # A spike's own height says nothing of the noise: its neighbours do.
    scatter = 1.3 * np.maximum(noise[2:], noise[:-2])
    allowed = 1.5 * (1.0 - neighbour) * np.maximum(net[1:-1], 0.0) + 6.0 * scatter
    spikes = np.flatnonzero(net[1:-1] - mean > allowed) + 1
    cleaned = net.copy()
    cleaned[spikes] = mean[spikes - 1]
    return cleaned
