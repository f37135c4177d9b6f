"""A pattern on the axis of a network: any wavelength, range and step onto one grid."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.views.background import opening_background
from syngony.wavelengths import TUBE_LINES

REFERENCE_WAVELENGTH = TUBE_LINES["CuKa"]
"""A 2θ axis is that of CuKa whatever the wavelength of the scan: positions go by way of Q."""

_REGULAR_STEP = 0.02  # degrees (CuKa): the grid on which the background is found

MOST_POINTS = 1 << 20
"""Of one input of a network: a card that asks for more is wrong."""

INTENSITY_SCALES = {"linear": 1.0, "sqrt": 0.5, "fourth root": 0.25}


@dataclass(frozen=True)
class ProfileView:
    """A pattern as a vector of a fixed length, values in [0, 1].

    Attributes:
        axis: ``two_theta`` (degrees, as with CuKa) or ``ln_q`` (ln of Q = 1/d^2: a change of the
            lattice's scale is a translation).
        points: length of the vector.
        two_theta_range: degrees of CuKa; both axes cover the same lines.
        intensity: ``linear``, ``sqrt`` or ``fourth root`` of the height relative to the strongest point; several
            joined by ``+`` give a channel each.
        background: True to remove a background first; a real scan has one, the paper's has none.
        measured: True for one more channel, the share of each cell that the scan covers: no line there means
            something, none beyond the end of the scan means nothing.
    """

    axis: Literal["two_theta", "ln_q"] = "ln_q"
    points: int = 4096
    two_theta_range: tuple[float, float] = (5.06, 90.0)
    intensity: str = "sqrt"
    background: bool = True
    measured: bool = False

    def __post_init__(self) -> None:
        if not set(self._scales) <= set(INTENSITY_SCALES) or len(self._scales) > 8:
            raise ValueError(f"intensity is one of {', '.join(INTENSITY_SCALES)}, not {self.intensity!r}")
        if self.axis not in ("two_theta", "ln_q"):
            raise ValueError(f"the axis is two_theta or ln_q, not {self.axis!r}")
        check_size(self.points, MOST_POINTS)
        object.__setattr__(self, "two_theta_range", checked_range(self.two_theta_range, above_zero=self.axis == "ln_q"))

    def as_dict(self) -> dict[str, Any]:
        """Settings as plain values, for a model card."""
        settings = {"kind": "profile", **asdict(self), "two_theta_range": list(self.two_theta_range)}
        if not self.measured:  # cards of older networks do not have it
            del settings["measured"]
        return settings

    @property
    def _scales(self) -> tuple[str, ...]:
        return tuple(self.intensity.split("+"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one network input."""
        return (len(self._scales) + self.measured, self.points)

    def __call__(self, pattern: Pattern) -> NDArray[np.float32]:
        """One network input: float32 of `shape`.

        Raises:
            PatternError: the scan does not reach into the view's range.
        """
        return self.from_scan(pattern.two_theta, pattern.intensity, pattern.wavelength)

    def from_scan(
        self, two_theta: NDArray[np.floating], intensity: NDArray[np.floating], wavelength: float
    ) -> NDArray[np.float32]:
        """`__call__` on bare arrays (already checked), as training does."""
        cells, first, last = self._cells(two_theta, intensity, wavelength)
        channels = [cells ** INTENSITY_SCALES[name] for name in self._scales]
        if self.measured:
            edges = np.clip(self._edges, first, last)
            channels.append(np.diff(edges) / np.diff(self._edges))
        return np.stack(channels).astype(np.float32)

    def profile(
        self, two_theta: NDArray[np.floating], intensity: NDArray[np.floating], wavelength: float
    ) -> NDArray[np.float32]:
        """(points,) vector in [0, 1]: mean intensity in each cell of the grid, zero where not measured."""
        cells = self._cells(two_theta, intensity, wavelength)[0]
        return (cells ** INTENSITY_SCALES[self._scales[0]]).astype(np.float32)

    def _cells(
        self, two_theta: NDArray[np.floating], intensity: NDArray[np.floating], wavelength: float
    ) -> tuple[NDArray[np.float64], float, float]:
        """Relative heights of the cells, and the first and last angle that they are of."""
        angles, values = seen_part(two_theta, intensity, wavelength, self.two_theta_range)
        if self.background:
            angles, values = _without_background(angles, values)
        cells = _cell_means(angles, values, self._edges)
        top = cells.max()
        if top > 0:
            cells = np.clip(cells / top, 0.0, 1.0)
        return cells, float(angles[0]), float(angles[-1])

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """(points + 1,) edges of the grid's cells, degrees of CuKa."""
        if self.axis == "two_theta":
            return np.linspace(*self.two_theta_range, self.points + 1)
        first, last = np.log(q_from_two_theta(self.two_theta_range, REFERENCE_WAVELENGTH))
        return two_theta_from_q(np.exp(np.linspace(first, last, self.points + 1)), REFERENCE_WAVELENGTH)


def check_size(value: int, most: int) -> None:
    """Refuse what cannot be the size of a view.

    Raises:
        ValueError: no whole number from 1 to `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"a view's size is a whole number from 1 to {most}, not {value!r}")


def checked_range(values: Any, above_zero: bool = False) -> tuple[float, float]:
    """Degrees of 2θ between which a view looks.

    Raises:
        ValueError, TypeError: not two numbers that increase within 0 and 180.
    """
    low, high = (float(x) for x in values)
    if not (0 <= low < high <= 180 and not (above_zero and low == 0)):
        raise ValueError(f"a view's range is two angles that increase within 0 and 180, not {low:g} and {high:g}")
    return low, high


def seen_part(
    two_theta: NDArray[np.floating],
    intensity: NDArray[np.floating],
    wavelength: float,
    two_theta_range: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles as for CuKa and intensities, where a view looks.

    Raises:
        PatternError: fewer than two points are there.
    """
    angles = np.asarray(two_theta, dtype=np.float64)
    if abs(wavelength - REFERENCE_WAVELENGTH) > 1e-4:
        angles = two_theta_from_q(q_from_two_theta(two_theta, wavelength), REFERENCE_WAVELENGTH)
        seen = np.isfinite(angles)
        angles, intensity = angles[seen], intensity[seen]
    low, high = two_theta_range
    inside = (angles >= low - 0.1) & (angles <= high + 0.1)
    if np.count_nonzero(inside) < 2:
        raise PatternError(
            f"the scan has no point between d = {_d(high):.2f} and {_d(low):.1f} Å, "
            "which the network sees: check the wavelength"
        )
    return angles[inside], np.asarray(intensity, dtype=float)[inside]


def regular_scan(
    two_theta: NDArray[np.floating],
    intensity: NDArray[np.floating],
    wavelength: float,
    two_theta_range: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`seen_part` in equal steps and without its background."""
    return _without_background(*seen_part(two_theta, intensity, wavelength, two_theta_range))


def _d(two_theta: float) -> float:
    return 1.0 / math.sqrt(max(float(q_from_two_theta(two_theta, REFERENCE_WAVELENGTH)), 1e-9))


def _without_background(
    angles: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scan on a regular grid with its background subtracted; negative values stay for the mean."""
    n = max(2, int((angles[-1] - angles[0]) / _REGULAR_STEP) + 1)
    edges = angles[0] + _REGULAR_STEP * (np.arange(n + 1) - 0.5)
    regular = _cell_means(angles, values, edges)
    centres = angles[0] + _REGULAR_STEP * np.arange(n)
    return centres, regular - opening_background(regular, _REGULAR_STEP)


@njit(cache=True, error_model="numpy")
def _cell_means(x, y, edges):
    """Mean of the piecewise linear curve (x, y) over each cell; zero outside the measured range.

    Works for cells finer than the steps (interpolation) and coarser (the area under a line is kept).

    Args:
        x, y: (n,) increasing positions, and values.
        edges: (m + 1,) increasing edges of the cells.

    Returns:
        (m,) means.
    """
    n, m = x.shape[0], edges.shape[0] - 1
    means = np.zeros(m)
    i = 0  # the segment x[i]..x[i + 1] that holds the running position
    for cell in range(m):
        low, high = max(edges[cell], x[0]), min(edges[cell + 1], x[n - 1])
        if high <= low:
            continue
        while i < n - 2 and x[i + 1] <= low:
            i += 1
        area, position = 0.0, low
        while True:
            end = min(high, x[i + 1])
            slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
            area += (end - position) * (y[i] + slope * (0.5 * (position + end) - x[i]))
            position = end
            if end >= high or i >= n - 2:
                break
            i += 1
        means[cell] = area / (edges[cell + 1] - edges[cell])
    return means
