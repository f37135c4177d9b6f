"""Every line that a cell can give: Q of each non-equivalent reflection, by lattice symmetry.

Q = 1/d^2 is linear in the parameters of the reciprocal metric. They are, by symmetry of the metric:

=============  ====================================================================
cubic          Q = A (h^2 + k^2 + l^2)
tetragonal     Q = A (h^2 + k^2) + C l^2
hexagonal      Q = A (h^2 + hk + k^2) + C l^2, rhombohedral lattices too
orthorhombic   Q = A h^2 + B k^2 + C l^2
monoclinic     Q = A h^2 + B k^2 + C l^2 + D hl
triclinic      Q = A h^2 + B k^2 + C l^2 + D kl + E hl + F hk
=============  ====================================================================

Everything here is compiled and works on plain arrays.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

CUBIC, TETRAGONAL, HEXAGONAL, ORTHORHOMBIC, MONOCLINIC, TRICLINIC = range(6)
"""Symmetries of a metric, as the compiled functions know them."""

PARAMETERS = np.array([1, 2, 2, 3, 4, 6])
"""Free parameters of each."""

LAUE_ORDER = np.array([48.0, 16.0, 24.0, 8.0, 4.0, 2.0])
"""Reflections of one general line of each metric symmetry."""

CENTRING_CODES = {"P": 0, "C": 1, "I": 2, "F": 3, "R": 4, "A": 5, "B": 6}


@njit(cache=True, error_model="numpy", inline="always")
def is_allowed(centring, h, k, l):  # noqa: E741
    """Whether a centring (`CENTRING_CODES`) lets a reflection be."""
    if centring == 0:
        return True
    if centring == 1:
        return (h + k) % 2 == 0
    if centring == 2:
        return (h + k + l) % 2 == 0
    if centring == 3:
        return (h + k) % 2 == 0 and (k + l) % 2 == 0
    if centring == 4:
        return (-h + k + l) % 3 == 0
    if centring == 5:
        return (k + l) % 2 == 0
    return (h + l) % 2 == 0


@njit(cache=True, error_model="numpy")
def features(symmetry, h, k, l, row):  # noqa: E741
    """Fill `row` with the factors of the parameters in Q(hkl)."""
    if symmetry == 0:
        row[0] = h * h + k * k + l * l
    elif symmetry == 1:
        row[0] = h * h + k * k
        row[1] = l * l
    elif symmetry == 2:
        row[0] = h * h + h * k + k * k
        row[1] = l * l
    else:
        row[0] = h * h
        row[1] = k * k
        row[2] = l * l
        if symmetry == 4:
            row[3] = h * l
        elif symmetry == 5:
            row[3] = k * l
            row[4] = h * l
            row[5] = h * k


@njit(cache=True, error_model="numpy")
def predict(symmetry, centring, p, q_limit, q, hkl):
    """Fill q and hkl with the non-equivalent reflections below a limit, in no order; return how many.

    Args:
        symmetry, centring: codes.
        p: parameters, 1/Å^2.
        q_limit: 1/Å^2.
        q, hkl: (m,) and (m, 3) to fill. A full buffer ends the list: the cell is too large for it.

    Returns:
        The number of reflections; m where there are m or more; 0 for parameters that are no metric.
    """
    if symmetry <= 3:
        return _predict_orthogonal(symmetry, centring, p, q_limit, q, hkl)
    if symmetry == 4:
        return _predict_monoclinic(centring, p, q_limit, q, hkl)
    return _predict_triclinic(p, q_limit, q, hkl)


@njit(cache=True, error_model="numpy")
def _predict_orthogonal(symmetry, centring, p, q_limit, q, hkl):
    a = p[0]
    b = p[1] if symmetry == 3 else p[0]
    c = p[0] if symmetry == 0 else (p[2] if symmetry == 3 else p[1])
    if not (a > 0 and b > 0 and c > 0):
        return 0
    capacity, n = q.shape[0], 0
    for l in range(int(math.sqrt(q_limit / c)) + 1):  # noqa: E741
        from_l = q_limit - c * l * l
        if from_l < 0:
            break
        for k in range(int(math.sqrt(from_l / b)) + 1):
            from_k = from_l - b * k * k
            if from_k < 0:
                break
            last = int(math.sqrt(from_k / a))
            if symmetry != 3:
                last = min(last, k)
                if symmetry == 0 and k > l:
                    break
            for h in range(last + 1):
                if symmetry == 2:
                    left = from_k - a * (h * h + h * k)
                    if left < 0:
                        break
                    # hkl and khl are one line, and may obey the condition one by one.
                    if centring == 4 and (k - h + l) % 3 != 0 and (h - k + l) % 3 != 0:
                        continue
                else:
                    left = from_k - a * h * h
                if (h == 0 and k == 0 and l == 0) or left < 0:
                    continue
                if centring != 4 and not is_allowed(centring, h, k, l):
                    continue
                q[n] = q_limit - left
                if centring == 4 and (k - h + l) % 3 != 0:
                    hkl[n, 0], hkl[n, 1], hkl[n, 2] = k, h, l
                else:
                    hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, l
                n += 1
                if n == capacity:
                    return n
    return n


@njit(cache=True, error_model="numpy")
def _predict_monoclinic(centring, p, q_limit, q, hkl):
    a, b, c, d = p[0], p[1], p[2], p[3]
    across = c - 0.25 * d * d / a
    if not (a > 0 and b > 0 and across > 0):
        return 0
    capacity, n = q.shape[0], 0
    for k in range(int(math.sqrt(q_limit / b)) + 1):
        from_k = q_limit - b * k * k
        if from_k < 0:
            break
        for l in range(int(math.sqrt(from_k / across)) + 1):  # noqa: E741
            half = 0.5 * d * l / a
            inside = half * half + (from_k - c * l * l) / a
            if inside < 0:
                continue
            root = math.sqrt(inside)
            first = math.ceil(-half - root) if l > 0 else 0
            for h in range(first, math.floor(-half + root) + 1):
                if (h == 0 and k == 0 and l == 0) or not is_allowed(centring, h, k, l):
                    continue
                q[n] = a * h * h + b * k * k + c * l * l + d * h * l
                hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, l
                n += 1
                if n == capacity:
                    return n
    return n


@njit(cache=True, error_model="numpy")
def _predict_triclinic(p, q_limit, q, hkl):
    a, b, c, d, e, f = p[0], p[1], p[2], p[3], p[4], p[5]
    b_k = b - 0.25 * f * f / a
    d_k = d - 0.5 * e * f / a
    c_k = c - 0.25 * e * e / a
    across = c_k - 0.25 * d_k * d_k / b_k
    if not (a > 0 and b_k > 0 and across > 0):
        return 0
    capacity, n = q.shape[0], 0
    for l in range(int(math.sqrt(q_limit / across)) + 1):  # noqa: E741
        half_k = 0.5 * d_k * l / b_k
        inside_k = half_k * half_k + (q_limit - c_k * l * l) / b_k
        if inside_k < 0:
            continue
        root_k = math.sqrt(inside_k)
        first_k = math.ceil(-half_k - root_k) if l > 0 else 0
        for k in range(first_k, math.floor(-half_k + root_k) + 1):
            half = 0.5 * (e * l + f * k) / a
            rest = b * k * k + c * l * l + d * k * l
            inside = half * half + (q_limit - rest) / a
            if inside < 0:
                continue
            root = math.sqrt(inside)
            first = math.ceil(-half - root) if l > 0 or k > 0 else 1
            for h in range(first, math.floor(-half + root) + 1):
                q[n] = a * h * h + rest + (e * l + f * k) * h
                hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, l
                n += 1
                if n == capacity:
                    return n
    return n


@njit(cache=True, error_model="numpy")
def reciprocal_volume_squared(symmetry, p):
    """Determinant of the reciprocal metric, 1/Å^6; the volume is its root's inverse. Negative for no metric."""
    if symmetry == 0:
        return p[0] ** 3
    if symmetry == 1:
        return p[0] * p[0] * p[1]
    if symmetry == 2:
        return 0.75 * p[0] * p[0] * p[1]
    if symmetry == 3:
        return p[0] * p[1] * p[2]
    if symmetry == 4:
        return p[1] * (p[0] * p[2] - 0.25 * p[3] * p[3])
    a, b, c, d, e, f = p[0], p[1], p[2], 0.5 * p[3], 0.5 * p[4], 0.5 * p[5]
    return a * (b * c - d * d) - f * (f * c - d * e) + e * (f * d - b * e)
