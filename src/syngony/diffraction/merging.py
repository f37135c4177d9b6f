"""Reflections that fall together become one line: sorting by Q, comparing, summing. Compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

MERGE_TOLERANCE = 1e-5
"""Reflections whose 2θ (degrees) rounds to the same multiple of this are one line, as in pymatgen."""

Q_TOLERANCE = 1e-7
"""Relative difference of Q under which reflections are one line when no wavelength is given."""

INTENSITY_CUT = 1e-3
"""Lines weaker than this, on a scale where the strongest is 100, are left out, as in pymatgen."""

_EQUAL = 1e-13  # relative difference of Q that is rounding only


@njit(cache=True, nogil=True, error_model="numpy")
def order_of_q(q):
    """(m,) the order that sorts Q upwards: into about m buckets of equal expected number, then insertion."""
    m = q.shape[0]
    order = np.empty(m, np.int64)
    if m == 0:
        return order
    scale = (m - 1) / q.max() ** 1.5  # reflections up to Q grow as Q^(3/2)
    bucket, ends = np.empty(m, np.int64), np.zeros(m + 1, np.int64)
    for i in range(m):
        bucket[i] = int(scale * q[i] * math.sqrt(q[i]))
        ends[bucket[i] + 1] += 1
    ends = np.cumsum(ends)
    for i in range(m):
        order[ends[bucket[i]]] = i
        ends[bucket[i]] += 1
    for i in range(1, m):
        this, j = order[i], i
        while j > 0 and q[order[j - 1]] > q[this]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = this
    return order


@njit(cache=True, nogil=True, error_model="numpy")
def two_theta_of(q, wavelength):
    """2θ in degrees of one Q; 180 where rounding puts it beyond."""
    return 2.0 * math.asin(min(1.0, 0.5 * wavelength * math.sqrt(q))) * (180.0 / math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def merge(q, weight, hkl, wavelength):
    """Sum the reflections of a half sphere that fall together.

    Args:
        q: (m,) 1/Å^2; weight (m,) intensity or |F|^2 of one reflection; hkl (m, 3).
        wavelength: Å, to compare by 2θ within `MERGE_TOLERANCE`; 0 to compare by Q within `Q_TOLERANCE`.

    Returns:
        For each line in order of Q: Q of its first reflection, the summed weight of both Friedel
        mates, their number, the lexicographically largest hkl.
    """
    m, n, previous = q.shape[0], -1, np.int64(-1)
    line_q, total, multiplicity, indices = np.empty(m), np.zeros(m), np.zeros(m, np.int64), np.empty((m, 3), hkl.dtype)
    for i in order_of_q(q):
        same = n >= 0 and q[i] - line_q[n] <= _EQUAL * q[i]
        if not same and wavelength > 0.0:
            key = np.int64(np.rint(two_theta_of(q[i], wavelength) / MERGE_TOLERANCE))
            same = n >= 0 and key == previous
            previous = key
        elif not same and n >= 0:
            same = q[i] - line_q[n] <= Q_TOLERANCE * line_q[n]
        if not same:
            n += 1
            line_q[n] = q[i]
            indices[n] = hkl[i]
        total[n] += 2.0 * weight[i]
        multiplicity[n] += 2
        for axis in range(3):
            if hkl[i, axis] != indices[n, axis]:
                if hkl[i, axis] > indices[n, axis]:
                    indices[n] = hkl[i]
                break
    return line_q[: n + 1], total[: n + 1], multiplicity[: n + 1], indices[: n + 1]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def polarise(q, squared_factor, wavelength, polarisation):
    """(m,) |F|^2 times the Lorentz-polarisation factor (1 + A cos^2 2θ) / ((1 + A) sin^2 θ cos θ).

    A is `polarisation`: 1 without a monochromator, cos^2 of the monochromator's 2θ with one. The
    constant factor of the case A = 1 is left out, as in pymatgen.
    """
    intensity = np.empty(q.shape[0])
    for i in range(q.shape[0]):
        sin2 = 0.25 * wavelength * wavelength * q[i]
        cosine = 1.0 - 2.0 * sin2
        lorentz = sin2 * math.sqrt(max(1.0 - sin2, 1e-12))
        intensity[i] = squared_factor[i] * (1.0 + polarisation * cosine * cosine) / lorentz
    return intensity


@njit(cache=True, nogil=True, error_model="numpy")
def powder_lines(q, squared_factor, hkl, wavelength, polarisation):
    """Merged lines above `INTENSITY_CUT`: 2θ (degrees), Q, intensity (strongest 100), multiplicity, hkl."""
    intensity = polarise(q, squared_factor, wavelength, polarisation)
    line_q, total, multiplicity, indices = merge(q, intensity, hkl, wavelength)
    n, top = 0, 0.0
    for i in range(line_q.shape[0]):
        top = max(top, total[i])
    two_theta = np.empty(line_q.shape[0])
    for i in range(line_q.shape[0]):
        height = total[i] * (100.0 / top)
        if height > INTENSITY_CUT:
            two_theta[n], line_q[n], total[n] = two_theta_of(line_q[i], wavelength), line_q[i], height
            multiplicity[n], indices[n] = multiplicity[i], indices[i]
            n += 1
    return two_theta[:n], line_q[:n], total[:n], multiplicity[:n], indices[:n]
