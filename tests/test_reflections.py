import numpy as np
import pytest
from conftest import TEXTBOOK, halite, rutile

from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, StructureError, WavelengthError
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, read_table


def assert_agrees_with_pymatgen(structure: Structure, wavelength: float = 1.54184, span=(0.0, 90.0)) -> None:
    pytest.importorskip("pymatgen", reason="pymatgen is the reference and a dev dependency")
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.core import Lattice
    from pymatgen.core import Structure as Reference

    reference = XRDCalculator(wavelength).get_pattern(
        Reference(Lattice(structure.lattice), structure.species, structure.frac_coords), two_theta_range=span
    )
    ours = reflections(structure, wavelength, span)
    assert len(ours) == len(reference.x)
    np.testing.assert_allclose(ours.two_theta, reference.x, rtol=1e-9)
    np.testing.assert_allclose(ours.intensity, reference.y, rtol=1e-9)
    np.testing.assert_allclose(ours.d_spacing, reference.d_hkls, rtol=1e-9)
    expected = [sum(family["multiplicity"] for family in line) for line in reference.hkls]
    assert ours.multiplicity.tolist() == expected


@pytest.mark.parametrize("build", TEXTBOOK.values())
def test_textbook_crystals_agree_with_pymatgen(build):
    assert_agrees_with_pymatgen(build())


@pytest.mark.parametrize(("wavelength", "span"), [(0.7107, (5.0, 60.0)), (1.79026, (20.0, 150.0)), (2.291, (0, 180))])
def test_other_wavelengths_and_ranges_agree_with_pymatgen(wavelength, span):
    assert_agrees_with_pymatgen(rutile(), wavelength, span)


def test_real_structures_agree_with_pymatgen(materials_project):
    table = read_table(materials_project)
    rows = np.sort(np.random.default_rng(5).choice(table.num_rows, 60, replace=False))
    for row in table.take(rows).to_pylist():
        if len(row["species"]) <= 80:
            assert_agrees_with_pymatgen(StructureRecord.from_row(row).structure)


def test_halite_has_the_lines_everybody_knows():
    lines = reflections(halite(), "CuKa", (0, 60))
    strong = lines.intensity > 1
    assert np.round(lines.two_theta[strong], 1).tolist() == [27.4, 31.7, 45.5, 53.9, 56.5]
    assert lines.hkl[strong].tolist() == [[1, 1, 1], [2, 0, 0], [2, 2, 0], [3, 1, 1], [2, 2, 2]]
    assert lines.multiplicity[strong].tolist() == [8, 6, 12, 24, 8]


def test_another_choice_of_cell_gives_the_same_pattern():
    structure = rutile()
    change = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])  # determinant 1
    skewed = Structure(
        change @ structure.lattice, structure.species, structure.frac_coords @ np.linalg.inv(change) % 1.0
    )
    moved = Structure(structure.lattice, structure.species, (structure.frac_coords + [0.1, 0.27, 0.6]) % 1.0)
    doubled = Structure(
        structure.lattice * [[1], [1], [2]],
        structure.species * 2,
        np.concatenate([structure.frac_coords / [1, 1, 2], structure.frac_coords / [1, 1, 2] + [0, 0, 0.5]]),
    )
    expected = reflections(structure)
    for other in (skewed, moved, doubled):
        lines = reflections(other)
        np.testing.assert_allclose(lines.two_theta, expected.two_theta, rtol=1e-9)
        np.testing.assert_allclose(lines.intensity, expected.intensity, rtol=1e-7, atol=1e-9)


def test_partial_occupancy_is_a_weaker_atom():
    full, half = (
        reflections(Structure(halite().lattice, halite().species, halite().frac_coords, [1.0] * 4 + [x] * 4))
        for x in (1.0, 0.5)
    )
    odd = full.hkl[:, 0] % 2 == 1  # F(Na) - F(Cl): with less Cl, the odd lines change their weight
    assert not np.allclose(full.intensity[odd], half.intensity[odd])


def test_the_papers_pattern():
    grid = PaperGrid()
    pattern = paper_pattern(reflections(halite()), grid)
    assert pattern.shape == grid.two_theta.shape == (9001,)
    assert pattern.max() == 1.0
    assert pattern.min() == 0.0
    assert grid.two_theta[pattern.argmax()] == pytest.approx(31.71, abs=0.03)
    # A Gaussian of 5 points: half the height at 5.89 points from the top.
    top = int(pattern.argmax())
    assert pattern[top - 6] < 0.5 < pattern[top - 5]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("CuKa", (40, 40)), InputError, "range"),
        (("CuKa", (-5, 40)), InputError, "range"),
        ((99.0, (0, 90)), WavelengthError, "0.05"),
        (("XxKa", (0, 90)), WavelengthError, "no wavelength"),
        (("CuKa", (0, 2)), StructureError, "no reflection"),
    ],
)
def test_bad_requests_say_what_to_do(arguments, error, message):
    with pytest.raises(error, match=message):
        reflections(halite(), *arguments)


def test_a_monstrous_cell_is_refused_before_memory_runs_out():
    huge = Structure(np.eye(3) * 500, ["C"], [[0, 0, 0]])
    with pytest.raises(StructureError, match="reflections"):
        reflections(huge)
