"""Scans without scatter, lattices that are nearly of a higher symmetry, and which lines trials are made of."""

import itertools

import numpy as np
import pytest
from conftest import TEXTBOOK

from syngony.diffraction.laboratory import Laboratory, Phase, measure
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.lattice.distortion import distorted
from syngony.lattice.indexing import index_pattern
from syngony.lattice.line_weights import weigh_lines
from syngony.lattice.predicted import MONOCLINIC, ORTHORHOMBIC
from syngony.lattice.search import SearchSettings, judge_of
from syngony.lattice.selections import MOST_LINES, trial_selections
from syngony.lines.lines import Lines
from syngony.pattern import Pattern, two_theta_from_q
from syngony.scatter import is_calculated
from syngony.structure import Structure

WAVELENGTH = 1.54184


def calculated(structure) -> Pattern:
    grid = PaperGrid()
    return Pattern(grid.two_theta, paper_pattern(reflections(structure, WAVELENGTH, (0.0, 90.0)), grid), WAVELENGTH)


@pytest.mark.parametrize("name", ["rutile", "halite"])
def test_a_scan_without_scatter_was_calculated(name):
    pattern = calculated(TEXTBOOK[name]())
    assert is_calculated(pattern)
    rng = np.random.default_rng(0)
    counts = rng.poisson(2e4 * pattern.intensity / pattern.intensity.max() + 10.0).astype(float)
    smoothed = np.convolve(counts, np.ones(5) / 5, mode="same")
    for measured in (counts, smoothed):
        assert not is_calculated(Pattern(pattern.two_theta, measured, WAVELENGTH))
    assert not is_calculated(Pattern(np.arange(10.0, 32.0), np.eye(22)[9], WAVELENGTH))


def lines_of(parameters: list[float], symmetry: int) -> Lines:
    """Exact lines of a primitive reciprocal lattice, A h^2 + B k^2 + C l^2 + D hl."""
    a, b, c, d = parameters
    every = itertools.product(range(-9, 10), range(10), range(10))
    hkl = np.array([one for one in every if one[1:] != (0, 0) or one[0] > 0])
    q = np.unique(np.round(a * hkl[:, 0] ** 2 + b * hkl[:, 1] ** 2 + c * hkl[:, 2] ** 2 + d * hkl[:, 0] * hkl[:, 2], 9))
    assert symmetry == (MONOCLINIC if d else ORTHORHOMBIC)
    return Lines.from_positions(two_theta_from_q(q[(q > 0) & (q < 0.6)], WAVELENGTH), WAVELENGTH, None, 0.005)


@pytest.mark.parametrize(("skew", "lower"), [(0.006, True), (0.0, False)])
def test_a_small_distortion_is_found_where_there_is_one(skew, lower):
    a, b, c = 1 / 5.1**2, 1 / 6.3**2, 1 / 7.4**2
    lines = lines_of([a, b, c, skew * np.sqrt(a * c)], MONOCLINIC if skew else ORTHORHOMBIC)
    weighed = weigh_lines(lines)
    judge = judge_of(
        lines.two_theta, WAVELENGTH, weighed.uncertainty, weighed.weight, weighed.stray, SearchSettings(zero_spread=0.0)
    )
    start = judge.judge(ORTHORHOMBIC, "P", np.array([a, b, c, 0, 0, 0]), 0.0)
    assert start is not None
    found = distorted(start, judge)
    assert bool(found) == lower
    if lower:
        assert found[-1].symmetry == MONOCLINIC
        assert found[-1].indexed.all()
        assert not start.indexed.all()
        assert abs(found[-1].cell.beta - 90) == pytest.approx(np.degrees(np.arcsin(skew / 2)), abs=0.01)


def test_the_lower_symmetry_of_a_calculated_scan_is_named():
    """Rutile with its two equal axes 0.4 % apart: a search by low lines is content with the tetragonal cell."""
    rutile = TEXTBOOK["rutile"]()
    pulled = Structure(rutile.lattice * np.array([[1.002], [0.998], [1.0]]), rutile.species, rutile.frac_coords)
    for structure, system in ((pulled, "orthorhombic"), (rutile, "tetragonal")):
        found = index_pattern(calculated(structure), 5.0)
        assert found.lines.calculated
        assert found.cells[0].cell.lattice_system == system
        assert found.cells[0].intensity_explained > 0.999


def test_trials_start_from_the_first_lines_of_a_clean_sample():
    stray = np.full(60, 0.15)  # weak lines at low angles, lines beyond doubt
    stray[20:45] = 0.01
    sure, low = trial_selections(stray)
    assert sure[0] == 20 and len(sure) == 25
    assert list(low) == list(range(MOST_LINES))
    assert len(trial_selections(np.full(40, 0.01))) == 1


def test_a_calculated_laboratory_shows_the_lines_and_nothing_else():
    phase = Phase.from_structure(TEXTBOOK["rutile"]())
    seen = 0
    for seed in range(40):
        conditions = Laboratory().draw_calculated(np.random.default_rng(seed))
        one, two = (measure(phase, conditions, np.random.default_rng(again)) for again in (seed, seed + 1))
        assert np.array_equal(one.intensity, two.intensity)  # nothing is left to chance
        assert all(abs(length / one.wavelength - 1) < 0.01 for length, _ in conditions.radiation)
        assert one.intensity.min() < 1e-3 * one.intensity.max()  # no background
        seen += is_calculated(Pattern(*one))
    assert 10 <= seen < 40  # lines of a few points are as rough as counts
