"""The compiled heart of the simulator: every reflection of a half sphere and its structure factor.

Physics (De Graef & McHenry, Structure of Materials, chapters 11-12; the same as pymatgen's
``XRDCalculator``): neutral-atom scattering factors, kinematic intensities, no anomalous terms.

All of the half sphere is summed without symmetry short-cuts, so a result does not hang on a
tolerance. The third axis is the longest: the innermost loop runs along it over contiguous memory.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

FORM_FACTOR_CONSTANT = 41.78214


@njit(cache=True, fastmath=True, error_model="numpy")
def _phase_table(coordinate, n, real, imaginary, origin):
    """exp(2 pi i m x) for m = 0..n (and -n..-1 where origin > 0), one row a site, by recurrence."""
    for j in range(coordinate.shape[0]):
        angle = 2.0 * math.pi * coordinate[j]
        step_re, step_im = math.cos(angle), math.sin(angle)
        re, im = 1.0, 0.0
        for m in range(n + 1):
            real[j, origin + m] = re
            imaginary[j, origin + m] = im
            if origin > 0:
                real[j, origin - m] = re
                imaginary[j, origin - m] = -im
            re, im = re * step_re - im * step_im, re * step_im + im * step_re


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def count_half_sphere(metric, bounds, q_max):
    """Number of reflections of the half sphere with 0 < Q <= q_max."""
    total = 0
    for h in range(bounds[0] + 1):
        for k in range(-bounds[1] if h > 0 else 0, bounds[1] + 1):
            first, last, _, _ = _row_range(metric, h, k, q_max)
            if last >= first:
                total += last - first + 1
    return total


@njit(cache=True, fastmath=True, error_model="numpy")
def half_sphere(metric, bounds, q_max, coords, occupancy, starts, number, a, b, q_out, f2_out, hkl_out):
    """Q, |F|^2 and hkl of every reflection of the half sphere; returns their number.

    Args:
        metric: (3, 3) reciprocal metric tensor, 1/Å^2.
        bounds: (3,) largest |h|, |k|, |l|.
        coords: (n, 3) fractional coordinates, sites sorted by element; starts (n_elements + 1,)
            delimits them; occupancy (n,).
        number, a, b: (n_elements,), (n_elements, 4), (n_elements, 4) scattering-factor coefficients.
        q_out, f2_out: (m,), hkl_out (m, 3): filled, m from `count_half_sphere`.
    """
    n_sites, n_elements = coords.shape[0], number.shape[0]
    n0, n1, n2 = bounds[0], bounds[1], bounds[2]
    re0, im0 = np.empty((n_sites, n0 + 1)), np.empty((n_sites, n0 + 1))
    re1, im1 = np.empty((n_sites, 2 * n1 + 1)), np.empty((n_sites, 2 * n1 + 1))
    re2, im2 = np.empty((n_sites, 2 * n2 + 1)), np.empty((n_sites, 2 * n2 + 1))
    _phase_table(coords[:, 0], n0, re0, im0, 0)
    _phase_table(coords[:, 1], n1, re1, im1, n1)
    _phase_table(coords[:, 2], n2, re2, im2, n2)
    width = 2 * n2 + 1
    f_re, f_im = np.empty(width), np.empty(width)
    sum_re, sum_im = np.empty(width), np.empty(width)
    s2, decay = np.empty(width), np.empty(width)
    m = 0
    for h in range(n0 + 1):
        for k in range(-n1 if h > 0 else 0, n1 + 1):
            first, last, constant, linear = _row_range(metric, h, k, q_max)
            if last < first:
                continue
            n, offset = last - first + 1, first + n2
            for t in range(n):
                index = first + t
                q = constant + 2.0 * linear * index + metric[2, 2] * index * index
                q_out[m + t] = q
                hkl_out[m + t, 0] = h
                hkl_out[m + t, 1] = k
                hkl_out[m + t, 2] = index
                s2[t] = 0.25 * q
                f_re[t] = 0.0
                f_im[t] = 0.0
            for e in range(n_elements):
                for t in range(n):
                    sum_re[t] = 0.0
                    sum_im[t] = 0.0
                    decay[t] = 0.0
                for j in range(starts[e], starts[e + 1]):
                    re = (re0[j, h] * re1[j, k + n1] - im0[j, h] * im1[j, k + n1]) * occupancy[j]
                    im = (re0[j, h] * im1[j, k + n1] + im0[j, h] * re1[j, k + n1]) * occupancy[j]
                    for t in range(n):
                        sum_re[t] += re * re2[j, offset + t] - im * im2[j, offset + t]
                        sum_im[t] += re * im2[j, offset + t] + im * re2[j, offset + t]
                for c in range(a.shape[1]):
                    for t in range(n):
                        decay[t] += a[e, c] * math.exp(-b[e, c] * s2[t])
                for t in range(n):
                    factor = number[e] - FORM_FACTOR_CONSTANT * s2[t] * decay[t]
                    f_re[t] += factor * sum_re[t]
                    f_im[t] += factor * sum_im[t]
            for t in range(n):
                f2_out[m + t] = f_re[t] * f_re[t] + f_im[t] * f_im[t]
            m += n
    return m


@njit(cache=True, error_model="numpy")
def merge_lines(order, q, intensity, hkl, key, q_out, intensity_out, count_out, hkl_out):
    """Sum reflections that share a key (a rounded position), in the given order; returns the count.

    A line keeps the Q of its first reflection and, as its hkl, the lexicographically largest triple.
    """
    n = -1
    previous = np.int64(-1)
    for i in order:
        if key[i] == previous:
            intensity_out[n] += intensity[i]
            count_out[n] += 2
            for axis in range(3):
                if hkl[i, axis] != hkl_out[n, axis]:
                    if hkl[i, axis] > hkl_out[n, axis]:
                        hkl_out[n] = hkl[i]
                    break
        else:
            n += 1
            previous = key[i]
            q_out[n] = q[i]
            intensity_out[n] = intensity[i]
            count_out[n] = 2
            hkl_out[n] = hkl[i]
    return n + 1
