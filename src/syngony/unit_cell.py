"""A unit cell: its parameters, its metric, and the Bravais lattice it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LATTICE_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "rhombohedral", "hexagonal", "cubic")
"""The seven lattice systems, lowest symmetry first. Trigonal crystals are on rhombohedral or hexagonal lattices."""

CENTRINGS = {
    "triclinic": ("P",),
    "monoclinic": ("P", "C"),
    "orthorhombic": ("P", "C", "I", "F"),
    "tetragonal": ("P", "I"),
    "rhombohedral": ("R",),
    "hexagonal": ("P",),
    "cubic": ("P", "I", "F"),
}
"""The fourteen Bravais lattices."""

CENTRING_VECTORS = {
    "P": np.eye(3),
    "C": np.array([[0.5, 0.5, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]),
    "R": np.array([[2.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [-1.0, -2.0, 1.0]]) / 3.0,  # obverse
}


@dataclass(frozen=True)
class UnitCell:
    """A conventional unit cell.

    Attributes:
        a, b, c: Å.
        alpha, beta, gamma: degrees.
        centring: ``P``, ``C``, ``I``, ``F`` or ``R``. Monoclinic cells have b as the unique axis;
            rhombohedral lattices are given on hexagonal axes (obverse, ``R``).
        lattice_system: one of `LATTICE_SYSTEMS`.
    """

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    centring: str = "P"
    lattice_system: str = "triclinic"

    @property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """a, b, c in Å; alpha, beta, gamma in degrees."""
        return self.a, self.b, self.c, self.alpha, self.beta, self.gamma

    @property
    def metric(self) -> NDArray[np.floating]:
        """(3, 3) dot products of the cell vectors, Å^2."""
        return metric_of(self.parameters)

    @property
    def reciprocal_metric(self) -> NDArray[np.floating]:
        """(3, 3) dot products of a*, b*, c* in 1/Å^2: Q = 1/d^2 of hkl is hkl @ G* @ hkl."""
        return np.linalg.inv(self.metric)

    @property
    def volume(self) -> float:
        """Å^3, of the conventional cell."""
        return float(np.sqrt(np.linalg.det(self.metric)))

    @property
    def primitive_metric(self) -> NDArray[np.floating]:
        """(3, 3) metric of a primitive cell of the same lattice, Å^2."""
        basis = CENTRING_VECTORS[self.centring]
        return basis @ self.metric @ basis.T

    @property
    def primitive_volume(self) -> float:
        """Å^3, of the primitive cell."""
        return float(np.sqrt(np.linalg.det(self.primitive_metric)))


def metric_of(parameters: tuple[float, ...] | NDArray[np.floating]) -> NDArray[np.floating]:
    """(3, 3) metric, Å^2, of six cell parameters (Å, degrees)."""
    lengths = np.asarray(parameters[:3], dtype=float)
    cosines = np.cos(np.radians(np.asarray(parameters[3:], dtype=float)))
    metric = np.outer(lengths, lengths)
    metric[1, 2] = metric[2, 1] = metric[1, 2] * cosines[0]
    metric[0, 2] = metric[2, 0] = metric[0, 2] * cosines[1]
    metric[0, 1] = metric[1, 0] = metric[0, 1] * cosines[2]
    return metric


def parameters_of(metric: NDArray[np.floating]) -> NDArray[np.floating]:
    """(6,) a, b, c in Å and alpha, beta, gamma in degrees of a metric (3, 3)."""
    lengths = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / lengths[[1, 0, 0]] / lengths[[2, 2, 1]]
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))])
