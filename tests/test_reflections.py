import numpy as np
import pytest
from conftest import TEXTBOOK, halite, rutile, triclinic
from hypothesis import given, settings
from hypothesis import strategies as st

from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, StructureError, WavelengthError
from syngony.pattern import q_from_two_theta
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, read_table


def assert_agrees_with_pymatgen(
    structure: Structure, wavelength: float = 1.54184, span=(0.0, 90.0), b_iso: dict[str, float] | None = None
) -> None:
    pytest.importorskip("pymatgen", reason="pymatgen is the reference and a dev dependency")
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.core import Lattice
    from pymatgen.core import Structure as Reference

    # Ours lists a mixed site once per element, pymatgen wants one site with all of them.
    places: dict[tuple[float, ...], dict[str, float]] = {}
    for symbol, place, share in zip(structure.species, structure.frac_coords, structure.occupancies, strict=True):
        site = places.setdefault(tuple(place), {})
        site[symbol] = site.get(symbol, 0.0) + float(share)
    reference = XRDCalculator(wavelength, debye_waller_factors=b_iso).get_pattern(
        Reference(Lattice(structure.lattice), list(places.values()), list(places)), two_theta_range=span
    )
    ours = reflections(structure, wavelength, span, b_iso=b_iso)
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


def test_displacement_parameters_and_mixed_sites_agree_with_pymatgen():
    assert_agrees_with_pymatgen(rutile(), b_iso={"Ti": 0.4, "O": 1.3})
    one = halite()
    mixed = Structure(
        one.lattice,
        ["Na"] * 4 + ["Cl"] * 4 + ["Br"] * 4,
        np.concatenate([one.frac_coords, one.frac_coords[4:]]),
        [0.9] * 4 + [0.7] * 4 + [0.3] * 4,
    )
    assert_agrees_with_pymatgen(mixed, b_iso={"Br": 2.0})


def test_real_structures_agree_with_pymatgen(materials_project):
    table = read_table(materials_project)
    rows = np.sort(np.random.default_rng(5).choice(table.num_rows, 500, replace=False))
    small = [row for row in table.take(rows).to_pylist() if len(row["species"]) <= 60]
    assert len(small) >= 300
    for row in small[:320]:
        assert_agrees_with_pymatgen(StructureRecord.from_row(row).structure)


def skewed(structure: Structure, change) -> Structure:
    """The same crystal in another cell: `change` is an integer matrix of determinant +-1."""
    change = np.array(change)
    return Structure(change @ structure.lattice, structure.species, structure.frac_coords @ np.linalg.inv(change) % 1.0)


@pytest.mark.parametrize(
    "change", [[[1, 0, 0], [3, 1, 0], [-2, 4, 1]], [[1, 5, 0], [0, 1, 0], [6, 0, 1]], [[1, 0, 0], [0, 1, 0], [9, 9, 1]]]
)
def test_strongly_skewed_cells_lose_no_reflection(change):
    # |h| <= R |a|; the bound R / |a*| loses lines here, and so does a calculator that uses it.
    for build in (rutile, triclinic):
        other = skewed(build(), change)
        assert_agrees_with_pymatgen(other)
        lines, expected = reflections(other), reflections(build())
        assert lines.multiplicity.sum() == expected.multiplicity.sum()
        np.testing.assert_allclose(lines.two_theta, expected.two_theta, rtol=1e-9)


def test_halite_has_the_lines_everybody_knows():
    lines = reflections(halite(), "CuKa", (0, 60))
    strong = lines.intensity > 1
    assert np.round(lines.two_theta[strong], 1).tolist() == [27.4, 31.7, 45.5, 53.9, 56.5]
    assert lines.hkl[strong].tolist() == [[1, 1, 1], [2, 0, 0], [2, 2, 0], [3, 1, 1], [2, 2, 2]]
    assert lines.multiplicity[strong].tolist() == [8, 6, 12, 24, 8]


def assert_same_lines(structure: Structure, expected, rtol=1e-7) -> None:
    lines = reflections(structure)
    np.testing.assert_allclose(lines.two_theta, expected.two_theta, rtol=1e-9)
    np.testing.assert_allclose(lines.intensity, expected.intensity, rtol=rtol, atol=1e-8)


shears = st.lists(st.tuples(st.sampled_from([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]), st.integers(-2, 2)),
                  min_size=1, max_size=4)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([rutile, triclinic]), shears, st.permutations([0, 1, 2]))
def test_another_choice_of_axes_gives_the_same_pattern(build, steps, order):
    change = np.eye(3, dtype=int)[list(order)]
    for (row, other), times in steps:
        change[row] += times * change[other]
    assert_same_lines(skewed(build(), change), reflections(build()))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([rutile, triclinic]), st.tuples(*[st.floats(-3, 3)] * 3), st.integers(0, 2**32 - 1))
def test_another_origin_order_or_orientation_gives_the_same_pattern(build, shift, seed):
    one, rng = build(), np.random.default_rng(seed)
    order = rng.permutation(len(one))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    other = Structure(one.lattice @ turn, [one.species[i] for i in order], one.frac_coords[order] + shift)
    assert_same_lines(other, reflections(one))


@pytest.mark.parametrize("times", [(2, 1, 1), (1, 1, 3), (2, 3, 1)])
def test_a_supercell_equals_its_primitive_cell(times):
    for build in (rutile, triclinic):
        one = build()
        offsets = np.array(list(np.ndindex(*times)))
        many = Structure(
            one.lattice * np.array(times)[:, None],
            one.species * len(offsets),
            np.concatenate([(one.frac_coords + offset) / times for offset in offsets]),
        )
        assert_same_lines(many, reflections(one))


@settings(max_examples=15, deadline=None)
@given(st.floats(0.97, 1.03))
def test_scaling_the_lattice_shifts_ln_q(scale):
    one = triclinic()
    q, scaled = (1.0 / reflections(s, 0.7107, (0, 60)).d_spacing ** 2 for s in (
        one, Structure(one.lattice * scale, one.species, one.frac_coords)))  # fmt: skip
    n = 30
    np.testing.assert_allclose(np.log(scaled[:n]) - np.log(q[:n]), -2 * np.log(scale), atol=1e-9)


def test_a_wavelength_moves_angles_and_leaves_q():
    copper, cobalt = reflections(rutile(), "CuKa", (0, 70)), reflections(rutile(), "CoKa", (0, 90))
    n = min(len(copper), len(cobalt))
    assert (cobalt.two_theta[:n] > copper.two_theta[:n]).all()
    for lines in (copper, cobalt):
        np.testing.assert_allclose(
            q_from_two_theta(lines.two_theta, lines.wavelength), 1 / lines.d_spacing**2, rtol=1e-12
        )
    np.testing.assert_allclose(copper.d_spacing[:n], cobalt.d_spacing[:n], rtol=1e-12)


def test_a_monochromator_and_displacements_follow_their_formulas():
    plain, mono = reflections(rutile()), reflections(rutile(), monochromator=26.6)
    cosine, crystal = np.cos(np.radians(plain.two_theta)) ** 2, np.cos(np.radians(26.6)) ** 2
    expected = plain.intensity * (1 + crystal * cosine) / (1 + cosine)
    np.testing.assert_allclose(mono.intensity, 100 * expected / expected.max(), rtol=1e-9)
    hot = reflections(rutile(), b_overall=1.5)
    expected = plain.intensity * np.exp(-2 * 1.5 / (4 * plain.d_spacing**2))
    np.testing.assert_allclose(hot.intensity, 100 * expected / expected.max(), rtol=1e-9)
    same = reflections(rutile(), b_iso={"Ti": 1.0, "O": 1.0}, b_overall=0.5)
    np.testing.assert_allclose(same.intensity, hot.intensity, rtol=1e-12)


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
    ("arguments", "options", "error", "message"),
    [
        (("CuKa", (40, 40)), {}, InputError, "range"),
        (("CuKa", (-5, 40)), {}, InputError, "range"),
        (("CuKa", (5, float("nan"))), {}, InputError, "range"),
        ((99.0, (0, 90)), {}, WavelengthError, "0.05"),
        ((float("nan"), (0, 90)), {}, WavelengthError, "wavelength"),
        (("XxKa", (0, 90)), {}, WavelengthError, "no wavelength"),
        (("CuKa", (0, 2)), {}, StructureError, "no reflection"),
        (("CuKa", (0, 90)), {"b_iso": {"Xx": 1.0}}, InputError, "unknown element Xx"),
        (("CuKa", (0, 90)), {"b_overall": -1.0}, InputError, "zero or more"),
        (("CuKa", (0, 90)), {"b_iso": {"Na": float("nan")}}, InputError, "zero or more"),
        (("CuKa", (0, 90)), {"monochromator": 200.0}, InputError, "monochromator"),
    ],
)
def test_bad_requests_say_what_to_do(arguments, options, error, message):
    with pytest.raises(error, match=message):
        reflections(halite(), *arguments, **options)


def test_a_wavelength_too_long_for_any_line_says_so():
    small = Structure(np.eye(3) * 2.1, ["Fe"], [[0, 0, 0]])
    with pytest.raises(WavelengthError, match="too long for any line of this cell, whose longest d is 2.1 Å"):
        reflections(small, 4.5, (0, 180))
    assert len(reflections(small, 4.1, (0, 180))) == 1


@pytest.mark.parametrize("lattice", [np.eye(3) * 500, [[6000, 0, 0], [5999.99, 3, 0], [0, 5999.99, 3]]])
def test_a_monstrous_cell_is_refused_before_memory_runs_out(lattice):
    with pytest.raises(StructureError, match="reflections"):
        reflections(Structure(lattice, ["C"], [[0, 0, 0]]))
