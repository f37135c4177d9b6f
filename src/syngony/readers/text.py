"""Scans written as columns of text: .xy, .xye, .csv, .txt, .dat in their dialects."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement, check_scan
from syngony.readers.columns import read_columns
from syngony.readers.grid import read_grid
from syngony.readers.header import (
    refuse_incomplete,
    refuse_other_axis,
    speaks_of_neutrons,
    stated_wavelength,
    unit_of_q,
)
from syngony.readers.plausibility import hole_in, refuse_disguises
from syngony.readers.scan import TWO_THETA, Q, Scan

NAME = "columns of text"
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x19\x1b-\x1f]")
_HEADER = 60  # lines
_MANY_COLUMNS = 5
_END_OF_LINE = re.compile(r"\r\n|\r|\n")
_MOST_CHARACTERS = 6_000_000  # ten times the longest real scan at hand
_MOST_LINES = 1_000_000
_LONGEST_LINE = 1_000_000  # characters


def read_columns_of_text(text: str) -> list[Scan]:
    """The scan in columns of numbers after an optional header: 2θ or Q, intensity, and others that are not used.

    Raises:
        PatternError: no block of numbers, NaN, an axis that is neither, an incomplete file, columns
            that are no scan, or text far longer than a scan.
    """
    if len(text) > _MOST_CHARACTERS:
        raise PatternError(f"{len(text) / 1e6:.0f} MB in columns of text: longer than any powder scan")
    lines = _END_OF_LINE.split(text) if "\r" in text else text.split("\n")
    if len(lines) > _MOST_LINES or max(map(len, lines)) > _LONGEST_LINE:
        raise PatternError(
            f"{len(lines)} lines of up to {max(map(len, lines))} characters: longer than any powder scan"
        )
    grid = read_grid(lines)
    if grid is not None:
        angles, counts, around = grid
        return [_scan(np.column_stack([angles, counts]), around, [], [])]
    try:
        columns = read_columns(lines)
    except PatternError:
        refuse_other_axis([line for line in lines[:_HEADER] if not line[:1].isdigit()])  # a better reason, if there
        raise
    refuse_incomplete(columns.header, len(columns.values))
    return [_scan(columns.values, columns.header, columns.footer, columns.warnings)]


def _scan(values: NDArray[np.float64], header: list[str], footer: list[str], warnings: list[str]) -> Scan:
    refuse_other_axis(header)
    unit = unit_of_q(header)
    if values.shape[1] > _MANY_COLUMNS and not (np.diff(values[:, 0]) > 0).all():
        raise PatternError(
            f"{values.shape[1]} numbers a line and the first is no angle: counts without angles? "
            "give two columns, 2θ and intensity"
        )
    if unit is None:
        positions, counts = check_scan(values[:, 0], values[:, 1])
        refuse_disguises(values)
        hole = hole_in(positions)
        if hole:
            warnings.append(f"nothing was measured between {hole[0]:g} and {hole[1]:g} degrees")
    else:
        positions, counts = unit * values[:, 0], values[:, 1].copy()
        warnings.append(f"the axis is Q in 1/{'Å' if unit == 1 else 'nm'}: it is converted to 2θ with the wavelength")
    said = [*header, *footer]
    wavelength, remarks = stated_wavelength(said)
    if speaks_of_neutrons(said):
        remarks.append("the header speaks of neutrons: intensities are taken for those of X-rays")
    described = Measurement(format=NAME, wavelength_source="file: the header" if wavelength else "")
    axis = TWO_THETA if unit is None else Q
    return Scan(positions, counts, wavelength, described, (*warnings, *remarks), axis=axis)


def decode_text(content: bytes) -> str:
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
