"""Lattices of higher symmetry that a cell is nearly of, and what they are worth."""

from dataclasses import replace

import numpy as np
import pytest

from syngony.determination.evidence import CellEvidence
from syngony.determination.posterior import LATTICE_OF_GROUP, chance_of_near, groups_of_cell, near_features
from syngony.lattice.indexing import IndexedCell
from syngony.lattice.near_symmetry import FARTHEST, lattices_of_higher_symmetry
from syngony.unit_cell import LATTICE_SYSTEMS, UnitCell

SKEWED = UnitCell(5.0, 6.0, 7.0, 90.0, 90.1, 90.0, "P", "monoclinic")


def test_a_skewed_cell_is_nearly_orthorhombic_by_half_its_shear():
    (near,) = lattices_of_higher_symmetry(SKEWED)
    assert near.cell.lattice_system == "orthorhombic"
    assert sorted(near.cell.parameters) == pytest.approx([5.0, 6.0, 7.0, 90.0, 90.0, 90.0], abs=1e-4)
    assert near.deviation == pytest.approx(0.5 * np.radians(0.1) * 7.0, rel=0.01)


def test_the_nearest_comes_first_and_each_lattice_system_once():
    nearly_cubic = UnitCell(4.0, 4.002, 4.02, 90.0, 90.0, 90.05, "P", "triclinic")
    found = lattices_of_higher_symmetry(nearly_cubic)
    names = [near.cell.lattice_system for near in found]
    assert len(set(names)) == len(names)
    assert {"tetragonal", "cubic"} <= set(names)
    assert "triclinic" not in names
    deviations = [near.deviation for near in found]
    assert deviations == sorted(deviations)
    assert max(deviations) < FARTHEST


@pytest.mark.parametrize(
    "cell",
    [
        UnitCell(4.0, 4.0, 4.0, 90.0, 90.0, 90.0, "F", "cubic"),
        UnitCell(4.6, 4.6, 2.96, 90.0, 90.0, 90.0, "P", "tetragonal"),
        UnitCell(5.0, 6.0, 7.0, 90.0, 104.0, 90.0, "C", "monoclinic"),
    ],
)
def test_a_cell_far_from_a_higher_symmetry_has_none_near(cell):
    assert lattices_of_higher_symmetry(cell) == []


def test_a_small_deviation_is_hardly_meant_and_a_large_one_is():
    rule = {"one": 0.0, "deviation": -1.5}
    near = lattices_of_higher_symmetry(SKEWED)[0]
    nearer, farther = replace(near, deviation=0.004), replace(near, deviation=0.15)
    chances = [chance_of_near(near_features(one), rule) for one in (nearer, near, farther)]
    assert chances == sorted(chances, reverse=True)
    cell = IndexedCell(SKEWED, np.zeros(6), 0.0, 50.0, 50.0, 50.0, np.zeros((0, 3), int), *[np.zeros(0)] * 2, 1.0, 50)
    one = CellEvidence(cell, np.zeros(0), near=(nearer,))
    groups = groups_of_cell(one, rule)
    assert groups.sum() == pytest.approx(1.0)
    shares = np.bincount(LATTICE_OF_GROUP, groups, len(LATTICE_SYSTEMS))
    assert shares[LATTICE_SYSTEMS.index("orthorhombic")] == pytest.approx(chances[0])
    assert shares[LATTICE_SYSTEMS.index("monoclinic")] == pytest.approx(1.0 - chances[0])
    alone = groups_of_cell(one)
    assert alone[LATTICE_SYSTEMS.index("monoclinic") == LATTICE_OF_GROUP].sum() == pytest.approx(1.0)
