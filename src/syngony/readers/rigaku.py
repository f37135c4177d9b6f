"""Rigaku's text formats: RAS (SmartLab, MiniFlex) and the ASCII export ASC or DAT (RINT, Ultima, SmartLab).

Observed in files of 2007 to 2019. RAS: ``*KEY "value"`` lines, then 2θ, intensity and factor of attenuation
between ``*RAS_INT_START`` and ``*RAS_INT_END``. ASC: ``*KEY = value`` lines, a head for the file and one for
every group between ``*BEGIN`` and ``*END``, with counts under start, step and count.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.scan import Scan, check_length, refuse_axis, refuse_many, stepped

RAS, ASC = "Rigaku RAS", "Rigaku ASC"
_PAIR = re.compile(r'\*(\S+?)\s*(?:=|\s)\s*"?([^"]*)"?\s*$')
_ATTENUATED = "the attenuator changed during the scan: intensities are as stored"
_ELEMENTS = {"24": "Cr", "26": "Fe", "27": "Co", "29": "Cu", "42": "Mo", "47": "Ag"}


def read_ras(text: str) -> list[Scan]:
    """Every scan of a RAS file.

    Raises:
        PatternError: cut short, fewer points than declared, or another axis than 2θ.
    """
    scans: list[Scan] = []
    header: dict[str, str] = {}
    rows: list[str] | None = None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("*RAS_HEADER_START"):
            header = {}
        elif line.startswith("*RAS_INT_START"):
            rows = []
        elif line.startswith("*RAS_INT_END") and rows is not None:
            refuse_many(len(scans) + 1, RAS)
            scans.append(_ras_scan(header, rows))
            rows = None
        elif rows is not None:
            rows.append(line)
        else:
            match = _PAIR.match(line)
            if match:
                header[match.group(1)] = match.group(2).strip()
    if rows is not None:
        raise PatternError(f"{RAS}: the file ends within a scan: copy it again from the instrument")
    if not scans:
        raise PatternError(f"{RAS}: no scan in it: copy it again from the instrument")
    return scans


def _ras_scan(header: dict[str, str], rows: list[str]) -> Scan:
    refuse_axis(header.get("MEAS_SCAN_AXIS_X_INTERNAL") or header.get("MEAS_SCAN_AXIS_X", ""))
    try:
        values = np.array([[float(word) for word in row.split()] for row in rows if row], dtype=np.float64)
    except ValueError:
        raise PatternError(f"{RAS}: rows that are not numbers, or not equally many: copy it again") from None
    if values.ndim != 2 or values.shape[1] < 2:
        raise PatternError(f"{RAS}: a scan without rows of angle and intensity")
    _refuse_missing(RAS, header.get("MEAS_DATA_COUNT", ""), len(values))
    wavelength, warnings, lines = lines_of_tube(
        header.get("HW_XG_WAVE_LENGTH_ALPHA1", ""),
        header.get("HW_XG_WAVE_LENGTH_ALPHA2", ""),
        header.get("HW_XG_WAVE_LENGTH_BETA", ""),
        header.get("MEAS_COND_XG_WAVE_TYPE", ""),
    )
    if values.shape[1] > 2 and np.ptp(values[:, 2]) > 0:
        warnings.append(_ATTENUATED)
    described = replace(
        lines,
        format=RAS,
        sample=header.get("FILE_SAMPLE", ""),
        instrument=header.get("HW_GONIOMETER_NAME", "").rpartition("|")[2],
        date=header.get("MEAS_SCAN_START_TIME", ""),
        anode=header.get("HW_XG_TARGET_NAME", ""),
        count_time=seconds_a_point(
            header.get("MEAS_SCAN_SPEED", ""), header.get("MEAS_SCAN_SPEED_UNIT", ""), header.get("MEAS_SCAN_STEP", "")
        ),
    )
    return Scan(values[:, 0].copy(), values[:, 1].copy(), wavelength, described, tuple(warnings))


def read_asc(text: str) -> list[Scan]:
    """Every group of an ASC or DAT file.

    Raises:
        PatternError: cut short, fewer counts than declared, a pole figure, or another axis than 2θ.
    """
    general: dict[str, str] = {}
    scans: list[Scan] = []
    group: dict[str, str] | None = None
    words: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        match = _PAIR.match(line)
        if line.startswith("*BEGIN"):
            group, words = {}, []
        elif line.startswith("*END") and group is not None:
            refuse_many(len(scans) + 1, ASC)
            scans.append(_asc_scan({**general, **group}, words))
            group = None
        elif match:
            (general if group is None else group)[match.group(1)] = match.group(2).strip()
        elif group is not None and not line.startswith(("*", "#")):
            words += line.replace(",", " ").split()
    if "pole" in general.get("CLASS", "").lower():
        raise PatternError(f"{ASC}: a pole figure, no powder scan")
    if group is not None:
        raise PatternError(f"{ASC}: the file ends within a scan: copy it again from the instrument")
    if not scans:
        raise PatternError(f"{ASC}: no scan in it: copy it again from the instrument")
    return scans


def _asc_scan(header: dict[str, str], words: list[str]) -> Scan:
    if "pole" in header.get("CLASS", "").lower():
        raise PatternError(f"{ASC}: a pole figure, no powder scan")
    refuse_axis(header.get("SCAN_AXIS") or header.get("SCAN_MODE", ""))
    counts = _floats(words)
    _refuse_missing(ASC, header.get("COUNT", ""), len(counts))
    start, step = _floats([header.get("START", ""), header.get("STEP", "")])
    wavelength, warnings, lines = lines_of_tube(
        header.get("WAVE_LENGTH1", ""), header.get("WAVE_LENGTH2", ""), "", header.get("XRAY_CHAR", "")
    )
    described = replace(
        lines,
        format=ASC,
        sample=header.get("SAMPLE", ""),
        instrument=header.get("GONIO", "").partition(",")[0],
        date=header.get("DATE", ""),
        anode=_ELEMENTS.get(header.get("TARGET", ""), ""),
        count_time=seconds_a_point(header.get("SPEED", ""), header.get("SPEED_DIM", ""), header["STEP"]),
    )
    return Scan(stepped(start, step, len(counts)), counts, wavelength, described, tuple(warnings))


def lines_of_tube(first: str, second: str, beta: str, kind: str) -> tuple[float | None, list[str], Measurement]:
    """Å, warnings, and the lines in a `Measurement`, from what Rigaku writes of a tube.

    Args:
        first, second, beta: wavelengths (Å) of Kα1, Kα2, Kβ as written, or "".
        kind: which of them falls on the sample: ``Ka``, ``Ka1``, ``K-ALPHA``, ``Kb`` ...
    """
    k_alpha1, warnings = check_length(first, "Kα1")
    k_alpha2, more = check_length(second, "Kα2")
    plain = re.sub(r"[\s_-]", "", kind.lower()).replace("alpha", "a").replace("beta", "b")
    ratio = 0.0 if plain == "ka1" else None  # of the doublet Rigaku states no ratio
    lines = Measurement(k_alpha1=k_alpha1, k_alpha2=k_alpha2, ratio=ratio)
    if plain == "kb":
        wavelength, other = check_length(beta, "Kβ")
        return wavelength, warnings + more + other, replace(lines, wavelength_source="file: Kβ")
    return k_alpha1, warnings + more, replace(lines, wavelength_source="file: Kα1")


def seconds_a_point(speed: str, unit: str, step: str) -> float | None:
    """Seconds a point from a speed in degrees a minute or seconds a step; None for anything else."""
    try:
        pace, width = float(speed), float(step)
    except ValueError:
        return None
    if "deg" in unit and "min" in unit and pace > 0:
        return 60 * width / pace
    return pace if "sec" in unit else None


def _refuse_missing(name: str, declared: str, points: int) -> None:
    count = float(_floats([declared])[0]) if declared else points  # RAS writes "1401.0000000000"
    if count != points:
        raise PatternError(f"{name}: the header declares {count:g} points, the file holds {points}: copy it again")


def _floats(words: list[str]) -> NDArray[np.float64]:
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        raise PatternError(f"{ASC}: {' '.join(words)[:40]!a} ... holds something that is no number") from None
