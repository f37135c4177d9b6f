"""Oblique lattices from zones: planes of the reciprocal lattice that explain many lines.

A zone has two lines as its basis and a third for its angle: Q = u m^2 + v n^2 + w mn. Zones that explain
more lines than chance are tried first; lines outside them give the rest of the lattice (T. Ito, Nature 164, 755,
1949; P. M. de Wolff, Acta Cryst. 11, 664, 1958; J. W. Visser, J. Appl. Cryst. 2, 89, 1969).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.lattice.trials import consider


@njit(cache=True, error_model="numpy")
def zones(observed, last, angles):
    """All zones of pairs of lines below `last`, the best first: (k, 4) of u, v, w >= 0 (1/Å^2) and a score.

    Args:
        observed: lines.
        last: lines that a basis is taken from; all lines may give the angle.
        angles: (m, 2) indices of the third line, in halves of the basis.
    """
    n = observed.q.shape[0]
    found = np.empty((last * (last - 1) // 2 * n * angles.shape[0], 4))
    count = 0
    tried = np.empty(n * angles.shape[0])
    explained = np.zeros(n, np.bool_)
    for second in range(1, last):
        for first in range(second):
            u, v = observed.q[first], observed.q[second]
            tries = 0
            for third in range(n):
                if third in (first, second):
                    continue
                for g in range(angles.shape[0]):
                    m, k = 0.5 * angles[g, 0], 0.5 * angles[g, 1]
                    w = abs(observed.q[third] - u * m * m - v * k * k) / (m * k)
                    if w > 1.05 * u:  # u <= v: a reduced plane has w <= u
                        continue
                    known = False
                    for t in range(tries):
                        known = known or abs(tried[t] - w) < 0.3 * observed.reach[third]
                    if known or tries == tried.shape[0]:
                        continue
                    tried[tries] = w
                    tries += 1
                    if count < found.shape[0]:
                        found[count, 0], found[count, 1], found[count, 2] = u, v, w
                        found[count, 3] = _zone_score(u, v, w, observed, explained)
                        count += 1
    order = np.argsort(-found[:count, 3])
    return found[:count][order]


@njit(cache=True, error_model="numpy")
def rectangles(observed, last, squares):
    """All zones with a right angle, the best first: (k, 4) of u <= v, 0 (1/Å^2) and a score.

    Args:
        observed: lines.
        last: lines below which pairs of them are indexed.
        squares: (m, 2) squares of the indices that a line of a pair may have.
    """
    n = observed.q.shape[0]
    tries = squares.shape[0] ** 2
    found = np.empty((last * (last - 1) // 2 * tries, 4))
    count = 0
    explained = np.zeros(n, np.bool_)
    for second in range(1, last):
        for first in range(second):
            start = count
            q1, q2 = observed.q[first], observed.q[second]
            for i in range(squares.shape[0]):
                for j in range(squares.shape[0]):
                    det = squares[i, 0] * squares[j, 1] - squares[j, 0] * squares[i, 1]
                    if det == 0:
                        continue
                    u = (q1 * squares[j, 1] - q2 * squares[i, 1]) / det
                    v = (q2 * squares[i, 0] - q1 * squares[j, 0]) / det
                    if u <= 0 or v < u:
                        continue
                    known = False
                    for t in range(start, count):
                        known = known or (abs(found[t, 0] - u) < 1e-9 and abs(found[t, 1] - v) < 1e-9)
                    if not known:
                        found[count, 0], found[count, 1], found[count, 2] = u, v, 0.0
                        found[count, 3] = _zone_score(u, v, 0.0, observed, explained)
                        count += 1
    order = np.argsort(-found[:count, 3])
    return found[:count][order]


@njit(cache=True, error_model="numpy")
def _zone_score(u, v, w, observed, explained):
    """How much better than chance a zone explains lines; `explained` is filled."""
    n = observed.q.shape[0]
    limit = observed.q[n - 1] + observed.reach[n - 1]
    explained[:] = False
    determinant = u * v - 0.25 * w * w
    if determinant <= 0:
        return -math.inf
    points = 0.5 * math.pi * limit / math.sqrt(determinant)
    for k in range(int(math.sqrt(limit * u / determinant)) + 1):
        half = 0.5 * w * k / u
        inside = half * half + (limit - v * k * k) / u
        if inside < 0:
            continue
        root = math.sqrt(inside)
        for h in range(math.ceil(-half - root) if k > 0 else 1, math.floor(-half + root) + 1):
            q = u * h * h + v * k * k + w * h * k
            j = np.searchsorted(observed.q, q)
            if j < n and observed.q[j] - q <= observed.reach[j]:
                explained[j] = True
            if j > 0 and q - observed.q[j - 1] <= observed.reach[j - 1]:
                explained[j - 1] = True
    score, spacing = 0.0, limit / points
    for j in range(n):
        if explained[j]:
            score += observed.weight[j] * math.log(max(1.0, 0.5 * spacing / observed.reach[j]))
    return score


@njit(cache=True, error_model="numpy")
def monoclinic_trials(zone, observed, work, pool, least, most, unexplained, forms):
    """A zone as the plane h0l and a line outside it for b.

    The basis may be twice the true one in either direction or both: glides and centrings hide odd orders.

    Args:
        zone: (4,) of `zones`.
        forms: (m, 3) indices (h, k, l), k > 0, of the line outside.
    """
    trial = np.zeros(6)
    n = observed.q.shape[0]
    explained = np.zeros(n, np.bool_)
    _zone_score(zone[0], zone[1], zone[2], observed, explained)
    for halves in range(4):
        a, c, d = zone[0], zone[1], -zone[2]
        if halves % 2:
            a, d = 0.25 * a, 0.5 * d
        if halves > 1:
            c, d = 0.25 * c, 0.5 * d
        trial[0], trial[2], trial[3] = a, c, d
        outside = 0
        for j in range(n):
            if explained[j]:
                continue
            outside += 1
            if outside > 12:
                break
            for f in range(forms.shape[0]):
                h, k, l = forms[f, 0], forms[f, 1], forms[f, 2]  # noqa: E741
                trial[1] = (observed.q[j] - (a * h * h + c * l * l + d * h * l)) / (k * k)
                if trial[1] > 0:
                    consider(4, 4, trial, observed, work, pool, least, most, unexplained)


@njit(cache=True, error_model="numpy")
def rectangle_trials(zone, observed, work, pool, least, most, unexplained, forms):
    """A zone with a right angle as the plane 0kl, either axis as b, and two lines outside it for a and beta.

    Args:
        zone: (4,) of `rectangles`.
        forms: (m, 4) indices (k, l) of either line; h = 1.
    """
    trial = np.zeros(6)
    n = observed.q.shape[0]
    explained = np.zeros(n, np.bool_)
    _zone_score(zone[0], zone[1], 0.0, observed, explained)
    for swapped in range(2):
        b, c = (zone[1], zone[0]) if swapped else (zone[0], zone[1])
        trial[1], trial[2] = b, c
        outside = 0
        for j in range(n):
            if explained[j]:
                continue
            outside += 1
            if outside > 7:
                break
            beyond = 0
            for i in range(n):
                if explained[i]:
                    continue
                beyond += 1
                if beyond > 7:
                    break
                if i == j:
                    continue
                for f in range(forms.shape[0]):
                    l1, l2 = forms[f, 1], forms[f, 3]
                    one = observed.q[j] - b * forms[f, 0] ** 2 - c * l1 * l1  # A + D l1
                    other = observed.q[i] - b * forms[f, 2] ** 2 - c * l2 * l2
                    trial[3] = (other - one) / (l2 - l1)
                    trial[0] = one - trial[3] * l1
                    if trial[0] > 0 and abs(trial[3]) <= 1.02 * c:
                        consider(4, 4, trial, observed, work, pool, least, most, unexplained)


@njit(cache=True, error_model="numpy")
def triclinic_trials(zone, observed, work, pool, least, most, unexplained):
    """A zone as the plane hk0, a line outside it as 001 and two more for its angles with the plane."""
    trial = np.zeros(6)
    n = observed.q.shape[0]
    explained = np.zeros(n, np.bool_)
    _zone_score(zone[0], zone[1], zone[2], observed, explained)
    a, b, f = zone[0], zone[1], zone[2]
    trial[0], trial[1], trial[5] = a, b, f
    outside = 0
    for j in range(n):
        if explained[j]:
            continue
        outside += 1
        if outside > 6:
            break
        c = observed.q[j]
        trial[2] = c
        for k in range(n):
            e = abs(observed.q[k] - a - c)
            if e > 1.1 * a or k == j:
                continue
            trial[4] = e
            for i in range(n):
                if i in (j, k):
                    continue
                d = observed.q[i] - b - c
                if abs(d) <= 1.1 * b:
                    trial[3] = d
                    consider(5, 6, trial, observed, work, pool, least, most, unexplained)
                    trial[3] = -d
                    consider(5, 6, trial, observed, work, pool, least, most, unexplained)
                d = observed.q[i] - a - b - c - f - e
                if abs(d) <= 1.1 * b:
                    trial[3] = d
                    consider(5, 6, trial, observed, work, pool, least, most, unexplained)
