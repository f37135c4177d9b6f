"""The lines of one crystalline phase, free of any wavelength: what a laboratory measures."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.reflections import lorentz_polarisation, reflections
from syngony.errors import InputError
from syngony.structure import Structure
from syngony.symmetry import LABEL_TOLERANCE
from syngony.wavelengths import TUBE_LINES

HIGHEST_TWO_THETA = 94.0
"""Degrees of CuKa to which lines are kept: a little more than networks see, for cells drawn larger."""

_REFERENCE = TUBE_LINES["CuKa"]
Q_LIMIT = (2.0 * math.sin(math.radians(HIGHEST_TWO_THETA / 2.0)) / _REFERENCE) ** 2
"""The same limit as Q = 1/d^2, 1/Å^2."""


@dataclass(frozen=True, eq=False)
class Phase:
    """Powder lines without Lorentz and polarisation factors, and the geometry that texture needs.

    Attributes:
        q: (n,) 1/d^2 of the lines in 1/Å^2, increasing.
        strength: (n,) sum of |F|^2 over the reflections of each line, any scale.
        hkl: (n, 3) one reflection of each line, in the structure's own cell. Its symmetry equivalents
            follow from `rotations`. Where reflections that are not equivalent coincide (511 and 333 of a
            cubic crystal) the one kept stands for all: the one approximation of texture here.
        reciprocal: (3, 3) rows a*, b*, c* in 1/Å, Cartesian.
        rotations: (k, 3, 3) integers, the Laue group without the inversion: hkl @ rotations[i] are the
            equivalents of hkl, each with its Friedel mate left out. 1 <= k <= 24.

    Raises:
        InputError: no lines, or arrays of different lengths.
    """

    q: NDArray[np.floating]
    strength: NDArray[np.floating]
    hkl: NDArray[np.integer]
    reciprocal: NDArray[np.float64]
    rotations: NDArray[np.integer]

    def __post_init__(self) -> None:
        if len(self.q) == 0:
            raise InputError("a phase without lines: compute its reflections over a wider range")
        if not len(self.q) == len(self.strength) == len(self.hkl):
            raise InputError(f"{len(self.q)} positions, {len(self.strength)} strengths and {len(self.hkl)} indices")

    def __len__(self) -> int:
        return len(self.q)

    @classmethod
    def from_structure(cls, structure: Structure, q_limit: float = Q_LIMIT) -> Phase:
        """Lines of a structure up to `q_limit` (1/Å^2; a tenth of a thousandth of the strongest is kept).

        Raises:
            StructureError: no line up to there, or too many to list.
        """
        wavelength = min(_REFERENCE, 2.0 * math.sin(math.radians(HIGHEST_TWO_THETA / 2.0)) / math.sqrt(q_limit))
        limit = math.degrees(2.0 * math.asin(min(1.0, 0.5 * wavelength * math.sqrt(q_limit) * (1 + 1e-12))))
        lines = reflections(structure, wavelength, (0.0, limit))
        q = 1.0 / lines.d_spacing**2
        return cls(
            q,
            lines.intensity / lorentz_polarisation(q, wavelength),
            lines.hkl,
            reciprocal_vectors(structure.lattice),
            laue_rotations(structure),
        )


def reciprocal_vectors(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows a*, b*, c* (3, 3) in 1/Å of cell vectors (3, 3) in Å; no factor of 2π."""
    return np.ascontiguousarray(np.linalg.inv(lattice).T)


def laue_rotations(structure: Structure, tolerance: float = LABEL_TOLERANCE) -> NDArray[np.int8]:
    """Rotations (k, 3, 3) of the structure's Laue group, one of each pair R and -R.

    They act on indices as rows, hkl @ R. Where spglib finds no symmetry the identity alone is given.

    Args:
        structure: the crystal.
        tolerance: spglib's symprec in Å, that of the labels.
    """
    import spglib

    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # it prints to stderr what it returns as None
    kinds: dict[tuple[str, float], int] = {}
    pairs = zip(structure.species, np.round(structure.occupancies, 3), strict=True)
    numbers = [kinds.setdefault((species, float(share)), len(kinds) + 1) for species, share in pairs]
    cell = (structure.lattice.tolist(), structure.frac_coords.tolist(), numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = spglib.get_symmetry(cell, symprec=tolerance)
        except Exception:  # spglib 2.7+ raises errors of its own where earlier versions return None
            found = None
    rotations = np.eye(3, dtype=np.int8)[None] if found is None else np.asarray(found["rotations"], dtype=np.int8)
    proper = rotations * np.round(np.linalg.det(rotations)).astype(np.int8)[:, None, None]
    return np.unique(proper, axis=0)
