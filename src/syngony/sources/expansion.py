"""From an asymmetric unit and symmetry operations to every atom of the cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from syngony.errors import StructureError
from syngony.structure import Structure, lattice_vectors
from syngony.symmetry import space_group_of

OVERLAP_DISTANCE = 0.4
"""Å: two whole atoms closer than this are one atom, or a mistake. (H-H, the shortest bond, is 0.74 Å.)"""

_SPLIT_DISTANCE = 0.1
# Å: partly occupied images closer than this are one site whose coordinates were rounded; farther apart
# they are a split site (an atom off a mirror, half here and half there), which stays split.

MOST_ATOMS = 6_000
"""In one cell: beyond, labels take seconds, and soon minutes. The largest zeolites have some 3,000."""

_MOST_OPERATIONS = 1024  # of a cell that is larger than the conventional one
_MOST_PAIRS = 30  # an atom, of atoms too close: so many lie nowhere but on one place

_MAX_TOTAL_OCCUPANCY = 1.05  # of one position; published occupancies are rounded and seldom sum to 1.000


@dataclass(frozen=True)
class Site:
    """An atom of the asymmetric unit.

    Attributes:
        element: chemical symbol.
        position: fractional x, y, z.
        occupancy: chemical occupancy, in (0, 1]; what the site holds, whatever its multiplicity.
        label: its name in the file, for messages.
    """

    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0
    label: str = ""


@dataclass(frozen=True, eq=False)
class Operations:
    """Symmetry operations, centring included: x' = rotations x + translations.

    Attributes:
        rotations: (n, 3, 3).
        translations: (n, 3), fractions of the cell.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]

    @property
    def point_group_order(self) -> int:
        """Number of distinct rotations."""
        return len({rotation.tobytes() for rotation in self.rotations.round().astype(np.int8)})

    @property
    def space_group_number(self) -> int | None:
        """Of the group they form, in whatever setting; None for a setting that gemmi does not list."""
        import gemmi

        operations = []
        for rotation, translation in zip(self.rotations, self.translations, strict=True):
            operation = gemmi.Op("x,y,z")
            operation.rot = (rotation.round() * gemmi.Op.DEN).astype(int).tolist()
            operation.tran = ((translation * gemmi.Op.DEN).round() % gemmi.Op.DEN).astype(int).tolist()
            operations.append(operation)
        found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))
        return None if found is None else int(found.number)


@lru_cache(maxsize=1024)
def parse_operations(triplets: tuple[str, ...]) -> Operations:
    """Operations from triplets such as ``1/2+x,-y,z``.

    Raises:
        StructureError: no triplet, or one that cannot be read.
    """
    import gemmi

    if not triplets:
        raise StructureError("no symmetry operations")
    if len(triplets) > _MOST_OPERATIONS:
        raise StructureError(f"too many symmetry operations: {len(triplets)}; no space group has over 192")
    seitz = []
    for triplet in triplets:
        try:
            seitz.append(gemmi.Op(triplet.strip().lower()).float_seitz())
        except (RuntimeError, ValueError):
            raise StructureError(f"symmetry operation not understood: {triplet!r}") from None
    matrices = np.array(seitz, dtype=float)
    operations = Operations(matrices[:, :3, :3], matrices[:, :3, 3] % 1.0)
    if not _is_group(operations):
        raise StructureError(
            f"symmetry operations incomplete: the {len(triplets)} listed do not form a group; list them all"
        )
    return operations


def expand(parameters: Sequence[float], sites: Iterable[Site], operations: Operations) -> Structure:
    """Every atom of the cell, each special position once.

    A site within rounding of a special position is moved onto it. Sites that share a position stay
    as one entry per element, at exactly the same coordinates, as `Structure` wants mixed sites.

    Args:
        parameters: a, b, c (Å), alpha, beta, gamma (degrees).
        sites: the asymmetric unit.
        operations: symmetry operations, centring included.

    Raises:
        StructureError: an impossible cell, no sites, an occupancy outside (0, 1], atoms that overlap.
    """
    lattice = lattice_vectors(parameters)
    species: list[str] = []
    occupancies: list[float] = []
    positions: list[NDArray[np.float64]] = []
    for site in sites:
        if not np.isfinite(site.position).all():
            raise StructureError(f"a site has no coordinates: {site.label or site.element}")
        if not 0 < site.occupancy <= 1 + 1e-6:
            raise StructureError(f"occupancy not in (0, 1]: {site.label or site.element} has {site.occupancy:g}")
        if len(operations.translations) + sum(map(len, positions)) > MOST_ATOMS:
            raise StructureError(f"too many atoms: more than {MOST_ATOMS} in the cell")
        orbit = _orbit(np.array(site.position), lattice, operations, whole=site.occupancy > 1 - 1e-3)
        species += [site.element] * len(orbit)
        occupancies += [min(site.occupancy, 1.0)] * len(orbit)
        positions.append(orbit)
    if not species:
        raise StructureError("no atoms")
    return merge_shared_positions(lattice, species, np.concatenate(positions), np.array(occupancies))


def merge_shared_positions(
    lattice: NDArray[np.float64],
    species: Sequence[str],
    positions: NDArray[np.float64],
    occupancies: NDArray[np.float64],
) -> Structure:
    """A structure in which atoms at one position have one and the same coordinates.

    Entries of one element at one position become one entry (Fe2+ and Fe3+ are both Fe).

    Args:
        lattice: (3, 3) cell vectors, rows, Å.
        species: n symbols.
        positions: (n, 3) fractional coordinates.
        occupancies: (n,).

    Raises:
        StructureError: whole atoms closer than `OVERLAP_DISTANCE`, a position occupied more than once.
    """
    owner = np.arange(len(species))
    for i, j, distance in close_pairs(lattice, positions, OVERLAP_DISTANCE):
        if min(occupancies[i], occupancies[j]) > 1 - 1e-3:
            raise StructureError(f"atoms overlap: {species[i]} and {species[j]} are {distance:.2f} Å apart")
        if distance < _SPLIT_DISTANCE:
            owner[j] = min(owner[j], owner[i])
    merged: dict[tuple[int, str], float] = {}
    totals: dict[int, float] = {}
    for place, symbol, occupancy in zip(owner.tolist(), species, occupancies.tolist(), strict=True):
        merged[place, symbol] = merged.get((place, symbol), 0.0) + occupancy
        totals[place] = totals.get(place, 0.0) + occupancy
    worst = max(totals.values())
    if worst > _MAX_TOTAL_OCCUPANCY:
        raise StructureError(f"one position is occupied more than once: occupancies sum to {worst:.2f}")
    places = [place for place, _ in merged]
    # Rounded occupancies such as 0.333 + 0.667 of one element may pass 1 by a little.
    shares = [min(occupancy, 1.0) for occupancy in merged.values()]
    return Structure(lattice, [symbol for _, symbol in merged], positions[places], shares)


def close_pairs(
    lattice: NDArray[np.float64], positions: NDArray[np.float64], cutoff: float
) -> list[tuple[int, int, float]]:
    """Pairs i < j of atoms closer than ``cutoff`` (Å) under the lattice, with their distance, in order.

    The cutoff must be below half the smallest distance between lattice planes; it is for any real cell.
    """
    from scipy.spatial import cKDTree

    # |df_i| <= cutoff x |reciprocal vector i|, so a cube in fractional space holds every candidate.
    reach = cutoff * float(np.linalg.norm(np.linalg.inv(lattice), axis=0).max())
    wrapped = positions % 1.0 % 1.0  # twice: -1e-17 % 1.0 is 1.0
    tree = cKDTree(wrapped, boxsize=1.0)
    pairs = tree.query_pairs(min(reach, 0.5), p=np.inf, output_type="ndarray")
    if not len(pairs):
        return []
    distances = _lengths(wrapped[pairs[:, 1]] - wrapped[pairs[:, 0]], lattice)
    pairs, distances = pairs[distances < cutoff], distances[distances < cutoff]
    if len(pairs) > _MOST_PAIRS * len(positions) + 1000:
        raise StructureError(f"atoms overlap: {len(pairs)} pairs of {len(positions)} are closer than {cutoff:g} Å")
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, distances = pairs[order], distances[order]
    return [(int(i), int(j), float(d)) for (i, j), d in zip(pairs, distances, strict=True)]


def label(structure: Structure, tolerance: float, stated_point_group_order: int = 1) -> int:
    """Space group number that spglib finds, checked against the symmetry the source states.

    Args:
        structure: the crystal.
        tolerance: symprec, Å.
        stated_point_group_order: of the operations that made the structure. More symmetry than stated
            may be found (a superstructure within the tolerance), never less.

    Raises:
        StructureError: none found, or less symmetry than stated.
    """
    import gemmi

    number = space_group_of(structure, tolerance)
    order = len(gemmi.get_spacegroup_reference_setting(number).operations().sym_ops)
    if order < stated_point_group_order:
        raise StructureError(
            f"less symmetry found than stated: point group of order {order} (space group {number}), "
            f"not {stated_point_group_order}; check the cell, or try another --tolerance"
        )
    return number


def _is_group(operations: Operations) -> bool:
    """Whether the product of any two operations is among them, lattice translations apart."""
    rotations, translations = operations.rotations, operations.translations
    present = _codes(rotations, translations)
    products = np.einsum("aij,bjk->abik", rotations, rotations)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]
    return bool(np.isin(_codes(products, shifts), present).all())


def _codes(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> NDArray[np.int64]:
    """One integer an operation: nine ternary digits of the rotation, three of base 24 of the translation."""
    ternary = (rotations.round().astype(np.int64) + 1).reshape(*rotations.shape[:-2], 9)
    twenty_fourths = (translations * 24).round().astype(np.int64) % 24
    return ternary @ 3 ** np.arange(9) * 24**3 + twenty_fourths @ 24 ** np.arange(3)


def _orbit(
    position: NDArray[np.float64], lattice: NDArray[np.float64], operations: Operations, whole: bool
) -> NDArray[np.float64]:
    """(m, 3) positions equivalent to one, in [0, 1), each once."""
    images = operations.rotations @ position + operations.translations
    offsets = images - position
    offsets -= offsets.round()
    near = _lengths(offsets, lattice) < (OVERLAP_DISTANCE if whole else _SPLIT_DISTANCE)
    # The mean over the operations that leave a point in place is the nearest special position.
    special = position + offsets[near].mean(axis=0)
    images = (operations.rotations @ special + operations.translations) % 1.0 % 1.0
    same = _lengths(images[:, None] - images[None, :], lattice) < 0.01
    return images[same.argmax(axis=1) == np.arange(len(images))]


def _lengths(offsets: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å, of fractional offsets (..., 3) reduced to the nearest lattice translation."""
    return np.linalg.norm((offsets - offsets.round()) @ lattice, axis=-1)
