"""What real structures are like, as distributions to draw from: ``tables/synthetic_statistics.json``."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.elements import ELEMENT_INDEX
from syngony.sources.synthetic.lattices import bravais_lattice, cell_of
from syngony.sources.synthetic.wyckoff import wyckoff_positions
from syngony.symmetry import crystal_system_index

_PRIOR = 5.0
"""Structures' worth of the crystal system's statistics that are mixed into those of a space group."""


def pick(rng: np.random.Generator, cumulative: NDArray[np.float64]) -> int:
    """An index drawn with the weights whose cumulative sum is given."""
    return min(bisect_right(cumulative, rng.random() * cumulative[-1]), len(cumulative) - 1)


@dataclass(frozen=True, eq=False)
class GroupStatistics:
    """How the structures of one space group are built.

    Attributes:
        orbits: cumulative weights of 1, 2 ... occupied orbits.
        positions: (n,) weights of the Wyckoff positions, in the order of the letters.
    """

    orbits: NDArray[np.float64]
    positions: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chemistry:
    """Which elements go together, and how large they are; arrays in the order of ``symbols``.

    Attributes:
        symbols: n elements.
        index: (n,) positions in `syngony.elements.ELEMENTS`.
        share: (n,) of structures that hold the element.
        affinity: (n, n) ln of how much more often two elements are together than chance has it.
        extra: (n,) orbits of an element beyond the first, mean over the structures that hold it.
        volume: (n,) Å^3 an atom.
        kinds: cumulative weights of 1, 2 ... elements, a row for 1, 2 ... orbits.
    """

    symbols: tuple[str, ...]
    index: NDArray[np.int64]
    share: NDArray[np.float64]
    affinity: NDArray[np.float64]
    extra: NDArray[np.float64]
    volume: NDArray[np.float64]
    kinds: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, orbits: int) -> NDArray[np.int64]:
        """(orbits,) elements, as positions in ``symbols``, of orbits in no order.

        The elements are drawn one after another, each with the product of its affinities to those before.
        """
        number = min(pick(rng, self.kinds[min(orbits, len(self.kinds)) - 1]) + 1, orbits)
        weights = self.share.copy()
        chosen: list[int] = []
        for _ in range(number):
            element = pick(rng, np.cumsum(weights))
            chosen.append(element)
            weights *= np.exp(self.affinity[element])
            weights[chosen] = 0.0
        extra = np.cumsum(self.extra[chosen])
        rest = [chosen[pick(rng, extra)] for _ in range(orbits - number)]
        return rng.permutation(np.array(chosen + rest))


def space_group_weights(flatten: float) -> NDArray[np.float64]:
    """(230,) shares of the space groups, from their frequency in the Materials Project to even.

    Args:
        flatten: 0 keeps the frequencies, 1 makes all even: weights are (count + 1)^(1 - flatten).
    """
    table = json.loads(files("syngony").joinpath("tables/space_group_counts.json").read_text())
    weights = (np.sum(table["counts"], axis=1) + 1.0) ** (1.0 - flatten)
    return weights / weights.sum()


@cache
def group_statistics(space_group_number: int) -> GroupStatistics:
    """Of a space group, with a little of its crystal system mixed in, so that a rare one can be drawn too."""
    table = _table()
    system = _system_statistics(crystal_system_index(space_group_number))
    counts = np.zeros(len(system.orbits))
    for number, count in table["orbits"].get(str(space_group_number), {}).items():
        counts[int(number) - 1] += count
    letters = table["letters"].get(str(space_group_number), {})
    positions = wyckoff_positions(space_group_number)
    seen = np.array([float(letters.get(position.letter, 0)) for position in positions])
    free = np.array([position.free for position in positions])
    prior = system.positions[free] / np.bincount(free, minlength=4)[free]
    return GroupStatistics(np.cumsum(counts + _PRIOR * system.orbits), seen + _PRIOR * prior / prior.sum())


@cache
def _system_statistics(system: int) -> GroupStatistics:
    """Of all groups of a crystal system; ``positions`` is four shares of the orbits, by number of free coordinates."""
    table = _table()
    orbits, free = np.zeros(len(table["kinds"])), np.full(4, 1.0)
    for group, counts in table["orbits"].items():
        if crystal_system_index(int(group)) == system:
            for number, count in counts.items():
                orbits[int(number) - 1] += count
            of_letter = {position.letter: position.free for position in wyckoff_positions(int(group))}
            for letter, count in table["letters"][group].items():
                free[of_letter[letter]] += count
    return GroupStatistics(orbits / orbits.sum(), free / free.sum())


@cache
def chemistry() -> Chemistry:
    """The one `Chemistry` of the table."""
    table = _table()
    n = len(table["elements"])
    together = np.zeros((n, n))
    for i, row in enumerate(table["together"]):
        together[i, : i + 1] = together[: i + 1, i] = row
    alone = together.diagonal().copy()
    expected = np.outer(alone, alone) / table["structures"]
    # Half a structure more than seen and expected: pairs that nobody made stay possible.
    affinity = np.log((together + 0.5) / (expected + 0.5))
    kinds = np.array(table["kinds"], dtype=float)
    smooth = np.array([kinds[max(0, k - 2) : k + 3].sum(axis=0) for k in range(len(kinds))])
    return Chemistry(
        symbols=tuple(table["elements"]),
        index=np.array([ELEMENT_INDEX[symbol] for symbol in table["elements"]]),
        share=alone / alone.sum(),
        affinity=affinity,
        extra=np.maximum(np.array(table["places"]) / alone - 1.0, 0.05),
        volume=np.array(table["atomic_volume"]),
        kinds=np.cumsum(smooth + 1e-9, axis=1),
    )


def volume_factor(rng: np.random.Generator) -> float:
    """A drawn ratio of a cell's volume to the sum of its atoms' volumes."""
    quantiles = _quantiles()
    return float(np.interp(rng.random() * (len(quantiles) - 1), np.arange(len(quantiles)), quantiles))


def draw_cell(
    rng: np.random.Generator, space_group_number: int, log_volume: float, attempts: int = 20
) -> NDArray[np.float64] | None:
    """Conventional cell vectors (3, 3), rows in Å, of a volume: shapes as cells of this size have them.

    None where no drawn shape closes a cell.

    Args:
        log_volume: ln of the conventional cell's volume in Å^3.
    """
    bravais = bravais_lattice(space_group_number)
    weight, mean, lower = _shapes(bravais)
    variance = lower[:, 0, 0] ** 2
    log = np.log(weight) - 0.5 * (log_volume - mean[:, 0]) ** 2 / variance - 0.5 * np.log(variance)
    cumulative = np.cumsum(np.exp(log - log.max()))
    for _ in range(attempts):
        k = pick(rng, cumulative)
        # With a triangular root of the covariance the first normal number is the volume's, and given.
        normal = np.array([(log_volume - mean[k, 0]) / lower[k, 0, 0], *rng.standard_normal(mean.shape[1] - 1)])
        normal[0] = np.clip(normal[0], -2.5, 2.5)  # far outside the mixture its slopes mean nothing
        cell = cell_of(bravais, log_volume, (mean[k] + lower[k] @ normal)[1:])
        if cell is not None:
            return cell
    return None


@cache
def _shapes(bravais: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Weights (k,), means (k, d) and triangular roots (k, d, d) of the covariances of a mixture."""
    rows = np.array(_table()["shapes"][bravais])
    d = next(d for d in range(1, 7) if rows.shape[1] == 1 + d + d * (d + 1) // 2)
    covariance = np.zeros((len(rows), d, d))
    i, j = np.tril_indices(d)
    covariance[:, i, j] = covariance[:, j, i] = rows[:, 1 + d :]
    return rows[:, 0], rows[:, 1 : 1 + d], np.linalg.cholesky(covariance)


@cache
def _quantiles() -> NDArray[np.float64]:
    return np.array(_table()["volume_factor"])


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("syngony").joinpath("tables/synthetic_statistics.json").read_text())
    return content
