"""Instrument files in, `Pattern` out. The wavelength comes from the file or the user, never from a guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from syngony.errors import PatternError, WavelengthError
from syngony.pattern import Pattern, check_scan
from syngony.readers.scan import TWO_THETA, Scan
from syngony.wavelengths import parse_wavelength

MAX_BYTES = 100_000_000
_SAME_WAVELENGTH = 2e-3  # relative: the mean of a doublet against its first line


def read_pattern(path: str | Path, wavelength: float | str | None = None) -> Pattern:
    """Read a powder scan; of a file with several, the first, with a warning.

    Formats are told by content, not by extension; docs/formats.md lists them.

    Args:
        path: the file.
        wavelength: Å or the name of a tube line; needed when the file states none. When both do and
            they differ, the user's is used and the pattern carries a warning.

    Raises:
        PatternError: the file cannot be read as a powder scan; the message says why.
        WavelengthError: no wavelength from file or user, or an absurd one.
    """
    patterns = read_patterns(path, wavelength)
    first = patterns[0]
    if len(patterns) == 1:
        return first
    return _warned(first, f"the file holds {len(patterns)} scans; this is the first: read_patterns gives all")


def read_patterns(path: str | Path, wavelength: float | str | None = None) -> list[Pattern]:
    """Read every powder scan of a file, in its order. Several are named ``"file [2 of 3]"``.

    A scan that cannot be used is left out, with a warning on the others, unless none can.

    Args:
        path: the file.
        wavelength: as in `read_pattern`; for all scans.

    Returns:
        At least one pattern; each carries a `Measurement`.

    Raises:
        PatternError: as in `read_pattern`.
        WavelengthError: as in `read_pattern`.
    """
    from syngony.readers.signatures import read_scans

    path = Path(path)
    given = None if wavelength is None else parse_wavelength(wavelength)
    scans = read_scans(_read_bytes(path))
    patterns: list[Pattern] = []
    failures: list[tuple[int, PatternError]] = []
    for number, scan in enumerate(scans, 1):
        try:
            patterns.append(_pattern(scan, given, path.name, f"{number} of {len(scans)}" if len(scans) > 1 else ""))
        except PatternError as error:
            failures.append((number, error))
    if not patterns:
        raise failures[0][1]
    left_out = [f"scan {number} of {len(scans)} is left out: {error}" for number, error in failures]
    return [_warned(pattern, *left_out) for pattern in patterns] if left_out else patterns


def name_in_file(path: str | Path, pattern: Pattern) -> str:
    """What lists of results call a pattern: the path; of a file with several, from the second on with its number."""
    part = pattern.measurement.part if pattern.measurement else ""
    return f"{path} [{part}]" if part and not part.startswith("1 of ") else str(path)


def _warned(pattern: Pattern, *more: str) -> Pattern:
    p = pattern
    return Pattern(p.two_theta, p.intensity, p.wavelength, p.name, (*p.warnings, *more), p.measurement)


def _pattern(scan: Scan, given: float | None, name: str, part: str) -> Pattern:
    """The scan as a pattern at the user's wavelength, else the file's."""
    if scan.axis == TWO_THETA:
        check_scan(scan.positions, scan.intensity)  # a bad scan is worth saying before a missing wavelength
    warnings = list(scan.warnings)
    stated = scan.wavelength
    if given is None and stated is None:
        why = "; ".join(note for note in warnings if "wavelength" in note and "used" in note)
        why = why or "no wavelength in the file"
        raise WavelengthError(f"{why}: pass it, e.g. --wavelength CuKa or --wavelength 1.5406 (Å)")
    if given is not None and stated is not None and abs(given / stated - 1) > _SAME_WAVELENGTH:
        warnings.append(f"the file says {stated:g} Å, {given:g} Å was given and is used")
    used = given if given is not None else stated
    assert used is not None
    source = "user" if given is not None else scan.measurement.wavelength_source
    measurement = replace(scan.measurement, part=part, wavelength_source=source)
    full_name = f"{name} [{part}]" if part else name
    return Pattern(scan.two_theta(used), scan.intensity, used, full_name, tuple(warnings), measurement)


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
