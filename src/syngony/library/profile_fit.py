"""The last refinement: cell and zero by least squares on the whole profile, overlapping lines and all. Compiled."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numba import njit

from syngony.library.agreement import LINE_SHAPE, Agreement, line_angles, line_powers, steps_of_a_point
from syngony.library.axis import REFERENCE
from syngony.library.candidates import Candidates, in_threads
from syngony.library.refine import (
    MOST_ZERO,
    PRIOR_SCALE,
    PRIOR_SHAPE,
    PRIOR_ZERO,
    Refined,
    geometry,
    move,
    solve,
    strained_metric,
)
from syngony.library.scan import GRID, Scan
from syngony.library.strain import reciprocal_basis, strain_modes

_STEPS = 4
_HALF_WAVELENGTH = 0.5 * REFERENCE
_TRUST = 0.5  # half widths of a line: the most that one step may move a line on average
_RELATIVE = 0.02  # of a point's intensity, that the shape of lines is wrong by


def fit_profiles(candidates: Candidates, refined: Refined, found: Agreement, scan: Scan) -> Refined:
    """Refine cells and zero once more, against every point of the scan.

    Gauss-Newton steps on the calculated profile with the intensities that `agreement` found; what a line's
    neighbour explains does not pull the line. Weights are those of counting noise and a fixed relative error.

    Args:
        candidates, refined, found: k structures, their refinement and their agreement so far.
        scan: prepared.
    """
    k = len(candidates)
    power = line_powers(candidates, refined, scan.wavelength) * found.factors
    power *= np.repeat(found.height, np.diff(candidates.offsets))
    noise = max(scan.noise, 1e-3)
    weight = 1.0 / (noise**2 + noise * np.maximum(scan.net, 0.0) + (_RELATIVE * scan.net) ** 2)
    q, scores, metric = refined.q.copy(), np.zeros((k, 3)), np.zeros((k, 6))
    angles = line_angles(refined.q)
    narrow = steps_of_a_point(found.width, angles)
    half = 0.5 * np.array([np.median(found.width.at(angles[a:b])) for a, b in pairwise(candidates.offsets)])
    start = np.column_stack([refined.values, refined.zero])

    def work(begin: int, end: int) -> None:
        c = candidates
        _fit_all(
            c.offsets, c.hkl, c.metric, c.space_group, power, narrow, start, scan.net, weight, scan.two_theta[0],
            LINE_SHAPE, half, scan.wavelength, begin, end, q, scores, metric,
        )  # fmt: skip

    in_threads(work, k)
    return Refined(q, scores[:, 0], scores[:, 1], scores[:, 2], refined.score, metric, refined.values)


@njit(cache=True, nogil=True, error_model="numpy")
def _fit_all(
    offsets, hkl, metric, space_group, power, narrow, start, net, weight, first, shape, half, wavelength, begin, end,
    q_out, scores, metric_out,
):  # fmt: skip
    for c in range(begin, end):
        basis = reciprocal_basis(metric[c])
        modes = strain_modes(basis, space_group[c])
        n = modes.shape[0]
        a, b = offsets[c], offsets[c + 1]
        log_q, along = geometry(hkl[a:b], basis, modes)
        values = np.zeros(n + 2)
        values[:n] = start[c, :n]
        values[n] = start[c, 6]
        _fit(log_q, along, values, power[a:b], narrow[a:b], net, weight, first, shape, half[c], wavelength, q_out[a:b])
        rest = 0.0
        for k in range(1, n):
            rest += values[k] * values[k]
        scores[c, 0] = 1.0 / math.sqrt(1.0 - 2.0 * values[0] / math.sqrt(3.0))
        scores[c, 1] = math.sqrt(rest / 3.0)
        scores[c, 2] = values[n]
        metric_out[c] = strained_metric(basis, modes, values)


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(log_q, along, values, power, narrow, net, weight, first, shape, half, wavelength, q_out):
    m, n = along.shape
    size, p = n + 1, net.shape[0]
    prior = np.empty(size)
    prior[0] = 1.0 / (math.sqrt(3.0) * PRIOR_SCALE) ** 2
    prior[1:n] = 1.0 / PRIOR_SHAPE**2
    prior[n] = 1.0 / PRIOR_ZERO**2
    place, slope = np.empty(m), np.empty(m)
    rate = np.empty((m, size))
    column, left = np.zeros((size, p)), np.empty(p)
    best, kept = np.inf, values.copy()
    for turn in range(_STEPS + 1):
        move(log_q, along, values, wavelength, place, slope)
        for x in range(p):
            left[x] = net[x]
        column[:] = 0.0
        for i in range(m):
            angle, stretch = angle_of(place[i]), 1.0
            for k in range(n):
                stretch -= 2.0 * values[k] * along[i, k]
            per_log = math.tan(math.radians(0.5 * angle)) * (180.0 / math.pi)
            for k in range(n):
                rate[i, k] = -2.0 * along[i, k] / stretch * per_log
            rate[i, n] = slope[i] * per_log
            _line(angle, narrow[i], power[i] * narrow[i], rate[i], first, shape, left, column)
        cost = 0.0
        for k in range(size):
            cost += prior[k] * values[k] * values[k]
        for x in range(p):
            cost += weight[x] * left[x] * left[x]
        if cost < best:
            best = cost
            kept[:] = values
        elif turn > 0:
            break
        if turn == _STEPS:
            break
        normal, right = np.zeros((size, size)), np.zeros(size)
        for k in range(size):
            for x in range(p):
                if column[k, x] != 0.0:
                    w = weight[x] * column[k, x]
                    right[k] += w * left[x]
                    for l in range(k + 1):  # noqa: E741
                        normal[k, l] += w * column[l, x]
        for k in range(size):
            normal[k, k] = normal[k, k] * 1.01 + prior[k]
            right[k] -= prior[k] * values[k]
        solve(normal, right)
        weights, moved = 1e-12, 0.0
        for i in range(m):
            change = 0.0
            for k in range(size):
                change += rate[i, k] * right[k]
            weights += power[i]
            moved += power[i] * abs(change)
        shrink = min(1.0, _TRUST * half * weights / max(moved, 1e-12))
        for k in range(size):
            values[k] += shrink * right[k]
        values[n] = min(MOST_ZERO, max(-MOST_ZERO, values[n]))
    values[:] = kept
    move(log_q, along, values, wavelength, place, slope)
    for i in range(m):
        q_out[i] = math.exp(place[i])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def angle_of(log_q):
    """2θ (degrees) of ln Q for CuKa."""
    return 2.0 * math.degrees(math.asin(min(0.9999, _HALF_WAVELENGTH * math.exp(0.5 * log_q))))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _line(angle, step, height, rate, first, shape, left, column):
    """Take one line off the residual and add its derivatives to the columns of the parameters."""
    at = (angle - first) / GRID
    middle, reach = int(at + 0.5), int((shape.shape[0] - 3) / step)
    for x in range(max(0, middle - reach), min(left.shape[0], middle + reach + 1)):
        gap = x - at
        t = min(int(abs(gap) * step + 0.5), shape.shape[0] - 2)
        left[x] -= height * shape[t]
        # The slope of the line against its own place; the table has `step` steps in one of the grid.
        slope = -height * (shape[t + 1] - shape[max(t - 1, 0)]) * 0.5 * step / GRID
        if gap < 0.0:
            slope = -slope
        for k in range(rate.shape[0]):
            column[k, x] += slope * rate[k]
