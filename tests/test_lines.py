"""Lines of a pattern: known lines come back, nothing else does, and their uncertainties are honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import rutile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syngony.diffraction.laboratory import Conditions, Phase, measure, tube
from syngony.diffraction.line_shape import LineShape, profile_pattern
from syngony.diffraction.reflections import Reflections
from syngony.errors import InputError, SyngonyError, WavelengthError
from syngony.lines.background import separate_background
from syngony.lines.lines import LineError, Lines, find_lines
from syngony.lines.wavelength_check import doubt_of_wavelength
from syngony.pattern import Pattern, q_from_two_theta
from syngony.wavelengths import TUBE_LINES

MEAN, KA1 = TUBE_LINES["CuKa"], TUBE_LINES["CuKa1"]
LAB = Conditions(step=0.02, gauss_fwhm=0.08, size=0.04, counts=5000, background=0.02, radiation=tube("Cu"))
SINGLE = replace(LAB, radiation=tube("Cu", ka2=0.0))


def phase_of(two_theta, heights, wavelength=KA1):
    """A phase with lines at chosen angles; `heights` are their areas when `LAB` measures them."""
    angles = np.asarray(two_theta, dtype=float)
    q = q_from_two_theta(angles, wavelength)
    sine2 = 0.25 * MEAN**2 * q
    polarisation = (1 + (1 - 2 * sine2) ** 2) / (sine2 * np.sqrt(1 - sine2))
    hkl = np.arange(1, len(q) + 1)[:, None] * np.array([[1, 0, 0]])
    return Phase(q, np.asarray(heights) / polarisation, hkl, np.eye(3), np.eye(3, dtype=np.int8)[None])


def record(phase, conditions, seed=0):
    return Pattern(*measure(phase, conditions, np.random.default_rng(seed)))


def flat(level=100.0, seed=0, n=4250):
    return np.random.default_rng(seed).poisson(level, n).astype(float)


GRID = np.arange(4250) * 0.02 + 5.0
ANGLES = [18.0, 27.4, 36.1, 41.2, 54.3, 62.7, 69.0, 82.3]
AREAS = [30.0, 100.0, 50.0, 20.0, 60.0, 10.0, 25.0, 15.0]


def test_rutile_comes_back_to_a_hundredth_of_a_degree():
    phase = Phase.from_structure(rutile())
    lines = find_lines(record(phase, LAB))
    assert lines.wavelength == KA1
    angles = 2 * np.degrees(np.arcsin(0.5 * KA1 * np.sqrt(phase.q)))
    q = 1.0 / np.array([3.2484, 2.4876, 2.2970, 2.1873, 2.0545, 1.6874, 1.6242, 1.4795, 1.4528]) ** 2
    known = 2 * np.degrees(np.arcsin(0.5 * KA1 * np.sqrt(q)))  # 110, 101, 200, 111, 210, 211, 220, 002, 310
    for angle in known:
        exact = angles[np.abs(angles - angle).argmin()]
        assert np.abs(lines.two_theta - exact).min() < 0.01
    assert all(np.abs(angles - found).min() < 0.03 for found in lines.two_theta)
    assert lines.intensity.max() == 100 and (np.diff(lines.two_theta) > 0).all()
    assert lines.two_theta_range == (5.0, pytest.approx(90.0))


def test_areas_and_widths_are_those_of_the_sample():
    lines = find_lines(record(phase_of(ANGLES, AREAS), replace(LAB, counts=50_000)))
    assert lines.two_theta == pytest.approx(ANGLES, abs=0.005)
    assert lines.intensity == pytest.approx(AREAS, rel=0.05)
    assert (lines.fwhm > 0.09).all() and (lines.fwhm < 0.15).all()


@pytest.mark.parametrize("stated", [MEAN, KA1])
@pytest.mark.parametrize("pair", [True, False])
def test_the_data_say_whether_there_is_a_doublet(stated, pair):
    conditions = replace(LAB if pair else SINGLE, wavelength=stated)
    lines = find_lines(record(phase_of(ANGLES, AREAS), conditions))
    assert lines.wavelength == (KA1 if pair else stated)
    assert lines.two_theta == pytest.approx(ANGLES, abs=0.01)


def test_a_synchrotron_line_is_single():
    wavelength = 0.4127
    narrow = replace(SINGLE, wavelength=wavelength, radiation=((wavelength, 1.0),), gauss_fwhm=0.006, size=0.0,
                     step=0.001, start=3.0, stop=11.5)  # fmt: skip
    angles = [4.0, 6.5, 6.512, 9.1]
    lines = find_lines(record(phase_of(angles, [10, 30, 20, 5], wavelength), narrow))
    assert lines.wavelength == wavelength
    assert lines.two_theta == pytest.approx(angles, abs=0.001)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", [0.05, 2.0, 1000.0])
def test_noise_has_no_lines(level, seed):
    assert len(find_lines(Pattern(GRID, flat(level, seed), MEAN))) == 0


@pytest.mark.parametrize("height", [10.0, 300.0, 10_000.0])
def test_a_hump_has_no_lines(height):
    level = 50 + height * np.exp(-0.5 * ((GRID - 22) / 3.0) ** 2) + 0.4 * height * np.exp(-0.5 * ((GRID - 43) / 4) ** 2)
    counts = np.random.default_rng(0).poisson(level).astype(float)
    assert len(find_lines(Pattern(GRID, counts, MEAN))) == 0


def test_a_spike_is_no_line():
    pattern = record(phase_of(ANGLES, AREAS), LAB)
    hit = pattern.intensity.copy()
    hit[[700, 1560, 2500]] += [4000, 700, 150]
    before, after = find_lines(pattern), find_lines(Pattern(pattern.two_theta, hit, MEAN))
    assert len(before) == len(ANGLES)
    assert after.two_theta == pytest.approx(before.two_theta, abs=0.005)


def test_thirty_counts_are_enough_for_the_strong_lines():
    lines = find_lines(record(phase_of(ANGLES, AREAS), replace(LAB, counts=30)))
    for angle in (27.4, 36.1, 54.3):
        assert np.abs(lines.two_theta - angle).min() < 0.02
    assert all(np.abs(np.array(ANGLES) - found).min() < 0.06 for found in lines.two_theta)


def test_the_tail_of_axial_divergence_is_no_line():
    """Finger, Cox & Jephcoat's tails grow to low angles; positions stay at the tops."""
    angles = [7.2, 14.45, 21.7, 29.1, 36.6]
    lines = Reflections(*_reflections(angles, [100.0, 60, 50, 80, 40]))
    level = profile_pattern(lines, LineShape(w=0.01, size=0.02, asymmetry=0.05), GRID)
    counts = np.random.default_rng(0).poisson(20 + 4000 * level / level.max()).astype(float)
    assert find_lines(Pattern(GRID, counts, 1.2)).two_theta == pytest.approx(angles, abs=0.01)


def _reflections(angles, areas):
    d = 0.6 / np.sin(np.radians(angles) / 2)
    n = len(angles)
    return np.array(angles), np.array(areas), d, np.ones((n, 3), dtype=int), np.full(n, 2), 1.2


def test_two_lines_nearer_than_their_width_are_two():
    lines = find_lines(record(phase_of([30.0, 30.11, 50.0, 60.0], [100, 70, 100, 80]), replace(LAB, counts=20_000)))
    assert lines.two_theta == pytest.approx([30.0, 30.11, 50.0, 60.0], abs=0.01)


def test_scale_subtraction_and_clipping_leave_the_lines():
    phase = phase_of(ANGLES, AREAS)
    plain = record(phase, LAB)
    scaled = find_lines(Pattern(plain.two_theta, plain.intensity * 0.0137, MEAN))
    assert scaled.two_theta == pytest.approx(find_lines(plain).two_theta, abs=2e-4)
    clipped = find_lines(record(phase, replace(LAB, background=0.1, subtracted=True, full_scale=1000.0)))
    assert (clipped.intensity > 2).sum() == len(ANGLES)
    assert all(np.abs(np.array(ANGLES) - found).min() < 0.03 for found in clipped.two_theta)


def test_steps_need_not_be_equal():
    pattern = record(phase_of(ANGLES, AREAS), replace(LAB, step=0.01))
    kept = np.flatnonzero((pattern.two_theta < 30) | (np.arange(len(pattern)) % 2 == 0))
    lines = find_lines(Pattern(pattern.two_theta[kept], pattern.intensity[kept], MEAN))
    assert lines.two_theta == pytest.approx(ANGLES, abs=0.01)


def test_kb_of_a_strong_line_is_no_line():
    conditions = replace(LAB, counts=50_000, radiation=tube("Cu", kb=0.015))
    lines = find_lines(record(phase_of(ANGLES, AREAS), conditions))
    assert lines.two_theta == pytest.approx(ANGLES, abs=0.01)


def test_uncertainties_are_honest():
    """Errors over uncertainties are near a standard normal distribution, where counting alone matters."""
    phase, z = phase_of(ANGLES, AREAS), []
    for seed in range(25):
        lines = find_lines(record(phase, replace(LAB, counts=300), seed))
        for angle in ANGLES:
            k = int(np.abs(lines.two_theta - angle).argmin())
            if abs(lines.two_theta[k] - angle) < 0.1:
                z.append((lines.two_theta[k] - angle) / lines.position_uncertainty[k])
    assert len(z) > 150
    assert 0.7 < np.std(z) < 1.3
    assert abs(np.mean(z)) < 0.3


def test_background_runs_through_the_noise_and_noise_is_that_of_counting():
    level = 200 + 400 * np.exp(-0.5 * ((GRID - 25) / 4) ** 2)
    expected = level + 5000 * np.exp(-0.5 * ((GRID - 50) / 0.05) ** 2)
    pattern = Pattern(GRID, np.random.default_rng(1).poisson(expected).astype(float), MEAN)
    background, noise = separate_background(pattern)
    assert np.abs(background / level - 1).max() < 0.08
    assert np.abs(np.mean(background / level - 1)) < 0.01
    assert np.median(noise / np.sqrt(level)) == pytest.approx(1.0, abs=0.05)
    assert noise[np.abs(GRID - 50).argmin()] == pytest.approx(np.sqrt(5200), rel=0.5)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1), st.sampled_from(["comb", "steps", "random", "tiny", "negative", "huge", "saturated"]))
def test_whatever_a_pattern_holds_there_is_an_answer(seed, kind):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 3000))
    angles = np.cumsum(rng.uniform(0.5, 1.5, n))
    angles *= rng.uniform(6, 170) / angles[-1]
    values = {
        "comb": 1000.0 * (np.arange(n) % 17 == 0),
        "steps": np.floor(np.arange(n) / 7.0) % 5,
        "random": rng.exponential(10.0, n),
        "tiny": 1e-25 * rng.random(n),
        "negative": rng.standard_normal(n) - 3.0 + 10.0 * (np.arange(n) == n // 2),
        "huge": 1e29 * rng.random(n),
        "saturated": np.minimum(rng.exponential(100.0, n), 50.0),
    }[kind]
    if angles[-1] - angles[0] < 5 or np.ptp(values) == 0:
        return
    lines = find_lines(Pattern(angles, values, float(rng.choice([MEAN, 0.7107, 0.2]))))
    assert np.isfinite(lines.two_theta).all() and (np.diff(lines.two_theta) > 0).all()
    assert (lines.position_uncertainty > 0).all() and np.isfinite(lines.q_uncertainty).all()
    assert (lines.intensity > 0).all()


def test_a_users_list():
    lines = Lines.from_positions([45.4, 27.3], "CuKa1", [50, 20], [0.01, 0.03])
    assert lines.two_theta.tolist() == [27.3, 45.4]
    assert lines.intensity.tolist() == [40, 100]
    assert lines.position_uncertainty.tolist() == [0.03, 0.01]
    assert lines.wavelength == KA1
    nearby = Lines.from_positions(lines.two_theta + lines.position_uncertainty, KA1)
    assert nearby.q - lines.q == pytest.approx(lines.q_uncertainty, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], MEAN), "at least one"),
        ((["a"], MEAN), "not numbers"),
        (([[10.0, 20.0]], MEAN), "flat"),
        (([10.0, np.nan], MEAN), "NaN"),
        (([10.0, 190.0], MEAN), "190"),
        (([-1.0, 20.0], MEAN), "between 0 and 180"),
        (([10.0, 10.0], MEAN), "two lines at 10"),
        (([10.0, 20.0], MEAN, [1.0]), "2 angles but 1"),
        (([10.0, 20.0], MEAN, [1.0, 0.0]), "intensity of 0"),
        (([10.0, 20.0], MEAN, None, 0.0), "above zero"),
        (([10.0, 20.0], MEAN, None, [0.1, 0.1, 0.1]), "3 uncertainties"),
    ],
)
def test_a_users_list_that_is_none(arguments, words):
    with pytest.raises(LineError, match=words) as caught:
        Lines.from_positions(*arguments)
    assert isinstance(caught.value, InputError) and isinstance(caught.value, SyngonyError)


def test_a_users_wavelength_is_checked():
    with pytest.raises(WavelengthError):
        Lines.from_positions([20.0, 30.0], "CuKx")


def doubt(pattern: Pattern) -> str | None:
    return doubt_of_wavelength(pattern, find_lines(pattern))


@pytest.mark.parametrize("factor", [0.92, 1.08])
def test_a_doublet_contradicts_a_wavelength_of_no_tube(factor):
    phase = phase_of(ANGLES, AREAS)
    pairs, single = record(phase, LAB), record(phase, SINGLE)
    assert "pairs" in doubt(replace(pairs, wavelength=factor * MEAN))
    assert "pairs" not in (doubt(replace(single, wavelength=factor * MEAN)) or "")
    assert doubt(pairs) is None


def test_broad_lines_contradict_a_long_wavelength_of_no_tube():
    single = record(phase_of(ANGLES, AREAS), SINGLE)
    assert "1.6652 Å" in doubt(replace(single, wavelength=1.6652))
    assert doubt(replace(single, wavelength=0.8)) is None  # broad lines at a beamline: a fine powder
    sharp = find_lines(single)
    assert doubt_of_wavelength(replace(single, wavelength=1.6652), replace(sharp, fwhm=0.1 * sharp.fwhm)) is None
