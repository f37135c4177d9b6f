"""One random crystal of a given space group."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from syngony.errors import StructureError
from syngony.sources.synthetic.placement import place_orbits
from syngony.sources.synthetic.statistics import (
    chemistry,
    draw_cell,
    group_statistics,
    pick,
)
from syngony.sources.synthetic.wyckoff import WyckoffPosition, lattice_points, primitive_basis, wyckoff_positions
from syngony.structure import Structure
from syngony.symmetry import space_group_of

MOST_ATOMS = 200
"""In the primitive cell; 99 of 100 structures of the Materials Project have fewer."""

CLOSEST = 0.75
"""Two atoms are at least this part of the sum of their covalent radii apart (Cordero et al. 2008)."""

CLOSEST_ANIONS = 0.68
"""Two atoms of electronegative elements are at least this part of the sum of their van der Waals radii apart."""

_ANIONS = ("H", "N", "O", "F", "S", "Cl", "Se", "Br", "I")
_TRIES = 200  # of an orbit with free coordinates
_RESTARTS = 5  # of a cell that could not be filled


class Rejection(Exception):
    """An attempt that gave no crystal; its text is the kind of failure."""


def draw_crystal(
    rng: np.random.Generator, space_group_number: int, orbits: int, factor: float, tolerance: float
) -> Structure:
    """A random crystal in a reduced primitive cell, whose space group spglib finds again.

    Args:
        rng: numpy's generator.
        space_group_number: 1..230.
        orbits: number of occupied crystallographic orbits.
        factor: volume of the cell over the sum of its atoms' volumes.
        tolerance: symprec of the label, Å.

    Raises:
        Rejection: too many atoms, no room for them, or another space group than asked for.
    """
    chosen = draw_positions(rng, space_group_number, orbits)
    starts = np.cumsum([0, *(len(position.maps) for position in chosen)])
    if starts[-1] > MOST_ATOMS:
        raise Rejection("too many atoms")
    elements = chemistry().draw(rng, orbits)
    atoms = np.repeat(elements, np.diff(starts))
    volume = float(chemistry().volume[atoms].sum()) * factor  # of the primitive cell
    basis = primitive_basis(space_group_number)
    conventional = draw_cell(rng, space_group_number, math.log(volume * lattice_points(space_group_number)))
    if conventional is None:
        raise Rejection("no cell")
    lattice, change = reduced(basis @ conventional)
    maps = np.concatenate([change @ position.maps for position in chosen])
    coords = np.empty((starts[-1], 3))
    free = np.array([position.free for position in chosen])
    if not place_orbits(rng, maps, starts, free, elements, shortest_distances(), lattice, _RESTARTS, _TRIES, coords):
        raise Rejection("no room for the atoms")
    order = np.argsort(atoms, kind="stable")
    try:
        structure = Structure(lattice, [chemistry().symbols[i] for i in atoms[order]], coords[order])
        found = space_group_of(structure, tolerance)
    except StructureError:
        raise Rejection("no space group found") from None
    if found != space_group_number:
        raise Rejection("another space group found")
    return structure


def draw_positions(rng: np.random.Generator, space_group_number: int, orbits: int) -> list[WyckoffPosition]:
    """Wyckoff positions, those without free coordinates at most once and first."""
    positions = wyckoff_positions(space_group_number)
    weights = group_statistics(space_group_number).positions.copy()
    cumulative = np.cumsum(weights)
    chosen = []
    for _ in range(orbits):
        drawn = pick(rng, cumulative)
        chosen.append(positions[drawn])
        if not positions[drawn].free:
            weights[drawn] = 0.0
            cumulative = np.cumsum(weights)
    return sorted(chosen, key=lambda position: position.free)


def reduced(lattice: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The right-handed Niggli cell of a lattice, and the (3, 3) matrix that takes coordinates (columns) into it.

    Raises:
        Rejection: spglib cannot reduce the cell.
    """
    import spglib

    niggli = spglib.niggli_reduce(lattice)
    if niggli is None:
        raise Rejection("no cell")
    if np.linalg.det(niggli) < 0:
        niggli = -niggli  # six parameters describe the right-handed cell alone
    return niggli, np.rint(np.linalg.inv(niggli).T @ lattice.T)


@cache
def shortest_distances() -> NDArray[np.float64]:
    """(n, n) in Å, of two elements in the order of `Chemistry.symbols`."""
    import gemmi

    symbols = chemistry().symbols
    covalent = np.array([gemmi.Element(symbol).covalent_r for symbol in symbols])
    contact = np.array([gemmi.Element(symbol).vdw_r if symbol in _ANIONS else 0.0 for symbol in symbols])
    both = np.outer(contact > 0, contact > 0)
    limits = CLOSEST * (covalent[:, None] + covalent)
    return np.where(both, np.maximum(limits, CLOSEST_ANIONS * (contact[:, None] + contact)), limits)
