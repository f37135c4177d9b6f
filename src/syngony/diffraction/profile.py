"""Lines onto a grid: the paper's pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
