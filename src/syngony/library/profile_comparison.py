"""The calculated profile of each candidate beside the scan, point by point. Compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from syngony.library.scan import GRID

TEXTURE = 3.0
"""Texture, coarse grains and wrong sites may make a line stronger or weaker by this factor, not by more."""

COLUMNS = 7
"""Figures of a candidate that `compare` finds: the first of `agreement.FEATURES`."""

_ROUNDS = 5  # of sharing the scan's intensity among overlapping lines


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def compare(offsets, angles, narrow, power, observed, net, floor, start, shape, begin, end, figures, factors, height):
    """Figures of candidates begin..end - 1, into the last three arguments.

    Args:
        offsets: (k + 1,) candidate i has lines offsets[i]:offsets[i + 1].
        angles, narrow, power: (m,) of lines: degrees, steps of `shape` in one of the grid, intensity.
        observed: (p,) root of the scan (`Scan.root`); net: (p,) the scan; floor: what the root was softened by.
        start: degrees, of the first point.
        shape: heights of a line from its centre outwards.
        begin, end: candidates.
        figures: (k, COLUMNS); factors: (m,), which are 1; height: (k,).
    """
    p, bottom = net.shape[0], math.sqrt(floor)
    calculated, root, bare = np.empty(p), np.empty(p), np.empty(p)
    square = 0.0
    for x in range(p):
        # The observed root is sqrt(y + f) - sqrt(f): back to sqrt(y).
        bare[x] = math.sqrt(max((observed[x] + bottom) ** 2 - floor, 0.0))
        square += observed[x] * observed[x]
    for c in range(begin, end):
        a, b = offsets[c], offsets[c + 1]
        lines, size = _drawn(angles[a:b], narrow[a:b], start, p, shape), power[a:b] * narrow[a:b]
        _draw_all(lines, size, calculated)
        scale = _scale(calculated, bare)
        if not scale > 0.0:
            figures[c, :] = 0.0
            figures[c, 2] = figures[c, 3] = 1.0
            continue
        _soft_root(calculated, scale, floor, root)
        figures[c, 0] = _correlation(root, observed)
        lack = _share(lines, size, factors[a:b], scale, net, calculated)
        _soft_root(calculated, scale, floor, root)
        figures[c, 1] = _correlation(root, observed)
        under = 0.0
        for x in range(p):
            under += max(observed[x] - root[x], 0.0) ** 2
        figures[c, 3] = under / square
        own = angles[a:b], narrow[a:b], power[a:b], factors[a:b]
        _of_lines(*own, lack, scale, floor, start, start + GRID * (p - 1), figures[c])
        height[c] = scale


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def draw(angles, narrow, power, start, shape, out):
    """Add lines to a profile on a grid of `GRID` that begins at `start`; of the same power broad ones are lower."""
    for i in range(angles.shape[0]):
        at, step, height = (angles[i] - start) / GRID, narrow[i], power[i] * narrow[i]
        middle, reach = int(at + 0.5), int((shape.shape[0] - 2) / step)
        for x in range(max(0, middle - reach), min(out.shape[0], middle + reach + 1)):
            out[x] += height * shape[min(int(abs(x - at) * step + 0.5), shape.shape[0] - 1)]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _drawn(angles, narrow, start, p, shape):
    """m lines on the grid, drawn once, and all their heights, one line after another.

    Of a line: where its heights begin, its first point and the one after its last, and the same of its inner half.
    """
    m = angles.shape[0]
    places, spans = np.zeros(m + 1, np.int64), np.zeros((m, 4), np.int64)
    for i in range(m):
        middle, reach = int((angles[i] - start) / GRID + 0.5), int((shape.shape[0] - 2) / narrow[i])
        for pair, far in ((0, reach), (2, reach // 2)):
            spans[i, pair] = min(max(0, middle - far), p)
            spans[i, pair + 1] = max(min(p, middle + far + 1), spans[i, pair])
        places[i + 1] = places[i] + spans[i, 1] - spans[i, 0]
    heights = np.empty(places[m])
    for i in range(m):
        at, step = (angles[i] - start) / GRID, narrow[i]
        for x in range(spans[i, 0], spans[i, 1]):
            t = min(int(abs(x - at) * step + 0.5), shape.shape[0] - 1)
            heights[places[i] + x - spans[i, 0]] = shape[t]
    return places, spans, heights


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _draw_all(lines, size, out):
    places, spans, heights = lines
    out[:] = 0.0
    for i in range(size.shape[0]):
        own, part = heights[places[i] : places[i + 1]], out[spans[i, 0] : spans[i, 1]]
        for x in range(own.shape[0]):
            part[x] += size[i] * own[x]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _share(lines, size, factor, scale, net, calculated):
    """Share the scan's intensity among lines that overlap; returns (m,) what of each line is lacking in the end."""
    places, spans, heights = lines
    m = size.shape[0]
    lack, seen = np.zeros(m), np.empty(m)
    for i in range(m):
        seen[i] = _overlap(heights, places[i], spans[i], net)
    for turn in range(_ROUNDS + 1):
        for i in range(m):
            given = scale * _overlap(heights, places[i], spans[i], calculated)
            if turn == _ROUNDS:
                lack[i] = max(0.0, 1.0 - seen[i] / given) if given > 0.0 else 0.0
            elif given > 0.0:
                change = (seen[i] + 1e-9) / (given + 1e-9)
                factor[i] = min(TEXTURE, max(1.0 / TEXTURE, factor[i] * change))
        if turn < _ROUNDS:
            _draw_all(lines, size * factor, calculated)
    return lack


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _overlap(heights, place, span, profile):
    """Sum of a profile over the inner half of a line, by its heights there."""
    begin = place + span[2] - span[0]
    own, there = heights[begin : begin + span[3] - span[2]], profile[span[2] : span[3]]
    total = 0.0
    for x in range(own.shape[0]):
        total += own[x] * there[x]
    return total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _of_lines(angles, narrow, power, factor, lack, scale, floor, start, stop, out):
    """What is missing, the texture, the number of lines that matter, and the share of them in the scan."""
    absent, expected, all_weights = 0.0, 1e-12, 1e-12
    weights, mean, spread, squares = 1e-12, 0.0, 0.0, 0.0
    for i in range(angles.shape[0]):
        w = math.sqrt(power[i])
        all_weights += w
        if start < angles[i] < stop:
            least = scale * power[i] * narrow[i] / TEXTURE
            stands_out = w * least / (least + floor)
            expected += stands_out
            if factor[i] <= 1.01 / TEXTURE:
                absent += stands_out * lack[i]
            weights += w
            squares += w * w
            mean += w * math.log(factor[i])
    mean /= weights
    for i in range(angles.shape[0]):
        if start < angles[i] < stop:
            gap = math.log(factor[i]) - mean
            spread += math.sqrt(power[i]) * gap * gap
    out[2] = absent / expected
    out[4] = math.sqrt(spread / weights)
    out[5] = math.log(max(weights * weights / max(squares, 1e-12), 1.0))
    out[6] = weights / all_weights


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _soft_root(calculated, scale, floor, out):
    bottom = math.sqrt(floor)
    for x in range(out.shape[0]):
        out[x] = math.sqrt(scale * calculated[x] + floor) - bottom


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _scale(calculated, bare):
    """Factor that lays a calculated profile on the scan, both by their roots (noise made linear)."""
    product, square = 0.0, 1e-12
    for x in range(calculated.shape[0]):
        product += math.sqrt(calculated[x]) * bare[x]
        square += calculated[x]
    return (product / square) ** 2


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _correlation(one, other):
    p = one.shape[0]
    mean, mean_other = 0.0, 0.0
    for x in range(p):
        mean += one[x]
        mean_other += other[x]
    mean /= p
    mean_other /= p
    aa, bb, ab = 1e-12, 1e-12, 0.0
    for x in range(p):
        a, b = one[x] - mean, other[x] - mean_other
        aa += a * a
        bb += b * b
        ab += a * b
    return ab / math.sqrt(aa * bb)
