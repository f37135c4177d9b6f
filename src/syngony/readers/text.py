"""Scans written as columns of text: .xy, .xye, .csv, .txt, .dat in their dialects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError, WavelengthError
from syngony.wavelengths import TUBE_LINES, parse_wavelength

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DECIMAL_COMMA = re.compile(r"^\s*[-+]?\d+,\d+(?:\s*[;\t ]\s*)[-+]?\d+(?:,\d+)?")
_NAN = re.compile(r"\bnan\b|\binf\b", re.IGNORECASE)

# "Wavelength: 1.5406", "K-Alpha1 wavelength,1.540598", "lambda = 1.54", "WAVELENGTH 1.5406 1.5444"
_STATED = re.compile(
    rf"(?:wave\s*length|lambda|λ)[^0-9+-]{{0,40}}({_NUMBER})\s*(nm)?|"
    rf"k[-_ ]?alpha\s*1?[^0-9a-z]{{0,10}}({_NUMBER})",
    re.IGNORECASE,
)
_TUBE = re.compile(r"\b(Cu|Co|Fe|Cr|Mo|Ag)[ _-]?K[ _-]?(?:a|α|alpha)[ _-]?([12])?(?![a-z0-9])", re.IGNORECASE)
_RECIPROCAL_AXIS = re.compile(r"(?:^|[\s,;#\"])q\s*[\[(]|q_(?:nm|a)|\bq\s*/|1/(?:Å|A|nm)|(?:Å|A|nm)\^-1", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class TextScan:
    """Columns as read: nothing checked but that they are numbers.

    Attributes:
        two_theta, intensity: (n,) first and second column.
        wavelength: Å, when the header states one.
        warnings: what the user should know.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float | None = None
    warnings: list[str] = field(default_factory=list)


def parse_text_scan(content: bytes) -> TextScan:
    """Columns of numbers after an optional header.

    Raises:
        PatternError: binary content, no block of numbers, NaN, or an axis that is not 2θ.
    """
    lines = _decode(content).splitlines()
    rows, header, bad = _numeric_rows(lines)
    if not rows:
        found = f"; line {bad[0]} holds {bad[1]!r}" if bad else ""
        raise PatternError(f"no two columns of numbers (2θ and intensity) in this text{found}")
    if bad is not None:
        raise PatternError(f"line {bad[0]} is not numbers ({bad[1]!r}) in the middle of the scan: mend or remove it")
    if _RECIPROCAL_AXIS.search("\n".join(header)):
        raise PatternError("the header says that the axis is Q, not 2θ in degrees: convert it first")
    columns = np.array([row[:2] for row in rows])
    wavelength, warnings = _stated_wavelength(header)
    return TextScan(columns[:, 0], columns[:, 1], wavelength, warnings)


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content[:4096]:
        raise PatternError("a binary file, not text: export the scan as two columns (.xy, .csv)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _numeric_rows(lines: list[str]) -> tuple[list[list[float]], list[str], tuple[int, str] | None]:
    """The longest block of rows of two or more numbers, the text before it, and a bad line inside it."""
    decimal_comma = sum(bool(_DECIMAL_COMMA.match(line)) for line in lines[:200]) > min(10, len(lines) // 4)
    rows: list[list[float]] = []
    header: list[str] = []
    bad: tuple[int, str] | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#!/'*;%":
            header.append(text)
            continue
        values = _split_numbers(text, decimal_comma)
        if values is None or len(values) < 2:
            if _NAN.search(text) and len(rows) > 2:
                raise PatternError(f"line {number} holds NaN or infinity ({text[:40]!r}): remove that point")
            if len(rows) <= 2:
                # A short block of numbers in a header ("start step stop") is part of the header.
                header.extend(" ".join(f"{v:g}" for v in row) for row in rows)
                rows = []
                header.append(text)
            elif bad is None:
                bad = (number, text[:40])
            continue
        if bad is not None:
            return rows, header, bad
        rows.append(values)
    # Text after the last number is a footer, not a fault.
    return rows, header, None if rows else bad


def _split_numbers(text: str, decimal_comma: bool) -> list[float] | None:
    if decimal_comma:
        parts = re.split(r"[;\s]+", text.strip(" ;\t"))
        parts = [part.replace(",", ".") for part in parts]
    else:
        parts = [part for part in re.split(r"[,;\s]+", text) if part]
    try:
        return [float(part.strip('"')) for part in parts if part]
    except ValueError:
        return None


def _stated_wavelength(header: list[str]) -> tuple[float | None, list[str]]:
    """The wavelength that a header states; a number wins over the name of a tube line."""
    text = "\n".join(header)
    warnings: list[str] = []
    for match in _STATED.finditer(text):
        value = float(match.group(1) or match.group(3)) * (10.0 if match.group(2) else 1.0)
        try:
            return parse_wavelength(value), warnings
        except WavelengthError:
            warnings.append(f"the header's wavelength {value:g} is absurd and not used")
    tube = _TUBE.search(text)
    if tube:
        return TUBE_LINES[f"{tube.group(1).capitalize()}Ka{tube.group(2) or ''}"], warnings
    return None, warnings
