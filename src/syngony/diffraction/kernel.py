"""The compiled heart of the simulator: every reflection of a half sphere and its structure factor.

Physics (De Graef & McHenry, Structure of Materials, chapters 11-12; the same as pymatgen's
``XRDCalculator``): neutral-atom scattering factors, kinematic intensities, isotropic displacement
parameters where given, no anomalous terms f' and f''.

All of the half sphere is summed without symmetry short-cuts, so a result does not hang on a
tolerance. For each element the sum over sites is a matrix product of real numbers::

    [ cos φ  ]                                  φ = 2π(hx + ky), one row each (h, k)
    [ sin φ  ] (2 rows, sites) @ [cos ψ  sin ψ] (sites, 2 columns),  ψ = 2πlz, one column each |l|

whose four blocks give (h, k, l) and (h, k, -l) at once. The third axis is the longest.

Developers: numba's cache looks at one file only. After a change here, touch the files that call this one
(or empty ``__pycache__``), or their old compiled copies go on running.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.diffraction.exponential import exp_negative

FORM_FACTOR_CONSTANT = 41.78214

_MULTIPLICATIONS = 250_000  # in one matrix product: OpenBLAS would wake threads above 262,144, which costs more
_SITES = 64  # of one matrix product


@njit(cache=True, nogil=True, error_model="numpy")
def _reciprocal_vectors(lattice):
    """Cross products of the cell vectors as rows, Å^2 (reciprocal vectors times the volume), and the volume."""
    star = np.empty((3, 3))
    for i in range(3):
        a, b = lattice[(i + 1) % 3], lattice[(i + 2) % 3]
        for x in range(3):
            y, z = (x + 1) % 3, (x + 2) % 3
            star[i, x] = a[y] * b[z] - a[z] * b[y]
    return star, abs((lattice[0] * star[0]).sum())


@njit(cache=True, nogil=True, error_model="numpy")
def reciprocal_metric(lattice):
    """(3, 3) reciprocal metric tensor, 1/Å^2, of cell vectors (rows, Å)."""
    star, volume = _reciprocal_vectors(lattice)
    metric = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            metric[i, j] = (star[i] * star[j]).sum() / (volume * volume)
    return metric


@njit(cache=True, nogil=True, error_model="numpy")
def _row_range(metric, h, k, q_max):
    """First and last l of the row (h, k, .) inside Q <= q_max, and Q's constant and linear terms."""
    linear = metric[0, 2] * h + metric[1, 2] * k
    constant = metric[0, 0] * h * h + metric[1, 1] * k * k + 2.0 * metric[0, 1] * h * k
    discriminant = linear * linear - metric[2, 2] * (constant - q_max)
    if discriminant < 0.0:
        return 1, 0, constant, linear
    root = math.sqrt(discriminant)
    first = math.ceil((-linear - root) / metric[2, 2] - 1e-12)
    last = math.floor((-linear + root) / metric[2, 2] + 1e-12)
    if h == 0 and k == 0:
        first = 1
    return first, last, constant, linear


@njit(cache=True, nogil=True, error_model="numpy")
def expected_size(lattice, q_max):
    """About how many reflections, or rows of them if that is more, the half sphere of a cell holds."""
    radius = math.sqrt(q_max)
    lengths = np.sort(np.sqrt((lattice * lattice).sum(axis=1)))
    _, volume = _reciprocal_vectors(lattice)
    return max(2.1 * volume * radius**3, 2.0 * (radius * lengths[0] + 1.0) * (radius * lengths[1] + 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def list_rows(metric, bounds, q_max):
    """Rows (h, k, .) of the half sphere that hold a reflection with 0 < Q <= q_max.

    Args:
        metric: (3, 3) reciprocal metric tensor, 1/Å^2, the longest axis last.
        bounds: (3,) largest |h|, |k|, |l|: the radius in 1/Å times the cell length (the radius over
            the reciprocal length would lose reflections of a skewed cell).

    Returns:
        (rows, 4) h, k, first and last l; (rows, 2) constant and linear term of Q; reflections in all.
    """
    most = (bounds[0] + 1) * (2 * bounds[1] + 1)
    rows, terms = np.empty((most, 4), np.int64), np.empty((most, 2))
    n, total = 0, 0
    for h in range(bounds[0] + 1):
        for k in range(-bounds[1] if h > 0 else 0, bounds[1] + 1):
            first, last, constant, linear = _row_range(metric, h, k, q_max)
            first, last = max(first, -bounds[2]), min(last, bounds[2])
            if last >= first:
                rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3] = h, k, first, last
                terms[n, 0], terms[n, 1] = constant, linear
                total += last - first + 1
                n += 1
    return rows[:n], terms[:n], total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _phases(coordinate, low, n, cosine, sine):
    """cos and sin of 2 pi m x for m = low..low + n - 1, one row a site, by recurrence from m = 0."""
    for j in range(coordinate.shape[0]):
        angle = 2.0 * math.pi * coordinate[j]
        step_re, step_im = math.cos(angle), math.sin(angle)
        re, im = 1.0, 0.0
        for m in range(max(n + low, 1 - low)):
            if m < n + low:
                cosine[j, m - low], sine[j, m - low] = re, im
            if m <= -low:
                cosine[j, -m - low], sine[j, -m - low] = re, -im
            re, im = re * step_re - im * step_im, re * step_im + im * step_re


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _form_factor(q, number, a, b, thermal, out):
    """f of one element at Q, with its displacement parameter (B in Å^2): f exp(-B s^2), s^2 = Q / 4."""
    for t in range(q.shape[0]):
        s2 = 0.25 * q[t]
        decay = a[0] * exp_negative(-b[0] * s2)
        for c in range(1, 4):
            decay += a[c] * exp_negative(-b[c] * s2)
        out[t] = number - FORM_FACTOR_CONSTANT * s2 * decay
    if thermal != 0.0:
        for t in range(q.shape[0]):
            out[t] *= exp_negative(-0.25 * thermal * q[t])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_element(rows, bounds, coords, occupancy, factor, f_re, f_im):
    """Add factor times the sum over some sites of one element to F of every reflection, row after row."""
    n_sites, n_rows, width = coords.shape[0], rows.shape[0], bounds[2] + 1
    n0, n1 = bounds[0] + 1, 2 * bounds[1] + 1
    cos_h, sin_h = np.empty((n_sites, n0)), np.empty((n_sites, n0))
    cos_k, sin_k = np.empty((n_sites, n1)), np.empty((n_sites, n1))
    along = np.empty((n_sites, 2 * width))
    _phases(coords[:, 0], 0, n0, cos_h, sin_h)
    _phases(coords[:, 1], -bounds[1], n1, cos_k, sin_k)
    _phases(coords[:, 2], 0, width, along[:, :width], along[:, width:])
    slab = min(n_rows, max(1, _MULTIPLICATIONS // (4 * width * n_sites)))
    across = np.empty((n_sites, 2 * slab))
    product = np.empty((2 * slab, 2 * width))
    m = 0
    for begin in range(0, n_rows, slab):
        n = min(slab, n_rows - begin)
        if n < slab:
            across, product = np.empty((n_sites, 2 * n)), np.empty((2 * n, 2 * width))
        for j in range(n_sites):
            weight = occupancy[j]
            for r in range(n):
                h, k = rows[begin + r, 0], rows[begin + r, 1] + bounds[1]
                across[j, r] = weight * (cos_h[j, h] * cos_k[j, k] - sin_h[j, h] * sin_k[j, k])
                across[j, n + r] = weight * (cos_h[j, h] * sin_k[j, k] + sin_h[j, h] * cos_k[j, k])
        np.dot(across.T, along, product)
        for r in range(n):
            first, last = rows[begin + r, 2], rows[begin + r, 3]
            re, im = product[r], product[n + r]
            for index in range(first, min(last, -1) + 1):
                t = m + index - first
                f_re[t] += factor[t] * (re[-index] + im[width - index])
                f_im[t] += factor[t] * (im[-index] - re[width - index])
            for index in range(max(first, 0), last + 1):
                t = m + index - first
                f_re[t] += factor[t] * (re[index] - im[width + index])
                f_im[t] += factor[t] * (im[index] + re[width + index])
            m += last - first + 1


@njit(cache=True, nogil=True, error_model="numpy")
def half_sphere(lattice, element, frac_coords, occupancy, table, thermal, q_min, q_max):
    """Every reflection with h >= 0 along the shortest axis (one of each Friedel pair) in a shell of Q.

    Args:
        lattice: (3, 3) cell vectors as rows, Å.
        element: (n,) rows of `table`; frac_coords (n, 3); occupancy (n,).
        table: (n_elements, 9) atomic number, four a and four b of the scattering factors.
        thermal: (n_elements,) isotropic displacement parameters B, Å^2.
        q_min, q_max: limits of Q = 1/d^2, 1/Å^2, both included.

    Returns:
        Q (m,) in 1/Å^2, |F|^2 (m,) in electrons^2, hkl (m, 3) int64, not sorted.
    """
    lengths = np.sqrt((lattice * lattice).sum(axis=1))
    axes = np.argsort(lengths)
    vectors = lattice[axes]
    q_max *= 1.0 + 1e-12  # the rounding allowance of a line that sits exactly on the limit
    bounds = np.floor(math.sqrt(q_max) * lengths[axes] + 1e-9).astype(np.int64)
    metric = reciprocal_metric(vectors)
    rows, terms, m = list_rows(metric, bounds, q_max)
    q, hkl = np.empty(m), np.empty((m, 3), np.int64)
    if m == 0:
        return q, np.empty(0), hkl
    t = 0
    for r in range(rows.shape[0]):
        for index in range(rows[r, 2], rows[r, 3] + 1):
            q[t] = terms[r, 0] + 2.0 * terms[r, 1] * index + metric[2, 2] * index * index
            hkl[t, axes[0]], hkl[t, axes[1]], hkl[t, axes[2]] = rows[r, 0], rows[r, 1], index
            t += 1
    f_re, f_im, factor = np.zeros(m), np.zeros(m), np.empty(m)
    order = np.argsort(element, kind="mergesort")
    begin, n_sites = 0, element.shape[0]
    while begin < n_sites:
        this, end = element[order[begin]], begin + 1
        while end < min(n_sites, begin + _SITES) and element[order[end]] == this:
            end += 1
        coords, weight = np.empty((end - begin, 3)), np.empty(end - begin)
        for j in range(begin, end):
            weight[j - begin] = occupancy[order[j]]
            for axis in range(3):
                coords[j - begin, axis] = frac_coords[order[j], axes[axis]]
        if begin == 0 or element[order[begin - 1]] != this:
            _form_factor(q, table[this, 0], table[this, 1:5], table[this, 5:9], thermal[this], factor)
        _add_element(rows, bounds, coords, weight, factor, f_re, f_im)
        begin = end
    if q_min > 0.0:
        inside = q >= q_min
        return q[inside], (f_re * f_re + f_im * f_im)[inside], hkl[inside]
    return q, f_re * f_re + f_im * f_im, hkl
