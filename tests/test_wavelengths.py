"""Wavelengths by number, unit and name."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syngony.errors import SyngonyError, WavelengthError
from syngony.wavelengths import LONGEST, SHORTEST, TUBE_LINES, parse_wavelength


@pytest.mark.parametrize("name", TUBE_LINES)
def test_every_tube_line_has_its_name(name: str) -> None:
    assert parse_wavelength(name) == parse_wavelength(name.lower()) == TUBE_LINES[name]


@pytest.mark.parametrize("metal", ["Cu", "Co", "Fe", "Cr", "Mo", "Ag"])
def test_mean_of_a_doublet_is_weighted_two_to_one(metal: str) -> None:
    mean = (2 * TUBE_LINES[f"{metal}Ka1"] + TUBE_LINES[f"{metal}Ka2"]) / 3
    assert TUBE_LINES[f"{metal}Ka"] == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5406", 1.5406),
        (" 1.5406 Å ", 1.5406),
        ("1.5406A", 1.5406),
        ("1.5406 angstrom", 1.5406),
        ("1,5406", 1.5406),
        ("0.15406 nm", 1.5406),
        ("154.06 pm", 1.5406),
        ("4.133e-11 m", 0.4133),
        ("0.15406Å", 0.15406),
        ("0.41", 0.41),
        ("Cu Kα1", 1.540598),
        ("Cu K-alpha", 1.54184),
        ("cu_ka", 1.54184),
        ("CuKα1,2", 1.54184),
        ("CuKa1+Ka2", 1.54184),
        ("Co Kβ", 1.620830),
        (1, 1.0),
        (0.15406, 0.15406),
    ],
)
def test_understood(text: str | float, value: float) -> None:
    assert parse_wavelength(text) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "Cu", "XyKa", "banana", "nan", "inf", "-1.54", "0", "15406", "1.54.06", "1_5", "0x1", "1.54 kg", "1.54 nm",
     math.nan, math.inf, -1.0, 0.0, 6.0, None, [1.5]],
)  # fmt: skip
def test_refused(text: object) -> None:
    with pytest.raises(WavelengthError, match=r"pass"):
        parse_wavelength(text)  # type: ignore[arg-type]


def test_nanometres_given_for_angstroms() -> None:
    with pytest.raises(WavelengthError, match=r"CuKa1 in nm: pass 1.5406"):
        parse_wavelength("0.15406")


@given(st.floats(SHORTEST, LONGEST))
def test_a_number_is_itself(value: float) -> None:
    assert parse_wavelength(value) == value
    assert parse_wavelength(f"{value!r} Å") == pytest.approx(value, abs=1e-11)


@given(st.text() | st.floats())
def test_nothing_but_a_wavelength_or_its_error(text: str | float) -> None:
    try:
        assert SHORTEST <= parse_wavelength(text) <= LONGEST
    except SyngonyError as error:
        assert "wavelength" in str(error)
