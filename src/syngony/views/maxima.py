"""Maxima of a curve, how far they rise from what surrounds them, and how wide they are there. Compiled.

What `scipy.signal` finds, without half a second of imports; `tests/test_views.py` compares the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Rise(NamedTuple):
    """How far k maxima rise.

    Attributes:
        prominence: (k,) height over the higher of the two bases.
        left, right: (k,) places of the bases: the lowest point on each side before the curve is higher than
            the maximum, or before the window ends.
    """

    prominence: NDArray[np.float64]
    left: NDArray[np.intp]
    right: NDArray[np.intp]

    def take(self, chosen: NDArray[np.intp]) -> Rise:
        """Some of the maxima."""
        return Rise(self.prominence[chosen], self.left[chosen], self.right[chosen])


def local_maxima(curve: NDArray[np.floating], height: NDArray[np.floating] | None = None) -> NDArray[np.intp]:
    """Places of the maxima of a curve (n,); of a flat top its middle. The ends of the curve are none.

    Args:
        curve: (n,) values.
        height: (n,) that the curve must reach there; any when None.
    """
    found = _maxima(np.ascontiguousarray(curve, dtype=np.float64))
    return found if height is None else found[curve[found] >= height[found]]


def rise(curve: NDArray[np.floating], places: NDArray[np.intp], window: int | None = None) -> Rise:
    """How far the maxima at some places (k,) of a curve (n,) rise; `window` is a number of points to look at."""
    half = len(curve) if window is None else window // 2
    return Rise(*_rise(np.ascontiguousarray(curve, dtype=np.float64), np.asarray(places, np.intp), half))


def widths(curve: NDArray[np.floating], places: NDArray[np.intp], found: Rise) -> NDArray[np.float64]:
    """(k,) full widths, in points, where the maxima have fallen by half of what they rise."""
    return _widths(np.ascontiguousarray(curve, dtype=np.float64), np.asarray(places, np.intp), *found)


@njit(cache=True, nogil=True, error_model="numpy")
def _maxima(curve):
    out, count = np.empty(curve.shape[0] // 2, np.intp), 0
    i, last = 1, curve.shape[0] - 1
    while i < last:
        if curve[i - 1] < curve[i]:
            end = i + 1
            while end < last and curve[end] == curve[i]:
                end += 1
            if curve[end] < curve[i]:
                out[count] = (i + end - 1) // 2
                count += 1
                i = end
        i += 1
    return out[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _rise(curve, places, half):
    count = places.shape[0]
    prominence, left, right = np.empty(count), np.empty(count, np.intp), np.empty(count, np.intp)
    for k in range(count):
        top = places[k]
        first, last = max(0, top - half), min(curve.shape[0] - 1, top + half)
        left[k] = right[k] = top
        i = top
        while i >= first and curve[i] <= curve[top]:
            if curve[i] < curve[left[k]]:
                left[k] = i
            i -= 1
        i = top
        while i <= last and curve[i] <= curve[top]:
            if curve[i] < curve[right[k]]:
                right[k] = i
            i += 1
        prominence[k] = curve[top] - max(curve[left[k]], curve[right[k]])
    return prominence, left, right


@njit(cache=True, nogil=True, error_model="numpy")
def _widths(curve, places, prominence, left, right):
    out = np.empty(places.shape[0])
    for k in range(places.shape[0]):
        level = curve[places[k]] - 0.5 * prominence[k]
        i = places[k]
        while left[k] < i and level < curve[i]:
            i -= 1
        begin = float(i)
        if curve[i] < level:
            begin += (level - curve[i]) / (curve[i + 1] - curve[i])
        i = places[k]
        while i < right[k] and level < curve[i]:
            i += 1
        end = float(i)
        if curve[i] < level:
            end -= (level - curve[i]) / (curve[i - 1] - curve[i])
        out[k] = end - begin
    return out
