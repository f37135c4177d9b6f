"""How probable measured intensities are when some of the lines are forbidden.

Evidence of a few overlapping lines together: a Gaussian likelihood of their areas, times for each line a
prior of non-negative areas, integrated by expectation propagation (T. Minka, UAI 2001). After A. J. Markvardsen,
W. I. F. David, J. C. Johnston & K. Shankland, Acta Cryst. A57, 47 (2001), who had one exponential a line.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_SWEEPS = 12
_SETTLED = 1e-3
_LN_2PI = math.log(2.0 * math.pi)


@njit(cache=True, error_model="numpy")
def _tail(x):
    """ln of the normal distribution function at x; mean and variance of a unit Gaussian at x cut off below 0."""
    if x > -6.0:
        below = 0.5 * math.erfc(-x / math.sqrt(2.0))
        ratio = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) / below
        return math.log(below), ratio + x, 1.0 - ratio * (ratio + x)
    # Asymptotic series of Mills' ratio (Abramowitz & Stegun 26.2.12); far out the differences cancel.
    z = 1.0 / (x * x)
    mills = (1.0 - z * (1.0 - 3.0 * z * (1.0 - 5.0 * z * (1.0 - 7.0 * z)))) / -x
    log_below = -0.5 * x * x - 0.5 * _LN_2PI + math.log(mills)
    if x > -30.0:
        return log_below, 1.0 / mills + x, 1.0 - (1.0 / mills + x) / mills
    return log_below, (1.0 - 2.0 * z) / -x, z * (1.0 - 6.0 * z)


@njit(cache=True, error_model="numpy")
def _tilted(mean, variance, weights, scales):
    """ln of the integral, mean and variance of a Gaussian times a mixture of exponentials over x >= 0.

    A scale of zero is an exact zero.
    """
    count = weights.shape[0]
    logs, means, squares = np.empty(count), np.empty(count), np.empty(count)
    top = -1e300
    deviation = math.sqrt(variance)
    for j in range(count):
        if weights[j] <= 0.0:
            logs[j], means[j], squares[j] = -1e300, 0.0, 0.0
        elif scales[j] <= 0.0:
            logs[j] = math.log(weights[j]) - 0.5 * (mean * mean / variance + math.log(variance) + _LN_2PI)
            means[j], squares[j] = 0.0, 0.0
        else:
            moved = mean - variance / scales[j]
            log_below, cut_mean, cut_variance = _tail(moved / deviation)
            logs[j] = (
                math.log(weights[j] / scales[j]) - mean / scales[j]
                + 0.5 * variance / (scales[j] * scales[j]) + log_below
            )  # fmt: skip
            means[j] = max(deviation * cut_mean, 0.0)
            squares[j] = max(variance * cut_variance, 0.0) + means[j] ** 2
        top = max(top, logs[j])
    total, first, second = 0.0, 0.0, 0.0
    for j in range(count):
        share = math.exp(logs[j] - top)
        total += share
        first += share * means[j]
        second += share * squares[j]
    first /= total
    return top + math.log(total), first, max(second / total - first * first, 1e-12 * variance)


@njit(cache=True, error_model="numpy")
def log_evidence(normal, rhs, weights, scales):
    """ln of the integral of exp(rhs @ x - x @ normal @ x / 2) times the priors of x, over x >= 0.

    Args:
        normal: (m, m) symmetric, not negative; rhs: (m,).
        weights, scales: (m, c) of each line's mixture of exponentials (mean `scales`; 0 for a line that is absent).
    """
    m = rhs.shape[0]
    precision, shift, constant = np.empty(m), np.empty(m), np.zeros(m)
    for k in range(m):
        first = (weights[k] * scales[k]).sum()
        second = 2.0 * (weights[k] * scales[k] ** 2).sum()
        variance = max(second - first * first, 1e-12)
        precision[k], shift[k] = 1.0 / variance, first / variance
    for sweep in range(_SWEEPS):
        change = 0.0
        # Rank-one updates lose digits where precisions span many decades.
        covariance = np.linalg.inv(normal + np.diag(precision))
        mean = covariance @ (rhs + shift)
        for k in range(m):
            if not covariance[k, k] > 0.0:
                continue
            left = max(1.0 / covariance[k, k] - precision[k], 1e-9 * precision[k])
            cavity = 1.0 / left
            centre = cavity * (mean[k] / covariance[k, k] - shift[k])
            log_integral, tilted_mean, tilted_variance = _tilted(centre, cavity, weights[k], scales[k])
            # A prior with a longer tail than a Gaussian can ask for a negative precision: not below zero.
            wanted = max(1.0 / tilted_variance - left, 1e-9 * left)
            total = left + wanted
            wanted_shift = tilted_mean * total - centre * left
            step = 1.0 if sweep < 4 else 0.6
            new_precision = precision[k] + step * (wanted - precision[k])
            new_shift = shift[k] + step * (wanted_shift - shift[k])
            joint = left + new_precision
            peak = (centre * left + new_shift) ** 2 / joint - centre * centre * left
            constant[k] = log_integral + 0.5 * math.log(joint / left) - 0.5 * peak
            delta = new_precision - precision[k]
            change = max(change, abs(tilted_mean - mean[k]) / math.sqrt(covariance[k, k] + tilted_variance))
            precision[k], shift[k] = new_precision, new_shift
            column = covariance[:, k].copy()
            divisor = 1.0 + delta * column[k]
            if divisor > 1e-9:
                covariance -= np.outer(column, column) * (delta / divisor)
            mean = covariance @ (rhs + shift)
        if change < _SETTLED:
            break
    matrix = normal + np.diag(precision)
    _, determinant = np.linalg.slogdet(matrix)
    total = rhs + shift
    return constant.sum() + 0.5 * m * _LN_2PI - 0.5 * determinant + 0.5 * (total @ np.linalg.solve(matrix, total))
