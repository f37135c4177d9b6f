"""What a user knows of the elements in a sample: a hint that narrows a search, never required."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.elements import ELEMENT_INDEX
from syngony.errors import InputError
from syngony.library.file import Library

_HYDROGEN = ("H", "D")  # X-rays hardly see it: many measured structures leave it out


@dataclass(frozen=True)
class Elements:
    """Which structures a sample's elements allow.

    Attributes:
        contains: all of these are in the structure; hydrogen is not asked for, many structures do not locate it.
        only: nothing but these is; None for anything.
        without: none of these is.
    """

    contains: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, hints: str | Sequence[str]) -> Elements:
        """Read ``Ti,O`` (contains), ``only Ti,O`` and ``not Fe``; several in a list, or with semicolons.

        Raises:
            InputError: an unknown element, an empty hint, or hints that no structure can meet.
        """
        contains: set[str] = set()
        without: set[str] = set()
        only: set[str] | None = None
        for hint in [hints] if isinstance(hints, str) else hints:
            for clause in hint.split(";"):
                words = re.split(r"[\s,]+", clause.strip())
                kind = words.pop(0).lower() if words[0].lower() in ("only", "not") else "contains"
                if not words or words == [""]:
                    raise InputError(f"no element in {hint!r}: write Ti,O or only Ti,O or not Fe")
                unknown = [word for word in words if word not in ELEMENT_INDEX]
                if unknown:
                    raise InputError(f"unknown element {unknown[0]!r} in {hint!r}: write symbols, e.g. Ti,O")
                if kind == "not":
                    without.update(words)
                elif kind == "only":
                    only = set(words) if only is None else only & set(words)
                else:
                    contains.update(words)
        impossible = (contains & without) | (contains - only if only is not None else set())
        if impossible or (only is not None and not only - without):
            raise InputError(f"no structure can meet {hints!r}: an element is both asked for and ruled out")
        return cls(frozenset(contains), None if only is None else frozenset(only), frozenset(without))

    def allowed(self, library: Library) -> NDArray[np.bool_]:
        """(n,) structures of a library that meet the hint."""
        bits = library.elements
        good = np.ones(len(library), bool)
        needed = element_bits(self.contains - set(_HYDROGEN))
        good &= ((bits & needed) == needed).all(axis=1)
        if self.only is not None:
            good &= ((bits & ~element_bits(self.only)) == 0).all(axis=1)
        return good & ((bits & element_bits(self.without)) == 0).all(axis=1)


def element_bits(symbols: frozenset[str] | Sequence[str]) -> NDArray[np.uint64]:
    """(2,) one bit for each element, as in `Library.elements`."""
    bits = np.zeros(2, np.uint64)
    for symbol in symbols:
        place = ELEMENT_INDEX[symbol]
        bits[place // 64] |= np.uint64(1) << np.uint64(place % 64)
    return bits
