"""The compiled inner loops of the Pawley fit."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_LN2 = math.log(2.0)
_GAUSS = 2.0 * math.sqrt(_LN2 / math.pi)
_LORENTZ = 2.0 / math.pi


@njit(cache=True, error_model="numpy")
def hat_functions(grid, knots):
    """For each point (m,) the knot below it and how far it is to the next, 0 to 1; knots evenly spaced."""
    spacing = (knots[-1] - knots[0]) / (knots.shape[0] - 1)
    index, fraction = np.empty(grid.shape[0], np.int64), np.empty(grid.shape[0])
    for i in range(grid.shape[0]):
        position = (grid[i] - knots[0]) / spacing
        index[i] = min(int(position), knots.shape[0] - 2)
        fraction[i] = position - index[i]
    return index, fraction


@njit(cache=True, error_model="numpy", inline="always")
def _reach(fwhm, share):
    return fwhm * (1.6 + 8.0 * share)


@njit(cache=True, fastmath=True, error_model="numpy")
def line_columns(grid, positions, shares, fwhm, mixing):
    """Each line as a curve of unit area.

    Args:
        grid: (m,) degrees.
        positions: (n, r) degrees, of each line at each wavelength; shares: (r,) of the intensity.
        fwhm, mixing: (n,) degrees, and the Lorentzian share.

    Returns:
        first (n,): the point where a column begins; start (n + 1,): where it lies in values (flat).
    """
    n, r = positions.shape
    first, start = np.empty(n, np.int64), np.zeros(n + 1, np.int64)
    for k in range(n):
        reach = _reach(fwhm[k], mixing[k])
        low = np.searchsorted(grid, positions[k].min() - reach)
        high = np.searchsorted(grid, positions[k].max() + reach)
        first[k], start[k + 1] = low, start[k] + high - low
    values = np.zeros(start[n])
    for k in range(n):
        reach, half = _reach(fwhm[k], mixing[k]), 0.5 * fwhm[k]
        for c in range(r):
            lorentz = shares[c] * mixing[k] * _LORENTZ / fwhm[k]
            gauss = shares[c] * (1.0 - mixing[k]) * _GAUSS / fwhm[k]
            low = np.searchsorted(grid, positions[k, c] - reach)
            high = np.searchsorted(grid, positions[k, c] + reach)
            for i in range(low, high):
                u = (grid[i] - positions[k, c]) / half
                u *= u
                values[start[k] + i - first[k]] += lorentz / (1.0 + u) + gauss * math.exp(-_LN2 * u)
    return first, start, values


@njit(cache=True, fastmath=True, error_model="numpy")
def normal_matrix(first, start, values, weights, counts, knot, fraction, knots):
    """Normal matrix and right sides of lines (a) and background (b): aa, ab, bb, a, b."""
    n, m = first.shape[0], counts.shape[0]
    aa, ab = np.zeros((n, n)), np.zeros((n, knots))
    bb, a, b = np.zeros((knots, knots)), np.zeros(n), np.zeros(knots)
    for i in range(m):
        j, f, w = knot[i], fraction[i], weights[i]
        bb[j, j] += w * (1.0 - f) * (1.0 - f)
        bb[j, j + 1] += w * f * (1.0 - f)
        bb[j + 1, j + 1] += w * f * f
        b[j] += w * (1.0 - f) * counts[i]
        b[j + 1] += w * f * counts[i]
    for j in range(knots - 1):
        bb[j + 1, j] = bb[j, j + 1]
    weighted = np.empty(m)
    for k in range(n):
        low, size = first[k], start[k + 1] - start[k]
        for i in range(size):
            w = weights[low + i] * values[start[k] + i]
            weighted[i] = w
            a[k] += w * counts[low + i]
            j, f = knot[low + i], fraction[low + i]
            ab[k, j] += w * (1.0 - f)
            ab[k, j + 1] += w * f
        for other in range(k, n):
            begin = max(low, first[other])
            end = min(low + size, first[other] + start[other + 1] - start[other])
            if begin >= end:
                if first[other] >= low + size:
                    break
                continue
            total = 0.0
            there = start[other] - first[other]
            for i in range(begin, end):
                total += weighted[i - low] * values[there + i]
            aa[k, other] = total
            aa[other, k] = total
    return aa, ab, bb, a, b


@njit(cache=True, fastmath=True, error_model="numpy")
def nonnegative(normal, rhs, x, sweeps):
    """Minimum of x @ normal @ x / 2 - rhs @ x over x >= 0 by coordinate descent from x, which is overwritten."""
    n = rhs.shape[0]
    gradient = rhs - normal @ x
    largest = 0.0
    for k in range(n):
        largest = max(largest, normal[k, k])
    for _ in range(sweeps):
        change, size = 0.0, 0.0
        for k in range(n):
            if normal[k, k] <= 1e-12 * largest:
                continue
            value = max(0.0, x[k] + gradient[k] / normal[k, k])
            delta = value - x[k]
            if delta != 0.0:
                x[k] = value
                for j in range(n):
                    gradient[j] -= delta * normal[k, j]
                change += delta * delta * normal[k, k]
            size += value * value * normal[k, k]
        if change <= 1e-9 * size:
            break
    return x


@njit(cache=True, fastmath=True, error_model="numpy")
def model_of(first, start, values, intensity, background, knot, fraction):
    """The lines' curve (m,), and with the background (m,)."""
    signal = np.zeros(knot.shape[0])
    for k in range(first.shape[0]):
        if intensity[k] > 0.0:
            for i in range(start[k + 1] - start[k]):
                signal[first[k] + i] += intensity[k] * values[start[k] + i]
    curve = np.empty(knot.shape[0])
    for i in range(knot.shape[0]):
        curve[i] = signal[i] + (1.0 - fraction[i]) * background[knot[i]] + fraction[i] * background[knot[i] + 1]
    return signal, curve


@njit(cache=True, fastmath=True, error_model="numpy")
def slopes(grid, positions, shares, fwhm, mixing, intensity, by_position, by_width, by_share):
    """Derivatives (m, p) of the lines' curve by p parameters, through position, width and mixing of each line.

    Args:
        grid, positions, shares, fwhm, mixing: as for `line_columns`.
        intensity: (n,) areas.
        by_position: (n, r, p) degrees a unit; by_width, by_share: (n, p).
    """
    p = by_width.shape[1]
    out = np.zeros((grid.shape[0], p))
    for k in range(positions.shape[0]):
        if intensity[k] <= 0.0:
            continue
        reach, half = _reach(fwhm[k], mixing[k]), 0.5 * fwhm[k]
        for c in range(positions.shape[1]):
            area = intensity[k] * shares[c]
            low = np.searchsorted(grid, positions[k, c] - reach)
            high = np.searchsorted(grid, positions[k, c] + reach)
            for i in range(low, high):
                u = (grid[i] - positions[k, c]) / half
                square = u * u
                lorentz = _LORENTZ / fwhm[k] / (1.0 + square)
                gauss = _GAUSS / fwhm[k] * math.exp(-_LN2 * square)
                first, second = mixing[k] * lorentz, (1.0 - mixing[k]) * gauss
                move = area * (first * 2.0 * u / (1.0 + square) + second * 2.0 * _LN2 * u) / half
                widen = area * (
                    first * (2.0 * square / (1.0 + square) - 1.0) + second * (2.0 * _LN2 * square - 1.0)
                ) / fwhm[k]  # fmt: skip
                mix = area * (lorentz - gauss)
                for j in range(p):
                    out[i, j] += move * by_position[k, c, j] + widen * by_width[k, j] + mix * by_share[k, j]
    return out
