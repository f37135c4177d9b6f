"""Lines onto a grid: the paper's pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from syngony.diffraction.reflections import Reflections


@dataclass(frozen=True)
class PaperGrid:
    """The grid and the filter of the paper: 2θ in [0, 90] degrees, a Gaussian of 5 grid points.

    Attributes:
        step: degrees of 2θ between points. The paper does not state it; 0.01 makes 9,001 points.
        sigma: width of the Gaussian filter, in grid points.
        two_theta_range: degrees.
    """

    step: float = 0.01
    sigma: float = 5.0
    two_theta_range: tuple[float, float] = (0.0, 90.0)

    @property
    def size(self) -> int:
        """Number of points, both ends included."""
        low, high = self.two_theta_range
        return round((high - low) / self.step) + 1

    @property
    def two_theta(self) -> NDArray[np.float64]:
        """(size,) degrees."""
        return self.two_theta_range[0] + self.step * np.arange(self.size, dtype=np.float64)


def paper_pattern(lines: Reflections, grid: PaperGrid | None = None) -> NDArray[np.float64]:
    """The paper's pattern: zero where there is no line, a Gaussian filter, largest value 1.

    Args:
        lines: from `reflections`.
        grid: step, width and range.

    Returns:
        (grid.size,) intensities in [0, 1].
    """
    return stick_pattern(lines.two_theta, lines.intensity, grid or PaperGrid())


def stick_pattern(
    two_theta: NDArray[np.floating], intensity: NDArray[np.floating], grid: PaperGrid
) -> NDArray[np.float64]:
    """`paper_pattern` of bare arrays of lines; an empty list gives zeros."""
    low, high = grid.two_theta_range
    inside = (two_theta >= low) & (two_theta <= high)
    where = np.round((two_theta[inside] - low) / grid.step).astype(np.int64)
    values = np.zeros(grid.size)
    np.add.at(values, np.minimum(where, grid.size - 1), intensity[inside])
    smooth = gaussian_filter1d(values, grid.sigma) if grid.sigma > 0 else values
    top = smooth.max(initial=0.0)
    return smooth / top if top > 0 else smooth


def filter_weights(grid: PaperGrid) -> NDArray[np.float64]:
    """(2 radius + 1,) weights of the grid's Gaussian filter, cut at 4 sigma as scipy's ``gaussian_filter1d``."""
    if grid.sigma <= 0:
        return np.ones(1)
    radius = int(4.0 * grid.sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / grid.sigma) ** 2)
    return weights / weights.sum()


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def add_sticks(two_theta, intensity, low, high, step, weights, values):
    """`stick_pattern` before it is normalised, for lines in order of 2θ; returns the largest value.

    Args:
        two_theta, intensity: (n,) lines, degrees and any scale.
        low, high, step: of the grid, degrees.
        weights: (2 radius + 1,) from `filter_weights`.
        values: (size + 2 radius,) overwritten; the pattern is values[radius:radius + size].
    """
    radius = weights.shape[0] // 2
    size = values.shape[0] - 2 * radius
    values[:] = 0.0
    i, n = 0, two_theta.shape[0]
    while i < n:
        if two_theta[i] < low or two_theta[i] > high:
            i += 1
            continue
        where = min(int(np.rint((two_theta[i] - low) / step)), size - 1)
        height = intensity[i]
        i += 1
        while i < n and two_theta[i] <= high and min(int(np.rint((two_theta[i] - low) / step)), size - 1) == where:
            height += intensity[i]
            i += 1
        for j in range(weights.shape[0]):
            values[where + j] += height * weights[j]
    for j in range(radius):  # what reaches past an end comes back, as in a mirror
        values[radius + j] += values[radius - 1 - j]
        values[radius + size - 1 - j] += values[radius + size + j]
    return values[radius : radius + size].max()
