"""How noisy a scan is, from the scan itself: counts, scaled counts, or what a subtraction left of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

_BINS = 12
_SPIKE = 6.0


@dataclass(frozen=True)
class ScanNoise:
    """Variance of a point: floor + gain times its expected intensity.

    Attributes:
        floor: what a subtracted background left, squared units of intensity.
        gain: 1 for counts.
    """

    floor: float
    gain: float

    def variance(self, intensity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of points with these expected intensities; never less than that of one count."""
        return self.floor + self.gain * np.maximum(intensity, self.gain)


def scan_noise(intensity: NDArray[np.float64]) -> ScanNoise:
    """Noise of a scan from its fourth differences.

    Lines only ever add to the differences, so the gain is a low quantile of the ratio of their square to the
    intensity over classes of intensity.
    """
    y = np.asarray(intensity, dtype=float)
    difference = np.convolve(y, [1.0, -4.0, 6.0, -4.0, 1.0], mode="valid") / np.sqrt(70.0)
    level = uniform_filter1d(y, 5)[2:-2]
    order = np.argsort(level)
    classes = [c for c in np.array_split(order, min(_BINS, max(1, len(order) // 20))) if len(c)]
    means = np.array([level[c].mean() for c in classes])
    squares = np.array([_trimmed(difference[c] ** 2) for c in classes])
    top = max(float(y.max()), 1e-300)
    positive = means > 1e-4 * top
    ratios = squares[positive] / means[positive]
    gain = float(np.quantile(ratios, 0.3)) if positive.any() else 0.0
    filled = squares > 0
    lowest = int(np.argmax(filled)) if filled.any() else 0
    floor = max(float(squares[lowest]) - gain * max(float(means[lowest]), 0.0), 0.0)
    return ScanNoise(floor, max(gain, 1e-9 * top))


def without_spikes(intensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """A scan without points that stand alone, six times as high above the level as both neighbours.

    No line is as narrow as a point.
    """
    y = np.array(intensity, dtype=float)
    level = float(np.median(y))
    noise = scan_noise(y)
    beside = np.maximum(y[:-2], y[2:])
    lonely = (y[1:-1] - level > _SPIKE * np.maximum(beside - level, 0.0)) & (
        y[1:-1] - beside > _SPIKE * np.sqrt(noise.variance(beside))
    )
    where = np.flatnonzero(lonely) + 1
    y[where] = 0.5 * (y[where - 1] + y[where + 1])
    return y


def _trimmed(values: NDArray[np.float64]) -> float:
    """Mean without the highest tenth, which lines and spikes make; corrected for what noise loses so."""
    kept = np.sort(values)[: max(1, int(0.9 * len(values)))]
    return float(kept.mean()) / 0.6188  # mean of the lower nine tenths of chi squared of one degree
