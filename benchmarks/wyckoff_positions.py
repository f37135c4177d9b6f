"""Make the table of Wyckoff positions of the 230 space groups.

    python benchmarks/wyckoff_positions.py        # src/syngony/tables/wyckoff_positions.json

The positions follow from the operations of the standard settings (gemmi): every special position of a space
group goes through points whose coordinates are multiples of 1/24, so the spaces fixed by the symmetry of
these points are all there are. Only the letters are looked up, in what spglib says of an atom put there.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from pathlib import Path

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from syngony.structure import lattice_vectors
from syngony.symmetry import crystal_system

TABLE = Path(__file__).resolve().parents[1] / "src" / "syngony" / "tables" / "wyckoff_positions.json"

DENOMINATOR = 24
LETTERS = "abcdefghijklmnopqrstuvwxyzA"
GENERAL = np.array([[0.1913, 0.3371, 0.4127], [0.0877, 0.2639, 0.1449]])
LATTICES = {
    system: lattice_vectors(parameters)
    for system, parameters in {
        "triclinic": (7.1, 8.3, 9.7, 97.0, 104.0, 99.0),
        "monoclinic": (7.1, 8.3, 9.7, 90.0, 99.0, 90.0),
        "orthorhombic": (7.1, 8.3, 9.7, 90.0, 90.0, 90.0),
        "tetragonal": (7.1, 7.1, 9.7, 90.0, 90.0, 90.0),
        "trigonal": (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
        "hexagonal": (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
        "cubic": (9.7, 9.7, 9.7, 90.0, 90.0, 90.0),
    }.items()
}
_GENERIC = np.array([0.1357, 0.0719, 0.2213])  # no symmetry element goes through points such as these

Space = tuple[NDArray[np.float64], tuple[tuple[int, ...], ...]]
"""A point and the integer directions in which it may move."""


def operations(number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rotations (n, 3, 3) and translations (n, 3) in 24ths of the standard setting, centring included."""
    group = list(gemmi.get_spacegroup_reference_setting(number).operations())
    rotations = np.array([op.rot for op in group]) // gemmi.Op.DEN
    return rotations, np.array([op.tran for op in group]) % DENOMINATOR


@cache
def fixed_directions(rotations: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Rows that span what all rotations (nine integers each) leave in place, in reduced row echelon form."""
    from sympy import Matrix, eye

    conditions = Matrix.vstack(*[Matrix(3, 3, list(rotation)) - eye(3) for rotation in rotations])
    vectors = conditions.nullspace()
    if not vectors:
        return ()
    rows = Matrix.hstack(*vectors).T.rref()[0]
    return tuple(tuple(int(x) for x in rows.row(i) * lcm(rows.row(i))) for i in range(rows.rows))


def lcm(row) -> int:
    """Least common denominator of a row of fractions."""
    return int(np.lcm.reduce([int(x.q) for x in row]))


def spaces(number: int) -> list[Space]:
    """Point and directions of one representative of every Wyckoff position, unordered."""
    rotations, translations = operations(number)
    grid = np.array(list(product(range(DENOMINATOR), repeat=3)))
    images = np.einsum("nij,gj->gni", rotations, grid) + translations
    shifts = images - grid[:, None]
    fixing = (shifts % DENOMINATOR == 0).all(axis=-1)
    found: list[Space] = [(np.zeros(3), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))]
    # Points with one and the same site symmetry, lattice translations included, lie in the same spaces.
    groups = np.where(fixing[..., None], shifts // DENOMINATOR, 99).reshape(len(grid), -1).astype(np.int8)
    for at in np.unique(groups, axis=0, return_index=True)[1]:
        point, turning = grid[at], rotations[fixing[at]]
        if len(turning) == 1:
            continue
        turns = [tuple(int(x) for x in rotation.ravel()) for rotation in turning]
        turns = sorted({turn for turn in turns if turn != (1, 0, 0, 0, 1, 0, 0, 0, 1)})
        subsets = [(turn,) for turn in turns] + list(combinations(turns, 2)) + [tuple(turns)]
        directions = {fixed_directions(subset) for subset in subsets}
        for span in sorted(directions, key=len, reverse=True):
            candidate = (point / DENOMINATOR, span)
            generic = generic_point(candidate)
            same = (other for other in found if len(other[1]) == len(span))
            if not any(lies_in_orbit(generic, other, rotations, translations) for other in same):
                found.append(candidate)
    return found


def generic_point(space: Space) -> NDArray[np.float64]:
    """A point of the space with no more symmetry than all of it."""
    point, span = space
    return point + sum((g * np.array(row) for g, row in zip(_GENERIC, span, strict=False)), np.zeros(3))


def lies_in_orbit(point, space, rotations, translations) -> bool:
    """Whether an image of the point lies in the space, lattice translations allowed."""
    origin, span = space
    basis = np.array(span, dtype=float).reshape(-1, 3)
    across = np.eye(3) - np.linalg.pinv(basis) @ basis if len(basis) else np.eye(3)
    images = (rotations @ point + translations / DENOMINATOR - origin) % 1.0
    offsets = images[:, None] - np.array(list(product((-1, 0, 1, 2), repeat=3)))
    return bool((np.abs(offsets @ across).max(axis=-1) < 1e-6).any())


def hall_number(number: int) -> int:
    """spglib's number of the setting whose operations gemmi calls standard."""
    wanted = codes(*operations(number))
    for hall in range(1, 531):
        if spglib.get_spacegroup_type(hall).number == number:
            found = spglib.get_symmetry_from_database(hall)
            shifts = np.rint(found["translations"] * DENOMINATOR).astype(int) % DENOMINATOR
            if codes(found["rotations"], shifts) == wanted:
                return hall
    raise LookupError(f"spglib has no setting of space group {number} with gemmi's operations")


def codes(rotations, translations) -> set[tuple[int, ...]]:
    """Operations as a set that can be compared."""
    return {(*map(int, r.ravel()), *map(int, t)) for r, t in zip(rotations, translations, strict=True)}


def lettered(number: int) -> list[tuple[str, int, str]]:
    """Letter, multiplicity and first coordinate triplet of every position, in the order of the letters."""
    rotations, translations = operations(number)
    hall, lattice = hall_number(number), LATTICES[crystal_system(number)]
    named = []
    for space in spaces(number):
        sites = [generic_point(space), *GENERAL]
        orbits = [orbit(site, rotations, translations) for site in sites]
        kinds = np.repeat(np.arange(len(orbits)), [len(o) for o in orbits])
        data = spglib.get_symmetry_dataset((lattice, np.concatenate(orbits), kinds), symprec=1e-4, hall_number=hall)
        if data is None or data.number != number:
            raise ArithmeticError(f"space group {number}: spglib does not find it with an atom at {triplet(space)}")
        shift = data.origin_shift - np.rint(data.origin_shift)
        # In another setting, or from another origin, a position may have another letter.
        if np.abs(data.transformation_matrix - np.eye(3)).max() > 1e-4 or np.abs(shift).max() > 1e-4:
            raise ArithmeticError(f"space group {number}: spglib sees {triplet(space)} in another setting")
        named.append((data.wyckoffs[0], len(orbits[0]), triplet(space)))
    named.sort(key=lambda entry: LETTERS.index(entry[0]))
    if "".join(letter for letter, *_ in named) != LETTERS[: len(named)]:
        raise ArithmeticError(f"space group {number}: letters are missing or there twice: {named}")
    return named


def orbit(point, rotations, translations) -> NDArray[np.float64]:
    """(m, 3) images of a point in the cell, each once."""
    images = (rotations @ point + translations / DENOMINATOR + 1e-9) % 1.0 - 1e-9
    return images[np.unique(images.round(6), axis=0, return_index=True)[1]]


def triplet(space) -> str:
    """``x,x+1/2,1/4``: the space in the notation of International Tables."""
    point, span = space
    leading = [next(i for i, x in enumerate(row) if x) for row in span]
    # The constant is what remains where the free coordinates are zero.
    origin = point - sum((point[k] / row[k] * np.array(row) for k, row in zip(leading, span, strict=True)), np.zeros(3))
    words = []
    for axis in range(3):
        terms = "".join(
            f"{row[axis]:+d}{'xyz'[k]}".replace("1x", "x").replace("1y", "y").replace("1z", "z")
            for k, row in zip(leading, span, strict=True)
            if row[axis]
        )
        constant = Fraction(round(origin[axis] * DENOMINATOR), DENOMINATOR) % 1
        words.append((terms + (f"+{constant}" if constant else "")).removeprefix("+") or "0")
    return ",".join(words)


def main() -> None:
    entries = [lettered(number) for number in range(1, 231)]
    rows = [json.dumps([f"{m}{letter} {coordinates}" for letter, m, coordinates in entry]) for entry in entries]
    header = {
        "description": "Wyckoff positions of the space groups 1 to 230, a row each, in the standard setting (origin "
        "choice 2, hexagonal axes, unique axis b): multiplicity, letter and one coordinate triplet.",
        "source": "Computed from the operations of the 230 space groups (gemmi) by benchmarks/wyckoff_positions.py; "
        "letters as spglib gives them.",
    }
    lines = [f'"{key}": {json.dumps(value)},' for key, value in header.items()]
    TABLE.write_text("{" + "\n".join(lines) + '\n"positions": [\n ' + ",\n ".join(rows) + "\n]}\n")
    print(f"{sum(map(len, entries)):,} positions")


if __name__ == "__main__":
    main()
