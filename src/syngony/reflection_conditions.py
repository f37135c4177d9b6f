"""Reflection conditions of an extinction group, in the notation of International Tables: ``0kl: k + l = 2n``.

Nothing is looked up: which reflections the operations of the group allow is computed, and put into the fewest words
that say exactly that. What follows from the condition of a larger class (that of 0kl from hkl, of 00l from 0kl), and
what a symmetry of the lattice repeats (h0l beside 0kl where a = b), is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from syngony.extinction_groups import ExtinctionGroup, absences, extinction_groups

_REACH = 6  # the longest period
_MOST = 3  # conditions of one class

# Classes of reflections: names, and the indices that they stand for in terms of what is free in them.
_CLASSES: dict[str, dict[str, str]] = {
    "triclinic": {},
    "monoclinic": {"h0l": "h0l", "0k0": "0k0"},
    "orthorhombic": {name: name for name in ("0kl", "h0l", "hk0", "h00", "0k0", "00l")},
    "tetragonal": {name: name for name in ("hk0", "0kl", "hhl", "00l", "h00")},
    "rhombohedral": {"h-h0l": "hHl", "hh-2hl": "hhl", "000l": "00l"},
    "hexagonal": {"h-h0l": "hHl", "hh-2hl": "hhl", "000l": "00l"},
    "cubic": {name: name for name in ("0kl", "hhl", "h00")},
}
_CYCLES = (((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((0, 1, 0), (0, 0, 1), (1, 0, 0)), ((0, 0, 1), (1, 0, 0), (0, 1, 0)))
_THREE_FOLD = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 1, 0), (-1, -1, 0), (0, 0, 1)),
    ((-1, -1, 0), (1, 0, 0), (0, 0, 1)),
)
_ALIKE = {
    "tetragonal": (((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((0, 1, 0), (1, 0, 0), (0, 0, 1))),
    "rhombohedral": _THREE_FOLD,
    "hexagonal": _THREE_FOLD,
    "cubic": _CYCLES,
}
"""Changes of the indices (rows: the new ones) that the lattice system makes alike."""

_SUMS = {"h": (1, 0, 0), "k": (0, 1, 0), "l": (0, 0, 1), "h + k": (1, 1, 0), "h + l": (1, 0, 1), "k + l": (0, 1, 1),
         "h + k + l": (1, 1, 1), "2h + l": (2, 0, 1), "-h + k + l": (-1, 1, 1)}  # fmt: skip
_TERMS = [
    *product(("h", "k", "l", "h + k", "h + l", "k + l", "h + k + l"), (2,)),
    *product(("-h + k + l", "l"), (3,)),
    *product(("h", "k", "l", "h + k", "h + l", "k + l", "2h + l"), (4,)),
    ("l", 6),
]
"""Sums of indices and what they are multiples of, the simplest first."""


@dataclass(frozen=True)
class ReflectionCondition:
    """What the reflections of one class must fulfil to be there.

    Attributes:
        reflections: the class: ``hkl``, ``0kl``, ``00l``, ``hhl`` ...; of hexagonal axes with four indices.
        terms: sums of indices with the number that each must be a multiple of: ``("k + l", 2)``.
    """

    reflections: str
    terms: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        moduli = dict.fromkeys(modulus for _, modulus in self.terms)
        said = [f"{', '.join(total for total, of in self.terms if of == modulus)} = {modulus}n" for modulus in moduli]
        return f"{self.reflections}: {', '.join(said)}"


def reflection_conditions(group: ExtinctionGroup) -> tuple[ReflectionCondition, ...]:
    """The conditions of an extinction group in its standard setting, larger classes first; none if nothing is absent.

    Raises:
        ValueError: the group is not of the table.
    """
    return _conditions(extinction_groups().index(_of_table(group)))


@cache
def _conditions(place: int) -> tuple[ReflectionCondition, ...]:
    group = extinction_groups()[place]
    alike = np.array(_ALIKE.get(group.lattice_system, _CYCLES[:1]))
    found: list[ReflectionCondition] = []
    for name, pattern in {"hkl": "hkl", **_CLASSES[group.lattice_system]}.items():
        hkl = _reflections(pattern)
        allowed = ~absences(group.setting, hkl)
        implied = np.ones(len(hkl), bool)
        for known in found:
            for change in alike:
                moved = hkl @ change.T
                there = _belongs(moved, {"hkl": "hkl", **_CLASSES[group.lattice_system]}[known.reflections])
                implied &= ~there | _fulfils(moved, known.terms)
        if (implied == allowed).all():
            continue
        found.append(ReflectionCondition(name, _fewest(pattern, hkl, allowed, implied)))
    return tuple(found)


def _fewest(
    pattern: str, hkl: NDArray[np.int64], allowed: NDArray[np.bool_], implied: NDArray[np.bool_]
) -> tuple[tuple[str, int], ...]:
    """The fewest and simplest terms that, with what is implied, allow exactly these reflections of a class."""
    free = {"h": "h" in pattern, "k": "k" in pattern, "l": "l" in pattern}
    possible = [term for term in _TERMS if all(free[index] for index in "hkl" if index in term[0])]
    for count in range(1, _MOST + 1):
        for terms in combinations(possible, count):
            if ((implied & _fulfils(hkl, terms)) == allowed).all():
                return terms
    raise AssertionError(f"no condition says which {pattern} are absent")  # a test runs through all groups


def _reflections(pattern: str) -> NDArray[np.int64]:
    """(n, 3) reflections of a class with indices up to `_REACH` that are in no smaller one; H stands for minus h."""
    free = sorted(set(pattern.lower()) - {"0"})
    numbers = [number for number in range(-_REACH, _REACH + 1) if number]
    chosen = [some for some in product(numbers, repeat=len(free)) if len({abs(one) for one in some}) == len(free)]
    values = [dict(zip(free, some, strict=True)) for some in chosen]
    hkl = np.array([[0 if i == "0" else -v["h"] if i == "H" else v[i] for i in pattern] for v in values])
    if pattern != "hkl":
        return hkl
    h, k, i = np.abs(hkl[:, 0]), np.abs(hkl[:, 1]), np.abs(hkl[:, 0] + hkl[:, 1])
    return hkl[(i > 0) & (i != h) & (i != k)]  # of hexagonal axes


def _belongs(hkl: NDArray[np.int64], pattern: str) -> NDArray[np.bool_]:
    h, k, l = hkl.T  # noqa: E741
    inside = np.ones(len(hkl), bool)
    for index, values in zip(pattern, (h, k, l), strict=True):
        if index == "0":
            inside &= values == 0
    if pattern.startswith("hh"):
        inside &= h == k
    elif pattern.startswith("hH"):
        inside &= h == -k
    return inside


def _fulfils(hkl: NDArray[np.int64], terms: tuple[tuple[str, int], ...]) -> NDArray[np.bool_]:
    return np.all([(hkl @ np.array(_SUMS[total])) % modulus == 0 for total, modulus in terms], axis=0)


def _of_table(group: ExtinctionGroup) -> ExtinctionGroup:
    """The entry of the table; that of a ranking has its own probability."""
    same = (one for one in extinction_groups() if one.space_groups == group.space_groups)
    found = next(same, None)
    if found is None:
        raise ValueError(f"{group.symbol!r} is no extinction group of the table")
    return found
