"""Crystal systems and space groups: the vocabulary, and the label of a structure."""

from __future__ import annotations

import contextlib
import re
import warnings
from functools import cache

import numpy as np

from syngony.errors import StructureError
from syngony.structure import Structure

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
"""The seven crystal systems, in the order of every table, confusion matrix and network output."""

LABEL_TOLERANCE = 0.1
"""spglib's symprec in Å for labels: the value that reproduces the Materials Project's own."""

# International Tables for Crystallography A: the last space group of each system.
_LAST_SPACE_GROUP = (2, 15, 74, 142, 167, 194, 230)


def crystal_system_index(space_group_number: int) -> int:
    """Position in `CRYSTAL_SYSTEMS` of a space group.

    Raises:
        ValueError: the number is not in 1..230.
    """
    if not 1 <= space_group_number <= 230:
        raise ValueError(f"space group number {space_group_number} is not in 1..230")
    return int(np.searchsorted(_LAST_SPACE_GROUP, space_group_number))


SYSTEM_OF_GROUP = np.array([crystal_system_index(number) for number in range(1, 231)])
"""(230,) position in `CRYSTAL_SYSTEMS` of each space group."""


def crystal_system(space_group_number: int) -> str:
    """Name of the crystal system of a space group (trigonal and hexagonal are two systems)."""
    return CRYSTAL_SYSTEMS[crystal_system_index(space_group_number)]


@cache
def space_group_symbol(space_group_number: int) -> str:
    """Short Hermann-Mauguin symbol of the standard setting, e.g. ``P4_2/mnm`` for 136."""
    import gemmi

    parts = gemmi.get_spacegroup_reference_setting(space_group_number).hm.split()
    if crystal_system(space_group_number) == "monoclinic":  # P 1 21/c 1 is P2_1/c
        parts = [part for part in parts if part != "1"]
    # "P 42/m n m" -> P4_2/mnm: a screw axis is two digits at the head of a symbol's part.
    return "".join(re.sub(r"^([2346])([1-5])", r"\1_\2", part) for part in parts)


def space_group_of(structure: Structure, tolerance: float = LABEL_TOLERANCE) -> int:
    """Space group number that spglib finds.

    Sites are told apart by element and occupancy. Sites that share one position (a mixed site) are
    treated as one atom of a kind of its own, as a diffraction pattern sees them.

    Args:
        structure: the crystal.
        tolerance: symprec, Å.

    Raises:
        StructureError: spglib finds no symmetry at this tolerance (atoms too close, usually).
    """
    import spglib

    lattice, positions, kinds = _distinct_positions(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = None
        # spglib 2.7+ raises where earlier versions return None; both mean "none found".
        with contextlib.suppress(Exception):
            dataset = spglib.get_symmetry_dataset((lattice.tolist(), positions.tolist(), kinds), symprec=tolerance)
    if dataset is None:
        raise StructureError(
            f"spglib finds no space group at {tolerance} Å: atoms may overlap; try a smaller tolerance"
        )
    return int(dataset.number)


def _distinct_positions(structure: Structure) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Lattice, one row per occupied position, and an integer kind for each."""
    if structure.is_ordered:
        symbols = sorted(set(structure.species))
        return structure.lattice, structure.frac_coords, [symbols.index(s) + 1 for s in structure.species]
    groups: dict[tuple, list[tuple[str, float]]] = {}
    positions: dict[tuple, np.ndarray] = {}
    for species, coords, occupancy in zip(structure.species, structure.frac_coords, structure.occupancies, strict=True):
        key = tuple(np.round(coords % 1.0, 4) % 1.0)
        groups.setdefault(key, []).append((species, round(float(occupancy), 3)))
        positions.setdefault(key, coords)
    contents = [tuple(sorted(group)) for group in groups.values()]
    distinct = sorted(set(contents))
    return structure.lattice, np.array(list(positions.values())), [distinct.index(c) + 1 for c in contents]
