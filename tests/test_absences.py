"""Extinction groups from scans: textbook crystals in settings of all kinds, and what must not mislead."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from conftest import halite, rutile

from syngony.absences.group_settings import settings_of
from syngony.absences.line_evidence import log_evidence
from syngony.absences.pawley import pawley_fit
from syngony.absences.ranking import rank_extinction_groups, rank_from_lines
from syngony.diffraction.conditions import Conditions, tube
from syngony.diffraction.measure import measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError
from syngony.pattern import Pattern
from syngony.structure import Structure
from syngony.unit_cell import UnitCell, metric_of, parameters_of
from syngony.wavelengths import TUBE_LINES

LABORATORY = Conditions(
    start=10.0,
    stop=90.0,
    wavelength=TUBE_LINES["CuKa"],
    radiation=tube("Cu"),
    polarisation=0.8,
    zero_shift=0.03,
    displacement=-0.05,
    gauss_fwhm=0.07,
    size=0.04,
    strain=0.06,
    grain_spread=0.15,
    debye_waller=0.5,
    counts=5_000.0,
    background=0.02,
    air_scatter=0.02,
)


def crystal(number: int, parameters: tuple[float, ...], sites: list[tuple[str, float, float, float]]) -> Structure:
    """A crystal from its asymmetric unit, standard setting."""
    species, places = [], []
    operations = gemmi.get_spacegroup_reference_setting(number).operations()
    for symbol, *xyz in sites:
        orbit: list[np.ndarray] = []
        for operation in operations:
            image = np.array(operation.apply_to_xyz(xyz)) % 1.0
            distances = [np.abs((image - other + 0.5) % 1.0 - 0.5).max() for other in orbit]
            if not distances or min(distances) > 1e-3:
                orbit.append(image)
        places += orbit
        species += [symbol] * len(orbit)
    return Structure.from_parameters(parameters, species, places)


SILICON = crystal(227, (5.431,) * 3 + (90,) * 3, [("Si", 0.125, 0.125, 0.125)])
QUARTZ = crystal(154, (4.9134, 4.9134, 5.4052, 90, 90, 120), [("Si", 0.4697, 0, 2 / 3), ("O", 0.4135, 0.2669, 0.7858)])
CALCITE = crystal(167, (4.99, 4.99, 17.06, 90, 90, 120), [("Ca", 0, 0, 0), ("C", 0, 0, 0.25), ("O", 0.2568, 0, 0.25)])
OLIVINE = crystal(
    62,
    (10.207, 5.980, 4.756, 90, 90, 90),
    [("Mg", 0, 0, 0), ("Mg", 0.2774, 0.25, 0.9915), ("Si", 0.0940, 0.25, 0.4262), ("O", 0.0913, 0.25, 0.7657),
     ("O", 0.4474, 0.25, 0.2215), ("O", 0.1628, 0.0331, 0.2774)],
)  # fmt: skip
BADDELEYITE = crystal(
    14,
    (5.1505, 5.2116, 5.3173, 90, 99.23, 90),
    [("Zr", 0.2754, 0.0395, 0.2083), ("O", 0.07, 0.3317, 0.3447), ("O", 0.4496, 0.7569, 0.4792)],
)


def scan(structure: Structure, conditions: Conditions = LABORATORY, seed: int = 0) -> Pattern:
    return Pattern(*measure(Phase.from_structure(structure), conditions, np.random.default_rng(seed)))


def cell_of(structure: Structure, centring: str, system: str, axes: list[list[int]] | None = None) -> UnitCell:
    """The structure's cell, after a transformation of its axes."""
    metric = metric_of(structure.parameters)
    turn = np.eye(3) if axes is None else np.array(axes)
    return UnitCell(*(round(float(x), 6) for x in parameters_of(turn @ metric @ turn.T)), centring, system)


@pytest.mark.parametrize(
    ("structure", "centring", "system", "axes", "symbol", "number"),
    [
        (rutile(), "P", "tetragonal", None, "P - n -", 136),
        (SILICON, "F", "cubic", None, "F d - -", 227),
        (QUARTZ, "P", "hexagonal", None, "P 31 - -", 154),
        (CALCITE, "R", "rhombohedral", None, "R - c", 167),
        (halite(), "F", "cubic", None, "F - - -", 225),
        (OLIVINE, "P", "orthorhombic", None, "P n - a", 62),
        # Pbnm, the setting of mineralogists, and a third.
        (OLIVINE, "P", "orthorhombic", [[0, 0, 1], [1, 0, 0], [0, 1, 0]], "P n - a", 62),
        (OLIVINE, "P", "orthorhombic", [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "P n - a", 62),
        (BADDELEYITE, "P", "monoclinic", None, "P 1 21/c 1", 14),
        # P2_1/n and P2_1/a.
        (BADDELEYITE, "P", "monoclinic", [[1, 0, 0], [0, 1, 0], [-1, 0, 1]], "P 1 21/c 1", 14),
        (BADDELEYITE, "P", "monoclinic", [[0, 0, 1], [0, 1, 0], [1, 0, 0]], "P 1 21/c 1", 14),
    ],
    ids=["rutile", "silicon", "quartz", "calcite", "halite", "Pnma", "Pbnm", "Pmnb", "P21/c", "P21/n", "P21/a"],
)
def test_textbook_crystals(structure, centring, system, axes, symbol, number):
    ranking = rank_extinction_groups(scan(structure), cell_of(structure, centring, system, axes))
    assert (ranking[0].symbol, number in ranking[0].space_groups) == (symbol, True)
    assert ranking[0].probability > 0.5
    assert sum(group.probability for group in ranking) == pytest.approx(1.0)
    assert [group.probability for group in ranking] == sorted((g.probability for g in ranking), reverse=True)


def test_a_broken_glide_is_seen():
    """Titanium beside its place breaks the glides of rutile, and leaves its cell."""
    whole = rutile()
    places = whole.frac_coords.copy()
    places[1] += [0, 0, 0.12]
    broken = Structure(whole.lattice, whole.species, places)
    cell = cell_of(whole, "P", "tetragonal")
    assert rank_extinction_groups(scan(broken), cell)[0].symbol != "P - n -"
    assert rank_extinction_groups(scan(whole), cell)[0].symbol == "P - n -"


def test_a_line_of_another_phase_at_an_absent_place():
    """One foreign line at 100 of rutile does not undo a dozen absences."""
    pattern, cell = scan(rutile()), cell_of(rutile(), "P", "tetragonal")
    place = 19.31
    foreign = 150.0 * np.exp(-4 * np.log(2) * ((pattern.two_theta - place) / 0.12) ** 2)
    dirty = Pattern(pattern.two_theta, pattern.intensity + foreign, pattern.wavelength)
    assert rank_extinction_groups(dirty, cell)[0].symbol == "P - n -"


def test_without_counts_the_prior_decides():
    """Noise tells nothing: no group gets far from how common it is."""
    faint = replace(LABORATORY, counts=1.0, background=20.0)
    ranking = rank_extinction_groups(scan(OLIVINE, faint), cell_of(OLIVINE, "P", "orthorhombic"))
    assert ranking[0].probability < 0.9
    assert {14, 62, 19} & set(ranking[0].space_groups + ranking[1].space_groups + ranking[2].space_groups)


def test_triclinic_needs_no_scan():
    cell = UnitCell(4.1, 5.3, 11.7, 68.0, 101.0, 57.0, "P", "triclinic")
    ranking = rank_extinction_groups(scan(halite()), cell)
    assert [(g.space_groups, g.probability) for g in ranking] == [((1, 2), 1.0)]


def test_a_cell_that_is_no_bravais_lattice():
    with pytest.raises(InputError, match="no conventional tetragonal cell has centring C"):
        rank_extinction_groups(scan(halite()), UnitCell(5, 5, 7, 90, 90, 90, "C", "tetragonal"))


def test_a_cell_without_lines_in_the_scan():
    with pytest.raises(InputError, match="no line of this cell"):
        rank_extinction_groups(scan(halite()), UnitCell(1, 1, 1, 90, 90, 90, "P", "cubic"))


def test_settings_of_the_axes():
    """Pnma in all six orders of its axes, P2_1/c in its three cells, Cmcm in two and Ccce in one."""

    def variants(system: str, centring: str, number: int) -> int:
        return sum(number in setting.group.space_groups for setting in settings_of(system, centring))

    assert variants("orthorhombic", "P", 62) == 6
    assert variants("orthorhombic", "P", 61) == 2
    assert variants("monoclinic", "P", 14) == 3
    assert variants("orthorhombic", "C", 63) == 2
    assert variants("orthorhombic", "A", 63) == 2
    assert variants("orthorhombic", "C", 68) == 1
    assert variants("tetragonal", "P", 136) == 1


def test_the_fit_finds_the_instrument():
    """Shift, widths and areas of a scan of calcite."""
    conditions = replace(LABORATORY, grain_spread=0.0, counts=50_000.0)
    fit = pawley_fit(scan(CALCITE, conditions), cell_of(CALCITE, "R", "rhombohedral"))
    low = fit.two_theta < 60
    truth = reflections(CALCITE, TUBE_LINES["CuKa1"], (0.0, 95.0))
    shift = conditions.zero_shift + conditions.displacement * np.cos(np.radians(fit.two_theta / 2))
    nearest = np.argmin(np.abs(truth.two_theta[:, None] - (fit.two_theta - shift)[None, :]), axis=0)
    strong = low & (fit.intensity > 0.02 * fit.intensity.max())
    assert np.abs(truth.two_theta[nearest] - (fit.two_theta - shift))[strong].max() < 0.01
    assert fit.profile.gauss == pytest.approx(conditions.gauss_fwhm, abs=0.02)
    assert len(fit.profile.radiation) == 2
    relative = (
        fit.intensity[strong]
        / truth.intensity[nearest][strong]
        * np.exp(0.5 * conditions.debye_waller / truth.d_spacing[nearest][strong] ** 2)
    )
    assert np.std(relative) / np.mean(relative) < 0.1


def test_a_list_of_lines_is_enough_for_rutile():
    lines = reflections(rutile(), TUBE_LINES["CuKa1"], (10.0, 90.0))
    seen = lines.intensity > 1.0
    ranking = rank_from_lines(
        lines.two_theta[seen], lines.intensity[seen], TUBE_LINES["CuKa1"], cell_of(rutile(), "P", "tetragonal")
    )
    assert ranking[0].symbol == "P - n -"
    assert sum(group.probability for group in ranking) == pytest.approx(1.0)


def test_evidence_agrees_with_quadrature():
    """Two overlapping lines, both allowed, then one forbidden but contaminated one time in thirty."""
    normal, rhs = np.array([[4.0, 1.5], [1.5, 3.0]]), np.array([3.0, -1.0])
    weights, scales = np.array([[0.6, 0.4], [0.7, 0.3]]), np.array([[1.0, 0.1], [0.5, 0.2]])
    # Gauss-Legendre on (0, 6): the likelihood is over by there.
    nodes, steps = np.polynomial.legendre.leggauss(200)
    x, step = 3.0 * (nodes + 1.0), 3.0 * steps
    first, second = np.meshgrid(x, x, indexing="ij")
    likelihood = np.exp(
        rhs[0] * first + rhs[1] * second
        - 0.5 * (normal[0, 0] * first**2 + 2 * normal[0, 1] * first * second + normal[1, 1] * second**2)
    )  # fmt: skip
    alone = np.exp(rhs[0] * x - 0.5 * normal[0, 0] * x**2)

    def prior(line: int) -> np.ndarray:
        return (weights[line] / scales[line] * np.exp(-x[:, None] / scales[line])).sum(1) * step

    both = prior(0) @ likelihood @ prior(1)
    assert log_evidence(normal, rhs, weights, scales) == pytest.approx(np.log(both), abs=0.01)
    foreign = np.exp(-x / 0.2) / 0.2 * step
    one = 0.97 * prior(0) @ alone + 0.03 * prior(0) @ likelihood @ foreign
    found = log_evidence(normal, rhs, np.array([[0.6, 0.4], [0.97, 0.03]]), np.array([[1.0, 0.1], [0.0, 0.2]]))
    assert found == pytest.approx(np.log(one), abs=0.01)


@pytest.mark.parametrize("kind", ["one point", "noise about zero", "few points"])
def test_scans_that_say_nothing(kind):
    """No crash, and probabilities still."""
    rng = np.random.default_rng(0)
    two_theta = np.linspace(10, 60, 25 if kind == "few points" else 500)
    intensity = np.zeros(len(two_theta)) if kind == "one point" else rng.normal(size=len(two_theta))
    intensity[-1] = 5.0
    pattern = Pattern(two_theta, intensity, "CuKa")
    for cell in (UnitCell(12, 14, 16, 90, 90, 90, "P", "orthorhombic"), UnitCell(3, 3, 3, 90, 90, 90, "P", "cubic")):
        assert sum(group.probability for group in rank_extinction_groups(pattern, cell)) == pytest.approx(1.0)
