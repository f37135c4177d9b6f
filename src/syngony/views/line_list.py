"""A pattern as a short list of its lines: what a network with attention between lines reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from syngony.pattern import Pattern, q_from_two_theta
from syngony.views.maxima import local_maxima, rise, widths
from syngony.views.profile import REFERENCE_WAVELENGTH, check_size, checked_range, regular_scan

FEATURES = 5

_SMOOTHING = 1.5  # points of the regular grid
_SIGNIFICANCE = 3.0  # prominence over noise
_FLOOR = 3e-4  # of the strongest point, for scans without noise
_REACH = 151  # points of the regular grid, in which a line must rise
_SADDLE = 0.04  # of its own height a line must rise from its neighbour: noise on a strong line does not


@dataclass(frozen=True)
class LineListView:
    """The most prominent lines of a pattern in order of Q, found in a millisecond: not the peak search of `lines`.

    One input is (5, lines + 2) float32; a column is ln Q, square root of the prominence relative to the strongest,
    log10 of its ratio to the noise, ln of the width in degrees, and its kind: 1 a line, -1 an end of the scan
    (the first two columns), 0 an empty place.

    Attributes:
        lines: at most so many.
        two_theta_range: degrees of CuKa.
    """

    lines: int = 62
    two_theta_range: tuple[float, float] = (3.0, 120.0)

    def __post_init__(self) -> None:
        check_size(self.lines, 10_000)
        object.__setattr__(self, "two_theta_range", checked_range(self.two_theta_range))

    def as_dict(self) -> dict[str, Any]:
        """Settings as plain values, for a model card."""
        return {"kind": "line_list", **asdict(self), "two_theta_range": list(self.two_theta_range)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one network input."""
        return (FEATURES, self.lines + 2)

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
        angles, net = regular_scan(two_theta, intensity, wavelength, self.two_theta_range)
        columns = np.zeros(self.shape, np.float32)
        columns[0, :2] = _ln_q(angles[[0, -1]])
        columns[4, :2] = -1.0
        smooth = gaussian_filter1d(net, _SMOOTHING)
        top = smooth.max()
        if top <= 0:
            return columns
        noise = max(1.4826 * float(np.median(np.abs(net - smooth))), _FLOOR * top / _SIGNIFICANCE)
        found = local_maxima(smooth)
        risen = rise(smooth, found, _REACH)
        kept = (risen.prominence >= _SIGNIFICANCE * noise) & (risen.prominence > _SADDLE * smooth[found])
        chosen = np.flatnonzero(kept)
        if len(chosen) > self.lines:
            chosen = chosen[np.sort(np.argpartition(risen.prominence[chosen], -self.lines)[-self.lines :])]
        found, risen = found[chosen], risen.take(chosen)
        prominence = risen.prominence
        width = widths(smooth, found, risen)
        step = angles[1] - angles[0]
        place = slice(2, 2 + len(found))
        columns[0, place] = _ln_q(angles[found] + step * _vertex(smooth, found))
        columns[1, place] = np.sqrt(prominence / prominence.max(initial=1e-30))
        columns[2, place] = np.log10(prominence / noise)
        columns[3, place] = np.log(np.maximum(width * step, 1e-3))
        columns[4, place] = 1.0
        return columns


def _ln_q(angles: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.log(q_from_two_theta(angles, REFERENCE_WAVELENGTH))


def _vertex(curve: NDArray[np.floating], found: NDArray[np.intp]) -> NDArray[np.floating]:
    """Where between points a parabola through each maximum and its neighbours is highest."""
    before, at, after = curve[found - 1], curve[found], curve[found + 1]
    bend = before - 2.0 * at + after
    return np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
