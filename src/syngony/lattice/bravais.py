"""From any cell of a lattice to the Bravais lattices it may stand for."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.comparison import reduced_metric
from syngony.lattice.predicted import CUBIC, HEXAGONAL, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, TRICLINIC
from syngony.unit_cell import UnitCell, parameters_of

_TOLERANCES = (0.002, 0.008, 0.025)
"""Relative to the mean axis: how far a metric may be from a symmetry that is then tried on the lines."""

_LAST_OF_SYSTEM = ((2, TRICLINIC), (15, MONOCLINIC), (74, ORTHORHOMBIC), (142, TETRAGONAL), (194, HEXAGONAL))
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
    for modulus, u in SUBLATTICES:
        obeys = (hkl @ u) % modulus == 0
        if weight[obeys].sum() >= share * weight.sum():
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
    """Bravais lattices near a primitive metric (3, 3, Å^2): (symmetry, centring, parameters), highest first.

    spglib names the symmetry of the lattice at several tolerances and gives its conventional axes.
    """
    import spglib

    metric = reduced_metric(metric)
    vectors = np.linalg.cholesky(metric)
    mean = float(np.sqrt(np.diag(metric)).mean())
    found: list[tuple[int, str, NDArray[np.floating]]] = []
    for tolerance in sorted(_TOLERANCES, reverse=True):
        dataset = None
        # spglib 2.7+ raises errors of its own where earlier versions return None, and warns of those to come.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            cell = (vectors.tolist(), [[0.0, 0.0, 0.0]], [1])
            dataset = spglib.get_symmetry_dataset(cell, symprec=tolerance * mean)
        if dataset is None:
            continue
        number = int(dataset.number)
        symmetry = next((system for last, system in _LAST_OF_SYSTEM if number <= last), CUBIC)
        centring = dataset.international[0]
        axes = np.linalg.inv(dataset.transformation_matrix).T
        conventional = axes @ metric @ axes.T
        if symmetry == TRICLINIC:
            conventional, centring = metric, "P"
        p = parameters_from(symmetry, np.linalg.inv(conventional))
        if not any(symmetry == s and centring == c for s, c, _ in found):
            found.append((symmetry, centring, p))
        if symmetry == TRICLINIC:  # a smaller tolerance finds no more
            break
    if not any(symmetry == TRICLINIC for symmetry, _, _ in found):
        found.append((TRICLINIC, "P", parameters_from(TRICLINIC, np.linalg.inv(metric))))
    return found
