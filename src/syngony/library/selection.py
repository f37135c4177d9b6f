"""Which lines of a structure a library keeps, and how: merged, the strongest, quantised. Compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.library.axis import BINS, FINE, Q_FIRST, Q_LAST, REFERENCE, STEP

MOST_LINES = 128
"""Of one structure: cells of 1,000 Å^3 and low symmetry have more; their weakest are left out."""

SHARP, BLURRED = 1.5, 6.0
"""Standard deviations in bins of the two fingerprints: an instrument's width, and room for a strained cell."""

_TOGETHER = 0.5  # bins: closer lines are one, as any instrument sees them
_FAINTEST = 4  # of 255: lines under 0.025 % of the strongest


def select_lines(
    lattice: NDArray[np.float64],
    q: NDArray[np.float64],
    squared_factor: NDArray[np.float64],
    hkl: NDArray[np.int16],
    offsets: NDArray[np.int64],
) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]:
    """What a library keeps of the lines of n structures.

    Args:
        lattice: (n, 3, 3) cell vectors, rows, Å.
        q, squared_factor, hkl, offsets: of `PackedLines`.

    Returns:
        hkl (m, 3), amplitude (m,), position (m,), lines (n,), metric (n, 6), norm (n, 2) of `Library`.
    """
    counts = np.zeros(len(offsets) - 1, np.int64)
    arrays = _select(q, squared_factor, hkl, offsets, counts, REFERENCE)
    kept = tuple(array[: counts.sum()] for array in arrays)
    reciprocal = np.linalg.inv(lattice).transpose(0, 2, 1)
    full = reciprocal @ reciprocal.transpose(0, 2, 1)
    metric = full[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    norm = np.stack([_lengths(kept[1], kept[2], starts, width) for width in (SHARP, BLURRED)], axis=1)
    return (*kept, counts.astype(np.uint16), metric.astype(np.float32), norm)


@njit(cache=True, nogil=True, error_model="numpy")
def _select(q, squared, hkl, offsets, counts, wavelength):
    capacity = 0
    for i in range(counts.shape[0]):
        capacity += min(offsets[i + 1] - offsets[i], MOST_LINES)
    hkl_out = np.empty((capacity, 3), np.int8)
    amplitude_out, position_out = np.empty(capacity, np.uint8), np.empty(capacity, np.uint16)
    first, done = math.log(Q_FIRST), 0
    for i in range(counts.shape[0]):
        size = offsets[i + 1] - offsets[i]
        where, power, chief = np.empty(size), np.empty(size), np.empty(size, np.int64)
        n, best = 0, 0.0
        for j in range(offsets[i], offsets[i + 1]):
            if not Q_FIRST <= q[j] < Q_LAST:
                continue
            if max(abs(hkl[j, 0]), abs(hkl[j, 1]), abs(hkl[j, 2])) > 127:
                continue
            sine2 = 0.25 * wavelength * wavelength * q[j]
            twice = 1.0 - 2.0 * sine2
            value = squared[j] * (1.0 + twice * twice) / (sine2 * math.sqrt(1.0 - sine2))
            x = (math.log(q[j]) - first) / STEP
            if n > 0 and x - where[n - 1] < _TOGETHER:
                where[n - 1] += (x - where[n - 1]) * value / (power[n - 1] + value)
                power[n - 1] += value
                if value > best:
                    chief[n - 1], best = j, value
                continue
            where[n], power[n], chief[n], best = x, value, j, value
            n += 1
        if n == 0:
            continue
        top = power[:n].max()
        floor = 0.0
        if n > MOST_LINES:
            floor = np.sort(power[:n])[n - MOST_LINES]
        for t in range(n):
            size_t = int(255.0 * math.sqrt(power[t] / top) + 0.5)
            if power[t] < floor or size_t < _FAINTEST or counts[i] >= MOST_LINES:
                continue
            for x in range(3):
                hkl_out[done, x] = hkl[chief[t], x]
            amplitude_out[done] = size_t
            position_out[done] = min(int(where[t] * FINE), BINS * FINE - 1)
            done += 1
            counts[i] += 1
    return hkl_out, amplitude_out, position_out


@njit(cache=True, nogil=True, error_model="numpy")
def _lengths(amplitude, position, starts, width):
    """(n,) lengths of sums of Gaussians of height `amplitude`, relative to one of amplitude 1."""
    lengths = np.zeros(starts.shape[0] - 1, np.float32)
    reach = 5.0 * width * FINE
    for i in range(lengths.shape[0]):
        total = 0.0
        for j in range(starts[i], starts[i + 1]):
            own = float(amplitude[j])
            total += own * own
            for k in range(j + 1, starts[i + 1]):
                gap = float(position[k]) - float(position[j])
                if gap > reach:
                    break
                gap /= FINE * width
                total += 2.0 * own * amplitude[k] * math.exp(-0.25 * gap * gap)
        lengths[i] = math.sqrt(total)
    return lengths
