"""Splits by reduced formula: the same compound is never on two sides, in any run, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from syngony.structure import reduced_formula
from syngony.structure_table import read_table
from syngony.whole_files import whole_file

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


def split_table(table: Path | str, output: Path | str, side: str) -> int:
    """Write the rows of one side of a structure table as a table of its own; returns their number.

    Args:
        table: Parquet structure table.
        output: the table to write, whole or not at all; metadata are kept.
        side: one of `SIDES`.

    Raises:
        TableError: the table cannot be read.
        OutputError: the output cannot be written.
    """
    import pyarrow.parquet as pq

    source, output = read_table(table), Path(output)
    rows = np.flatnonzero(sides_of(source["formula"].to_pylist()) == side)
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as partial:
        pq.write_table(source.take(rows), partial, compression="zstd")
    return len(rows)
