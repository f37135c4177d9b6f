"""Oblique lattices from a zone and the layer of the reciprocal lattice above it.

With the plane (a*, b*) of a zone known, any point of the next layer serves as 001, so that a line outside the zone
gives c*^2. Two angles are left, and every other line, taken for any low (h, k) of that layer, is a straight strip in
the plane of these two: q - a h^2 - b k^2 - f hk - c = e h + d k. Where many lines' strips cross is the lattice
(P. V. C. Hough's transform, US patent 3,069,654, 1962). Lines that have low indices in that layer all vote, so none
of them in particular has to be seen.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.lattice.trials import consider
from syngony.lattice.zones import lines_outside

MOST_ACROSS, MOST_ALONG = 128, 256
"""Cells of the map of votes, for e >= 0 and for d of either sign: reversing all axes of a layer changes both signs."""

_ROOM = 2.0  # e and d beyond a and b: the origin of the layer is a line that is seen, not the nearest point
_PEAKS = 3


@njit(cache=True, error_model="numpy")
def triclinic_trials(zone, observed, work, pool, least, most, unexplained, forms, votes, voter, origins, voters):
    """A zone as the plane hk0, a line outside it as 001, and the angles between them that most others vote for.

    Args:
        zone: (4,) of `zones`.
        forms: (m, 2) indices h, k of lines of the layer l = 1, opposite signs too.
        votes, voter: work space (MOST_ACROSS, MOST_ALONG), floats and integers.
        origins, voters: how many lines outside are tried as 001, and how many vote.
    """
    a, b, f = zone[0], zone[1], zone[2]
    outside = lines_outside(zone, observed)[:voters]
    trial = np.zeros(6)
    trial[0], trial[1], trial[5] = a, b, f
    area = a * b - 0.25 * f * f
    for j in outside[:origins]:
        c = observed.q[j]
        if area * c < least:
            continue
        trial[2] = c
        tolerance = 0.0
        for i in outside:
            tolerance += observed.reach[i]
        tolerance /= outside.shape[0]
        across = max(2, min(MOST_ACROSS, int(_ROOM * a / tolerance)))
        along = max(4, min(MOST_ALONG, int(2.0 * _ROOM * b / tolerance)))
        step_e, step_d = _ROOM * a / across, 2.0 * _ROOM * b / along
        for x in range(across):
            for y in range(along):
                votes[x, y] = 0.0
                voter[x, y] = -1
        for i in outside:
            if i != j:
                _vote(
                    i,
                    observed.q[i] - c,
                    observed.weight[i],
                    a,
                    b,
                    f,
                    forms,
                    across,
                    along,
                    step_e,
                    step_d,
                    votes,
                    voter,
                )
        for _ in range(_PEAKS):
            best, at_x, at_y = 0.0, 0, 0
            for x in range(across):
                for y in range(along):
                    if votes[x, y] > best:
                        best, at_x, at_y = votes[x, y], x, y
            if best == 0.0:
                break
            for x in range(max(0, at_x - 2), min(across, at_x + 3)):
                for y in range(max(0, at_y - 2), min(along, at_y + 3)):
                    votes[x, y] = 0.0
            trial[4], trial[3] = (at_x + 0.5) * step_e, (at_y + 0.5) * step_d - _ROOM * b
            _settle(trial, observed, outside, j, forms, 2.0 * max(step_e, step_d))
            consider(5, 6, trial, observed, work, pool, least, most, unexplained)


@njit(cache=True, error_model="numpy")
def _vote(line, q, weight, a, b, f, forms, across, along, step_e, step_d, votes, voter):
    """Add the weight of a line to all cells that its strips cross, once each."""
    start_d = -_ROOM * b
    for m in range(forms.shape[0]):
        h, k = forms[m, 0], forms[m, 1]
        t = q - a * h * h - b * k * k - f * h * k  # = e h + d k
        if abs(t) > _ROOM * (a * abs(h) + b * abs(k)):
            continue
        if abs(h) * step_e <= abs(k) * step_d:  # less than a cell up, a cell to the right
            place = ((t - 0.5 * h * step_e) / k - start_d) / step_d
            _mark(line, weight, place, -h * step_e / (k * step_d), across, along, votes, voter)
        else:
            place = (t - k * (start_d + 0.5 * step_d)) / (h * step_e)
            _mark(line, weight, place, -k * step_d / (h * step_e), along, across, votes.T, voter.T)


@njit(cache=True, error_model="numpy")
def _mark(line, weight, place, slope, columns, rows, votes, voter):
    """The two cells of each column that a strip crosses, unless the line has voted for them."""
    for x in range(columns):
        lower = math.floor(place + slope * x - 0.5)
        for y in range(max(lower, 0), min(lower + 2, rows)):
            if voter[x, y] != line:
                voter[x, y] = line
                votes[x, y] += weight


@njit(cache=True, error_model="numpy")
def _settle(trial, observed, outside, origin, forms, reach):
    """Least squares for e and d on the lines that voted for them."""
    a, b, c, f = trial[0], trial[1], trial[2], trial[5]
    for _ in range(2):
        hh, hk, kk, ht, kt = 1e-12, 0.0, 1e-12, 0.0, 0.0
        for i in outside:
            if i == origin:
                continue
            best, at = reach, -1
            for m in range(forms.shape[0]):
                h, k = forms[m, 0], forms[m, 1]
                q = c + a * h * h + b * k * k + f * h * k + trial[4] * h + trial[3] * k
                if abs(observed.q[i] - q) < best:
                    best, at = abs(observed.q[i] - q), m
            if at < 0:
                continue
            h, k = forms[at, 0], forms[at, 1]
            t = observed.q[i] - c - a * h * h - b * k * k - f * h * k
            w = 1.0 / observed.reach[i] ** 2
            hh, hk, kk = hh + w * h * h, hk + w * h * k, kk + w * k * k
            ht, kt = ht + w * h * t, kt + w * k * t
        det = hh * kk - hk * hk
        if det <= 1e-6 * hh * kk:
            return
        trial[4], trial[3] = (kk * ht - hk * kt) / det, (hh * kt - hk * ht) / det
        reach *= 0.6
