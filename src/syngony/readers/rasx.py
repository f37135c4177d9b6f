"""Rigaku RASX: a zip archive of XML and text. ``root.xml`` lists groups ``Data<n>`` of a profile and its conditions.

Observed in files of SmartLab Studio II, 2020 to 2025; the conditions' name is spelt ``MesurementConditions``.
A profile is text, UTF-8 with its mark: 2θ, intensity and factor of attenuation, which geddes decodes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.archive import Archive
from syngony.readers.decoding import decode
from syngony.readers.rigaku import lines_of_tube, seconds_a_point
from syngony.readers.scan import MOST_PACKED_SCANS, Scan, refuse_axis, refuse_many
from syngony.readers.xml_tree import parse_xml, text_of

NAME = "Rigaku RASX"
_GROUP = re.compile(r"Data\d+")


def read_rasx(content: bytes) -> list[Scan]:
    """Every profile in the archive.

    Raises:
        PatternError: damaged, no profile, or another axis than 2θ.
    """
    archive = Archive(content)
    if "root.xml" not in archive.names:
        raise PatternError(f"{NAME}: it lacks its member root.xml: copy it again from the instrument")
    root = parse_xml(archive.read("root.xml"), f"{NAME}, root.xml")
    refuse_many(len(root), NAME, MOST_PACKED_SCANS)
    scans: list[Scan] = []
    for group in root:
        names = [e.get("Name", "") for e in group.findall("ContentHashList")]
        profile = next((name for name in names if name.lower().endswith(".txt")), None)
        if not _GROUP.fullmatch(group.tag) or profile is None:
            continue
        archive.read(f"{group.tag}/{profile}")  # within our limits, before geddes unpacks it
        conditions = next((name for name in names if name.lower().endswith(".xml")), None)
        described = None
        if conditions is not None:
            path = f"{group.tag}/{conditions}"
            described = parse_xml(archive.read(path), f"{NAME}, {path}")
            refuse_axis(text_of(described, ".//ScanInformation/AxisName"))
        angles, intensity = decode(content, "rasx", len(scans))
        scans.append(_with_conditions(Scan(angles, intensity, measurement=Measurement(format=NAME)), described))
    if not scans:
        raise PatternError(f"{NAME}: no profile in it (images alone?): export the scan as text")
    return scans


def _with_conditions(scan: Scan, conditions: Element | None) -> Scan:
    if conditions is None:
        return scan.warned("the file lacks the conditions of the measurement")
    tube = conditions.find(".//XrayGenerator")
    wavelength, warnings, lines = lines_of_tube(
        text_of(tube, "WavelengthKalpha1"),
        text_of(tube, "WavelengthKalpha2"),
        text_of(tube, "WavelengthKbeta"),
        text_of(tube, "WaveType"),
    )
    info = conditions.find(".//ScanInformation")
    described = replace(
        lines,
        format=NAME,
        sample=text_of(conditions, ".//GeneralInformation/SampleName"),
        instrument=text_of(conditions, ".//GeneralInformation/SystemName"),
        date=text_of(info, "StartTime"),
        anode=text_of(tube, "TargetName"),
        count_time=seconds_a_point(text_of(info, "Speed"), text_of(info, "SpeedUnit"), text_of(info, "Step")),
    )
    return Scan(scan.positions, scan.intensity, wavelength, described, tuple(warnings))
