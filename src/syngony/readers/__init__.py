"""Instrument files in, `Pattern` out. The wavelength comes from the file or the user, never from a guess."""

from __future__ import annotations

from pathlib import Path

from syngony.errors import PatternError, WavelengthError
from syngony.pattern import Pattern
from syngony.readers.text import parse_text_scan
from syngony.wavelengths import parse_wavelength

MAX_BYTES = 100_000_000
_SAME_WAVELENGTH = 2e-3  # relative: the mean of a doublet against its first line


def read_pattern(path: str | Path, wavelength: float | str | None = None) -> Pattern:
    """Read a powder scan.

    Text of two or more columns (2θ in degrees, intensity, ...) with or without a header, separated
    by blanks, tabs, commas or semicolons, with decimal points or commas.

    Args:
        path: the file.
        wavelength: Å or the name of a tube line; needed when the file states none. When both do and
            they differ, the user's is used and the pattern carries a warning.

    Raises:
        PatternError: the file cannot be read as a powder scan; the message says why.
        WavelengthError: no wavelength from file or user, or an absurd one.
    """
    path = Path(path)
    given = None if wavelength is None else parse_wavelength(wavelength)
    scan = parse_text_scan(_read_bytes(path))  # a bad scan is worth saying before a missing wavelength
    warnings = list(scan.warnings)
    stated = scan.wavelength
    if given is None and stated is None:
        why = "; ".join(note for note in scan.warnings if "wavelength" in note) or "no wavelength in the file"
        raise WavelengthError(f"{why}: pass it, e.g. --wavelength CuKa or --wavelength 1.5406 (Å)")
    if given is not None and stated is not None and abs(given / stated - 1) > _SAME_WAVELENGTH:
        warnings.append(f"the file says {stated:g} Å, {given:g} Å was given and is used")
    used = given if given is not None else stated
    assert used is not None
    return Pattern(scan.two_theta, scan.intensity, used, name=path.name, warnings=tuple(warnings))


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise PatternError("a folder, not a file: pass the files in it")
        size = path.stat().st_size
        if size == 0:
            raise PatternError("the file is empty: export the scan again")
        if size > MAX_BYTES:
            raise PatternError(f"{size / 1e6:.0f} MB: larger than any powder scan (limit {MAX_BYTES / 1e6:.0f} MB)")
        if not path.is_file():
            raise PatternError("not a regular file: save the scan to one")
        return path.read_bytes()
    except FileNotFoundError:
        raise PatternError("no such file: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if isinstance(error, PatternError):
            raise
        raise PatternError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
