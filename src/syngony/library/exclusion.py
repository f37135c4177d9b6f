"""Structures that a search passes over: what a library is without a phase, a compound or a structure type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_letters

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError, StructureError
from syngony.library.file import Library
from syngony.structure import reduced_formula

Type = tuple[int, str]
"""A structure type: space group number, and the formula of any compound of that type."""


@dataclass(frozen=True)
class Exclusion:
    """Entries to leave out of a search, named in any of three ways.

    Attributes:
        ids: identifiers, as `KnownPhase.id`.
        formulas: all structures of these compounds, polymorphs too: ``TiO2`` is ``Ti2 O4``.
        types: all structures of these space groups and proportions, whichever the elements: ``(225, "NaCl")``
            leaves out MgO.

    Raises:
        InputError: a text where several are due, what is no formula, or a space group not in 1..230.
    """

    ids: Iterable[str] = ()
    formulas: Iterable[str] = ()
    types: Iterable[Type] = ()

    def __post_init__(self) -> None:
        if isinstance(self.ids, str) or isinstance(self.formulas, str):
            raise InputError("identifiers and formulas to leave out are lists: write ['TiO2'], not 'TiO2'")
        types = frozenset((int(number), text) for number, text in self.types)
        for number, _ in types:
            if not 1 <= number <= 230:
                raise InputError(f"space group number {number} is not in 1..230")
        object.__setattr__(self, "ids", frozenset(self.ids))
        object.__setattr__(self, "formulas", frozenset(reduced_formula(text) for text in self.formulas))
        object.__setattr__(self, "types", frozenset((number, proportions(text)) for number, text in types))

    def allowed(self, library: Library) -> NDArray[np.bool_]:
        """(n,) structures of a library that are left. The first call for formulas or types reads all its texts."""
        keep = np.ones(len(library), bool)
        for identifier in self.ids:
            keep[_by_id(library).get(identifier, [])] = False
        for formula in self.formulas:
            keep[_by_formula(library).get(formula, [])] = False
        for number, amounts in self.types:
            alike = np.array(_by_proportions(library).get(amounts, []), np.int64)
            keep[alike[library.space_group[alike] == number]] = False
        return keep


def proportions(formula: str) -> str:
    """The amounts of a formula without its elements, least first: ``1 2`` of TiO2 and of Mg2 F4."""
    return _amounts(reduced_formula(formula))


def _amounts(reduced: str) -> str:
    return " ".join(sorted(word.lstrip(ascii_letters) for word in reduced.split()))


@lru_cache(maxsize=8)
def _by_id(library: Library) -> dict[str, list[int]]:
    return _places(library.ids())


@lru_cache(maxsize=8)
def _by_formula(library: Library) -> dict[str, list[int]]:
    return _places(_reduced(library.entry(i).formula) for i in range(len(library)))


@lru_cache(maxsize=8)
def _by_proportions(library: Library) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for formula, places in _by_formula(library).items():
        found.setdefault(_amounts(formula), []).extend(places)
    return found


def _places(keys: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return found


def _reduced(formula: str) -> str:
    """What a table calls a formula may be none; such a structure is nobody's compound."""
    try:
        return reduced_formula(formula)
    except StructureError:
        return ""
