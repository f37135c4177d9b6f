"""Splits by reduced formula: the same compound is never on two sides, in any run, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from syngony.structure import reduced_formula

TEST_SHARE = 0.05
VALIDATION_SHARE = 0.02
SIDES = ("train", "validation", "test")


def formula_position(formula: str) -> float:
    """A number in [0, 1) that depends on the reduced formula alone (a hash, so no order or seed)."""
    digest = hashlib.blake2b(reduced_formula(formula).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def side_of(formula: str) -> str:
    """``train``, ``validation`` or ``test``: 93, 2 and 5 % of the reduced formulas."""
    position = formula_position(formula)
    if position < TEST_SHARE:
        return "test"
    return "validation" if position < TEST_SHARE + VALIDATION_SHARE else "train"


def sides_of(formulas: Iterable[str]) -> NDArray[np.str_]:
    """`side_of` each formula, as an array."""
    return np.array([side_of(formula) for formula in formulas])
