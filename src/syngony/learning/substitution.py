"""Crystals of a table with other elements in place of theirs: the same symmetry, another pattern.

A network that sees the same structures again and again comes to know them by their intensities. Where every atom of an
element becomes one of another element, all sites stay where they are and so does the space group, but what lines are
strong changes, as it does between isotypic compounds. Networks for crystals are trained on such made-up compounds
elsewhere too (Merchant et al., Nature 624, 80, 2023, substitute ions to find new ones).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from syngony.errors import InputError, StructureError
from syngony.learning.split import side_of, sides_of
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, iter_structures, read_info, read_table, write_structures

NONMETALS = frozenset(
    ("H", "D", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "As", "Se", "Br", "Kr", "Te", "I", "Xe")
)
"""They take each other's places, and metals those of metals: an anion is rarely where a cation was."""

SCALE = 0.03
"""Standard deviation of the logarithm of the factor on the axes: other atoms are larger or smaller."""

_ATTEMPTS = 20


class Substitution:
    """Draws elements as frequent as those of a table, each at most once in a crystal.

    Args:
        formulas_elements: the elements of each structure of the table.
    """

    def __init__(self, formulas_elements: Iterable[Iterable[str]]) -> None:
        counts: Counter[str] = Counter()
        for elements in formulas_elements:
            counts.update(set(elements))
        self._kinds: dict[bool, tuple[list[str], np.ndarray]] = {}
        for nonmetal in (False, True):
            names = sorted(name for name in counts if (name in NONMETALS) == nonmetal)
            weights = np.array([counts[name] for name in names], dtype=float)
            self._kinds[nonmetal] = names, weights / max(weights.sum(), 1.0)

    def __call__(self, record: StructureRecord, rng: np.random.Generator) -> StructureRecord:
        """The crystal with other elements and axes a little longer or shorter; its label stays.

        Raises:
            StructureError: more elements of a kind than the table has.
        """
        structure = record.structure
        instead: dict[str, str] = {}
        for nonmetal, (names, weights) in self._kinds.items():
            here = sorted({name for name in structure.species if (name in NONMETALS) == nonmetal})
            if len(here) > np.count_nonzero(weights):
                raise StructureError(f"{len(here)} elements of a kind: more than there are to take their places")
            if here:
                drawn = rng.choice(len(names), size=len(here), replace=False, p=weights)
                instead.update(zip(here, (names[i] for i in drawn), strict=True))
        other = Structure(
            structure.lattice * np.exp(SCALE * rng.standard_normal()),
            [instead[name] for name in structure.species],
            structure.frac_coords,
            structure.occupancies,
        )
        return StructureRecord(record.material_id, record.space_group_number, other)


def substitute_table(
    table: Path | str, output: Path | str, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write one substituted crystal for each of the training side of a table; returns their number.

    None has a formula of another side: what is held out stays unseen. The same seed gives the same table.

    Args:
        table: Parquet structure table.
        output: the table to write, whole or not at all.
        seed: another gives other elements.
        progress: called with structures done and in all.

    Raises:
        TableError: the table cannot be read.
        StructureError: it holds an impossible structure.
        InputError: none of its structures is of the training side.
        OutputError: the output cannot be written.
    """
    source, about = read_table(table), read_info(table)
    training = source.take(np.flatnonzero(sides_of(source["formula"].to_pylist()) == "train"))
    if training.num_rows == 0:
        raise InputError(f"{table}: none of its structures is of the training side; give a larger table")
    substitution = Substitution(training["species"].to_pylist())

    def records() -> Iterator[StructureRecord]:
        for number, record in enumerate(iter_structures(training)):
            rng = np.random.default_rng((seed, number))
            for _ in range(_ATTEMPTS):
                other = substitution(record, rng)
                if side_of(other.structure.formula) == "train":
                    yield StructureRecord(f"{record.material_id}-sub{seed}", other.space_group_number, other.structure)
                    break
            if progress:
                progress(number + 1, training.num_rows)

    notes: dict[str, Any] = {**about.notes, "substituted": str(seed)}
    described = f"Of the training side, with other elements in place of theirs: {about.source}"
    return write_structures(output, records(), TableInfo(described, about.licence, about.label_tolerance, notes))
