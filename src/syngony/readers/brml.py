"""Bruker BRML: a zip archive of XML. ``DataContainer.xml`` lists the scans, one ``RawData<n>.xml`` each.

Observed in files of DIFFRAC.Suite 3.3 to 7.5. A ``DataRoute`` describes the columns of its ``Datum`` lines,
which geddes decodes; the tube and the drives stand under ``FixedInformation``.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from syngony.errors import PatternError
from syngony.pattern import Measurement
from syngony.readers.archive import Archive
from syngony.readers.decoding import decode
from syngony.readers.scan import MOST_PACKED_SCANS, Scan, check_length, refuse_many, refuse_tilted
from syngony.readers.xml_tree import parse_xml, text_of

NAME = "Bruker BRML"


def read_brml(content: bytes) -> list[Scan]:
    """Every scan of the first experiment in the archive.

    Raises:
        PatternError: damaged, no scan, another axis than 2θ, detector frames, or a specimen at several tilts.
    """
    archive = Archive(content)
    containers = [name for name in archive.names if name.endswith("DataContainer.xml")]
    if not containers:
        raise PatternError(f"{NAME}: without data (saved before it was measured?)")
    container = parse_xml(archive.read(containers[0]), f"{NAME}, {containers[0]}")
    members = [(e.text or "").strip() for e in container.iterfind(".//RawDataReferenceList/*")]
    members = [name for name in members if name]
    if not members:
        raise PatternError(f"{NAME}: no scan in it (a measurement that was never started?)")
    refuse_many(len(members), NAME, MOST_PACKED_SCANS)
    scans = []
    for index, member in enumerate(members):
        raw = parse_xml(archive.read(member), f"{NAME}, {member}")
        _refuse_other_axis(raw)
        angles, intensity = decode(content, "brml", index)
        wavelength, warnings, described = _described(raw, container)
        scans.append(Scan(angles, intensity, wavelength, described, tuple(warnings), chi=_chi(raw)))
    refuse_tilted(scans)
    if len(containers) > 1:
        scans[0] = scans[0].warned(f"the file holds {len(containers)} experiments; only the first is read")
    return scans


def _refuse_other_axis(raw: Element) -> None:
    moved = [field.get("AxisId") or field.get("FieldName") or "" for field in raw.iterfind(".//FieldDefinitions")]
    if "TwoTheta" not in moved:
        info = raw.find(".//ScanInformation")
        kind = info.get("VisibleName", "").strip() if info is not None else ""
        raise PatternError(f"{NAME}: 2θ does not move in the scan {kind[:40]!r}: a rocking curve or a still, no powder")


def _described(raw: Element, container: Element) -> tuple[float | None, list[str], Measurement]:
    tube = raw.find(".//Tube")
    first, warnings = check_length(_value(tube, "WaveLengthAlpha1"), "Kα1")
    second, more = check_length(_value(tube, "WaveLengthAlpha2"), "Kα2")
    info = container.find(".//MeasurementInfo")
    time = raw.find(".//SubScanInfo")
    return (
        first,
        warnings + more,
        Measurement(
            format=NAME,
            sample=info.get("SampleName", "") if info is not None else "",
            instrument=text_of(container, ".//InstrumentDescription/DeviceTypeDesc"),
            date=text_of(raw, "TimeStampStarted"),
            anode=text_of(tube, "TubeMaterial"),
            count_time=_number(time.get("MeasuredTimePerStep", "")) if time is not None else None,
            wavelength_source="file: Kα1",
            k_alpha1=first,
            k_alpha2=second,
            ratio=_number(_value(tube, "WaveLengthRatio")),
        ),
    )


def _chi(raw: Element) -> float | None:
    for drive in raw.iterfind(".//Drives/InfoData"):
        if drive.get("LogicName") in ("Chi", "Psi"):
            return _number(_value(drive, "Position"))
    return None


def _value(parent: Element | None, name: str) -> str:
    """What the attribute ``Value`` of a physical quantity holds."""
    found = None if parent is None else parent.find(name)
    return found.get("Value", "") if found is not None else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
