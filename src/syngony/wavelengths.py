"""X-ray wavelengths by name. A wavelength is stated by a file or by the user; it is never guessed."""

from __future__ import annotations

import math

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


def parse_wavelength(text: str | float) -> float:
    """Wavelength in Å from a number or the name of a tube line (``1.5406``, ``CuKa``, ``CoKa1``).

    Raises:
        WavelengthError: neither a known line nor a number of Å between 0.05 and 5.
    """
    if isinstance(text, str):
        name = text.strip().lower().replace("α", "a").replace("β", "b").replace("-", "").replace(" ", "")
        if name in _BY_LOWER_NAME:
            return _BY_LOWER_NAME[name]
        try:
            value = float(name.removesuffix("å"))
        except ValueError:
            raise WavelengthError(
                f"{text!r} is no wavelength: pass Å (1.5406) or a tube line ({', '.join(TUBE_LINES)})"
            ) from None
    else:
        value = float(text)
    if not (math.isfinite(value) and SHORTEST <= value <= LONGEST):
        raise WavelengthError(
            f"wavelength {value:g} Å is not between {SHORTEST} and {LONGEST} Å: pass it in Å, e.g. 1.5406"
        )
    return value
