"""A candidate's own lines laid on the scan: its cell strained as its symmetry allows, the zero shifted. Compiled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from syngony.library.axis import Q_FIRST, STEP
from syngony.library.candidates import Candidates, in_threads
from syngony.library.scan import Scan
from syngony.library.starts import starting_strain, starting_table
from syngony.library.strain import reciprocal_basis, strain_modes

LEVELS = (4.5, 2.2, 1.1)
"""Bins: how far a line looks for the scan's lines, from step to step."""

_CERTAINTY = 0.3  # of the width in which a line looks for its place: how far off it may be found
LEVEL_WIDTHS = np.array(LEVELS)

_STEPS = 3  # least-squares steps at each level
ROUGH, FINE_LEVELS = (0, 2), (1, 3)
"""Levels of a first refinement of many candidates by few lines, and of a second of few by all."""

# Standard deviations of what is refined, before any scan is seen: one length of a cell against another (2 % is the
# most that solid solution, pressure and DFT do), the whole cell, and the zero of 2θ in degrees.
PRIOR_SHAPE, PRIOR_SCALE, PRIOR_ZERO = 0.012, 0.03, 0.04
MOST_ZERO = 0.15  # degrees


@dataclass(frozen=True, eq=False)
class Refined:
    """What the refinement made of k candidates.

    Attributes:
        q: (m,) 1/Å^2 of the lines in the strained cell, where the scan shows them, zero shift included.
        scale: (k,) mean length of the refined cell over that in the library.
        distortion: (k,) root mean square of the strain that is not the scale.
        zero: (k,) degrees of 2θ added to the scan's angles.
        score: (k,) correlation of the sharp fingerprint at these places.
        metric: (k, 6) of the refined cell, as `Library.metric`.
        values: (k, 6) of the strain's modes (see `strain_modes`), for a further refinement.
    """

    q: NDArray[np.float64]
    scale: NDArray[np.float64]
    distortion: NDArray[np.float64]
    zero: NDArray[np.float64]
    score: NDArray[np.float64]
    metric: NDArray[np.float64]
    values: NDArray[np.float64]

    def take(self, chosen: NDArray[np.int64], lines: NDArray[np.int64]) -> Refined:
        """Some candidates and their lines (`Candidates.lines_of`)."""
        per_candidate = (self.scale, self.distortion, self.zero, self.score, self.metric, self.values)
        return Refined(self.q[lines], *(column[chosen] for column in per_candidate))


def refine(
    candidates: Candidates,
    scan: Scan,
    profile: NDArray[np.float64],
    levels: tuple[int, int],
    start: NDArray[np.float64] | None = None,
) -> Refined:
    """Refine the cell of each candidate against the scan.

    Every line moves towards the scan's intensity around it (the mean shift of D. Comaniciu and P. Meer, IEEE
    Trans. Pattern Anal. 24, 603, 2002), within a width that shrinks from step to step; by weighted least
    squares the cell and the zero follow as far as the symmetry of the lattice and their priors allow.

    Args:
        candidates: k structures.
        scan: prepared.
        profile: (BINS,) a fingerprint of the scan (see `search`), in which the result is scored.
        levels: first of `LEVELS`, and the one before which to end.
        start: (k, 7) of an earlier refinement to go on from: `Refined.values` and the zero.
    """
    known = start is not None
    begin_at = np.column_stack([start]) if start is not None else np.zeros((len(candidates), 7))
    positive = scan.binned(0.7)
    smooth = np.stack([gaussian_filter1d(positive, width) for width in LEVELS])
    pull = np.stack([width**2 * np.gradient(row) for width, row in zip(LEVELS, smooth, strict=True)])
    k, m = len(candidates), len(candidates.hkl)
    q, scores = np.zeros(m), np.zeros((k, 4))
    metric, values = np.zeros((k, 6)), np.zeros((k, 6))
    span = np.array([scan.low, scan.high])
    coarse = starting_table(scan)

    def work(begin: int, end: int) -> None:
        c = candidates
        _refine_all(
            c.offsets, c.hkl, c.amplitude, c.metric, c.space_group, c.shift, smooth, pull, coarse,
            profile, span, scan.wavelength, levels[0], levels[1], known, begin_at, begin, end,
            q, scores, metric, values,
        )  # fmt: skip

    in_threads(work, k)
    return Refined(q, scores[:, 0], scores[:, 1], scores[:, 2], scores[:, 3], metric, values)


@njit(cache=True, nogil=True, error_model="numpy")
def _refine_all(
    offsets, hkl, amplitude, metric, space_group, shift, smooth, pull, coarse, profile, span, wavelength,
    first_level, last_level, known, start, begin, end, q_out, scores, metric_out, values_out,
):  # fmt: skip
    for i in range(begin, end):
        basis = reciprocal_basis(metric[i])
        modes = strain_modes(basis, space_group[i])
        a, b = offsets[i], offsets[i + 1]
        log_q, along = geometry(hkl[a:b], basis, modes)
        n = modes.shape[0]
        values = np.zeros(n + 2)
        if known:
            values[:n] = start[i, :n]
            values[n] = start[i, 6]
        else:
            values[0] = 0.5 * math.sqrt(3.0) * (1.0 - math.exp(shift[i]))
            if n > 1:
                starting_strain(log_q, along, amplitude[a:b], coarse, values)
        levels, widths = (
            (smooth[first_level:last_level], pull[first_level:last_level]),
            LEVEL_WIDTHS[first_level:last_level],
        )
        _register(log_q, along, values, amplitude[a:b], levels, widths, profile, span, wavelength, q_out[a:b])
        scores[i, 0] = 1.0 / math.sqrt(1.0 - 2.0 * values[0] / math.sqrt(3.0))
        rest = 0.0
        for k in range(1, n):
            rest += values[k] * values[k]
        scores[i, 1] = math.sqrt(rest / 3.0)
        scores[i, 2] = values[n]
        scores[i, 3] = values[n + 1]
        values_out[i, :n] = values[:n]
        metric_out[i] = strained_metric(basis, modes, values)


@njit(cache=True, nogil=True, error_model="numpy")
def geometry(hkl, basis, modes):
    """ln Q (m,) of the lines, and (m, k) how much each mode lengthens each line's spacing."""
    m, n = hkl.shape[0], modes.shape[0]
    log_q, along = np.empty(m), np.empty((m, n))
    root = math.sqrt(2.0)
    for i in range(m):
        x = y = z = 0.0
        for j in range(3):
            x += hkl[i, j] * basis[j, 0]
            y += hkl[i, j] * basis[j, 1]
            z += hkl[i, j] * basis[j, 2]
        q = x * x + y * y + z * z
        log_q[i] = math.log(q)
        for k in range(n):
            e = modes[k]
            along[i, k] = (
                e[0] * x * x + e[1] * y * y + e[2] * z * z + root * (e[3] * y * z + e[4] * x * z + e[5] * x * y)
            ) / q
    return log_q, along


@njit(cache=True, nogil=True, error_model="numpy")
def _register(log_q, along, values, weight, levels, widths, profile, span, wavelength, q_out):
    """Refine the values of the modes and the zero in place, the score behind them; the lines' Q into `q_out`."""
    smooth, pull = levels
    m, n = along.shape
    size = n + 1
    prior = np.empty(size)
    prior[0] = 1.0 / (math.sqrt(3.0) * PRIOR_SCALE) ** 2
    prior[1:n] = 1.0 / PRIOR_SHAPE**2
    prior[n] = 1.0 / PRIOR_ZERO**2
    start = math.log(Q_FIRST)
    place, slope = np.empty(m), np.empty(m)
    normal, right, row = np.empty((size, size)), np.empty(size), np.empty(size)
    move(log_q, along, values, wavelength, place, slope)
    for level in range(smooth.shape[0]):
        spread = _CERTAINTY * widths[level] * STEP
        for _ in range(_STEPS):
            normal[:] = 0.0
            right[:] = 0.0
            top = 0.0
            for i in range(m):
                at = (place[i] - start) / STEP
                if span[0] < at < span[1]:
                    top = max(top, weight[i] * _read(smooth[level], at))
            if top <= 0.0:
                break
            for i in range(m):
                at = (place[i] - start) / STEP
                if not span[0] < at < span[1]:
                    continue
                height = _read(smooth[level], at)
                if height <= 1e-9:
                    continue
                step = STEP * _read(pull[level], at) / height
                share = weight[i] * height / (top * spread * spread)
                stretch = 1.0
                for k in range(n):
                    stretch -= 2.0 * values[k] * along[i, k]
                for k in range(n):
                    row[k] = -2.0 * along[i, k] / stretch
                row[n] = slope[i]
                for k in range(size):
                    right[k] += share * row[k] * step
                    for l in range(k + 1):  # noqa: E741
                        normal[k, l] += share * row[k] * row[l]
            for k in range(size):
                normal[k, k] += prior[k]
                right[k] -= prior[k] * values[k]
            solve(normal, right)
            for k in range(size):
                values[k] += right[k]
            values[n] = min(MOST_ZERO, max(-MOST_ZERO, values[n]))
            for k in range(n):
                values[k] = min(0.09, max(-0.09, values[k]))
            _shift(log_q, along, values, place, slope)
    values[n + 1] = _score(place, weight, profile, span)
    for i in range(m):
        q_out[i] = math.exp(place[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _score(place, weight, profile, span):
    """Correlation of the lines with a fingerprint; lines within a bin count as one."""
    start = math.log(Q_FIRST)
    inside, found, i, m = 1e-12, 0.0, 0, place.shape[0]
    while i < m:
        at = (place[i] - start) / STEP
        power = weight[i] * weight[i]
        i += 1
        while i < m and abs((place[i] - start) / STEP - at) < 1.0:
            power += weight[i] * weight[i]
            i += 1
        if span[0] < at < span[1]:
            inside += power
            found += math.sqrt(power) * _read(profile, at)
    return found / math.sqrt(inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _shift(log_q, along, values, place, slope):
    """`move` with the slopes that are known."""
    n = along.shape[1]
    for i in range(log_q.shape[0]):
        stretch = 1.0
        for k in range(n):
            stretch -= 2.0 * values[k] * along[i, k]
        place[i] = log_q[i] + math.log(max(stretch, 0.5)) + slope[i] * values[n]


@njit(cache=True, nogil=True, error_model="numpy")
def move(log_q, along, values, wavelength, place, slope):
    """Places of the lines in ln Q, and what a degree of zero shift does to each."""
    n = along.shape[1]
    for i in range(log_q.shape[0]):
        stretch = 1.0
        for k in range(n):
            stretch -= 2.0 * values[k] * along[i, k]
        here = log_q[i] + math.log(max(stretch, 0.5))
        sine = min(0.9999, 0.5 * wavelength * math.exp(0.5 * here))
        slope[i] = math.sqrt(1.0 - sine * sine) / sine * (math.pi / 180.0)
        place[i] = here + slope[i] * values[n]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _read(table, at):
    """Linear interpolation between the centres of bins; 0 outside."""
    at -= 0.5
    left = math.floor(at)
    if left < 0 or left + 1 >= table.shape[0]:
        return 0.0
    part = at - left
    return (1.0 - part) * table[left] + part * table[left + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def solve(normal, right):
    """Cholesky solution in place of a system of which the lower triangle is given."""
    n = right.shape[0]
    for i in range(n):
        for j in range(i + 1):
            left = normal[i, j]
            for k in range(j):
                left -= normal[i, k] * normal[j, k]
            normal[i, j] = math.sqrt(max(left, 1e-9)) if i == j else left / normal[j, j]
    for i in range(n):
        for k in range(i):
            right[i] -= normal[i, k] * right[k]
        right[i] /= normal[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= normal[k, i] * right[k]
        right[i] /= normal[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def strained_metric(basis, modes, values):
    """Metric (6,) of the cell whose Q are those of the basis times 1 - 2 sum of values times modes."""
    change = np.zeros(6)
    for k in range(modes.shape[0]):
        change += values[k] * modes[k]
    root = math.sqrt(2.0)
    tensor = np.eye(3)
    first, second = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
    for c in range(6):
        value = change[c] if c < 3 else change[c] / root
        tensor[first[c], second[c]] -= 2.0 * value
        if c >= 3:
            tensor[second[c], first[c]] -= 2.0 * value
    full = basis @ tensor @ basis.T
    out = np.empty(6)
    for c in range(6):
        out[c] = full[first[c], second[c]]
    return out
