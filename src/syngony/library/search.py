"""The first search: every structure of a library against a scan, over shifts of the whole cell. Compiled."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.library.axis import BINS, FINE, FINE_BITS, STEP
from syngony.library.file import Library
from syngony.library.scan import Scan
from syngony.library.selection import BLURRED, SHARP

LARGEST_SCALE = 0.03
"""Of the cell's lengths, up or down: thermal expansion, solid solution, and what DFT makes too long."""

_HALF = 24  # bins of shift either way: 2 ln(1.03) = 0.059 of ln Q is 22
_SHIFTS = 2 * _HALF
_COARSE_BITS = 2
_COARSE = 1 << _COARSE_BITS  # bins between shifts of the blurred fingerprint
_PAD = 64
_LEAST_INSIDE = 0.1  # of the lines' weight that must lie in the range of the scan

_WIDTHS = (SHARP, BLURRED)

_FEW = 20_000  # structures under which a second thread costs more than it gives

_NEAR, _NEAR_SHARE = 8_000, 16
"""Structures that the sharp fingerprint looks at, the best of the blurred one: so many, or this part of all. Of the
best 400 of a sharp search of everything, 19 in 20 were among the best 7,700 blurred in each of fifteen scans."""


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates of one library.

    Attributes:
        index: (k,) places in the library.
        shift: (k,) of ln Q: add to the library's lines to lay them on the scan's.
        blurred: (k,) True for those that only the blurred fingerprint found: their cells are strained.
        score: (k,) correlation.
    """

    index: NDArray[np.int64]
    shift: NDArray[np.float64]
    blurred: NDArray[np.bool_]
    score: NDArray[np.float64]


def search(
    library: Library, scan: Scan, sharp: int = 300, blurred: int = 300, chosen: NDArray[np.bool_] | None = None
) -> Found:
    """The structures whose fingerprints correlate best with that of a scan.

    A fingerprint is the root of the intensities on ln Q. The scan's is smoothed, its mean over the measured
    range taken off; a structure's is a sum of Gaussians at its lines. Their normalised product is found at
    every whole bin of shift up to 3 % of the lattice's length by adding, for each line, a stretch of the
    scan's fingerprint. Twice: blurred by 0.8 % of the length, and, of those that are best there, with the
    width of a line.

    Args:
        library: where to look.
        scan: prepared.
        sharp, blurred: how many candidates to take from each.
        chosen: (n,) which structures to look at; all when omitted.

    Returns:
        At most sharp + blurred candidates, each once.
    """
    n = len(library)
    sharp_table, blurred_table = _padded(fingerprint(scan, SHARP)), _phases(fingerprint(scan, BLURRED))
    mask = np.zeros(BINS + 2 * _PAD, np.float32)
    mask[_PAD + max(0, math.ceil(scan.low)) : _PAD + min(BINS, math.floor(scan.high))] = 1.0
    looked = np.ones(n, bool) if chosen is None else chosen
    score, shift = np.zeros((2, n), np.float32), np.zeros((2, n), np.int8)
    lines = library.offsets, library.position, library.amplitude, library.norm

    def blurred_ones(begin: int, end: int) -> None:
        _correlate_blurred(*lines, looked, blurred_table, mask, begin, end, score[1], shift[1])

    _in_threads(blurred_ones, n)
    near = np.sort(_best(score[1], max(_NEAR, n // _NEAR_SHARE)))

    def sharp_ones(begin: int, end: int) -> None:
        _correlate_sharp(*lines, near[begin:end], sharp_table, mask, score[0], shift[0])

    _in_threads(sharp_ones, len(near))
    first = _best(score[0], sharp)
    second = np.setdiff1d(_best(score[1], blurred), first, assume_unique=True)
    index = np.concatenate([first, second])
    late = np.arange(len(index)) >= len(first)
    row = late.astype(int)
    return Found(index, STEP * shift[row, index].astype(float), late, score[row, index].astype(float))


def cores() -> int:
    """Cores that this process may use; where the system does not say, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fingerprint(scan: Scan, width: float = SHARP) -> NDArray[np.float64]:
    """(BINS,) the scan's fingerprint: root of the intensity on ln Q, centred, of length 1."""
    return _centred(scan.binned(width), scan)


def _centred(profile: NDArray[np.float64], scan: Scan) -> NDArray[np.float64]:
    """The profile less its mean where the scan measured, of length 1, and zero elsewhere."""
    inside = slice(max(0, math.ceil(scan.low)), min(BINS, math.floor(scan.high)))
    out = np.zeros_like(profile)
    out[inside] = profile[inside] - profile[inside].mean()
    return out / max(float(np.linalg.norm(out)), 1e-12)


def _padded(profile: NDArray[np.float64]) -> NDArray[np.float32]:
    out = np.zeros(BINS + 2 * _PAD, np.float32)
    out[_PAD : _PAD + BINS] = profile
    return out


def _best(score: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the largest positive scores, best first."""
    count = min(count, len(score))
    if count == 0:
        return np.empty(0, np.int64)
    top = np.argpartition(score, len(score) - count)[len(score) - count :]
    top = top[score[top] > 0]
    return top[np.argsort(-score[top], kind="stable")]


def _phases(profile: NDArray[np.float64]) -> NDArray[np.float32]:
    """The padded profile at every `_COARSE`-th bin: from the first bin, then from the second, and so on."""
    cells = _padded(profile)
    return np.ascontiguousarray(np.pad(cells, (0, -len(cells) % _COARSE)).reshape(-1, _COARSE).T.ravel())


def _in_threads(work: Callable[[int, int], None], count: int) -> None:
    threads = min(cores(), max(1, count // _FEW))
    if threads == 1:
        work(0, count)
        return
    edges = np.linspace(0, count, 4 * threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
def _correlate_blurred(offsets, position, amplitude, norm, chosen, table, mask, begin, end, score, shift):
    """Best score and shift (bins) of structures begin..end - 1 in the blurred fingerprint."""
    wide, columns = _SHIFTS // _COARSE, table.shape[0] // _COARSE
    total = np.empty(wide, np.float32)
    cells = max(1.0, mask.sum())
    for i in range(begin, end):
        if not chosen[i]:
            continue
        total[:] = 0.0
        inside, whole, weights = 0.0, 0.0, 0.0
        j, stop = offsets[i], offsets[i + 1]
        while j < stop:
            here, power, j = _next_line(position, amplitude, j, stop)
            whole += power
            base = (here >> FINE_BITS) + _PAD - _HALF
            seen = mask[base + _HALF]
            weight = np.sqrt(power)
            inside += power * seen
            weights += weight * seen
            # Shifts that are told apart here are _COARSE bins apart, and so neighbours in one row of the table.
            cell = (base & (_COARSE - 1)) * columns + (base >> _COARSE_BITS)
            for t in range(wide):
                total[t] += weight * table[cell + t]
        if not inside > _LEAST_INSIDE * whole:
            continue
        best, where = _largest(total)
        score[i] = best / _length(inside / whole, norm[i, 1], weights, _WIDTHS[1], cells)
        shift[i] = _COARSE * where - _HALF


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
def _correlate_sharp(offsets, position, amplitude, norm, chosen, table, mask, score, shift):
    """Best score and shift (bins) of the structures at the places `chosen` in the sharp fingerprint."""
    total = np.empty(_SHIFTS, np.float32)
    cells = max(1.0, mask.sum())
    for i in chosen:
        total[:] = 0.0
        inside, whole, weights = 0.0, 0.0, 0.0
        j, stop = offsets[i], offsets[i + 1]
        while j < stop:
            here, power, j = _next_line(position, amplitude, j, stop)
            whole += power
            base = (here >> FINE_BITS) + _PAD - _HALF
            seen = mask[base + _HALF]
            weight = np.sqrt(power)
            inside += power * seen
            weights += weight * seen
            for t in range(_SHIFTS):
                total[t] += weight * table[base + t]
        best, where = _largest(total)
        score[i] = best / _length(inside / whole, norm[i, 0], weights, _WIDTHS[0], cells)
        shift[i] = where - _HALF


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _next_line(position, amplitude, j, stop):
    """Place and power of a line with all that lie within a bin of it, and where the next one is."""
    here = int(position[j])
    power = np.float32(amplitude[j]) * np.float32(amplitude[j])
    j += 1
    while j < stop and int(position[j]) - here <= FINE:
        power += np.float32(amplitude[j]) * np.float32(amplitude[j])
        j += 1
    return here, power, j


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _largest(total):
    best, where = np.float32(0.0), 0
    for t in range(total.shape[0]):
        if total[t] > best:
            best, where = total[t], t
    return best, where


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _length(share, norm, weights, width, cells):
    """Length of a structure's centred fingerprint in the range of the scan."""
    # Of unit Gaussians with standard deviation s the sum is 2^(1/2) pi^(1/4) s^(1/2): their mean is taken off.
    mean = 1.8826 * weights
    return math.sqrt(max(share * norm * norm - mean * mean * width / cells, 1.0))
