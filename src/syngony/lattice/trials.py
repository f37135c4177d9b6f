"""Trial cells: every way to index a few low lines, each tested on the rest.

A lattice with m free parameters follows from m lines whose indices are guessed. All guesses among low lines and
low indices are made, as in the program TREOR (P.-E. Werner, L. Eriksson & M. Westdahl, J. Appl. Cryst. 18, 367,
1985), but without a choice of "base lines"; oblique lattices go by `zones`. A trial is tested in stages, on few lines
and then on more, refined between them, and dropped as soon as too many lines are unexplained: most cost under a
microsecond.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from syngony.lattice.fit import line_table, log_odds, match, refine
from syngony.lattice.predicted import LAUE_ORDER, predict, reciprocal_volume_squared

_CAPACITY = 1200


class Observed(NamedTuple):
    """Lines as the compiled search reads them; arrays of one length, Q increasing."""

    q: np.ndarray  # 1/Å^2
    sigma: np.ndarray  # 1/Å^2
    slope: np.ndarray  # dQ/d(2θ), 1/Å^2 per degree
    reach: np.ndarray  # 1/Å^2, how far off a match may be
    stray: np.ndarray  # probability that a line belongs to something else
    weight: np.ndarray  # how much a line counts in what may stay unexplained; sums to 1 over all lines


class Pool(NamedTuple):
    """The best trials so far."""

    score: np.ndarray  # (k,)
    parameters: np.ndarray  # (k, 6)
    volume: np.ndarray  # (k,) Å^3


class Work(NamedTuple):
    """Work space of one search."""

    q: np.ndarray
    hkl: np.ndarray
    indices: np.ndarray
    error: np.ndarray
    normal: np.ndarray
    right: np.ndarray
    row: np.ndarray
    p: np.ndarray
    tables: np.ndarray  # (stages, cells)
    limits: np.ndarray  # (stages,)
    stages: np.ndarray  # (stages,) lines of each
    reach: np.ndarray  # (stages, lines): wider before the first refinement, which starts from a few lines' errors


def new_pool(size: int = 48) -> Pool:
    """An empty pool."""
    return Pool(np.full(size, -np.inf), np.zeros((size, 6)), np.zeros(size))


def new_work(observed: Observed, stages: tuple[int, ...], wider: tuple[float, ...], cells: int = 4096) -> Work:
    """Work space for lines, with the number of lines that each stage tests and a factor on its reach."""
    n = len(observed.q)
    ends = [min(stage, n) for stage in stages]
    reach = np.outer(wider, observed.reach)
    limits = np.array([observed.q[end - 1] + reach[i, end - 1] for i, end in enumerate(ends)])
    tables = np.zeros((len(ends), cells), np.int64)
    for table, end, limit in zip(tables, ends, limits, strict=True):
        line_table(observed.q[:end], limit, table)
    return Work(
        np.zeros(_CAPACITY), np.zeros((_CAPACITY, 3), np.int64), np.zeros((n, 3), np.int64), np.zeros(n),
        np.zeros((7, 7)), np.zeros(7), np.zeros(7), np.zeros(6), tables, limits, np.array(ends), reach,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def consider(symmetry, size, trial, observed, work, pool, least, most, unexplained):
    """Test one trial cell and keep it if it is among the best.

    Args:
        symmetry, size: metric symmetry and its number of parameters.
        trial: (size,) parameters.
        observed, work, pool: lines, work space, and the best so far.
        least, most: determinant of the reciprocal metric, 1/Å^6: outside, the volume is out of range.
        unexplained: share of the weight of lines that may stay unexplained.
    """
    determinant = reciprocal_volume_squared(symmetry, trial)
    if not least <= determinant <= most:
        return
    p = work.p
    for i in range(size):
        p[i] = trial[i]
    n = 0
    for stage in range(work.stages.shape[0]):
        m = work.stages[stage]
        limit = work.limits[stage]
        n = predict(symmetry, 0, p, limit, work.q, work.hkl)
        if n == 0 or n == work.q.shape[0]:
            return
        q, error, index = observed.q[:m], work.error[:m], work.indices[:m]
        if match(work.q, work.hkl, n, q, work.reach[stage, :m], work.tables[stage], limit, index, error) <= size:
            return
        missed, total = 0.0, 0.0
        for j in range(m):
            total += observed.weight[j]
            if error[j] == math.inf:
                missed += observed.weight[j]
        if missed > unexplained * total:
            return
        done, _ = refine(
            symmetry, size, q, observed.sigma, observed.slope, index, error, p, 0.0, work.normal, work.right, work.row
        )
        # The first lines of a cell with one short axis lie in one plane and leave parameters open: more lines will not.
        if not done and stage == work.stages.shape[0] - 1:
            return
    m = work.stages[-1]
    limit = work.limits[-1]
    n = predict(symmetry, 0, p, limit, work.q, work.hkl)
    if n == 0 or n == work.q.shape[0]:
        return
    q, error, index = observed.q[:m], work.error[:m], work.indices[:m]
    if match(work.q, work.hkl, n, q, observed.reach[:m], work.tables[-1], limit, index, error) <= size:
        return
    effective = n / _apparent_centring(symmetry, index, error)
    score = log_odds(size, p, q, observed.sigma[:m], error, observed.stray[:m], effective, limit, work.normal, 0.5)
    _keep(pool, score, p, 1.0 / math.sqrt(reciprocal_volume_squared(symmetry, p)))


@njit(cache=True, error_model="numpy")
def _apparent_centring(symmetry, index, error):
    """By how much a centring that all matched lines obey thins the predicted lines."""
    c = i = r = a = b = True
    for j in range(index.shape[0]):
        if error[j] == math.inf:
            continue
        h, k, l = index[j, 0], index[j, 1], index[j, 2]  # noqa: E741
        a = a and (k + l) % 2 == 0
        b = b and (h + l) % 2 == 0
        c = c and (h + k) % 2 == 0
        i = i and (h + k + l) % 2 == 0
        r = r and ((-h + k + l) % 3 == 0 or (h - k + l) % 3 == 0)
    if symmetry == 2:
        return 2.0 if r else 1.0
    if (a and b) or (a and c) or (b and c):
        return 4.0
    return 2.0 if a or b or c or i else 1.0


@njit(cache=True, error_model="numpy")
def _keep(pool, score, p, volume):
    worst = 0
    for i in range(pool.score.shape[0]):
        if pool.score[i] > -math.inf and abs(pool.volume[i] - volume) < 2e-3 * volume:
            same = True
            for k in range(p.shape[0]):
                same = same and abs(pool.parameters[i, k] - p[k]) < 3e-3 * (p[0] + p[1] + p[2])
            if same or abs(pool.score[i] - score) < 1e-7:
                if score > pool.score[i]:
                    pool.score[i], pool.volume[i] = score, volume
                    pool.parameters[i] = p
                return
        if pool.score[i] < pool.score[worst]:
            worst = i
    if score > pool.score[worst]:
        pool.score[worst], pool.volume[worst] = score, volume
        pool.parameters[worst] = p


@njit(cache=True, error_model="numpy")
def cubic_trials(first, observed, work, pool, least, most, unexplained, sums):
    """One line as each sum of three squares."""
    trial = np.zeros(6)
    for n in sums:
        trial[0] = observed.q[first] / n
        consider(0, 1, trial, observed, work, pool, least, most, unexplained)


@njit(cache=True, error_model="numpy")
def uniaxial_trials(symmetry, first, last, observed, work, pool, least, most, unexplained, pairs):
    """Line `first` with each later one up to `last` as pairs of (h^2 + k^2 or h^2 + hk + k^2, l^2)."""
    trial = np.zeros(6)
    for second in range(first + 1, last):
        q1, q2 = observed.q[first], observed.q[second]
        for i in range(pairs.shape[0]):
            for j in range(pairs.shape[0]):
                det = pairs[i, 0] * pairs[j, 1] - pairs[j, 0] * pairs[i, 1]
                if det == 0:
                    continue
                trial[0] = (q1 * pairs[j, 1] - q2 * pairs[i, 1]) / det
                trial[1] = (pairs[i, 0] * q2 - pairs[j, 0] * q1) / det
                if trial[0] <= 0 or trial[1] <= 0:
                    continue
                consider(symmetry, 2, trial, observed, work, pool, least, most, unexplained)


@njit(cache=True, error_model="numpy")
def orthorhombic_trials(first, second, last, observed, work, pool, least, most, unexplained, squares):
    """Lines `first`, `second` and each later one up to `last`, with all low indices (their squares are given)."""
    trial = np.zeros(6)
    q1, q2 = observed.q[first], observed.q[second]
    for third in range(second + 1, last):
        q3 = observed.q[third]
        for i in range(squares.shape[0]):
            x1, y1, z1 = squares[i, 0], squares[i, 1], squares[i, 2]
            for j in range(squares.shape[0]):
                x2, y2, z2 = squares[j, 0], squares[j, 1], squares[j, 2]
                xy, xz, yz = x1 * y2 - x2 * y1, x1 * z2 - x2 * z1, y1 * z2 - y2 * z1
                if xy == 0 and xz == 0 and yz == 0:
                    continue
                for k in range(squares.shape[0]):
                    x3, y3, z3 = squares[k, 0], squares[k, 1], squares[k, 2]
                    det = x3 * yz - y3 * xz + z3 * xy
                    if det == 0:
                        continue
                    trial[0] = (q1 * (y2 * z3 - y3 * z2) - q2 * (y1 * z3 - y3 * z1) + q3 * yz) / det
                    if trial[0] <= 0:
                        continue
                    trial[1] = (q2 * (x1 * z3 - x3 * z1) - q1 * (x2 * z3 - x3 * z2) - q3 * xz) / det
                    if trial[1] < trial[0]:
                        continue
                    trial[2] = (q1 * (x2 * y3 - x3 * y2) - q2 * (x1 * y3 - x3 * y1) + q3 * xy) / det
                    if trial[2] < trial[1]:
                        continue
                    consider(3, 3, trial, observed, work, pool, least, most, unexplained)


def expected_lines(symmetry: int, volume: float, q_limit: float) -> float:
    """Lines that a cell of a volume (Å^3) predicts below a limit (1/Å^2), special positions left out."""
    return 4.0 / 3.0 * math.pi * volume * q_limit**1.5 / float(LAUE_ORDER[symmetry])
