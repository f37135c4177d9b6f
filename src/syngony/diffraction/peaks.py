"""Shifted and broadened lines of one wavelength onto a regular grid.

`line_shape` draws the same pseudo-Voigts onto any grid. This one is three times faster, which training
on fresh patterns needs: positions of points need no search, and the Gaussian goes by recurrence.
"""

from __future__ import annotations

import math

from numba import njit

TAIL = 2e-4
"""Lines are drawn to where they fall under this share of the strongest one's height."""


@njit(cache=True, fastmath=True, error_model="numpy")
def draw_lines(q, area, broadening, wavelength, shape, start, step, out):
    """Add the lines of one wavelength to a regular grid.

    Width and mixing of the pseudo-Voigt by Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987),
    equations 4 to 7. The shifts are those of the Bragg-Brentano geometry (Klug & Alexander, X-ray
    Diffraction Procedures, 1974, chapter 5): zero + displacement cos θ - transparency sin 2θ.

    Args:
        q, area: (n,) positions in 1/Å^2 and integrated intensities.
        broadening: (n,) factor on the widths by size and strain.
        wavelength: Å.
        shape: zero shift, displacement, transparency, gauss FWHM, size, strain; degrees.
        start, step: of the grid, degrees.
        out: (m,) intensity per degree, added to.
    """
    zero, displacement, transparency = shape[0], shape[1], shape[2]
    gauss, size, strain = shape[3], shape[4], shape[5]
    m = out.shape[0]
    floor = TAIL * area.max()
    ln2 = math.log(2.0)
    for i in range(q.shape[0]):
        sine = 0.5 * wavelength * math.sqrt(q[i])
        if sine >= 0.9999 or area[i] <= 0.0:
            continue
        theta = math.asin(sine)
        cosine = math.sqrt(1.0 - sine * sine)
        position = 2.0 * theta * 180.0 / math.pi + zero + displacement * cosine - 2.0 * transparency * sine * cosine
        f = (size / cosine + strain * sine / cosine) * broadening[i]
        g = gauss
        fwhm = (
            g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
        ) ** 0.2
        ratio = f / fwhm
        eta = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
        half = 0.5 * fwhm
        lorentz = area[i] * eta / (math.pi * half)
        normal = area[i] * (1.0 - eta) * math.sqrt(ln2 / math.pi) / half
        reach = half * min(math.sqrt(max(lorentz * half / floor, 9.0)), 60.0)
        first = max(0, math.ceil((position - reach - start) / step))
        last = min(m - 1, math.floor((position + reach - start) / step))
        origin, scale = (start - position) / half, step / half
        for j in range(first, last + 1):
            u = origin + scale * j
            out[j] += lorentz / (1.0 + u * u)
        core = min(reach, 3.2 * half)
        first = max(0, math.ceil((position - core - start) / step))
        last = min(m - 1, math.floor((position + core - start) / step))
        # exp(-ln2 u^2) from point to point: the ratio of neighbours falls by a constant factor.
        u = origin + scale * first
        value = normal * math.exp(-ln2 * u * u)
        ratio = math.exp(-ln2 * scale * (2.0 * u + scale))
        factor = math.exp(-2.0 * ln2 * scale * scale)
        for j in range(first, last + 1):
            out[j] += value
            value *= ratio
            ratio *= factor
