"""Oblique lattices from zones: planes of the reciprocal lattice that explain many lines.

A zone has two lines as its basis and a third for its angle: Q = u m^2 + v n^2 + w mn. Zones that explain
more lines than chance are tried first; lines outside them give the rest of the lattice (T. Ito, Nature 164, 755,
1949; P. M. de Wolff, Acta Cryst. 11, 664, 1958; J. W. Visser, J. Appl. Cryst. 2, 89, 1969).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.lattice.fit import solve
from syngony.lattice.trials import consider

_SHORTEST = 2.5e-4  # 1/Å^2
_THIRDS = 20  # lines that may be the third of a zone
_MOST_POINTS = 6.0  # of a plane for each line seen: more explain anything


@njit(cache=True, error_model="numpy")
def zones(observed, last, angles, most):
    """Zones of three lines that explain most, the best first: (k, 4) of u <= v, 0 <= w <= u (1/Å^2) and a score.

    The lines need not be the shortest vectors of the plane: what three of them span is reduced, and refined on all.

    Args:
        observed: lines.
        last: lines that pairs are taken from.
        angles: (m, 4) indices of the third line on the axes of the pair, and what the axes are of the pair: 1 or 1/2.
        most: zones to return.
    """
    n = observed.q.shape[0]
    found = np.empty((last * (last - 1) // 2 * n * angles.shape[0], 4))
    count = 0
    nearest, indices = np.empty(n), np.zeros((n, 2))
    densest = _densest(observed)
    for second in range(1, last):
        for first in range(second):
            for third in range(min(n, _THIRDS)):
                if third in (first, second):
                    continue
                for g in range(angles.shape[0]):
                    h, k = angles[g, 0], angles[g, 1]
                    u, v = observed.q[first] * angles[g, 2] ** 2, observed.q[second] * angles[g, 3] ** 2
                    w = abs(observed.q[third] - u * h * h - v * k * k) / (h * k)
                    if w * w > 3.9 * u * v:
                        continue
                    while w > u * (1.0 + 1e-9) or u > v:
                        if u > v:
                            u, v = v, u
                        turns = math.floor(0.5 * w / u + 0.5)
                        u, v, w = u, v - turns * w + turns * turns * u, abs(w - 2.0 * turns * u)
                        if turns == 0 and u <= v:
                            break
                    if u < _SHORTEST or u * v - 0.25 * w * w < densest:
                        continue
                    score = _zone_score(u, v, w, observed, nearest, indices)
                    found[count, 0], found[count, 1], found[count, 2], found[count, 3] = u, v, w, score
                    count += 1
    order = np.argsort(-found[:count, 3])
    kept = np.empty((most, 4))
    many = 0
    normal, right = np.zeros((3, 3)), np.zeros(3)
    for place in order:
        if many == most:
            break
        zone = found[place]
        if _is_among(kept[:many], zone, 0.5 * observed.reach[0]):
            continue
        kept[many] = zone
        _refine_zone(kept[many], observed, nearest, indices, normal, right)
        if _is_among(kept[:many], kept[many], 0.25 * observed.reach[0]):
            continue
        score = _zone_score(kept[many, 0], kept[many, 1], kept[many, 2], observed, nearest, indices)
        kept[many, 3] = max(zone[3], score)
        many += 1
    return kept[:many][np.argsort(-kept[:many, 3])]


@njit(cache=True, error_model="numpy")
def _densest(observed):
    """Least determinant, 1/Å^4, of the metric of a plane."""
    n = observed.q.shape[0]
    return (0.5 * math.pi * (observed.q[n - 1] + observed.reach[n - 1]) / (_MOST_POINTS * n)) ** 2


@njit(cache=True, error_model="numpy")
def _is_among(some_zones, zone, tolerance):
    for other in some_zones:
        if (
            abs(other[0] - zone[0]) < tolerance
            and abs(other[1] - zone[1]) < tolerance
            and abs(other[2] - zone[2]) < 2 * tolerance
        ):
            return True
    return False


@njit(cache=True, error_model="numpy")
def _refine_zone(zone, observed, nearest, indices, normal, right):
    """Least squares on the lines that a zone explains."""
    n = observed.q.shape[0]
    _explain(zone[0], zone[1], zone[2], observed, nearest, indices)
    normal[:], right[:] = 0.0, 0.0
    row = np.zeros(3)
    for i in range(n):
        if nearest[i] == math.inf:
            continue
        h, k = indices[i, 0], indices[i, 1]
        row[0], row[1], row[2] = h * h, k * k, h * k
        weight = 1.0 / observed.sigma[i] ** 2
        for a in range(3):
            right[a] += weight * row[a] * observed.q[i]
            for b in range(a + 1):
                normal[a, b] += weight * row[a] * row[b]
    if solve(normal, right, 3) and right[0] > 0 and right[1] > 0 and right[2] ** 2 < 3.9 * right[0] * right[1]:
        zone[0], zone[1], zone[2] = right[0], right[1], right[2]


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
    nearest, indices = np.empty(n), np.zeros((n, 2))
    densest = _densest(observed)
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
                    if u < _SHORTEST or v < u or u * v < densest:
                        continue
                    known = False
                    for t in range(start, count):
                        known = known or (abs(found[t, 0] - u) < 1e-9 and abs(found[t, 1] - v) < 1e-9)
                    if not known:
                        found[count, 0], found[count, 1], found[count, 2] = u, v, 0.0
                        found[count, 3] = _zone_score(u, v, 0.0, observed, nearest, indices)
                        count += 1
    order = np.argsort(-found[:count, 3])
    return found[:count][order]


@njit(cache=True, error_model="numpy")
def _zone_score(u, v, w, observed, nearest, indices):
    """How much better than chance a zone explains lines; `nearest` and `indices` are filled."""
    spacing = _explain(u, v, w, observed, nearest, indices)
    score = 0.0 if spacing > 0 else -math.inf
    for j in range(observed.q.shape[0]):
        if nearest[j] < math.inf:
            score += observed.weight[j] * math.log(max(1.0, 0.5 * spacing / observed.reach[j]))
    return score


@njit(cache=True, error_model="numpy")
def _explain(u, v, w, observed, nearest, indices):
    """Which lines a zone explains; returns the mean distance of its own lines (1/Å^2), 0 for what is no plane.

    Args:
        u, v, w: of the zone.
        observed: lines.
        nearest, indices: (n,) to fill with distances, 1/Å^2, inf where none is within reach; (n, 2) with h, k.
    """
    n = observed.q.shape[0]
    limit = observed.q[n - 1] + observed.reach[n - 1]
    nearest[:] = math.inf
    determinant = u * v - 0.25 * w * w
    if determinant <= 0:
        return 0.0
    for k in range(int(math.sqrt(limit * u / determinant)) + 1):
        half = 0.5 * w * k / u
        inside = half * half + (limit - v * k * k) / u
        if inside < 0:
            continue
        root = math.sqrt(inside)
        for h in range(math.ceil(-half - root) if k > 0 else 1, math.floor(-half + root) + 1):
            q = u * h * h + v * k * k + w * h * k
            j = np.searchsorted(observed.q, q)
            for i in range(max(0, j - 1), min(n, j + 1)):
                distance = abs(observed.q[i] - q)
                if distance <= observed.reach[i] and distance <= nearest[i]:
                    nearest[i] = distance
                    indices[i, 0], indices[i, 1] = h, k
    return math.sqrt(determinant) / (0.5 * math.pi)


@njit(cache=True, error_model="numpy")
def lines_outside(zone, observed):
    """Places of the lines that a zone does not explain, in order."""
    n = observed.q.shape[0]
    nearest = np.empty(n)
    _explain(zone[0], zone[1], zone[2], observed, nearest, np.zeros((n, 2)))
    return np.flatnonzero(nearest == math.inf)


@njit(cache=True, error_model="numpy")
def monoclinic_trials(zone, observed, work, pool, least, most, unexplained, forms):
    """A zone as the plane h0l and a line outside it for b.

    The basis may be twice the true one in either direction or both: glides and centrings hide odd orders.

    Args:
        zone: (4,) of `zones`.
        forms: (m, 3) indices (h, k, l), k > 0, of the line outside.
    """
    trial = np.zeros(6)
    outside = lines_outside(zone, observed)[:12]
    for halves in range(4):
        a, c, d = zone[0], zone[1], -zone[2]
        if halves % 2:
            a, d = 0.25 * a, 0.5 * d
        if halves > 1:
            c, d = 0.25 * c, 0.5 * d
        trial[0], trial[2], trial[3] = a, c, d
        for j in outside:
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
    outside = lines_outside(zone, observed)[:7]
    for swapped in range(2):
        b, c = (zone[1], zone[0]) if swapped else (zone[0], zone[1])
        trial[1], trial[2] = b, c
        for j in outside:
            for i in outside:
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
