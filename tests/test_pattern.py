"""Patterns: what is accepted, what is refused, and the relations between 2θ and Q."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syngony.errors import PatternError, WavelengthError
from syngony.pattern import MIN_POINTS, Pattern, q_from_two_theta, two_theta_from_q

ANGLES = np.arange(10.0, 60.0, 0.1)
COUNTS = 100.0 + 900.0 * np.exp(-(((ANGLES - 30.0) / 0.3) ** 2))


def test_a_pattern_keeps_what_it_is_given() -> None:
    pattern = Pattern(ANGLES, COUNTS, "CuKa", name="scan.xy", warnings=("a",))
    assert np.array_equal(pattern.two_theta, ANGLES) and np.array_equal(pattern.intensity, COUNTS)
    assert (pattern.wavelength, pattern.name, pattern.warnings, len(pattern)) == (1.54184, "scan.xy", ("a",), 500)
    assert repr(pattern) == "Pattern(500 points, 10-59.9°, 1.54184 Å)"


def test_a_pattern_cannot_be_changed_nor_changes_what_it_was_given() -> None:
    angles = ANGLES.copy()
    pattern = Pattern(angles, COUNTS, 1.54)
    with pytest.raises(ValueError, match="read-only"):
        pattern.two_theta[0] = 0
    angles[0] = 9.0
    assert pattern.two_theta[0] == 10.0


def test_a_reversed_scan_is_turned_round() -> None:
    pattern = Pattern(ANGLES[::-1], COUNTS[::-1], 1.54)
    assert np.array_equal(pattern.two_theta, ANGLES) and np.array_equal(pattern.intensity, COUNTS)


def test_points_at_or_below_zero_are_dropped() -> None:
    angles = np.arange(-5, 500) / 10
    pattern = Pattern(angles, np.arange(len(angles)), 1.54)
    assert pattern.two_theta[0] == 0.1 and pattern.intensity[0] == 6


@pytest.mark.parametrize(
    ("angles", "counts", "reason"),
    [
        (ANGLES, COUNTS[:-1], "500 angles but 499"),
        (ANGLES[: MIN_POINTS - 1], COUNTS[: MIN_POINTS - 1], "19 points"),
        ([], [], "0 points"),
        (["a"] * 30, [1] * 30, "not numbers"),
        (ANGLES.reshape(2, -1), COUNTS.reshape(2, -1), "flat arrays"),
        (5.0, 5.0, "flat arrays"),
        (np.where(ANGLES == 10.0, np.nan, ANGLES), COUNTS, "NaN"),
        (ANGLES, np.where(ANGLES == 10.0, np.inf, COUNTS), "NaN"),
        (ANGLES - 20, COUNTS, "-10 to 39.9"),
        (ANGLES * 4, COUNTS, "40 to 239.6"),
        (np.r_[ANGLES[:100], ANGLES[99:]], np.r_[COUNTS[:100], COUNTS[99:]], r"point 101 \(19.9 then 19.9\)"),
        (np.r_[ANGLES, ANGLES], np.r_[COUNTS, COUNTS], "one range a file"),
        (ANGLES / 20, COUNTS, "spans 2.49 degrees"),
        (ANGLES, np.zeros(500), "no signal"),
        (ANGLES, np.full(500, 7.0), "no signal"),
        (ANGLES, -COUNTS, "no signal"),
        (ANGLES, COUNTS * 1e40, "intensities up to"),
    ],
)
def test_refused(angles: object, counts: object, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        Pattern(angles, counts, 1.54)  # type: ignore[arg-type]


@pytest.mark.parametrize("wavelength", [0.0, -1.54, 15.4, float("nan"), "no", None])
def test_absurd_wavelengths(wavelength: float) -> None:
    with pytest.raises(WavelengthError):
        Pattern(ANGLES, COUNTS, wavelength)


@given(st.floats(0.1, 179.0), st.floats(0.05, 5.0))
def test_q_and_two_theta_are_inverse(angle: float, wavelength: float) -> None:
    assert two_theta_from_q(q_from_two_theta(angle, wavelength), wavelength) == pytest.approx(angle, rel=1e-6)


def test_bragg_of_silicon_111() -> None:
    d = 5.43102 / np.sqrt(3)
    assert two_theta_from_q(1 / d**2, 1.540598) == pytest.approx(28.442, abs=2e-3)
    assert np.isnan(two_theta_from_q(4.0, 2.0 + 1e-9))
