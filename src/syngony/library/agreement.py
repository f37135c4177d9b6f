"""How well a candidate explains a scan: its whole profile, lines as strong as texture lets them be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.library.axis import REFERENCE
from syngony.library.candidates import Candidates, in_threads
from syngony.library.profile_comparison import COLUMNS, compare, draw
from syngony.library.refine import Refined
from syngony.library.scan import GRID, Scan

WIDTHS = (0.05, 0.08, 0.12, 0.2, 0.35, 0.6)
"""Degrees: full widths at half maximum, at small angles, that are tried for the lines of a scan."""

GROWTHS = (0.15, 0.0, 0.4, 0.9)
"""Degrees: what is tried of their growth with tan(theta), the likeliest first."""

_SAMPLE = 24  # candidates by which the width is chosen
_SMOOTHING = 0.02  # degrees
_TAIL = 8.0  # half widths to which a line is drawn
_FINE = 32  # steps of the table of a line's shape in half a width

FEATURES = (
    "strict", "tolerant", "missing", "unexplained", "texture", "lines", "inside", "distortion", "scale", "zero",
)  # fmt: skip
"""What is known of a candidate, in the order of `Agreement.features`:

strict: correlation of the roots of both profiles, intensities as calculated; tolerant: the same after each line
was given the scan's intensity within a factor (`profile_comparison.TEXTURE`); missing: share of the lines that
should stand out of the noise and are not there even then; unexplained: what no line explains of the scan's square
root (squares over all); texture: spread of ln(intensity found over calculated); lines: ln of the number of lines
that matter; inside: share of the lines' weight in the range of the scan; distortion, scale and zero: what the
refinement had to do, over their standard deviations.
"""

_HOPELESS = np.array([0.0, 0.0, 1.0, 1.0] + [0.0] * (len(FEATURES) - 4))  # where a refinement ran away


class LineWidth(NamedTuple):
    """Full width at half maximum of a scan's lines: degrees, `least` + `growth` tan(theta).

    Small grains and strain make lines grow with the angle, and so does the doublet that one line is drawn for.
    """

    least: float
    growth: float

    def at(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Degrees, of lines at these 2θ (degrees of CuKa)."""
        return self.least + self.growth * np.tan(np.radians(0.5 * angles))


@dataclass(frozen=True, eq=False)
class Agreement:
    """Figures of k candidates.

    Attributes:
        features: (k, len(FEATURES)).
        width: of the scan's lines.
        factors: (m,) intensity of each line found over calculated.
        height: (k,) in the units of `Scan.net`, of a line of intensity 1 that is one of `steps_of_a_point` wide.
    """

    features: NDArray[np.float64]
    width: LineWidth
    factors: NDArray[np.float64]
    height: NDArray[np.float64]

    def take(self, chosen: NDArray[np.int64], lines: NDArray[np.int64]) -> Agreement:
        """Some candidates and their lines (`Candidates.lines_of`)."""
        return Agreement(self.features[chosen], self.width, self.factors[lines], self.height[chosen])


def agreement(candidates: Candidates, refined: Refined, scan: Scan, width: LineWidth | None = None) -> Agreement:
    """Compare the profile of each candidate with the scan.

    Args:
        candidates: k structures, likeliest first.
        refined: their lines where the refinement laid them.
        scan: prepared.
        width: of the scan's lines; found with the first candidates when omitted.
    """
    observed = scan.root(_SMOOTHING)
    floor = scan.floor(_SMOOTHING)
    net = np.maximum(scan.net, 0.0)
    power = line_powers(candidates, refined, scan.wavelength)
    angles = line_angles(refined.q)
    k = len(candidates)

    def compared(width: LineWidth, count: int) -> tuple[NDArray, NDArray, NDArray]:
        figures, factors, height = np.zeros((count, COLUMNS)), np.ones(len(power)), np.zeros(count)
        narrow = steps_of_a_point(width, angles)

        def work(begin: int, end: int) -> None:
            compare(
                candidates.offsets, angles, narrow, power, observed, net, floor, scan.two_theta[0], LINE_SHAPE,
                begin, end, figures, factors, height,
            )  # fmt: skip

        in_threads(work, count)
        return figures, factors, height

    if width is None:
        sample = min(k, _SAMPLE)
        width = _likeliest_width(lambda tried: np.sort(compared(tried, sample)[0][:, 1])[-min(3, sample) :].mean())
    figures, factors, height = compared(width, k)
    asked = [refined.distortion / 0.01, np.abs(refined.scale - 1.0) / 0.01, np.abs(refined.zero) / 0.05]
    features = np.column_stack([figures, *asked])
    features[~np.isfinite(features).all(axis=1)] = _HOPELESS
    return Agreement(features, width, factors, height)


def _likeliest_width(fit_of: Callable[[LineWidth], float]) -> LineWidth:
    """The width by which candidates fit best: first its least value, then its growth, then its least value again."""
    fits = cache(fit_of)  # a width that was tried is not tried again
    width = max((LineWidth(least, GROWTHS[0]) for least in WIDTHS), key=fits)
    width = max((LineWidth(width.least, growth) for growth in GROWTHS), key=fits)
    return max((LineWidth(least, width.growth) for least in WIDTHS), key=fits)


def profile_of(
    candidates: Candidates, refined: Refined, found: Agreement, scan: Scan, number: int
) -> NDArray[np.float64]:
    """(p,) the fitted profile of one candidate on the scan's grid, in the units of `Scan.net`."""
    span = slice(candidates.offsets[number], candidates.offsets[number + 1])
    q = refined.q[span]
    power = candidates.amplitude[span] ** 2 * _polarisation_ratio(q, scan.wavelength) * found.factors[span]
    angles = line_angles(q)
    out = np.zeros(len(scan.net))
    narrow = steps_of_a_point(found.width, angles)
    draw(angles, narrow, power * found.height[number], scan.two_theta[0], LINE_SHAPE, out)
    return out


def line_angles(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """2θ in degrees of Q (1/Å^2) for CuKa, whatever the wavelength of the scan."""
    return np.degrees(2.0 * np.arcsin(np.clip(0.5 * REFERENCE * np.sqrt(q), 0.0, 0.9999)))


def line_heights(
    candidates: Candidates, refined: Refined, found: Agreement, number: int, wavelength: float
) -> NDArray[np.float64]:
    """(m,) heights of one candidate's lines over the background, in the units of `Scan.net`; zero for the others'."""
    angles = line_angles(refined.q)
    heights = np.zeros(len(angles))
    own = slice(*candidates.offsets[number : number + 2])
    powers = line_powers(candidates, refined, wavelength)[own]
    heights[own] = powers * steps_of_a_point(found.width, angles[own]) * found.height[number]
    return heights


def line_powers(candidates: Candidates, refined: Refined, wavelength: float) -> NDArray[np.float64]:
    """(m,) calculated intensities of all lines at a wavelength, the strongest of each for CuKa 1."""
    return candidates.amplitude**2 * _polarisation_ratio(refined.q, wavelength)


def _polarisation_ratio(q: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """Lorentz-polarisation factor at a wavelength over that at CuKa, by which libraries weigh their lines."""
    if abs(wavelength / REFERENCE - 1.0) < 1e-2:
        return np.ones_like(q)

    def factor(length: float) -> NDArray[np.float64]:
        sine2 = np.clip(0.25 * length * length * q, 1e-9, 0.999)
        return (1.0 + (1.0 - 2.0 * sine2) ** 2) / (sine2 * np.sqrt(1.0 - sine2))

    return factor(wavelength) / factor(REFERENCE)


def steps_of_a_point(width: LineWidth, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) steps of `LINE_SHAPE` in one of the grid: large for narrow lines."""
    return _FINE * GRID / (0.5 * width.at(angles))


def _line_shape() -> NDArray[np.float64]:
    x = np.arange(_TAIL * _FINE + 3) / _FINE
    return 0.5 * np.exp(-math.log(2.0) * x * x) + 0.5 / (1.0 + x * x)


LINE_SHAPE = _line_shape()
"""Heights of a line, half Gaussian and half Lorentzian, at steps of half its width / 32 from its centre."""
