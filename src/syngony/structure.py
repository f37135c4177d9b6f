"""A crystal structure: a lattice and the atoms in one cell."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from syngony.elements import ELEMENTS
from syngony.errors import StructureError

MAX_AXIS = 10_000.0
"""Å, ten times the cell of a virus; the search for symmetry takes seconds where axes are longer still."""

MIN_VOLUME = 1.0
"""Å^3: a cell below this is smaller than any atom."""

OCCUPANCY_SLACK = 1e-6
"""By how much one occupancy may pass 1 (rounding)."""

SAME_PLACE = 0.1
"""Å: sites closer than this share one place (split sites lie farther apart, H-H is 0.74 Å)."""

MAX_SHARED_OCCUPANCY = 1.05
"""Of the sites of one place together: published occupancies are rounded and seldom sum to 1.000."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A crystal, as the atoms of one cell (no symmetry is implied: every atom is listed).

    Args:
        lattice: (3, 3) cell vectors as rows, Å.
        species: n element symbols.
        frac_coords: (n, 3) fractional coordinates.
        occupancies: n numbers in (0, 1], all 1 when omitted. A mixed site is listed once per element.

    Raises:
        StructureError: an unknown element, a zero-volume cell, a wrong shape, NaN, a bad occupancy, sites of
            one place (within 0.1 Å, neighbouring cells included) that are occupied more than once together.
    """

    lattice: NDArray[np.float64]
    species: tuple[str, ...]
    frac_coords: NDArray[np.float64]
    occupancies: NDArray[np.float64]

    def __init__(
        self,
        lattice: ArrayLike,
        species: Sequence[str],
        frac_coords: ArrayLike,
        occupancies: ArrayLike | None = None,
    ) -> None:
        vectors = _finite(lattice, "lattice")
        if vectors.shape != (3, 3):
            raise StructureError(f"the lattice is {vectors.shape}, not 3 x 3 cell vectors in Å")
        volume = abs(float(np.linalg.det(vectors)))
        if volume < MIN_VOLUME:
            raise StructureError(f"the cell volume is {volume:.3g} Å^3: check the cell lengths and angles")
        longest = float(np.linalg.norm(vectors, axis=1).max())
        if longest > MAX_AXIS:
            raise StructureError(f"an axis of {longest:.4g} Å: check the cell lengths, in Å; the most is {MAX_AXIS:g}")
        symbols = tuple(str(s) for s in species)
        if not symbols:
            raise StructureError("the structure has no atoms")
        unknown = sorted({s for s in symbols if s not in ELEMENTS})
        if unknown:
            raise StructureError(f"unknown element {', '.join(unknown)}: use symbols H to Cf")
        coords = _finite(frac_coords, "fractional coordinates")
        if coords.size != 3 * len(symbols):
            raise StructureError(f"{len(symbols)} species but {coords.size / 3:.4g} positions")
        coords = coords.reshape(-1, 3)
        if occupancies is None:
            occupied = np.ones(len(symbols))
        else:
            occupied = _finite(occupancies, "occupancies").reshape(-1)
            if len(occupied) != len(symbols):
                raise StructureError(f"{len(symbols)} species but {len(occupied)} occupancies")
            if (occupied <= 0).any() or (occupied > 1 + OCCUPANCY_SLACK).any():
                worst = occupied[np.argmax(np.abs(occupied - 0.5))]
                raise StructureError(f"occupancy {worst:g} is not in (0, 1]")
        _check_places(vectors, symbols, coords, occupied)
        for name, value in (("lattice", vectors), ("frac_coords", coords), ("occupancies", occupied)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "species", symbols)

    @classmethod
    def from_parameters(
        cls,
        parameters: Sequence[float],
        species: Sequence[str],
        frac_coords: ArrayLike,
        occupancies: ArrayLike | None = None,
    ) -> Structure:
        """From a, b, c (Å) and alpha, beta, gamma (degrees)."""
        return cls(lattice_vectors(parameters), species, frac_coords, occupancies)

    def __len__(self) -> int:
        return len(self.species)

    def __repr__(self) -> str:
        a, b, c, alpha, beta, gamma = self.parameters
        return f"Structure({self.formula}, {a:.4f} {b:.4f} {c:.4f} Å, {alpha:.2f} {beta:.2f} {gamma:.2f}°)"

    @cached_property
    def volume(self) -> float:
        """Cell volume, Å^3."""
        return abs(float(np.linalg.det(self.lattice)))

    @cached_property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """a, b, c (Å), alpha, beta, gamma (degrees)."""
        lengths = np.linalg.norm(self.lattice, axis=1)
        unit = self.lattice / lengths[:, None]
        cosines = np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)
        a, b, c = (float(x) for x in lengths)
        alpha, beta, gamma = (float(x) for x in np.degrees(np.arccos(cosines)))
        return a, b, c, alpha, beta, gamma

    @property
    def is_ordered(self) -> bool:
        """True when every site is fully occupied."""
        return bool(np.all(self.occupancies > 1 - 1e-3))

    @cached_property
    def composition(self) -> dict[str, float]:
        """Atoms of each element in the cell, occupancies counted."""
        amounts: Counter[str] = Counter()
        for symbol, occupancy in zip(self.species, self.occupancies, strict=True):
            amounts[symbol] += float(occupancy)  # type: ignore[assignment]
        return {symbol: round(amount, 4) for symbol, amount in amounts.items()}

    @property
    def formula(self) -> str:
        """Formula of the whole cell, e.g. ``Ti2 O4``."""
        return format_formula(self.composition)


def lattice_vectors(parameters: Sequence[float]) -> NDArray[np.float64]:
    """Cell vectors (3, 3), rows in Å, of a, b, c (Å), alpha, beta, gamma (degrees); a along x, b in xy."""
    values = _finite(parameters, "cell parameters").reshape(-1)
    if len(values) != 6:
        raise StructureError("cell parameters are six numbers: a, b, c, alpha, beta, gamma")
    a, b, c, *degrees = (float(v) for v in values)
    if min(a, b, c) <= 0 or not all(0 < angle < 180 for angle in degrees):
        raise StructureError(f"impossible cell {a:g} {b:g} {c:g} Å, {' '.join(f'{d:g}' for d in degrees)}°")
    cos_a, cos_b, cos_g = (math.cos(math.radians(angle)) for angle in degrees)
    sin_g = math.sin(math.radians(degrees[2]))
    c_x = c * cos_b
    c_y = c * (cos_a - cos_b * cos_g) / sin_g
    c_z_squared = c * c - c_x * c_x - c_y * c_y
    if c_z_squared <= 0:
        raise StructureError(f"the angles {' '.join(f'{d:g}' for d in degrees)}° close no cell: zero volume")
    return np.array([[a, 0, 0], [b * cos_g, b * sin_g, 0], [c_x, c_y, math.sqrt(c_z_squared)]])


def format_formula(amounts: Mapping[str, float]) -> str:
    """``{"Ti": 2, "O": 4}`` as ``Ti2 O4``; amounts of one are left out only in reduced formulas."""
    return " ".join(f"{symbol}{_number(amount)}" for symbol, amount in amounts.items())


def reduced_formula(formula: str) -> str:
    """A formula divided by the greatest common divisor, elements in alphabetical order.

    ``Ti2 O4`` and ``O2Ti`` both give ``O2 Ti1``: what splits compare, never what people read.

    Raises:
        StructureError: the text is not a formula.
    """
    amounts: Counter[str] = Counter()
    for symbol, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula):
        if amount.count(".") > 1 or len(amount) > 12 or (amount and not float(amount)):
            raise StructureError(f"{formula[:80]!a} is not a chemical formula: {amount[:12]!a} is no amount")
        amounts[symbol] += float(amount or 1)  # type: ignore[assignment]
    if not amounts:
        raise StructureError(f"{formula[:80]!a} is not a chemical formula")
    values = list(amounts.values())
    if all(abs(v - round(v)) < 1e-6 for v in values):
        divisor = float(reduce(math.gcd, (round(v) for v in values)))
    else:
        divisor = min(values)
    return " ".join(f"{symbol}{_number(amounts[symbol] / divisor)}" for symbol in sorted(amounts))


def _number(value: float) -> str:
    return str(round(value)) if abs(value - round(value)) < 1e-6 else f"{value:.3f}".rstrip("0")


def _check_places(
    lattice: NDArray[np.float64],
    species: Sequence[str],
    frac_coords: NDArray[np.float64],
    occupancies: NDArray[np.float64],
) -> None:
    """Refuse sites closer than `SAME_PLACE` that hold more than one atom together."""
    n = len(species)
    # Along the axis with the widest planes a distance can only be longer: one comparison rules most pairs out.
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    axis = int(np.argmax(spacings))
    along, reach = frac_coords[:, axis] % 1.0, SAME_PLACE / spacings[axis]
    block = max(1, min(1000, 4_000_000 // n))  # memory stays small however many sites there are
    for begin in range(0, n, block):
        gaps = np.abs(along[begin : begin + block, None] - along)
        first, second = np.nonzero((gaps < reach) | (gaps > 1.0 - reach))
        first += begin
        offsets = frac_coords[first] - frac_coords[second]
        distances = np.linalg.norm((offsets - np.rint(offsets)) @ lattice, axis=1)
        close = distances < SAME_PLACE
        first, second, distances = first[close], second[close], distances[close]
        together = np.bincount(first, occupancies[second], n)
        if together.max() > MAX_SHARED_OCCUPANCY:
            site = int(np.argmax(together > MAX_SHARED_OCCUPANCY))
            other = (first == site) & (second != site)
            names = " and ".join([species[site], *(species[j] for j in second[other])])
            raise StructureError(
                f"atoms overlap: {names} are {distances[other].max():.2f} Å apart and their occupancies sum to "
                f"{together[site]:.2f}: remove the duplicates or correct the occupancies"
            )


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise StructureError(f"the {name} are not numbers: {error}") from None
    if not np.isfinite(array).all():
        raise StructureError(f"the {name} hold NaN or infinity")
    return array
