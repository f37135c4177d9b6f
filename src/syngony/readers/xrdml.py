"""PANalytical XRDML, schemas 1.0 to 2.3 (http://www.xrdml.com): XML with one or more scans.

Angles are a start and an end or a list; intensities are ``intensities`` (attenuation already applied) or
``counts`` (as detected, to be multiplied by ``beamAttenuationFactors``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.scan import Scan, check_length, refuse_axis, refuse_many
from syngony.readers.xml_tree import parse_xml, text_of

NAME = "PANalytical XRDML"
_LONGEST_LIST = 10_000_000  # characters: over a million numbers
_NO_SCANS = re.compile(r"pole figure|area|texture|stress|rocking", re.IGNORECASE)


def read_xrdml(content: bytes) -> list[Scan]:
    """Every scan of every measurement in the file.

    geddes would parse the document anew for each scan; here the tree is at hand.

    Raises:
        PatternError: damaged, no scan in it, or another axis than 2θ (pole figures, maps, rocking curves).
    """
    root = parse_xml(content, NAME)
    scans: list[Scan] = []
    for measurement in root.findall("xrdMeasurement"):
        kind = measurement.get("measurementType", "")
        if _NO_SCANS.search(kind):
            raise PatternError(f"{NAME}: the measurement is of type {kind[:40]!r}: no powder scan")
        refuse_many(len(scans) + len(measurement.findall("scan")), NAME)
        scans.extend(_scan(element, measurement, text_of(root, "sample/id")) for element in measurement.findall("scan"))
    if not scans:
        raise PatternError(f"{NAME}: no scan in it (a measurement that was never started?): export it again")
    return scans


def _scan(element: Element, measurement: Element, sample: str) -> Scan:
    refuse_axis(element.get("scanAxis", ""))
    points = element.find("dataPoints")
    if points is None:
        raise PatternError(f"{NAME}: a scan without data points")
    intensity = _intensity(points)
    angles = _angles(points, len(intensity))
    wavelength, warnings, lines = _wavelength(measurement)
    if element.get("status", "Completed").lower() not in ("completed", ""):
        warnings.append(f"the scan's status is {element.get('status', '')[:40]!r}: it may not be whole")
    count_time = text_of(points, "commonCountingTime")
    described = replace(
        lines,
        format=NAME,
        sample=sample,
        instrument=text_of(element, "header/source/instrumentControlSoftware"),
        date=text_of(element, "header/startTimeStamp"),
        anode=text_of(measurement, "incidentBeamPath/xRayTube/anodeMaterial"),
        count_time=_number(count_time) if count_time else None,
    )
    return Scan(angles, intensity, wavelength, described, tuple(warnings))


def _intensity(points: Element) -> NDArray[np.float64]:
    for name in ("intensities", "counts"):
        values = _numbers(text_of(points, name))
        if not len(values):
            continue
        factors = _numbers(text_of(points, "beamAttenuationFactors"))
        if name == "intensities" or not len(factors):
            return values
        if len(factors) != len(values):
            raise PatternError(f"{NAME}: {len(factors)} attenuation factors for {len(values)} points")
        return values * factors
    raise PatternError(f"{NAME}: a scan without intensities (stopped before its first point?)")


def _angles(points: Element, n: int) -> NDArray[np.float64]:
    """(n,) degrees of 2θ."""
    axis = next((a for a in points.findall("positions") if a.get("axis") == "2Theta"), None)
    if axis is None:
        raise PatternError(f"{NAME}: a scan without positions of 2θ: no powder scan")
    if axis.get("unit", "deg") != "deg":
        raise PatternError(f"{NAME}: 2θ in {axis.get('unit', '')[:20]!r}, not in degrees")
    listed = _numbers(text_of(axis, "listPositions"))
    if len(listed):
        if len(listed) != n:
            raise PatternError(f"{NAME}: {len(listed)} angles for {n} intensities: export it again")
        return listed
    first, last = text_of(axis, "startPosition"), text_of(axis, "endPosition")
    if not first or not last:
        raise PatternError(f"{NAME}: 2θ stands still in this scan: no powder scan")
    return np.linspace(_number(first), _number(last), n)


def _wavelength(measurement: Element) -> tuple[float | None, list[str], Measurement]:
    """Å, warnings, and the lines in a `Measurement`."""
    used = measurement.find("usedWavelength")
    intended = used.get("intended", "") if used is not None else ""
    first, warnings = check_length(text_of(used, "kAlpha1"), "Kα1")
    second, more = check_length(text_of(used, "kAlpha2"), "Kα2")
    ratio = text_of(used, "ratioKAlpha2KAlpha1")
    lines = Measurement(k_alpha1=first, k_alpha2=second, ratio=_number(ratio) if ratio else None)
    if "beta" in intended.lower():
        wavelength, other = check_length(text_of(used, "kBeta"), "Kβ")
        return wavelength, warnings + more + other, replace(lines, wavelength_source="file: Kβ")
    return first, warnings + more, replace(lines, wavelength_source="file: Kα1")


def _numbers(text: str) -> NDArray[np.float64]:
    if len(text) > _LONGEST_LIST:
        raise PatternError(f"{NAME}: {len(text) / 1e6:.0f} MB of numbers in one list: larger than any powder scan")
    try:
        return np.array(text.split(), dtype=np.float64)
    except ValueError:
        raise PatternError(f"{NAME}: {text[:20]!a}... holds something that is no number") from None


def _number(text: str) -> float:
    values = _numbers(text)
    if len(values) != 1:
        raise PatternError(f"{NAME}: {text[:20]!a} where one number should stand")
    return float(values[0])
