"""X-ray wavelengths by name. A wavelength is stated by a file or by the user; it is never guessed."""

from __future__ import annotations

import math
import re

from syngony.errors import WavelengthError

TUBE_LINES: dict[str, float] = {
    "CuKa": 1.54184,
    "CuKa1": 1.540598,
    "CuKa2": 1.544426,
    "CuKb": 1.392250,
    "CoKa": 1.790260,
    "CoKa1": 1.789010,
    "CoKa2": 1.792900,
    "CoKb": 1.620830,
    "FeKa": 1.937355,
    "FeKa1": 1.936042,
    "FeKa2": 1.939980,
    "CrKa": 2.291000,
    "CrKa1": 2.289760,
    "CrKa2": 2.293663,
    "MoKa": 0.710730,
    "MoKa1": 0.709319,
    "MoKa2": 0.713609,
    "AgKa": 0.560885,
    "AgKa1": 0.559421,
    "AgKa2": 0.563813,
}
"""Characteristic lines, Å: International Tables for Crystallography C, table 4.2.2.1; ``Ka`` is the
mean of the doublet weighted 2:1, as diffractometer software and pymatgen use it."""

SHORTEST, LONGEST = 0.05, 5.0
"""Range of wavelengths, Å, that powder diffraction with X-rays can use."""

_BY_LOWER_NAME = {name.lower(): value for name, value in TUBE_LINES.items()}
_DOUBLET = re.compile(r"ka1[,+/&]?(?:ka)?2$")
_LENGTH = re.compile(r"([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?)\s*(å|a|angstroms?|nm|pm|m)?")
_IN_ANGSTROM = {"nm": 10.0, "pm": 0.01, "m": 1e10}
_TENTH_TOLERANCE = 2e-4


def parse_wavelength(text: str | float) -> float:
    """Wavelength in Å from a number or the name of a tube line.

    Args:
        text: Å as a number or text (``1.5406``, ``"1,5406"``, ``"1.5406 Å"``), text with a unit
            (``"0.15406 nm"``, ``"154.06 pm"``, ``"4.13e-11 m"``) or a line (``"CuKa"``, ``"Co Kα1"``).

    Raises:
        WavelengthError: neither a known line nor a length between 0.05 and 5 Å, or a bare text number
            that is a tenth of a tube line (nm given for Å).
    """
    if isinstance(text, str):
        return _in_range(_from_text(text))
    try:
        return _in_range(float(text))
    except (TypeError, ValueError) as error:
        if isinstance(error, WavelengthError):
            raise
        raise WavelengthError(f"{text!r} is no wavelength: pass Å (1.5406) or a tube line (CuKa)") from None


def tenth_of_tube_line(value: float) -> str | None:
    """Name of the tube line that `value` is when read in nm instead of Å, if there is one."""
    for name, line in TUBE_LINES.items():
        if abs(10 * value / line - 1) < _TENTH_TOLERANCE:
            return name
    return None


def _from_text(text: str) -> float:
    plain = text.strip().lower()
    name = re.sub(r"[\s_-]", "", plain).replace("alpha", "a").replace("beta", "b").replace("α", "a").replace("β", "b")
    name = _DOUBLET.sub("ka", name)
    if name in _BY_LOWER_NAME:
        return _BY_LOWER_NAME[name]
    length = _LENGTH.fullmatch(plain)
    if length is None:
        raise WavelengthError(f"{text!r} is no wavelength: pass Å (1.5406) or a tube line ({', '.join(TUBE_LINES)})")
    value, unit = float(length.group(1).replace(",", ".")), length.group(2)
    line = None if unit else tenth_of_tube_line(value)
    if line is not None:
        raise WavelengthError(f"wavelength {value:g} is {line} in nm: pass {10 * value:g}, or {value:g}Å if meant")
    return round(value * _IN_ANGSTROM.get(unit or "", 1.0), 12)


def _in_range(value: float) -> float:
    if not (math.isfinite(value) and SHORTEST <= value <= LONGEST):
        raise WavelengthError(
            f"wavelength {value:g} Å is not between {SHORTEST} and {LONGEST} Å: pass it in Å, e.g. 1.5406"
        )
    return value
