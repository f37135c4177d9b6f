"""Formats for exchange: JCAMP-DX and the JSON of xrdpattern.

R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988). Of JCAMP-DX the uncompressed forms are
read: ``XYPOINTS`` or ``XYDATA`` as (XY..XY), and (X++(Y..Y)) in plain numbers.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.header import refuse_other_axis, stated_wavelength
from syngony.readers.scan import Scan, check_length

JCAMP, JSON = "JCAMP-DX", "JSON of xrdpattern"
_RECORD = re.compile(r"^##([^=\n]*)=(.*)$", re.MULTILINE)
_REMARK = re.compile(r"\$\$.*$", re.MULTILINE)
_BETWEEN = re.compile(r"[\s,;]+")
_NUMBERS = re.compile(r"[\s\d.,;eE+-]*\Z")


def read_jcamp(text: str) -> list[Scan]:
    """The scan of a JCAMP-DX file.

    Raises:
        PatternError: cut short, compressed, fewer points than declared, or another axis than 2θ.
    """
    records: dict[str, str] = {}
    table, form = "", ""
    found = list(_RECORD.finditer(text))
    for place, match in enumerate(found):
        name = re.sub(r"[\s_/-]", "", match.group(1)).upper()
        value = _REMARK.sub("", match.group(2)).strip()
        records.setdefault(name, value)
        if name in ("XYPOINTS", "XYDATA") and not table:
            end = found[place + 1].start() if place + 1 < len(found) else len(text)
            table, form = _REMARK.sub("", text[match.end() : end]), re.sub(r"\s", "", value).upper()
    if not table or "END" not in records:
        raise PatternError(f"{JCAMP}: no whole table of points in it: export it again")
    units = records.get("XUNITS", "")
    if "2" not in units or "th" not in units.lower().replace("θ", "th"):
        raise PatternError(f"{JCAMP}: the axis is {units[:40]!r}, not 2θ in degrees")
    refuse_other_axis([units])
    if not _NUMBERS.match(table):
        raise PatternError(f"{JCAMP}: a compressed table: export it uncompressed")
    try:
        rows = [[float(word) for word in _BETWEEN.split(line.strip())] for line in table.splitlines() if line.strip()]
    except ValueError as error:  # "1.2.3", or a decimal comma
        raise PatternError(f"{JCAMP}: the table holds something that is no number ({str(error)[:60]})") from None
    if form.startswith("(XY"):
        values = np.array([number for row in rows for number in row])
        if len(values) % 2:
            raise PatternError(f"{JCAMP}: a point without intensity: export it again")
        angles, counts = values[::2].copy(), values[1::2].copy()
    else:
        counts = np.array([number for row in rows for number in row[1:]]) * _number(records, "YFACTOR", 1.0)
        angles = np.linspace(_number(records, "FIRSTX"), _number(records, "LASTX"), len(counts))
    if _number(records, "NPOINTS", len(counts)) != len(counts):
        raise PatternError(f"{JCAMP}: {records['NPOINTS'][:20]} points declared, the file holds {len(counts)}")
    wavelength, warnings = stated_wavelength([f"{name} = {value}" for name, value in records.items()])
    source = "file: the header" if wavelength else ""
    described = Measurement(format=JCAMP, sample=records.get("TITLE", ""), wavelength_source=source)
    return [Scan(angles, counts, wavelength, described, tuple(warnings))]


def read_json(text: str) -> list[Scan]:
    """The scan of a JSON file as xrdpattern writes it: ``two_theta_values``, ``intensities`` and a ``label``.

    Raises:
        PatternError: no JSON, or none of this kind.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or not {"two_theta_values", "intensities"} <= set(content):
            raise PatternError(f"a JSON file without two_theta_values and intensities: no {JSON}; give two columns")
        angles = np.array(content["two_theta_values"], dtype=np.float64)
        counts = np.array(content["intensities"], dtype=np.float64)
        lines = _mapping(_mapping(content.get("label")).get("xray_info"))
        sample = str(_mapping(content.get("metadata")).get("filename") or "")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, PatternError):
            raise
        raise PatternError(f"a JSON file, damaged or cut short ({str(error)[:80]}): export it again") from None
    first, warnings = check_length(_scalar(lines.get("primary_wavelength")), "Kα1")
    second, more = check_length(_scalar(lines.get("secondary_wavelength")), "Kα2")
    source = "file: Kα1" if first else ""
    described = Measurement(JSON, sample=sample, wavelength_source=source, k_alpha1=first, k_alpha2=second)
    return [Scan(angles, counts, first, described, tuple(warnings + more))]


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping, which xrdpattern may write as a string of JSON."""
    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, dict) else {}


def _scalar(value: Any) -> str | float | None:
    return value if isinstance(value, str | int | float) else None


def _number(records: dict[str, str], name: str, default: float | None = None) -> float:
    try:
        return float(records[name])
    except (KeyError, ValueError):
        if default is None or name in records:
            raise PatternError(f"{JCAMP}: ##{name}= is missing or no number: export it again") from None
        return default
