"""Siemens and Bruker RAW, four binary layouts of one extension, all little-endian.

Version 1 ("RAW ") and 2 ("RAW2"): the manufacturer's "Appendix B: DIFFRAC-AT Raw Data File Format", as
xylib's bruker_raw describes it; version 1 checked against files. Version 3 ("RAW1.01") and 4 ("RAW4.00"):
geddes decodes the scans; the offsets of what surrounds them are observed, and agree with UXD and BRML
exports of the same scans. All of them hold single precision counts under start and step.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.decoding import decode
from syngony.readers.scan import Scan, check_length, printable, refuse_axis, refuse_many, refuse_tilted, stepped

_OTHER_SCANS = {3: "rocking curve", 4: "chi", 5: "phi"}  # scan types of version 3
_NOT_THERE = 9999.0  # position of a drive that the goniometer lacks


def read_bruker_raw(content: bytes) -> list[Scan]:
    """Every range of a RAW file, version 1, 2, 3 or 4.

    Raises:
        PatternError: cut short, no range, another axis than 2θ, or a specimen at several tilts.
    """
    version, read = _version(content)
    name = f"Bruker RAW version {version}"
    try:
        scans = read(content, name)
    except struct.error:
        raise PatternError(f"{name}: cut short within a header: copy it again from the instrument") from None
    if not scans:
        raise PatternError(f"{name}: no scan in it (stopped before its first point?)")
    refuse_tilted(scans)
    return scans


def _version(content: bytes) -> tuple[int, Callable[[bytes, str], list[Scan]]]:
    if content.startswith(b"RAW1.01"):
        return 3, _read_3
    if content.startswith(b"RAW4.00"):
        return 4, _read_4
    return (2, _read_2) if content.startswith(b"RAW2") else (1, _read_1)


def _read_1(content: bytes, name: str) -> list[Scan]:
    """Heads of 156 bytes, each before its counts; the last field tells whether another range follows."""
    scans: list[Scan] = []
    place, follows = 0, 1
    while follows:
        refuse_many(len(scans) + 1, name)
        if content[place : place + 4] == b"RAW ":  # early files did not repeat it
            place += 4
        points, time, step = struct.unpack_from("<Iff", content, place)
        start, _, chi = struct.unpack_from("<fff", content, place + 20)
        first, second = struct.unpack_from("<ff", content, place + 68)
        (follows,) = struct.unpack_from("<I", content, place + 148)
        lines = Measurement(format=name, sample=_text(content, place + 36, 32), count_time=time)
        scan = _stepped(content, place + 152, points, start, step, name)
        scans.append(_with_lines(scan, lines, first, second, None, chi))
        place += 152 + 4 * points
    return scans


def _read_2(content: bytes, name: str) -> list[Scan]:
    """A head of 256 bytes for the file, then for every range a head that tells its own length."""
    (ranges,) = struct.unpack_from("<H", content, 4)
    first, second, ratio = struct.unpack_from("<fff", content, 190)
    lines = Measurement(format=name, date=_text(content, 168, 20), anode=_text(content, 188, 2))
    scans: list[Scan] = []
    place = 256
    refuse_many(ranges, name)
    for _ in range(ranges):
        length, points = struct.unpack_from("<HH", content, place)
        time, step, start = struct.unpack_from("<fff", content, place + 8)
        if length < 48:
            raise PatternError(f"{name}: the head of a range is too short: copy it again from the instrument")
        scan = _stepped(content, place + length, points, start, step, name)
        scans.append(_with_lines(scan, replace(lines, count_time=time), first, second, ratio, None))
        place += length + 4 * points
    return scans


def _stepped(content: bytes, place: int, points: int, start: float, step: float, name: str) -> Scan:
    """Single precision counts from `place` on."""
    if points == 0 or place + 4 * points > len(content):
        raise PatternError(f"{name}: {points} points declared, the file ends before them: copy it again")
    counts = np.frombuffer(content, "<f4", points, place).astype(np.float64)
    # Decimal steps in single precision: seven digits are what was meant.
    return Scan(stepped(float(f"{start:.7g}"), float(f"{step:.7g}"), points), counts)


def _read_3(content: bytes, name: str) -> list[Scan]:
    """A head of 712 bytes for the file, then for every range a head (its length first), extra data, counts."""
    (ranges,) = struct.unpack_from("<I", content, 12)
    first, second, _, ratio = struct.unpack_from("<4d", content, 624)
    lines = Measurement(
        format=name, sample=_text(content, 326, 60), date=_text(content, 16, 10), anode=_text(content, 608, 4)
    )
    scans: list[Scan] = []
    place = 712
    refuse_many(ranges, name)
    for index in range(ranges):
        length, points = struct.unpack_from("<II", content, place)
        (chi,) = struct.unpack_from("<d", content, place + 24)
        time, kind = struct.unpack_from("<fI", content, place + 192)
        size, extra = struct.unpack_from("<II", content, place + 252)
        refuse_axis(_OTHER_SCANS.get(kind, ""))
        scan = _decoded(content, index, name)
        scans.append(_with_lines(scan, replace(lines, count_time=time), first, second, ratio, chi))
        place += length + extra + points * size
    return scans


def _read_4(content: bytes, name: str) -> list[Scan]:
    """61 bytes, then segments of a type and a length: 10 a named text, 30 the tube, 0 and 160 a range.

    A range has a head of 160 bytes, segments of its own (50: a drive) and its counts.
    """
    lines = Measurement(format=name, date=_text(content, 12, 12))
    tube = (0.0, 0.0, None)
    scans: list[Scan] = []
    place = 61
    while place < len(content):
        refuse_many(len(scans), name)
        kind, length = struct.unpack_from("<II", content, place)
        if kind in (0, 160):
            (points,) = struct.unpack_from("<I", content, place + 88)
            (time,) = struct.unpack_from("<f", content, place + 92)
            size, inner = struct.unpack_from("<II", content, place + 136)
            scan = _decoded(content, len(scans), name)
            chi = _drive_4(content[place + 160 : place + 160 + inner], "Chi")
            scans.append(_with_lines(scan, replace(lines, count_time=time), *tube, chi))
            length = 160 + inner + points * size
        elif kind == 10 and _text(content, place + 12, 24) == "SAMPLEID":
            lines = replace(lines, sample=_text(content, place + 36, max(length - 36, 0)))
        elif kind == 30:
            first, second, _, ratio = struct.unpack_from("<4d", content, place + 80)
            tube = (first, second, ratio)
            lines = replace(lines, anode=_text(content, place + 116, 4))
        if length < 8:
            raise PatternError(f"{name}: a segment without length: copy it again from the instrument")
        place += length
    return scans


def _drive_4(segments: bytes, name: str) -> float | None:
    """Position of a drive among the segments of a range."""
    place = 0
    while place + 64 <= len(segments):
        kind, length = struct.unpack_from("<II", segments, place)
        if kind == 50 and _text(segments, place + 12, 24) == name:
            return float(struct.unpack_from("<d", segments, place + 56)[0])
        place += max(length, 8)
    return None


def _decoded(content: bytes, index: int, name: str) -> Scan:
    try:
        return Scan(*decode(content, "raw", index))
    except PatternError as error:
        raise PatternError(f"{name}: {str(error).removeprefix('Bruker RAW: ')}") from None


def _with_lines(scan: Scan, lines: Measurement, first: Any, second: Any, ratio: Any, chi: float | None) -> Scan:
    """The scan with its wavelengths; 0 is none."""
    k_alpha1, warnings = check_length(round(first, 6), "Kα1")  # some are single precision
    k_alpha2, more = check_length(round(second, 6), "Kα2")
    described = replace(lines, wavelength_source="file: Kα1", k_alpha1=k_alpha1, k_alpha2=k_alpha2, ratio=ratio)
    tilt = None if chi is None or chi == _NOT_THERE else float(chi)
    return Scan(scan.positions, scan.intensity, k_alpha1, described, tuple(warnings + more), chi=tilt)


def _text(content: bytes, place: int, length: int) -> str:
    """Latin-1 up to the first NUL."""
    return printable(content[place : place + length].split(b"\0", 1)[0].decode("latin-1").strip())
