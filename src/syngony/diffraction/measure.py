"""Record the lines of a sample as an instrument would."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.diffraction.background import background_curve, laid_background
from syngony.diffraction.conditions import Conditions
from syngony.diffraction.peaks import draw_lines
from syngony.diffraction.phase import Phase
from syngony.diffraction.texture import axis_cosines_squared, march_dollase, preferred_axis, strained_q


class Scan(NamedTuple):
    """What an instrument writes: the arguments of `Pattern` and of a view's ``from_scan``, in order.

    Attributes:
        two_theta: (n,) degrees.
        intensity: (n,) counts, or the scale that the conditions state.
        wavelength: Å, as the user would state it.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float


def measure(phase: Phase, conditions: Conditions, rng: np.random.Generator, impurity: Phase | None = None) -> Scan:
    """Record a powder pattern; the same generator state gives the same scan.

    Lines outside the range leave the background alone; with neither, every point is zero. The
    Lorentz-polarisation factor is that of the stated wavelength for all of the radiation.

    Args:
        phase: lines of the sample. Beyond their last Q nothing is known: end the scan before it.
        conditions: instrument and sample.
        rng: of noise, grains and spikes.
        impurity: a second phase, used where the conditions hold one; without texture or strain of its own.

    Raises:
        InputError: the texture axis or the lattice strain is none.
    """
    c = conditions
    two_theta = c.start + c.step * np.arange(c.points, dtype=np.float64)
    signal = np.zeros(c.points)
    _add_phase(signal, phase, c, rng)
    if impurity is not None and c.impurity > 0:
        _add_phase(signal, impurity, c, rng, c.impurity)
    top = signal.max()
    if top > 0:
        signal *= c.counts / top
    # The background is smooth: a knot every half degree, or every hundred points, is enough.
    knots = np.linspace(two_theta[0], two_theta[-1], max(2, min(c.points, 200)))
    background = c.counts * background_curve(knots, c)
    expected = signal + np.interp(two_theta, knots, background)
    counts = poisson(expected, rng.random(c.points)) if c.noise else expected
    if c.spikes > 0:
        where = rng.integers(c.points, size=c.spikes)
        counts[where] += np.floor(c.counts * c.spike_height * rng.random(c.spikes))
    if c.subtracted:
        counts -= np.interp(two_theta, knots, laid_background(background, c))
        np.maximum(counts, 0.0, out=counts)
    if c.full_scale > 0:
        counts = np.round(counts * (c.full_scale / max(counts.max(), 1e-300)))
    return Scan(two_theta, counts, c.wavelength)


@njit(cache=True, fastmath=True, error_model="numpy")
def line_areas(q, strength, wavelength, polarisation, debye_waller, overflow):
    """Integrated intensities (n,): |F|^2 with Lorentz-polarisation, thermal motion and slits; no texture.

    Args:
        q, strength: (n,) 1/Å^2, and sums of |F|^2.
        wavelength: Å. Lines that it does not reach are zero.
        polarisation, debye_waller, overflow: as in `Conditions`.
    """
    area = np.zeros(q.shape[0])
    full = math.sin(math.radians(0.5 * overflow))
    for i in range(q.shape[0]):
        sine2 = 0.25 * wavelength * wavelength * q[i]
        if sine2 >= 0.9998:
            continue
        twice = 1.0 - 2.0 * sine2
        value = strength[i] * (1.0 + polarisation * twice * twice) / (sine2 * math.sqrt(1.0 - sine2))
        if debye_waller > 0.0:
            value *= math.exp(-0.5 * debye_waller * q[i])
        if sine2 < full * full:
            value *= math.sqrt(sine2) / full
        area[i] = value
    return area


def _add_phase(
    signal: NDArray[np.float64], phase: Phase, c: Conditions, rng: np.random.Generator, share: float | None = None
) -> None:
    """Draw one phase; `share` is given for an impurity: its strongest line, that of the sample being 1."""
    q = np.asarray(phase.q, dtype=np.float64)
    broadening = np.ones(len(q))
    if share is None and any(c.lattice_strain):
        q = strained_q(phase, c.lattice_strain)
    area = line_areas(q, phase.strength, c.wavelength, c.polarisation, c.debye_waller, c.overflow)
    if share is None and (c.march != 1.0 or c.anisotropy != 1.0):
        cosines_squared = axis_cosines_squared(phase, preferred_axis(phase, c.texture_axis))
        if c.march != 1.0:
            area = area * march_dollase(cosines_squared, c.march)
        if c.anisotropy != 1.0:
            broadening = np.sqrt(1.0 + (c.anisotropy**2 - 1.0) * cosines_squared.mean(1))
    if c.grain_spread > 0:
        area = area * np.exp(c.grain_spread * rng.standard_normal(len(area)))
    low, high = (2.0 * np.sin(np.radians(np.array([c.start, c.stop]) / 2.0)) / c.wavelength) ** 2
    strongest = area[(q >= low) & (q <= high)].max(initial=0.0)
    if strongest <= 0:
        return
    area *= (1.0 if share is None else share) / strongest
    # A line far outside the range gives nothing; one just outside still shows its tail.
    shortest = min(wavelength for wavelength, _ in c.radiation)
    near = (q > 0.8 * low) & (q < 1.1 * high * max(1.0, c.wavelength / shortest) ** 2)
    q, area, broadening = q[near], area[near], broadening[near]
    shape = np.array([c.zero_shift, c.displacement, c.transparency, c.gauss_fwhm, c.size, c.strain])
    for wavelength, part in c.radiation:
        draw_lines(q, part * area, broadening, wavelength, shape, c.start, c.step, signal)


@njit(cache=True, fastmath=True, error_model="numpy")
def poisson(expected, uniform):
    """Counts (n,) of Poisson's law from one uniform number each.

    Up to ten by inversion, exactly. Above, the square of a normal number about the root of the mean m,
    with spread a^2 = 1/4 - 5/(96 m): mean m and variance m after rounding; the root of a Poisson count is
    nearly normal with variance 1/4 (F. J. Anscombe, Biometrika 35, 246, 1948).
    """
    counts = np.empty(expected.shape[0])
    for i in range(expected.shape[0]):
        m, p = expected[i], uniform[i]
        if m < 10.0:
            term = math.exp(-m)
            total, k = term, 0.0
            while p > total and k < 60.0:
                k += 1.0
                term *= m / k
                total += term
            counts[i] = k
        else:
            spread2 = 0.25 - 0.0520833333 / m
            root = math.sqrt(m) + math.sqrt(spread2) * _normal(p)
            counts[i] = math.floor(root * root - spread2 + 0.5)
    return counts


@njit(cache=True, fastmath=True, error_model="numpy")
def _normal(p):
    """Quantile of the normal distribution, M. J. Wichura, Appl. Stat. 37, 477 (1988), PPND7: 7 digits."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return q * above / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-math.log(max(min(p, 1.0 - p), 1e-11))) - 1.6
    above = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
    value = above / ((0.12021132975 * r + 0.73700164250) * r + 1.0)
    return value if q > 0 else -value
