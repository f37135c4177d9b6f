"""The first search: every structure of a library against a scan, over shifts of the whole cell. Compiled."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.library.axis import BINS, FINE, STEP
from syngony.library.file import Library
from syngony.library.scan import Scan
from syngony.library.selection import BLURRED, SHARP

LARGEST_SCALE = 0.03
"""Of the cell's lengths, up or down: thermal expansion, solid solution, and what DFT makes too long."""

_HALF = 24  # bins of shift either way: 2 ln(1.03) = 0.059 of ln Q is 22
_SHIFTS = 2 * _HALF
_COARSE = 4  # bins between shifts of the blurred fingerprint
_PAD = 64
_LEAST_INSIDE = 0.1  # of the lines' weight that must lie in the range of the scan

_WIDTHS = (SHARP, BLURRED)

_FEW = 20_000  # structures under which a second thread costs more than it gives


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
    scan's fingerprint. Twice: with the width of a line, and blurred by 0.8 % of the length.

    Args:
        library: where to look.
        scan: prepared.
        sharp, blurred: how many candidates to take from each.
        chosen: (n,) which structures to look at; all when omitted.

    Returns:
        At most sharp + blurred candidates, each once.
    """
    n = len(library)
    tables = [_padded(fingerprint(scan, width)) for width in (SHARP, BLURRED)]
    mask = np.zeros(BINS + 2 * _PAD, np.float32)
    mask[_PAD + max(0, math.ceil(scan.low)) : _PAD + min(BINS, math.floor(scan.high))] = 1.0
    looked = np.ones(n, bool) if chosen is None else chosen
    score, shift = np.zeros((2, n), np.float32), np.zeros((2, n), np.int8)

    def work(begin: int, end: int) -> None:
        _correlate(
            library.offsets, library.position, library.amplitude, library.norm, looked,
            tables[0], tables[1], mask, begin, end, score, shift,
        )  # fmt: skip

    threads = min(os.cpu_count() or 1, max(1, n // _FEW))
    if threads == 1:
        work(0, n)
    else:
        edges = np.linspace(0, n, 4 * threads + 1).astype(int).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))
    first = _best(score[0], sharp)
    second = np.setdiff1d(_best(score[1], blurred), first, assume_unique=True)
    index = np.concatenate([first, second])
    late = np.arange(len(index)) >= len(first)
    row = late.astype(int)
    return Found(index, STEP * shift[row, index].astype(float), late, score[row, index].astype(float))


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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
def _correlate(offsets, position, amplitude, norm, chosen, sharp, blurred, mask, begin, end, score, shift):
    """Best score and shift (bins) of structures begin..end - 1 for both fingerprints."""
    first = np.empty(_SHIFTS, np.float32)
    wide = _SHIFTS // _COARSE
    cells = max(1.0, mask.sum())
    second = np.empty(wide, np.float32)
    for i in range(begin, end):
        if not chosen[i]:
            continue
        first[:] = 0.0
        second[:] = 0.0
        inside, total, weights = 0.0, 0.0, 0.0
        j, stop = offsets[i], offsets[i + 1]
        while j < stop:
            here = int(position[j])
            power = float(amplitude[j]) * float(amplitude[j])
            j += 1
            while j < stop and int(position[j]) - here <= FINE:
                power += float(amplitude[j]) * float(amplitude[j])
                j += 1
            total += power
            base = here // FINE + _PAD - _HALF
            weight = np.float32(math.sqrt(power))
            inside += power * mask[base + _HALF]
            weights += weight * mask[base + _HALF]
            for t in range(_SHIFTS):
                first[t] += weight * sharp[base + t]
            for t in range(wide):
                second[t] += weight * blurred[base + _COARSE * t]
        if not inside > _LEAST_INSIDE * total:
            continue
        share = inside / total
        # Of unit Gaussians with standard deviation s the sum is 2^(1/2) pi^(1/4) s^(1/2): their mean is taken off.
        mean = 1.8826 * weights
        length = [math.sqrt(max(share * norm[i, k] ** 2 - mean * mean * _WIDTHS[k] / cells, 1.0)) for k in range(2)]
        best, where = np.float32(0.0), 0
        for t in range(_SHIFTS):
            if first[t] > best:
                best, where = first[t], t
        score[0, i], shift[0, i] = best / length[0], where - _HALF
        best, where = np.float32(0.0), 0
        for t in range(wide):
            if second[t] > best:
                best, where = second[t], t
        score[1, i], shift[1, i] = best / length[1], _COARSE * where - _HALF
