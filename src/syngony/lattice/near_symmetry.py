"""Lattices of higher symmetry that a cell is nearly of.

A structure relaxed by computation, or determined from few data, is often a little off the symmetry that it has within
its errors, and is labelled with that: the Materials Project's space groups hold within 0.1 Å. Its pattern shows the
lower lattice all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syngony.lattice.bravais import parameters_from, reciprocal_metric_of, unit_cell
from syngony.lattice.comparison import reduced_metric
from syngony.lattice.lattice_symmetry import lattices_near
from syngony.unit_cell import UnitCell

FARTHEST = 0.2
"""Å: what deviates more is not near."""

_OBLIQUITIES = (0.06, 0.04, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
"""Radians, of the two-fold axes that are taken for the lattice's."""


@dataclass(frozen=True, eq=False)
class NearLattice:
    """A lattice of higher symmetry near a cell.

    Attributes:
        cell: conventional, of the symmetry.
        deviation: Å by which the largest strain from the one to the other moves the end of the longest edge of the
            reduced cell.
    """

    cell: UnitCell
    deviation: float


def lattices_of_higher_symmetry(cell: UnitCell) -> list[NearLattice]:
    """What a cell is nearly of, the nearest first; at most one of each lattice system."""
    metric = reduced_metric(cell.primitive_metric)
    longest = float(np.sqrt(np.diag(metric).max()))
    found: dict[str, NearLattice] = {}
    for symmetry, centring, axes in lattices_near(metric, _OBLIQUITIES):
        as_it_is = axes @ metric @ axes.T
        parameters = parameters_from(symmetry, np.linalg.inv(as_it_is))
        near = unit_cell(symmetry, centring, parameters)
        squares = np.linalg.eigvals(reciprocal_metric_of(symmetry, parameters) @ as_it_is).real
        deviation = longest * float(np.abs(np.sqrt(squares) - 1.0).max())
        kept = found.get(near.lattice_system)
        if kept is None or deviation < kept.deviation:
            found[near.lattice_system] = NearLattice(near, deviation)
    found.pop(cell.lattice_system, None)
    return sorted((n for n in found.values() if n.deviation < FARTHEST), key=lambda near: near.deviation)
