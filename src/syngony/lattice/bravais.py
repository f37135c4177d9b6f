"""From any cell of a lattice to the Bravais lattices it may stand for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.comparison import reduced_metric
from syngony.lattice.lattice_symmetry import lattices_near
from syngony.lattice.predicted import CUBIC, HEXAGONAL, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, TRICLINIC
from syngony.unit_cell import UnitCell, parameters_of

_TOLERANCES = (0.025, 0.008, 0.002)
"""Radians: how far a metric may be from a symmetry that is then tried on the lines."""

_SYSTEM_NAMES = {
    CUBIC: "cubic", TETRAGONAL: "tetragonal", HEXAGONAL: "hexagonal", ORTHORHOMBIC: "orthorhombic",
    MONOCLINIC: "monoclinic", TRICLINIC: "triclinic",
}  # fmt: skip


def _moduli() -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(m, u): the sublattices of index 2 and 3 of a reciprocal lattice are u . h = 0 (mod m)."""
    for modulus in (2, 3):
        seen = set()
        for u in itertools.product(range(modulus), repeat=3):
            if any(u) and tuple(modulus - x if x else 0 for x in u) not in seen:
                seen.add(u)
                yield modulus, np.array(u)


SUBLATTICES = tuple(_moduli())
_MODULI = np.array([modulus for modulus, _ in SUBLATTICES])
_CONDITIONS = np.array([u for _, u in SUBLATTICES])


def reciprocal_metric_of(symmetry: int, p: NDArray[np.floating]) -> NDArray[np.floating]:
    """(3, 3) reciprocal metric, 1/Å^2, of the parameters of `predicted`."""
    if symmetry == CUBIC:
        return np.diag([p[0]] * 3)
    if symmetry == TETRAGONAL:
        return np.diag([p[0], p[0], p[1]])
    if symmetry == HEXAGONAL:
        return np.array([[p[0], 0.5 * p[0], 0.0], [0.5 * p[0], p[0], 0.0], [0.0, 0.0, p[1]]])
    d, e, f = {ORTHORHOMBIC: (0.0, 0.0, 0.0), MONOCLINIC: (0.0, p[3], 0.0), TRICLINIC: (p[3], p[4], p[5])}[symmetry]
    return np.array([[p[0], f / 2, e / 2], [f / 2, p[1], d / 2], [e / 2, d / 2, p[2]]])


def parameters_from(symmetry: int, g: NDArray[np.floating]) -> NDArray[np.floating]:
    """The parameters (6,) of `predicted` nearest to a reciprocal metric (3, 3) on conventional axes."""
    p = np.zeros(6)
    if symmetry == CUBIC:
        p[0] = np.trace(g) / 3
    elif symmetry == TETRAGONAL:
        p[:2] = (g[0, 0] + g[1, 1]) / 2, g[2, 2]
    elif symmetry == HEXAGONAL:
        p[:2] = (g[0, 0] + g[1, 1] + 2 * g[0, 1]) / 3, g[2, 2]
    else:
        p[:3] = np.diag(g)
        if symmetry == MONOCLINIC:
            p[3] = 2 * g[0, 2]
        elif symmetry == TRICLINIC:
            p[3:] = 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]
    return p


def unit_cell(symmetry: int, centring: str, p: NDArray[np.floating]) -> UnitCell:
    """The cell of some parameters, on conventional axes."""
    system = "rhombohedral" if centring == "R" else _SYSTEM_NAMES[symmetry]
    values = parameters_of(np.linalg.inv(reciprocal_metric_of(symmetry, p)))
    exact = {CUBIC: (90, 90, 90), TETRAGONAL: (90, 90, 90), ORTHORHOMBIC: (90, 90, 90), HEXAGONAL: (90, 90, 120)}
    angles = exact.get(symmetry, (90.0, values[4], 90.0) if symmetry == MONOCLINIC else tuple(values[3:]))
    a, b, c, alpha, beta, gamma = (float(x) for x in (*values[:3], *angles))
    return UnitCell(a, b, c, alpha, beta, gamma, centring, system)


def finer_lattices(
    metric: NDArray[np.floating], hkl: NDArray[np.int64], weight: NDArray[np.floating], share: float = 0.85
) -> list[NDArray[np.floating]]:
    """Metrics of smaller cells that keep at least a share (by weight) of the indexed lines.

    Args:
        metric: (3, 3) Å^2 of a primitive cell.
        hkl, weight: (n, 3) and (n,) indexed lines.
        share: of the weight, that must obey the condition of the sublattice.
    """
    found: list[NDArray[np.floating]] = []
    obeys = (hkl @ _CONDITIONS.T) % _MODULI == 0
    enough = weight @ obeys >= share * weight.sum()
    for (modulus, u), kept in zip(SUBLATTICES, enough.tolist(), strict=True):
        if kept:
            pivot = int(np.argmax(u != 0))
            row = (u * pow(int(u[pivot]), -1, modulus)) % modulus
            basis = np.eye(3)
            basis[pivot] = row / modulus
            found.append(basis @ metric @ basis.T)
    return found


def doubled_lattices(metric: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """Metrics of the seven lattices of twice the cell of a primitive metric (3, 3, Å^2)."""
    found: list[NDArray[np.floating]] = []
    for modulus, u in SUBLATTICES:
        if modulus == 2:
            pivot = int(np.argmax(u != 0))
            basis = np.eye(3)
            basis[:, pivot] = u  # vectors n with u . n even: others move by the pivot where u is odd
            basis[pivot] = 0
            basis[pivot, pivot] = 2
            found.append(basis @ metric @ basis.T)
    return found


def bravais_lattices(metric: NDArray[np.floating]) -> list[tuple[int, str, NDArray[np.floating]]]:
    """Bravais lattices near a primitive metric (3, 3, Å^2): (symmetry, centring, parameters), highest first."""
    metric = reduced_metric(metric)
    found = [
        (symmetry, centring, parameters_from(symmetry, np.linalg.inv(axes @ metric @ axes.T)))
        for symmetry, centring, axes in lattices_near(metric, _TOLERANCES)
    ]
    return [*found, (TRICLINIC, "P", parameters_from(TRICLINIC, np.linalg.inv(metric)))]
