"""Wyckoff positions of the standard settings, as maps from free coordinates to the atoms of a primitive cell."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_GENERIC = np.array([0.1357, 0.0719, 0.2213])  # images of this point coincide only when their maps do


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """A Wyckoff position of a space group.

    Attributes:
        letter: as in International Tables; the 27th (of Pmmm) is ``A``.
        multiplicity: atoms in the conventional cell.
        triplet: the first coordinates in the conventional cell, e.g. ``x,-x+1/2,1/4``.
        free: number of free coordinates, 0 to 3.
        maps: (m, 3, 4) from (x, y, z, 1) to fractional coordinates in the primitive cell of `primitive_basis`.
    """

    letter: str
    multiplicity: int
    triplet: str
    free: int
    maps: NDArray[np.float64]


@cache
def wyckoff_positions(space_group_number: int) -> tuple[WyckoffPosition, ...]:
    """All positions of a space group (1..230) in its standard setting, in the order of their letters.

    Source: ``tables/wyckoff_positions.json``; the operations are gemmi's.
    """
    import gemmi

    operations = gemmi.get_spacegroup_reference_setting(space_group_number).operations()
    seitz = np.array([op.float_seitz() for op in operations.sym_ops])  # without centring translations
    to_primitive = np.linalg.inv(primitive_basis(space_group_number).T)
    positions = []
    for entry in _table()[space_group_number - 1]:
        name, triplet = entry.split()
        first = _matrix(triplet)
        maps = to_primitive @ (seitz @ first)[:, :3]
        images = (maps[:, :, :3] @ _GENERIC + maps[:, :, 3] + 1e-6) % 1.0
        distinct = np.sort(np.unique(images.round(4), axis=0, return_index=True)[1])
        free = len({letter for letter in triplet if letter in "xyz"})
        positions.append(WyckoffPosition(name[-1], int(name[:-1]), triplet, free, np.ascontiguousarray(maps[distinct])))
    return tuple(positions)


@cache
def primitive_basis(space_group_number: int) -> NDArray[np.float64]:
    """(3, 3): rows are primitive cell vectors in terms of the conventional ones."""
    import gemmi

    operation = gemmi.get_spacegroup_reference_setting(space_group_number).centred_to_primitive()
    return np.array(operation.float_seitz())[:3, :3].T


@cache
def lattice_points(space_group_number: int) -> int:
    """Primitive cells in a conventional one: 1, 2, 3 or 4."""
    return round(1.0 / abs(float(np.linalg.det(primitive_basis(space_group_number)))))


def _matrix(triplet: str) -> NDArray[np.float64]:
    """(4, 4) of a triplet such as ``x,2x,-z+1/4``; gemmi reads no factors."""
    matrix = np.eye(4)
    for row, expression in zip(matrix, triplet.split(","), strict=False):
        row[:] = 0.0
        for sign, factor, letter, constant in re.findall(r"([+-]?)(?:(\d?)([xyz])|(\d+(?:/\d+)?))", expression):
            value = float(Fraction(constant or factor or 1)) * (-1 if sign == "-" else 1)
            row["xyz".index(letter) if letter else 3] += value
    return matrix


@cache
def _table() -> list[list[str]]:
    content: dict[str, list[list[str]]] = json.loads(
        files("syngony").joinpath("tables/wyckoff_positions.json").read_text()
    )
    return content["positions"]
