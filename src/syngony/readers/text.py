"""Scans written as columns of text: .xy, .xye, .csv, .txt, .dat in their dialects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import check_scan
from syngony.readers.columns import read_columns
from syngony.readers.grid import read_grid
from syngony.readers.header import refuse_incomplete, refuse_other_axis, speaks_of_neutrons, stated_wavelength
from syngony.readers.plausibility import hole_in, refuse_disguises
from syngony.readers.signatures import refuse_known_binary, refuse_known_text

_CONTROL = re.compile(r"[\x01-\x08\x0e-\x19\x1b-\x1f]")
_MANY_COLUMNS = 5
_END_OF_LINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, eq=False)
class TextScan:
    """A scan that `check_scan` has passed, and what its header says.

    Attributes:
        two_theta, intensity: (n,) degrees, and counts or arbitrary units.
        wavelength: Å, when the header states one.
        warnings: what the user should know.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength: float | None = None
    warnings: list[str] = field(default_factory=list)


def parse_text_scan(content: bytes) -> TextScan:
    """A scan from columns of numbers after an optional header: 2θ, intensity, and others that are not used.

    Raises:
        PatternError: another format, no block of numbers, NaN, an axis that is not 2θ, an incomplete
            file, or columns that are no scan.
    """
    refuse_known_binary(content)
    text = _decode(content)
    refuse_known_text(text)
    lines = _END_OF_LINE.split(text)
    grid = read_grid(lines)
    if grid is not None:
        angles, counts, header = grid
        return _scan(np.column_stack([angles, counts]), header, [], [])
    columns = read_columns(lines)
    refuse_incomplete(columns.header, len(columns.values))
    return _scan(columns.values, columns.header, columns.footer, columns.warnings)


def _scan(values: NDArray[np.float64], header: list[str], footer: list[str], warnings: list[str]) -> TextScan:
    refuse_other_axis(header)
    if values.shape[1] > _MANY_COLUMNS and not (np.diff(values[:, 0]) > 0).all():
        raise PatternError(
            f"{values.shape[1]} numbers a line and the first is no angle: counts without angles? "
            "give two columns, 2θ and intensity"
        )
    angles, counts = check_scan(values[:, 0], values[:, 1])
    refuse_disguises(values)
    hole = hole_in(angles)
    if hole:
        warnings.append(f"nothing was measured between {hole[0]:g} and {hole[1]:g} degrees")
    said = [*header, *footer]
    wavelength, remarks = stated_wavelength(said)
    if speaks_of_neutrons(said):
        remarks.append("the header speaks of neutrons: intensities are taken for those of X-rays")
    return TextScan(angles, counts, wavelength, [*warnings, *remarks])


def _decode(content: bytes) -> str:
    """Text of UTF-8, UTF-16 (with its mark, or ASCII characters) or else Latin-1.

    Raises:
        PatternError: bytes of no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    elif b"\x00" in content[:4096].rstrip(b"\x00"):
        text = _utf_16_without_mark(content)
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    head = text[:4096]
    if "\x00" in head.rstrip("\x00") or len(_CONTROL.findall(head)) > len(head) // 50:
        raise PatternError("a binary file of an unknown kind: export the scan as two columns of text (.xy, .csv)")
    return text


def _utf_16_without_mark(content: bytes) -> str:
    """Characters below 256 leave every other byte zero; anything else is returned as it is."""
    head = content[:4096]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if zeros.count(0) > 0.9 * len(zeros):
            return content.decode(encoding, errors="replace")
    return content.decode("latin-1")
