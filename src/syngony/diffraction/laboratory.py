"""What a real diffractometer and a real sample do to a pattern.

`Laboratory` states the ranges; `Laboratory.draw` takes one instrument and sample from them;
`measure` records a pattern. Same generator state, same pattern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.wavelengths import TUBE_LINES

_KA1, _KA2, _MEAN = TUBE_LINES["CuKa1"], TUBE_LINES["CuKa2"], TUBE_LINES["CuKa"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """One instrument and one sample.

    Attributes:
        start, stop, step: degrees of 2θ.
        doublet: share of CuKa2 in the doublet, 0 to 1/3.
        zero_shift: degrees added to every angle.
        displacement: degrees; the shift is this times cos θ (flat sample off the axis).
        gauss_fwhm: instrument's Gaussian width, degrees.
        size: Scherrer broadening at θ = 0, degrees (Lorentzian, over cos θ).
        strain: strain broadening, degrees (Lorentzian, times tan θ).
        debye_waller: overall isotropic B, Å^2.
        texture: spread of ln(intensity) from line to line (coarse grains, preferred orientation).
        scale: length of every axis relative to the structure given.
        counts: of the strongest point, background left out.
        background: level at mid-range relative to the strongest point.
        background_shape: six numbers: slope, curvature, air scatter, hump height, centre and width.
        impurity: height of a second phase's strongest line, 0 for none.
    """

    start: float
    stop: float
    step: float
    doublet: float
    zero_shift: float
    displacement: float
    gauss_fwhm: float
    size: float
    strain: float
    debye_waller: float
    texture: float
    scale: float
    counts: float
    background: float
    background_shape: tuple[float, float, float, float, float, float]
    impurity: float


@dataclass(frozen=True)
class Laboratory:
    """Ranges from which instruments and samples are drawn; logarithmic where both ends are positive.

    An effect is switched off by setting its range to (0, 0), or (1, 1) for `scale`.
    """

    start: Range = (3.0, 20.0)
    stop: Range = (60.0, 92.0)
    full_range_share: float = 0.7
    steps: tuple[float, ...] = (0.01, 0.02, 0.02, 0.03)
    doublet_share: float = 0.85
    zero_shift: Range = (-0.06, 0.06)
    displacement: Range = (-0.1, 0.1)
    gauss_fwhm: Range = (0.03, 0.16)
    size: Range = (0.01, 0.4)
    strain: Range = (0.01, 0.4)
    debye_waller: Range = (0.0, 2.0)
    texture: Range = (0.0, 0.7)
    scale: Range = (0.97, 1.03)
    counts: Range = (150.0, 50_000.0)
    background: Range = (0.003, 0.5)
    impurity_share: float = 0.3
    impurity: Range = (0.01, 0.12)

    def draw(self, rng: np.random.Generator) -> Conditions:
        """One instrument and one sample."""

        def uniform(span: Range) -> float:
            return float(rng.uniform(*span))

        def spread(span: Range) -> float:
            return float(math.exp(rng.uniform(math.log(span[0]), math.log(span[1])))) if span[0] > 0 else 0.0

        whole = rng.random() < self.full_range_share
        return Conditions(
            start=5.0 if whole else uniform(self.start),
            stop=90.0 if whole else uniform(self.stop),
            step=float(rng.choice(self.steps)),
            doublet=1 / 3 if rng.random() < self.doublet_share else 0.0,
            zero_shift=uniform(self.zero_shift),
            displacement=uniform(self.displacement),
            gauss_fwhm=spread(self.gauss_fwhm),
            size=spread(self.size),
            strain=spread(self.strain),
            debye_waller=uniform(self.debye_waller),
            texture=uniform(self.texture),
            scale=uniform(self.scale),
            counts=spread(self.counts),
            background=spread(self.background),
            background_shape=(
                uniform((-1, 1)),
                uniform((-0.5, 0.5)),
                float(rng.exponential(0.5)),
                float(rng.exponential(0.5)) if rng.random() < 0.3 else 0.0,
                uniform((15, 40)),
                uniform((5, 15)),
            ),
            impurity=spread(self.impurity) if rng.random() < self.impurity_share else 0.0,
        )


def measure(
    q: NDArray[np.floating],
    intensity: NDArray[np.floating],
    conditions: Conditions,
    rng: np.random.Generator,
    impurity: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Record the lines of a structure as an instrument would.

    Args:
        q: (n,) 1/Å^2, with `intensity` (n,) for CuKa, any scale.
        conditions: instrument and sample.
        rng: noise and texture.
        impurity: q and intensity of a second phase, used when the conditions hold one.

    Returns:
        2θ (m,) in degrees and counts (m,).
    """
    c = conditions
    n = round((c.stop - c.start) / c.step) + 1
    two_theta = c.start + c.step * np.arange(n, dtype=np.float64)
    signal = np.zeros(n)
    phases = [(q, intensity, 1.0)]
    if impurity is not None and c.impurity > 0:
        phases.append((*impurity, c.impurity))
    for phase_q, phase_intensity, share in phases:
        heights = np.asarray(phase_intensity, dtype=float)
        if c.texture > 0:
            heights = heights * np.exp(c.texture * rng.standard_normal(len(heights)))
        heights = heights * np.exp(-0.5 * c.debye_waller * np.asarray(phase_q, dtype=float))
        heights = heights * (share / heights.max())
        positions = np.asarray(phase_q, dtype=float) / c.scale**2
        draw_lines(positions, heights * (1 - c.doublet), _KA1 if c.doublet else _MEAN, _widths(c), two_theta, signal)
        if c.doublet:
            draw_lines(positions, heights * c.doublet, _KA2, _widths(c), two_theta, signal)
    top = signal.max()
    if top > 0:
        signal /= top
    expected = c.counts * (signal + _background(two_theta, c))
    return two_theta, rng.poisson(expected).astype(float)


def _widths(c: Conditions) -> NDArray[np.float64]:
    return np.array([c.gauss_fwhm, c.size, c.strain, c.zero_shift, c.displacement])


def _background(two_theta: NDArray[np.float64], c: Conditions) -> NDArray[np.float64]:
    """Polynomial, air scatter at low angles and an amorphous hump; never below a tenth of its level."""
    slope, curvature, air, hump, centre, width = c.background_shape
    x = (two_theta - 47.5) / 42.5
    shape = 1 + 0.5 * slope * x + curvature * x * x + air * np.exp(-(two_theta - 5.0) / 6.0)
    shape = shape + hump * np.exp(-0.5 * ((two_theta - centre) / width) ** 2)
    return c.background * np.maximum(shape, 0.1)


@njit(cache=True, fastmath=True, error_model="numpy")
def draw_lines(q, height, wavelength, widths, two_theta, out):
    """Add pseudo-Voigt lines at their exact positions to a regular grid.

    Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987), equations for the width and the mixing.
    The tails end where a line falls under 1e-4 of the strongest.

    Args:
        q, height: (n,) positions in 1/Å^2 and areas.
        wavelength: Å.
        widths: gauss FWHM, size, strain, zero shift, displacement, degrees.
        two_theta, out: (m,) regular grid in degrees, and what is added to.
    """
    start, step, m = two_theta[0], two_theta[1] - two_theta[0], two_theta.shape[0]
    gauss, size, strain, zero, displacement = widths[0], widths[1], widths[2], widths[3], widths[4]
    floor = 1e-4 * height.max()
    for i in range(q.shape[0]):
        sine = 0.5 * wavelength * math.sqrt(q[i])
        if sine >= 0.999:
            continue
        theta = math.asin(sine)
        cosine = math.cos(theta)
        position = 2.0 * theta * 180.0 / math.pi + zero + displacement * cosine
        if position < start - 1.0 or position > two_theta[m - 1] + 1.0:
            continue
        lorentz = size / cosine + strain * sine / cosine
        g, f = gauss, lorentz
        fwhm = (
            g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
        ) ** 0.2
        ratio = f / fwhm
        eta = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
        half = 0.5 * fwhm
        lorentz_top = height[i] * eta / (math.pi * half)
        gauss_top = height[i] * (1.0 - eta) * math.sqrt(math.log(2.0) / math.pi) / half
        reach = min(half * math.sqrt(max(lorentz_top * half / floor, 9.0)), 30.0 * fwhm)
        first = max(0, int((position - reach - start) / step) + 1)
        last = min(m - 1, int((position + reach - start) / step))
        for j in range(first, last + 1):
            u = (start + step * j - position) / half
            value = lorentz_top / (1.0 + u * u)
            if -4.5 < u < 4.5:
                value += gauss_top * math.exp(-0.6931471805599453 * u * u)
            out[j] += value
