"""Where to begin a refinement: a grid of scales and shapes of the cell, tried in a blurred fingerprint. Compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.library.axis import Q_FIRST, STEP
from syngony.library.scan import Scan
from syngony.library.search import fingerprint

_WIDTH = 4.5  # bins: two steps of the grid overlap
_COARSE = 4  # bins of the axis in one of the table
_SCALES = 32  # tried with each shape, a coarse bin (0.54 % of a length) apart, half of them either way
_SHAPES = 4  # steps of a shape either way
_SHAPE_STEP = 0.008  # of the strain, in each of the first two modes of shape
_PREFERENCE = 0.06  # no strain is preferred to much by a Gaussian of this standard deviation
_LINES = 24  # the strongest, by which it is judged
_PAD = 200


def starting_table(scan: Scan) -> NDArray[np.float32]:
    """The scan's blurred fingerprint in coarse bins, padded, as `starting_strain` takes it."""
    profile = fingerprint(scan, _WIDTH)
    size = len(profile) // _COARSE
    cells = profile[: size * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    return np.pad(cells, _PAD).astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def starting_strain(log_q, along, weight, table, values):
    """Set the first modes of `values` to the best of a grid: the scale, and one or two shapes of the cell.

    A cell of three or more free parameters has its first two shapes tried, which are ratios of axes; angles
    follow in the refinement.

    Args:
        log_q, along: (m,) and (m, k) of the lines, from `geometry`.
        weight: (m,) amplitudes.
        table: from `starting_table`.
        values: (k + 2,) whose first entry is the scale found already; all modes may change.
    """
    m, n = along.shape
    first = math.log(Q_FIRST) / (_COARSE * STEP)
    second = _SHAPES if n > 2 else 0
    half = _SCALES // 2
    total = np.empty(_SCALES, np.float32)
    floor = 0.0
    if m > _LINES:
        floor = np.sort(weight)[m - _LINES]
    strong = np.flatnonzero(weight >= floor)
    own, height = log_q[strong] / (_COARSE * STEP) - first, weight[strong].astype(np.float32)
    one_way = -2.0 * _SHAPE_STEP * along[strong, 1] if n > 1 else np.zeros(strong.shape[0])
    other = -2.0 * _SHAPE_STEP * along[strong, 2] if n > 2 else np.zeros(strong.shape[0])
    best, scale, one, two = 0.0, values[0], 0.0, 0.0
    for i in range(-_SHAPES, _SHAPES + 1):
        for j in range(-second, second + 1):
            p, r = _SHAPE_STEP * i, _SHAPE_STEP * j
            total[:] = 0.0
            for line in range(strong.shape[0]):
                x = i * one_way[line] + j * other[line]
                # ln(1 + x) to a hundredth of a cell: |x| stays under 0.13.
                at = own[line] + x * (1.0 - x * (0.5 - x * (1.0 / 3.0 - 0.25 * x))) / (_COARSE * STEP)
                base = int(at) + _PAD - half
                if base < 0 or base + _SCALES > table.shape[0]:
                    continue
                w = height[line]
                for t in range(_SCALES):
                    total[t] += w * table[base + t]
            dear = math.exp(-0.5 * (p * p + r * r) / (_PREFERENCE * _PREFERENCE))
            for t in range(_SCALES):
                if total[t] * dear > best:
                    best = total[t] * dear
                    one, two = p, r
                    # The places of the lines are cut to whole bins: half of one is the mean.
                    scale = 0.5 * math.sqrt(3.0) * (1.0 - math.exp((t - half) * _COARSE * STEP))
    values[0], values[1] = scale, one
    if n > 2:
        values[2] = two
