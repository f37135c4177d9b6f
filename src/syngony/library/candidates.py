"""Candidates: structures of several libraries with their lines, gathered for a closer look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.library.file import Library
from syngony.library.search import Found, cores


@dataclass(frozen=True, eq=False)
class Candidates:
    """k structures with their lines, gathered from libraries.

    Attributes:
        library, index: (k,) which library of the list, and the place in it.
        offsets: (k + 1,) candidate i has lines offsets[i]:offsets[i + 1].
        hkl: (m, 3); amplitude: (m,) root of the intensity, strongest 1.
        metric: (k, 6); space_group: (k,).
        shift: (k,) of ln Q, that the search found.
    """

    library: NDArray[np.int64]
    index: NDArray[np.int64]
    offsets: NDArray[np.int64]
    hkl: NDArray[np.int8]
    amplitude: NDArray[np.float64]
    metric: NDArray[np.float64]
    space_group: NDArray[np.int64]
    shift: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.index)

    def lines_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the lines of some of them, in the order given."""
        return _spans(self.offsets, chosen)

    def take(self, chosen: NDArray[np.int64]) -> Candidates:
        """Some of them, in the order given."""
        lines = self.lines_of(chosen)
        return Candidates(
            self.library[chosen], self.index[chosen], _starts(np.diff(self.offsets)[chosen]), self.hkl[lines],
            self.amplitude[lines], self.metric[chosen], self.space_group[chosen], self.shift[chosen],
        )  # fmt: skip


def gather(libraries: Sequence[Library], found: Sequence[Found], strongest: int = 255) -> Candidates:
    """Lines of the candidates that `search` found in each library.

    Args:
        libraries: those searched.
        found: what was found in each.
        strongest: lines of each candidate to take.
    """
    parts = []
    for number, (library, one) in enumerate(zip(libraries, found, strict=True)):
        index = one.index
        lines, counts = _strongest(library.offsets, library.amplitude, index, strongest)
        own = (
            np.full(len(index), number),
            index,
            counts,
            library.hkl[lines],
            library.amplitude[lines] / 255.0,
            library.metric[index].astype(float),
            library.space_group[index].astype(np.int64),
            one.shift,
        )
        parts.append(own)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    columns[2] = _starts(columns[2])
    return Candidates(*columns)


def in_threads(work: Callable[[int, int], None], count: int) -> None:
    """Call work(begin, end) on stretches of `count` items on all cores."""
    threads = min(cores(), max(1, count // 40))
    if threads == 1:
        work(0, count)
        return
    edges = np.linspace(0, count, 4 * threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _spans(offsets: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the lines of the chosen structures, one structure after another."""
    counts = offsets[chosen + 1] - offsets[chosen]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return np.arange(starts[-1]) + np.repeat(offsets[chosen] - starts[:-1], counts)


@njit(cache=True, nogil=True, error_model="numpy")
def _strongest(offsets, amplitude, index, most):
    """Places of the strongest lines of chosen structures, in order, and how many of each."""
    counts = np.zeros(index.shape[0], np.int64)
    total = 0
    for i in index:
        total += min(most, offsets[i + 1] - offsets[i])
    places, done = np.empty(total, np.int64), 0
    tally = np.empty(256, np.int64)
    for t in range(index.shape[0]):
        a, b = offsets[index[t]], offsets[index[t] + 1]
        floor = 0
        if b - a > most:
            tally[:] = 0
            for j in range(a, b):
                tally[amplitude[j]] += 1
            above, floor = 0, 255
            while above + tally[floor] <= most:
                above += tally[floor]
                floor -= 1
            floor += 1
        for j in range(a, b):
            if amplitude[j] >= floor and counts[t] < most:
                places[done] = j
                done += 1
                counts[t] += 1
    return places[:done], counts
