"""A part of a scan, and a background taken off it, before anybody looks."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from syngony.cli import app
from syngony.determination import Preparation
from syngony.determination.preparation import within
from syngony.errors import InputError, PatternError
from syngony.lines.lines import find_lines
from syngony.pattern import Pattern
from syngony.readers import read_pattern

RUTILE = read_pattern(EXAMPLES / "rutile.xy")


def test_the_part_of_a_pattern_within_a_range() -> None:
    pattern = Pattern(np.arange(10.0, 90.0, 0.5), np.arange(160.0) + 1, 1.54, "name", ("careful",))
    part = within(pattern, 20.0, 60.0)
    assert (part.two_theta[0], part.two_theta[-1], part.warnings) == (20.0, 60.0, ("careful",))
    assert part.intensity[0] == pattern.intensity[20]
    assert within(pattern, None, None) is pattern
    assert within(pattern, None, 30.0).two_theta[0] == 10.0
    with pytest.raises(PatternError, match="no point between 95 and 180"):
        within(pattern, 95.0, None)


def test_nothing_asked_is_nothing_done() -> None:
    prepared = Preparation()(RUTILE)
    assert (prepared.pattern.intensity == RUTILE.intensity).all() and not prepared.taken_off.any()
    assert prepared.pattern.warnings == RUTILE.warnings and prepared.pattern.name == RUTILE.name


def test_what_was_done_is_said() -> None:
    said = Preparation(20, 60, 5)(RUTILE).pattern.warnings
    assert "looked at 20 to 60° alone" in said[-2] and "wider than 5°" in said[-1]


def test_a_hump_is_taken_off_and_lines_stay() -> None:
    x = RUTILE.two_theta
    hump = 3.0 * np.median(RUTILE.intensity) * np.exp(-0.5 * ((x - 33.0) / 1.5) ** 2)
    noise = np.random.default_rng(0).normal(size=len(x)) * np.sqrt(hump)
    pattern = Pattern(x, RUTILE.intensity + hump + noise, RUTILE.wavelength)
    prepared = Preparation(background=3.0)(pattern)
    between = (np.abs(x - 33.0) < 2.0) & (RUTILE.intensity < 1.5 * np.median(RUTILE.intensity))
    level = np.median(prepared.pattern.intensity[~between & (np.abs(x - 33.0) < 5.0)])
    assert np.abs(np.median(prepared.pattern.intensity[between]) / level - 1.0) < 0.1
    assert np.allclose(prepared.pattern.intensity + prepared.taken_off, pattern.intensity)
    known, found = find_lines(RUTILE).two_theta, find_lines(prepared.pattern).two_theta
    strong = find_lines(RUTILE).intensity > 10
    assert all(np.abs(found - angle).min() < 0.01 for angle in known[strong])


@settings(max_examples=15)
@given(st.floats(1.0, 60.0), st.floats(1e-3, 1e3))
def test_units_of_the_intensity_do_not_matter(width: float, scale: float) -> None:
    scaled = Pattern(RUTILE.two_theta, RUTILE.intensity * scale, RUTILE.wavelength)
    plain, other = (Preparation(background=width)(one).taken_off for one in (RUTILE, scaled))
    assert np.abs(other / scale - plain).max() < 1e-3 * np.ptp(RUTILE.intensity)


@pytest.mark.parametrize(
    "asked", [{"background": 0.1}, {"background": 90}, {"background": np.nan}, {"low": 60, "high": 20}]
)
def test_what_cannot_be_is_wrong_usage(asked: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Preparation(**asked)
    options = [text for name, value in asked.items() for text in (f"--{name}", str(value))]
    told = CliRunner().invoke(app, ["determine", str(EXAMPLES / "rutile.xy"), "--library", "none", *options])
    assert told.exit_code == 2 and len(told.stderr.splitlines()) == 1
