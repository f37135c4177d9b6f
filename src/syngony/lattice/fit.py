"""Observed lines against predicted ones: matching, least squares, and the odds that the match is no accident.

The odds compare two hypotheses about the n lines of a pattern. *By accident*: lines fall anywhere, more
densely at high Q as those of any crystal do, f0(q) = 1.5 q^0.5 / q_n^1.5. *By the cell*: each line is one of the
N that the cell predicts, all alike, with a Gaussian error s sigma; or, with probability `stray`, it belongs to
something else and falls anywhere. A line that is explained adds ln(spacing / (sqrt(2 pi) s sigma)) - z^2/2, where
spacing is the mean distance of predicted lines at that Q: little where a large cell predicts lines everywhere.
Each free parameter costs the ratio of its prior range to its uncertainty (Laplace's approximation, D. MacKay,
Neural Comput. 4, 415, 1992), so lattices of different freedom compete on one scale.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.lattice.predicted import features

_LOG_ROOT_TWO_PI = 0.9189385332046727
_LOG_PRIOR_RANGE = math.log(math.log(3000.0))  # a parameter is 1/Å^2 between about 1e-4 and 0.3


@njit(cache=True, error_model="numpy")
def line_table(q, q_limit, table):
    """Fill a table over [0, q_limit] with the index of the line nearest to each of its cells."""
    cells, j = table.shape[0], 0
    for i in range(cells):
        centre = (i + 0.5) * q_limit / cells
        while j + 1 < q.shape[0] and abs(q[j + 1] - centre) <= abs(q[j] - centre):
            j += 1
        table[i] = j


@njit(cache=True, error_model="numpy")
def match(predicted_q, hkl, n, q, reach, table, q_limit, index, error):
    """Give each observed line its nearest predicted one within reach; return how many have one.

    Args:
        predicted_q, hkl, n: predicted lines, in any order, and their number.
        q, reach: (m,) observed lines, increasing, and the distance up to which they match, 1/Å^2.
        table, q_limit: from `line_table`.
        index: (m, 3) to fill with indices; error: (m,) to fill with observed - predicted, 1/Å^2, inf for none.
    """
    m = q.shape[0]
    for j in range(m):
        error[j] = math.inf
    scale = table.shape[0] / q_limit
    hits = 0
    for i in range(n):
        cell = int(predicted_q[i] * scale)
        if cell >= table.shape[0]:
            continue
        nearest = table[cell]
        for j in range(max(0, nearest - 1), min(m, nearest + 2)):
            difference = q[j] - predicted_q[i]
            if abs(difference) <= reach[j] and abs(difference) < abs(error[j]):
                if error[j] == math.inf:
                    hits += 1
                error[j] = difference
                index[j, 0], index[j, 1], index[j, 2] = hkl[i, 0], hkl[i, 1], hkl[i, 2]
    return hits


@njit(cache=True, error_model="numpy")
def solve(matrix, right, size):
    """Solve a small positive definite system in place by Cholesky; False if it is none.

    The lower triangle of `matrix` becomes its factor, `right` the solution.
    """
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 1e-13 * abs(matrix[i, i]):
                    return False
                matrix[i, i] = math.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]
    return True


@njit(cache=True, error_model="numpy")
def refine(symmetry, size, q, sigma, slope, index, error, p, prior_zero, normal, right, row):
    """One weighted least-squares step on the lines that match: parameters, and the zero shift if asked for.

    Args:
        symmetry, size: metric symmetry and its number of parameters.
        q, sigma: (m,) observed Q (already less the zero shift so far) and standard uncertainties.
        slope: (m,) dQ/d(2θ) in 1/Å^2 per degree.
        index, error: from `match`.
        p: parameters, replaced.
        prior_zero: standard deviation of the remaining zero shift in degrees; 0 leaves it alone.
        normal, right, row: work space (7, 7), (7,), (7,). `normal` is left holding the Cholesky factor.

    Returns:
        (done, shift): whether it was possible, and the zero shift found, degrees.
    """
    total = size + 1 if prior_zero > 0 else size
    for i in range(total):
        right[i] = 0.0
        for j in range(total):
            normal[i, j] = 0.0
    for j in range(q.shape[0]):
        if error[j] == math.inf:
            continue
        features(symmetry, index[j, 0], index[j, 1], index[j, 2], row)
        row[size] = slope[j]
        weight = 1.0 / (sigma[j] * sigma[j])
        for i in range(total):
            right[i] += weight * row[i] * q[j]
            for k in range(i + 1):
                normal[i, k] += weight * row[i] * row[k]
    if prior_zero > 0:
        normal[size, size] += 1.0 / (prior_zero * prior_zero)
    if not solve(normal, right, total):
        return False, 0.0
    for i in range(size):
        p[i] = right[i]
    return True, (right[size] if prior_zero > 0 else 0.0)


@njit(cache=True, error_model="numpy")
def log_odds(size, p, q, sigma, error, stray, n_predicted, q_limit, normal, smallest_scale):
    """Natural logarithm of the odds described at the head of this file.

    Args:
        size, p: number of parameters, and they.
        q, sigma, error: (m,) lines, standard uncertainties, and what `match` left, 1/Å^2.
        stray: (m,) probability that a line belongs to something else.
        n_predicted: distinct lines that the cell predicts up to `q_limit`.
        normal: Cholesky factor that `refine` left.
        smallest_scale: the scatter, in units of sigma, is estimated but not below this.
    """
    hits, squares = 0, 0.0
    for j in range(q.shape[0]):
        if error[j] != math.inf:
            hits += 1
            squares += (error[j] / sigma[j]) ** 2
    if hits <= size:
        return -math.inf
    scale = max(smallest_scale, math.sqrt(squares / (hits - size)))
    total = 0.0
    for j in range(q.shape[0]):
        if error[j] == math.inf:
            total += math.log(stray[j])
            continue
        spacing = q_limit * math.sqrt(q_limit / q[j]) / (1.5 * max(n_predicted, 1.0))
        z = error[j] / (scale * sigma[j])
        density = math.exp(-0.5 * z * z - _LOG_ROOT_TWO_PI) * spacing / (scale * sigma[j])
        total += math.log((1.0 - stray[j]) * density + stray[j])
    mean = (p[0] + p[1] + p[2]) / 3.0 if size > 3 else 0.0
    for i in range(size):
        # The factor's diagonal multiplies to the root of the normal matrix's determinant.
        length = abs(p[i]) if i < 3 else mean
        total -= math.log(max(normal[i, i] * length / scale, 1.0)) - _LOG_ROOT_TWO_PI + _LOG_PRIOR_RANGE
    return total


@njit(cache=True, error_model="numpy")
def distinct(predicted_q, n, resolution):
    """How many predicted lines are more than a resolution apart (1/Å^2 per root of Q in 1/Å); they get sorted."""
    ordered = np.sort(predicted_q[:n])
    count, last = 0, -1.0
    for i in range(n):
        if ordered[i] - last > resolution * math.sqrt(ordered[i]):
            count += 1
            last = ordered[i]
    return count
