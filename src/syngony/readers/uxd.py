"""Bruker UXD, versions 1 to 3: text of ``_KEY = value`` lines and blocks of numbers.

Observed in files of XCH and of DIFFRAC.Suite. Keys before the first ``_DRIVE`` hold for the file, later ones
for their range. A block begins with ``_COUNTS`` or ``_CPS`` (intensities under start and step) or with
``_2THETACOUNTS`` or ``_2THETACPS`` (angle and intensity). geddes reads versions 1 and 2, not 3.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.scan import Scan, check_length, refuse_axis, refuse_many, refuse_tilted, stepped

NAME = "Bruker UXD"
_KEY = re.compile(r"_(\w+)\s*=\s*(.*)")
_BLOCK = re.compile(r"_(2THETA)?(?:COUNTS|CPS)\s*(?:=.*)?$", re.IGNORECASE)
_OTHER_BLOCK = re.compile(r"_\w*(?:COUNTS|CPS)\w*\s*(?:=.*)?$", re.IGNORECASE)


def read_uxd(text: str) -> list[Scan]:
    """Every range of the file.

    Raises:
        PatternError: damaged, no range, another axis than 2θ, or a specimen at several tilts.
    """
    scans: list[Scan] = []
    general: dict[str, str] = {}
    header: dict[str, str] = {}
    block: list[str] | None = None
    paired = False

    def close() -> None:
        if block is not None:
            refuse_many(len(scans) + 1, NAME)
            scans.append(_scan({**general, **header}, block, paired))

    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition(";")[0].strip(" \t\x1a\x00")
        if not line:
            continue
        named = line.startswith("_")
        if named and (marker := _BLOCK.match(line)):
            close()
            block, paired = [], bool(marker.group(1))
        elif named and _OTHER_BLOCK.match(line):
            raise PatternError(f"{NAME}: line {number} begins a block of {line[:30]!a}, which is no scan of 2θ")
        elif named and (key := _KEY.match(line)):
            name = key.group(1).upper()
            if block is not None or name == "DRIVE":
                close()
                block, header = None, {} if name == "DRIVE" else header
            (header if name == "DRIVE" or header else general)[name] = key.group(2).strip().strip("'\"")
        elif block is not None:
            block.append(line)
    close()
    if not scans:
        raise PatternError(f"{NAME}: no range in it: copy it again from the instrument")
    refuse_tilted(scans)
    return scans


def _scan(header: dict[str, str], block: list[str], paired: bool) -> Scan:
    refuse_axis(header.get("DRIVE", ""))
    if paired:
        values = _numbers(block)
        widths = {len(_words(line)) for line in block}  # cheaper again than a million rows kept
        if len(widths) != 1 or min(widths) < 2:
            raise PatternError(f"{NAME}: rows that are not equally long pairs of angle and intensity: copy it again")
        angles, counts = values.reshape(len(block), -1)[:, :2].T.copy()
    else:
        counts = _numbers(block)
        angles = stepped(_number(header, "START"), _number(header, "STEPSIZE"), len(counts))
    declared = header.get("STEPCOUNT", "")
    if declared and _number(header, "STEPCOUNT") != len(counts):
        raise PatternError(f"{NAME}: {declared} points declared, the file holds {len(counts)}: copy it again")
    first, warnings = check_length(header.get("WL1", ""), "Kα1")
    second, more = check_length(header.get("WL2", ""), "Kα2")
    if header.get("WL_UNIT", "A").upper() not in ("A", "Å"):
        first, warnings = None, [f"wavelengths in {header['WL_UNIT'][:20]!r} are not used"]
    described = Measurement(
        format=NAME,
        sample=header.get("SAMPLE", ""),
        instrument=header.get("SITE", ""),
        date=header.get("DATEMEASURED", ""),
        anode=header.get("ANODE", ""),
        count_time=_optional(header, "STEPTIME"),
        wavelength_source="file: Kα1",
        k_alpha1=first,
        k_alpha2=second,
        ratio=_optional(header, "WLRATIO"),
    )
    return Scan(angles, counts, first, described, tuple(warnings + more), chi=_optional(header, "KHI"))


def _numbers(block: list[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(word) for word in _words(" ".join(block))])
    except ValueError as error:  # "could not convert string to float: '...'"
        word = str(error).partition(": ")[2].strip("'")
        raise PatternError(f"{NAME}: {word[:30]!a} in the middle of a scan: copy it again") from None


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _number(header: dict[str, str], key: str) -> float:
    value = _optional(header, key)
    if value is None:
        raise PatternError(f"{NAME}: without _{key}, or it is no number: copy it again from the instrument")
    return value


def _optional(header: dict[str, str], key: str) -> float | None:
    try:
        return float(header[key])
    except (KeyError, ValueError):
        return None
