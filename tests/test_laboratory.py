"""The laboratory: each effect alone does what its formula says, and nothing when it is off."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import halite, rutile, triclinic, wurtzite
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import poisson as poisson_law

from syngony.diffraction.background import background_curve
from syngony.diffraction.laboratory import Conditions, Laboratory, Phase, measure, tube
from syngony.diffraction.line_shape import draw_lines, thompson_cox_hastings
from syngony.diffraction.measure import _normal, line_areas, poisson
from syngony.diffraction.phase import laue_rotations
from syngony.diffraction.reflections import reflections
from syngony.diffraction.texture import (
    _cosines_squared,
    axis_cosines_squared,
    march_dollase,
    preferred_axis,
    strained_q,
)
from syngony.errors import InputError
from syngony.pattern import Pattern, q_from_two_theta, two_theta_from_q
from syngony.structure import Structure
from syngony.wavelengths import TUBE_LINES

CU = TUBE_LINES["CuKa"]
SEED = np.random.default_rng
IDEAL = Conditions(noise=False, step=0.01, gauss_fwhm=0.06, counts=1e6)


def one_line(two_theta, wavelength=CU):
    """A phase of one line at an angle."""
    q = q_from_two_theta([two_theta], wavelength)
    return Phase(q, np.ones(1), np.array([[1, 0, 0]]), np.diag([q[0] ** 0.5] * 3), np.eye(3, dtype=np.int8)[None])


def centre(scan, near, reach=1.0):
    window = np.abs(scan.two_theta - near) < reach
    return float(np.average(scan.two_theta[window], weights=scan.intensity[window]))


def width(scan):
    """FWHM of the only line, interpolated."""
    above = np.flatnonzero(scan.intensity > scan.intensity.max() / 2)
    half, x, y = scan.intensity.max() / 2, scan.two_theta, scan.intensity
    low = np.interp(half, y[above[0] - 1 : above[0] + 1], x[above[0] - 1 : above[0] + 1])
    high = np.interp(-half, -y[above[-1] : above[-1] + 2], x[above[-1] : above[-1] + 2])
    return high - low


def test_lines_are_where_the_structure_puts_them():
    scan = measure(Phase.from_structure(halite()), IDEAL, SEED(0))
    expected = reflections(halite(), "CuKa", (5, 89))
    for angle in expected.two_theta[expected.intensity > 5]:
        near = np.abs(scan.two_theta - angle) < 0.3
        assert scan.two_theta[near][scan.intensity[near].argmax()] == pytest.approx(angle, abs=0.011)
    assert scan.intensity.max() == pytest.approx(1e6)
    assert scan.wavelength == CU


@pytest.mark.parametrize("wavelength", [CU, 0.7107, 2.291])
def test_areas_are_the_intensities_of_the_structure_at_any_wavelength(wavelength):
    """The integrated pattern agrees with `reflections` at that wavelength."""
    conditions = replace(
        IDEAL, wavelength=wavelength, radiation=((wavelength, 1.0),), stop=40.0 if wavelength < 1 else 90.0
    )
    phase = Phase.from_structure(wurtzite())
    scan = measure(phase, conditions, SEED(0))
    lines = reflections(wurtzite(), wavelength, (5, conditions.stop - 2))
    apart = np.diff(lines.two_theta, prepend=0, append=180)
    clear = (apart[1:] > 1) & (apart[:-1] > 1) & (lines.intensity > 3)
    areas = [scan.intensity[np.abs(scan.two_theta - x) < 0.45].sum() for x in lines.two_theta[clear]]
    assert clear.sum() >= 3
    assert np.allclose(areas / max(areas), lines.intensity[clear] / lines.intensity[clear].max(), rtol=2e-3)


@pytest.mark.parametrize("angle", [20.0, 50.0, 85.0])
def test_shifts(angle):
    phase, theta = one_line(angle), np.radians(angle / 2)

    def shift(**change):
        return centre(measure(phase, replace(IDEAL, **change), SEED(0)), angle) - angle

    assert shift() == pytest.approx(0, abs=1e-4)
    assert shift(zero_shift=0.1) == pytest.approx(0.1, abs=1e-4)
    assert shift(displacement=0.1) == pytest.approx(0.1 * np.cos(theta), abs=1e-4)
    assert shift(transparency=0.1) == pytest.approx(-0.1 * np.sin(2 * theta), abs=1e-4)


@pytest.mark.parametrize("angle", [20.0, 50.0, 85.0])
def test_widths(angle):
    phase, theta = one_line(angle), np.radians(angle / 2)

    def fwhm(**change):
        return width(measure(phase, replace(IDEAL, **change), SEED(0)))

    assert fwhm() == pytest.approx(0.06, rel=0.01)
    assert fwhm(gauss_fwhm=1e-6, size=0.2) == pytest.approx(0.2 / np.cos(theta), rel=0.01)
    # Strain alone has no width at θ = 0, so it stands on a negligible instrument.
    assert fwhm(gauss_fwhm=1e-3, strain=0.8) == pytest.approx(0.8 * np.tan(theta), rel=0.02)


@pytest.mark.parametrize("angle", [15.0, 60.0])
def test_lines_are_those_of_the_general_grid(angle):
    theta = np.radians(angle / 2)
    scan = measure(one_line(angle), replace(IDEAL, size=0.05, strain=0.1), SEED(0))
    fwhm, eta = thompson_cox_hastings(np.array([0.06]), np.array([0.05 / np.cos(theta) + 0.1 * np.tan(theta)]))
    expected = np.zeros(len(scan.two_theta))
    draw_lines(np.array([angle]), np.ones(1), fwhm, eta, np.zeros(1), scan.two_theta, 1e-5, expected)
    assert np.abs(scan.intensity / 1e6 - expected / expected.max()).max() < 1e-3


def test_the_two_thirds_and_the_beta_line_are_at_their_wavelengths():
    scan = measure(one_line(80.0), replace(IDEAL, radiation=tube("Cu", kb=0.05)), SEED(0))
    q, parts = q_from_two_theta(80.0, CU), tube("Cu", kb=0.05)
    areas = []
    for length, _ in parts:
        at = two_theta_from_q(q, length)
        window = np.abs(scan.two_theta - at) < 0.1
        assert scan.two_theta[window][scan.intensity[window].argmax()] == pytest.approx(at, abs=0.011)
        areas.append(scan.intensity[window].sum())
    assert np.allclose(np.array(areas) / areas[0], [1, 0.5, 0.05], rtol=0.02)
    assert centre(measure(one_line(80.0), replace(IDEAL, radiation=tube("Cu")), SEED(0)), 80) == pytest.approx(
        80, abs=5e-3
    )
    assert len(tube("Cu", ka2=0)) == 1
    assert tube("Mo", kb=0.1) == tube("Mo")
    with pytest.raises(InputError, match="no tube"):
        tube("Xx")


def test_march_is_one_on_average_and_no_texture_at_one():
    cosines = (np.arange(20_000) + 0.5) / 20_000  # even on the sphere
    for ratio in (0.3, 0.7, 1.0, 1.6):
        factors = march_dollase(cosines[:, None] ** 2, ratio)
        assert factors.mean() == pytest.approx(1.0, rel=1e-5)
    assert np.allclose(march_dollase(cosines[:, None] ** 2, 1.0), 1.0)
    # Plates: the face itself is stronger by r^-3, what stands upright on it weaker by r^(3/2).
    assert march_dollase(np.array([[1.0], [0.0]]), 0.5) == pytest.approx([8.0, 0.5**1.5])


def test_texture_averages_over_the_reflections_of_a_line():
    """Against a sum over every member of every line, found without symmetry."""
    for structure, axis in (
        (rutile(), (0, 0, 1)),
        (rutile(), (1, 1, 0)),
        (halite(), (1, 1, 1)),
        (triclinic(), (1, 0, 1)),
    ):
        phase = Phase.from_structure(structure, 0.5)
        found = march_dollase(axis_cosines_squared(phase, np.array(axis)), 0.6)
        h = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
        g = h @ phase.reciprocal
        q = (g * g).sum(1)
        for line in range(min(12, len(phase))):
            same = np.abs(q - phase.q[line]) < 1e-7
            direction = (np.array(axis) @ phase.reciprocal)[None]
            direction = direction / np.linalg.norm(direction)
            members = march_dollase(_cosines_squared(h[same], phase.reciprocal, direction), 0.6)
            assert found[line] == pytest.approx(members.mean(), rel=1e-6)


def test_laue_groups():
    for structure, order in ((halite(), 24), (rutile(), 8), (wurtzite(), 12), (triclinic(), 1)):
        rotations = laue_rotations(structure)
        assert len(rotations) == order
        assert (np.round(np.linalg.det(rotations)) == 1).all()


def test_the_axis_by_rank_is_of_the_largest_spacings():
    phase = Phase.from_structure(rutile())
    assert preferred_axis(phase, 0).tolist() == phase.hkl[0].tolist() == [1, 1, 0]
    assert preferred_axis(phase, 1).tolist() == phase.hkl[1].tolist()
    assert preferred_axis(phase, (0, 0, 2)).tolist() == [0, 0, 2]
    # 220 is parallel to 110 and no new direction.
    assert len({tuple(preferred_axis(phase, rank)) for rank in range(5)}) == 5
    assert preferred_axis(one_line(30.0), 2).tolist() == [1, 0, 0]


def test_texture_changes_intensities_and_not_positions():
    phase = Phase.from_structure(rutile())
    flat, textured = (measure(phase, replace(IDEAL, march=r, texture_axis=(1, 1, 0)), SEED(0)) for r in (1.0, 0.5))
    strong = np.abs(flat.two_theta - 36.07) < 0.3  # 101, next to 110 at 27.4
    assert textured.intensity[strong].max() < 0.5 * flat.intensity[strong].max()
    assert np.argmax(textured.intensity) == np.argmax(flat.intensity)


def test_broadening_is_along_the_axis():
    phase = Phase.from_structure(rutile())
    along, across = two_theta_from_q(
        phase.q[[i for i, h in enumerate(phase.hkl.tolist()) if h in ([0, 0, 2], [2, 0, 0])]], CU
    )
    if along < across:
        along, across = across, along

    def fwhm(angle, ratio):
        scan = measure(
            phase, replace(IDEAL, gauss_fwhm=1e-3, size=0.1, anisotropy=ratio, texture_axis=(0, 0, 1)), SEED(0)
        )
        near = np.abs(scan.two_theta - angle) < 0.6
        return width(type(scan)(scan.two_theta[near], scan.intensity[near], CU))

    assert fwhm(along, 2.0) / fwhm(along, 1.0) == pytest.approx(2.0, rel=0.05)
    assert fwhm(across, 2.0) / fwhm(across, 1.0) == pytest.approx(1.0, rel=0.02)
    # The mean of an ellipsoid over a cubic group is a sphere.
    cosines = axis_cosines_squared(Phase.from_structure(halite()), np.array([1, 2, 3]))
    assert np.allclose(cosines.mean(1), 1 / 3)


def test_thermal_motion_and_polarisation_and_slits():
    q = np.array([0.05, 0.2, 0.6])
    strength = np.ones(3)
    plain = line_areas(q, strength, CU, 1.0, 0.0, 0.0)
    assert line_areas(q, strength, CU, 1.0, 2.0, 0.0) / plain == pytest.approx(np.exp(-q))
    cos2 = np.cos(np.radians(two_theta_from_q(q, CU))) ** 2
    assert line_areas(q, strength, CU, 0.8, 0.0, 0.0) / plain == pytest.approx((1 + 0.8 * cos2) / (1 + cos2))
    sine = 0.5 * CU * np.sqrt(q)
    factor = np.minimum(1, sine / np.sin(np.radians(15)))
    assert line_areas(q, strength, CU, 1.0, 0.0, 30.0) / plain == pytest.approx(factor)
    assert line_areas(q, strength, 3.0, 1.0, 0.0, 0.0)[2] == 0  # out of reach


@given(st.lists(st.floats(-0.03, 0.03, allow_subnormal=False), min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_strained_cell_keeps_its_symmetry(strain):
    cubic = Phase.from_structure(halite(), 0.5)
    trace = sum(strain[:3]) / 3
    assert strained_q(cubic, strain) == pytest.approx(cubic.q / (1 + trace) ** 2)
    tetragonal = Phase.from_structure(rutile(), 0.5)
    e = (strain[0] + strain[1]) / 2
    h = tetragonal.hkl.astype(float)
    expected = (h[:, 0] ** 2 + h[:, 1] ** 2) / (4.594 * (1 + e)) ** 2 + h[:, 2] ** 2 / (2.959 * (1 + strain[2])) ** 2
    assert strained_q(tetragonal, strain) == pytest.approx(expected)


def test_a_strained_triclinic_cell_is_the_deformed_lattice():
    strain = (0.01, -0.02, 0.005, 0.003, -0.004, 0.006)
    e1, e2, e3, e4, e5, e6 = strain
    deformed = triclinic().lattice @ (np.eye(3) + np.array([[e1, e6, e5], [e6, e2, e4], [e5, e4, e3]]))
    phase = Phase.from_structure(triclinic(), 0.4)
    metric = np.linalg.inv(deformed @ deformed.T)
    assert strained_q(phase, strain) == pytest.approx(np.einsum("ni,ij,nj->n", phase.hkl, metric, phase.hkl))
    with pytest.raises(InputError, match="six numbers"):
        strained_q(phase, (0.1,))
    with pytest.raises(InputError, match="small"):
        strained_q(phase, (0.5, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("mean", [0.0, 0.3, 5.0, 9.9, 10.1, 40.0, 5_000.0])
def test_counts_are_poissons(mean):
    counts = poisson(np.full(200_000, mean), SEED(1).random(200_000))
    assert (counts == np.round(counts)).all()
    assert counts.min() >= 0
    assert counts.mean() == pytest.approx(mean, rel=4e-3 if mean else 0, abs=4 * np.sqrt(mean / 2e5))
    assert counts.var() == pytest.approx(mean, rel=0.015)
    for level in (0.01, 0.2, 0.8, 0.99):
        edge = poisson_law.ppf(level, mean)
        assert (counts <= edge).mean() == pytest.approx(poisson_law.cdf(edge, mean), abs=0.012)


def test_the_normal_quantile():
    p = np.array([1e-9, 1e-4, 0.07, 0.3, 0.5, 0.8, 0.99, 1 - 1e-7])
    assert [_normal(x) for x in p] == pytest.approx(ndtri(p), abs=1e-6)


def test_the_drawn_level_of_counts():
    noisy, quiet = (
        measure(one_line(40.0), replace(IDEAL, noise=n, counts=400.0, background=0.1), SEED(2)) for n in (1, 0)
    )
    assert noisy.intensity.sum() == pytest.approx(quiet.intensity.sum(), rel=0.02)
    assert quiet.intensity.max() == pytest.approx(440, rel=1e-3)
    far = np.abs(noisy.two_theta - 40) > 10
    assert noisy.intensity[far].var() == pytest.approx(40, rel=0.08)


def test_the_background_and_its_parts():
    c = replace(IDEAL, background=0.1)
    angles = np.linspace(5, 90, 100)
    assert np.allclose(background_curve(angles, c), 0.1)
    assert np.allclose(background_curve(angles, replace(IDEAL, fluorescence=0.2)), 0.2)
    sloped = background_curve(angles, replace(c, slope=0.5, curvature=0.3))
    assert sloped[-1] == pytest.approx(0.1 * 1.8)
    air = background_curve(angles, replace(IDEAL, air_scatter=0.5))
    assert (np.diff(air) < 0).all()
    halo = background_curve(angles, replace(IDEAL, hump=0.3, hump_d=4.1))
    assert angles[halo.argmax()] == pytest.approx(two_theta_from_q(4.1**-2, CU), abs=1)
    assert halo.max() == pytest.approx(0.3, rel=0.01)
    assert not background_curve(angles, IDEAL).any()


def test_subtraction_clips_at_zero():
    c = replace(IDEAL, noise=True, background=0.2, counts=500.0, subtracted=True, subtraction_depth=0.0)
    phase = one_line(40.0)
    flat = measure(phase, c, SEED(3)).intensity
    assert flat.min() == 0
    assert (flat == 0).mean() == pytest.approx(0.5, abs=0.05)
    low = measure(phase, replace(c, subtraction_depth=2.0), SEED(3)).intensity
    assert (low == 0).mean() == pytest.approx(0.03, abs=0.02)
    written = measure(phase, replace(c, full_scale=1000.0), SEED(3)).intensity
    assert written.max() == 1000
    assert (written == np.round(written)).all()


def test_an_impurity_stands_at_its_height():
    phase, other = one_line(40.0), one_line(60.0)
    scan = measure(phase, replace(IDEAL, impurity=0.1), SEED(0), impurity=other)
    near = np.abs(scan.two_theta - 60) < 0.5
    assert scan.intensity[near].max() == pytest.approx(0.1 * scan.intensity.max(), rel=0.01)
    assert not measure(phase, IDEAL, SEED(0), impurity=other).intensity[near].any()


def test_spikes_are_single_points():
    plain = measure(one_line(40.0), IDEAL, SEED(0)).intensity
    spiked = measure(one_line(40.0), replace(IDEAL, spikes=3, spike_height=0.5), SEED(0)).intensity
    assert 1 <= np.count_nonzero(spiked - plain) <= 3
    assert (spiked - plain).max() <= 0.5e6


def test_everything_off_is_the_ideal_instrument():
    off = Laboratory(
        full_range_share=1, steps=(0.01,), tubes=(("Cu", 1.0),), synchrotron_share=0, monochromatic_share=0, kb_share=0,
        monochromator_share=0, zero_shift=(0, 0), displacement=(0, 0), transparency=(0, 0), gauss_fwhm=(0.06, 0.06),
        broadened_share=0, anisotropic_share=0, texture_share=0, grain_spread=(0, 0), debye_waller=(0, 0),
        scale_strain=(0, 0), lattice_strain=0, overflow_share=0, counts=(1e6, 1e6), background=(0, 0), hump_share=0,
        fluorescence_share=0, subtracted_share=0, impurity_share=0, spike_share=0,
    )  # fmt: skip
    drawn = off.draw(SEED(5))
    scan = measure(Phase.from_structure(rutile()), replace(drawn, noise=False), SEED(0))
    same = measure(Phase.from_structure(rutile()), replace(IDEAL, radiation=tube("Cu")), SEED(1))
    assert np.array_equal(scan.intensity, same.intensity)
    for name in ("crystallite_size", "microstrain"):
        assert replace(off, broadened_share=1, **{name: (0, 0)}).draw(SEED(0)) is not None


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_drawn_laboratory_gives_a_scan_and_the_same_one_again(seed):
    def once():
        rng = SEED(seed)
        conditions = Laboratory().draw(rng)
        return conditions, measure(RUTILE, conditions, rng, impurity=HALITE)

    (conditions, scan), (_, again) = once(), once()
    assert scan.intensity.tobytes() == again.intensity.tobytes()
    assert (scan.intensity >= 0).all()
    assert len(Pattern(*scan)) == len(scan.two_theta) <= 8_501
    assert Conditions(**json.loads(json.dumps(dataclasses.asdict(conditions)))) == conditions
    # No radiation reaches beyond the lines that a phase holds by default.
    assert q_from_two_theta(conditions.stop, conditions.wavelength) < 0.845


RUTILE, HALITE = Phase.from_structure(rutile()), Phase.from_structure(halite())


def test_lines_outside_the_range_leave_the_background():
    scan = measure(one_line(40.0), replace(IDEAL, start=60.0, background=0.1, counts=1000.0), SEED(0))
    assert np.allclose(scan.intensity, 100.0)
    assert not measure(one_line(40.0), replace(IDEAL, start=60.0), SEED(0)).intensity.any()


@pytest.mark.parametrize(
    "change",
    [{"gauss_fwhm": -0.1}, {"size": -1}, {"strain": -1}, {"gauss_fwhm": 0}, {"start": 90.0, "stop": 5.0}, {"step": 0},
     {"step": 1e-5}, {"stop": 200.0}, {"counts": 0}, {"march": 0}, {"background": -0.1}, {"radiation": ()},
     {"radiation": ((-1.0, 1.0),)}, {"gauss_fwhm": float("nan")}],
)  # fmt: skip
def test_impossible_conditions_are_refused(change):
    with pytest.raises(InputError):
        Conditions(**change)


def test_impossible_phases_and_ranges_are_refused():
    with pytest.raises(InputError, match="without lines"):
        Phase(np.empty(0), np.empty(0), np.empty((0, 3), int), np.eye(3), np.eye(3, dtype=int)[None])
    with pytest.raises(InputError, match="indices"):
        Phase(np.ones(2), np.ones(2), np.ones((1, 3), int), np.eye(3), np.eye(3, dtype=int)[None])
    with pytest.raises(InputError, match="no direction"):
        measure(RUTILE, replace(IDEAL, march=0.5, texture_axis=(0, 0, 0)), SEED(0))
    with pytest.raises(InputError, match="logarithm"):
        Laboratory(counts=(0.0, 100.0)).draw(SEED(0))


def test_a_rotated_cell_is_the_same_sample():
    """Texture about a rank does not hang on how the cell is described."""
    turned = Structure(rutile().lattice[[2, 0, 1]], rutile().species, rutile().frac_coords[:, [2, 0, 1]])
    conditions = replace(IDEAL, march=0.6, anisotropy=1.7, size=0.1, strain=0.1)
    one, other = (measure(Phase.from_structure(s), conditions, SEED(0)).intensity for s in (rutile(), turned))
    assert np.allclose(one, other, atol=1e-6 * one.max())
