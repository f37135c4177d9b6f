"""Shapes of conventional cells: the numbers that a Bravais lattice leaves free."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from syngony.structure import lattice_vectors
from syngony.symmetry import crystal_system

_FAMILY = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}
_SIDE_CENTRINGS = "ABC"


@cache
def bravais_lattice(space_group_number: int) -> str:
    """Of a space group in its standard setting: ``aP``, ``mP``, ``mS``, ... ``hR``, ... ``cF``."""
    import gemmi

    centring = gemmi.get_spacegroup_reference_setting(space_group_number).hm[0]
    family = _FAMILY[crystal_system(space_group_number)]
    return family + ("S" if centring in _SIDE_CENTRINGS else centring)


def shape_of(bravais: str, lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln volume (Å^3) and shape of a conventional cell, (1 + d,).

    The shape is ln(b/a) and ln(c/a), as far as they are free, then the cosines of the free angles.

    Args:
        bravais: as `bravais_lattice` names it.
        lattice: (3, 3) cell vectors, rows, Å.
    """
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    ratios = np.log(lengths[1:] / lengths[0])
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    free: list[NDArray[np.float64]] = {
        "a": [ratios, cosines],
        "m": [ratios, cosines[1:2]],
        "o": [ratios],
        "t": [ratios[1:]],
        "h": [ratios[1:]],
        "c": [],
    }[bravais[0]]
    return np.concatenate([[np.log(abs(np.linalg.det(lattice)))], *free])


def cell_of(bravais: str, log_volume: float, shape: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Cell vectors (3, 3) in Å, rows, of a volume and a shape as `shape_of` gives them.

    None where the angles close no cell.
    """
    family = bravais[0]
    ratios, cosines = np.zeros(2), np.zeros(3)
    if family in "amo":
        ratios = shape[:2]
        if family == "m":
            cosines[1] = shape[2]
        elif family == "a":
            cosines = shape[2:]
    elif family in "th":
        ratios[1] = shape[0]
    if family == "h":
        cosines[2] = -0.5
    gram = 1 + 2 * float(np.prod(cosines)) - float(cosines @ cosines)
    if gram < 0.05 or np.abs(cosines).max() > 0.95:
        return None
    lengths = np.exp([0.0, *ratios])
    lengths *= (np.exp(log_volume) / (float(np.prod(lengths)) * np.sqrt(gram))) ** (1 / 3)
    return lattice_vectors([*lengths, *np.degrees(np.arccos(cosines))])
