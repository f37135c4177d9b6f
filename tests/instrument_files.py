"""Instrument files that tests write themselves, one writer a format: (start, step, counts) of each scan to bytes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KA1, KA2 = 1.540598, 1.544426


@dataclass(frozen=True)
class Written:
    """A scan to be written: start and step in degrees, whole counts."""

    start: float
    step: float
    counts: tuple[int, ...]

    @property
    def angles(self) -> np.ndarray:
        return self.start + self.step * np.arange(len(self.counts))

    @property
    def end(self) -> float:
        return self.start + self.step * (len(self.counts) - 1)


Scans = list[Written]


def zipped(members: dict[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _words(values: object) -> str:
    return " ".join(f"{value:.7g}" for value in values)  # type: ignore[attr-defined]


def raw_1(scans: Scans) -> bytes:
    out = b""
    for place, s in enumerate(scans):
        head = bytearray(156)
        struct.pack_into("<4sIff", head, 0, b"RAW ", len(s.counts), 2.5, s.step)
        struct.pack_into("<fff", head, 24, s.start, 0.0, 0.0)
        head[40:72] = b"rutile".ljust(32)
        struct.pack_into("<ff", head, 72, KA1, KA2)
        struct.pack_into("<I", head, 152, int(place < len(scans) - 1))
        out += bytes(head) + np.array(s.counts, "<f4").tobytes()
    return out


def raw_2(scans: Scans) -> bytes:
    head = bytearray(256)
    struct.pack_into("<4sH", head, 0, b"RAW2", len(scans))
    head[168:190] = b"01-Feb-1999 10:11:12".ljust(20) + b"Cu"
    struct.pack_into("<fff", head, 190, KA1, KA2, 0.5)
    out = bytes(head)
    for s in scans:
        part = bytearray(64)
        struct.pack_into("<HH4xfff", part, 0, 64, len(s.counts), 2.5, s.step, s.start)
        out += bytes(part) + np.array(s.counts, "<f4").tobytes()
    return out


def raw_3(scans: Scans, kind: int = 0, chi: tuple[float, ...] = (0.0,)) -> bytes:
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<I", head, 12, len(scans))
    head[326:332] = b"rutile"
    head[608:610] = b"Cu"
    struct.pack_into("<5d", head, 616, 1.54184, KA1, KA2, 1.3922, 0.5)
    out = bytes(head)
    for place, s in enumerate(scans):
        part = bytearray(304)
        struct.pack_into("<IIddd", part, 0, 304, len(s.counts), s.start / 2, s.start, chi[place % len(chi)])
        struct.pack_into("<d", part, 176, s.step)
        struct.pack_into("<fI", part, 192, 2.5, kind)
        struct.pack_into("<III", part, 248, 0, 4, 0)
        out += bytes(part) + np.array(s.counts, "<f4").tobytes()
    return out


def raw_4(scans: Scans) -> bytes:
    tube = bytearray(136)
    struct.pack_into("<II", tube, 0, 30, 136)
    struct.pack_into("<5d", tube, 72, 1.54184, KA1, KA2, 1.3922, 0.5)
    tube[116:118] = b"Cu"
    sample = bytearray(42)
    struct.pack_into("<II", sample, 0, 10, 42)
    sample[12:20], sample[36:42] = b"SAMPLEID", b"rutile"
    out = b"RAW4.00\0".ljust(61, b"\0") + bytes(tube) + bytes(sample)
    for s in scans:
        part = bytearray(160)
        part[32:46] = b"Locked Coupled"
        struct.pack_into("<ddIf", part, 72, s.start, s.step, len(s.counts), 2.5)
        struct.pack_into("<II", part, 136, 4, 0)
        out += bytes(part) + np.array(s.counts, "<f4").tobytes()
    return out


def brml(scans: Scans, axis: str = "TwoTheta", chi: tuple[float, ...] = (0.0,)) -> bytes:
    members: dict[str, str | bytes] = {
        "Experiment0/DataContainer.xml": '<?xml version="1.0"?><DataContainer><RawDataReferenceList>'
        + "".join(f"<string>Experiment0/RawData{i}.xml</string>" for i in range(len(scans)))
        + '</RawDataReferenceList><MeasurementInfo SampleName="rutile"/></DataContainer>'
    }
    for i, s in enumerate(scans):
        rows = "".join(f"<Datum>2.5,1,{a:.7g},{c}</Datum>" for a, c in zip(s.angles, s.counts, strict=True))
        members[f"Experiment0/RawData{i}.xml"] = (
            '<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><DataRoutes>'
            '<DataRoute RouteFlag="Measured"><ScanInformation VisibleName="a scan"/><SubScans>'
            f'<SubScanInfo MeasuredTimePerStep="2.5"/></SubScans>{rows}<DataViews>'
            '<RawDataView xsi:type="FixedRawDataView" Start="0" Length="1"/>'
            '<RawDataView xsi:type="FixedRawDataView" Start="1" Length="1"/>'
            '<RawDataView xsi:type="VaryingRawDataView" Start="2" Length="1"><Varying>'
            f'<FieldDefinitions FieldName="{axis}" AxisId="{axis}"/></Varying></RawDataView>'
            '<RawDataView xsi:type="RecordedRawDataView" Start="3" Length="1"/></DataViews></DataRoute></DataRoutes>'
            f'<Drives><InfoData LogicName="Chi"><Position Unit="°" Value="{chi[i % len(chi)]}"/></InfoData></Drives>'
            f'<Tube><WaveLengthAlpha1 Unit="Å" Value="{KA1}"/><WaveLengthAlpha2 Unit="Å" Value="{KA2}"/>'
            '<WaveLengthRatio Unit="" Value="0.5"/><TubeMaterial>Cu</TubeMaterial></Tube></RawData>'
        )
    return zipped(members)


def rasx(scans: Scans, axis: str = "TwoThetaTheta", kind: str = "Ka") -> bytes:
    groups = ""
    members: dict[str, str | bytes] = {}
    for i, s in enumerate(scans):
        groups += f'<Data{i} Type="Profile"><ContentHashList Name="Profile{i}.txt"/>'
        groups += f'<ContentHashList Name="MesurementConditions{i}.xml"/></Data{i}>'
        rows = "".join(f"{a:.7g}\t{c}\t1\r\n" for a, c in zip(s.angles, s.counts, strict=True))
        members[f"Data{i}/Profile{i}.txt"] = ("\ufeff" + rows).encode()
        members[f"Data{i}/MesurementConditions{i}.xml"] = (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><MeasurementConditions><GeneralInformation>'
            "<SampleName>rutile</SampleName></GeneralInformation><HWConfigurations><XrayGenerator>"
            f"<TargetName>Cu</TargetName><WaveType>{kind}</WaveType><WavelengthKbeta>1.392246</WavelengthKbeta>"
            f"<WavelengthKalpha1>{KA1}</WavelengthKalpha1><WavelengthKalpha2>{KA2}</WavelengthKalpha2>"
            f"</XrayGenerator></HWConfigurations><ScanInformation><AxisName>{axis}</AxisName><Step>{s.step}</Step>"
            f"<Speed>{60 * s.step / 2.5}</Speed><SpeedUnit>deg/min</SpeedUnit></ScanInformation>"
            "</MeasurementConditions>"
        ).encode()
    members["root.xml"] = f'<?xml version="1.0"?><Root>{groups}</Root>'
    return zipped(members)


def xrdml(scans: Scans, axis: str = "Gonio", kind: str = "Scan", wavelength: str = str(KA1)) -> bytes:
    """Schema 1.0: start and end, intensities."""
    out = ""
    for s in scans:
        out += (
            f'<scan scanAxis="{axis}" status="Completed"><dataPoints><positions axis="2Theta" unit="deg">'
            f"<startPosition>{s.start:.7f}</startPosition><endPosition>{s.end:.7f}</endPosition></positions>"
            '<commonCountingTime unit="seconds">2.5</commonCountingTime>'
            f'<intensities unit="counts">{_words(s.counts)}</intensities></dataPoints></scan>'
        )
    return _xrdml(out, "1.0", kind, wavelength)


def xrdml_2(scans: Scans) -> bytes:
    """Schema 2.2: listed positions, counts behind an attenuator of 4 that were a quarter as many."""
    out = ""
    for s in scans:
        factors = [4 if c % 4 == 0 else 1 for c in s.counts]
        counts = [c // f for c, f in zip(s.counts, factors, strict=True)]
        out += (
            '<scan scanAxis="2Theta-Omega"><dataPoints><positions axis="2Theta" unit="deg">'
            f"<listPositions>{_words(s.angles)}</listPositions></positions>"
            '<commonCountingTime unit="seconds">2.5</commonCountingTime>'
            f"<beamAttenuationFactors>{_words(factors)}</beamAttenuationFactors>"
            f'<counts unit="counts">{_words(counts)}</counts></dataPoints></scan>'
        )
    return b"\xef\xbb\xbf" + _xrdml(out, "2.2")


def _xrdml(scans: str, schema: str, kind: str = "Scan", wavelength: str = str(KA1)) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{schema}">'
        f'<sample type="To be analyzed"><id>rutile</id></sample><xrdMeasurement measurementType="{kind}">'
        f'<usedWavelength intended="K-Alpha 1"><kAlpha1 unit="Angstrom">{wavelength}</kAlpha1>'
        f'<kAlpha2 unit="Angstrom">{KA2}</kAlpha2><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>'
        f"<incidentBeamPath><xRayTube><anodeMaterial>Cu</anodeMaterial></xRayTube></incidentBeamPath>"
        f"{scans}</xrdMeasurement></xrdMeasurements>\n"
    ).encode()


def uxd(scans: Scans, drive: str = "COUPLED") -> bytes:
    """Version 1: counts under start and step."""
    out = f"; a remark\n_FILEVERSION=1\n_SAMPLE='rutile'\n_WL1={KA1}\n_WL2={KA2}\n_WLRATIO=0.5\n_ANODE='Cu'\n"
    for s in scans:
        out += f"; (Data for a range)\n_DRIVE='{drive}'\n_STEPTIME=2.5\n_STEPSIZE={s.step:.7g}\n_START={s.start:.7g}\n"
        out += f"_STEPCOUNT={len(s.counts)}\n_COUNTS\n"
        out += "".join(" ".join(f"{c:8d}" for c in s.counts[i : i + 8]) + "\n" for i in range(0, len(s.counts), 8))
    return out.encode()


def uxd_3(scans: Scans, chi: tuple[float, ...] = (0.0,)) -> bytes:
    """Version 3: pairs, and a key without value."""
    out = (
        f"_FILEVERSION = 3\n_SAMPLE\n_+SAMPLE\n_WL_UNIT = A\n_WL1 = {KA1}\n_WL2 = {KA2}\n_WLRATIO = 0.5\n_ANODE = Cu\n"
    )
    for place, s in enumerate(scans):
        out += f"\n; Data for range {place + 1}\n_DRIVE = COUPLED\n_STEPTIME = 2.5\n_KHI = {chi[place % len(chi)]}\n"
        out += f"_STEPCOUNT = {len(s.counts)}\n_2THETACOUNTS = 1\n; 2THETA\tCnt2_D1\t\n"
        out += "".join(f"{a:.7g}\t{c}\t\n" for a, c in zip(s.angles, s.counts, strict=True))
    return out.encode()


def ras(scans: Scans, axis: str = "TwoThetaTheta") -> bytes:
    out = "*RAS_DATA_START\n"
    for s in scans:
        out += f'*RAS_HEADER_START\n*FILE_SAMPLE "rutile"\n*HW_XG_TARGET_NAME "Cu"\n*HW_XG_WAVE_LENGTH_ALPHA1 "{KA1}"\n'
        out += f'*HW_XG_WAVE_LENGTH_ALPHA2 "{KA2}"\n*MEAS_DATA_COUNT "{len(s.counts)}.0000000000"\n'
        out += f'*MEAS_SCAN_AXIS_X_INTERNAL "{axis}"\n*MEAS_SCAN_SPEED "2.5"\n*MEAS_SCAN_SPEED_UNIT "sec/step"\n'
        out += f'*MEAS_SCAN_STEP "{s.step:.7g}"\n*RAS_HEADER_END\n*RAS_INT_START\n'
        out += "".join(f"{a:.7g} {c}.0000 1.0000\n" for a, c in zip(s.angles, s.counts, strict=True))
        out += "*RAS_INT_END\n"
    return (out + "*RAS_DATA_END\n").encode()


def asc(scans: Scans, kind: str = "ASCII CLASS", axis: str = "2theta/theta") -> bytes:
    out = f"*TYPE\t\t=  Raw\r\n*CLASS\t\t=  {kind}\r\n*SAMPLE\t\t=  rutile\r\n*GROUP_COUNT\t=  {len(scans)}\r\n"
    out += f"*SCAN_AXIS\t=  {axis}\r\n*TARGET\t\t=  29\r\n*XRAY_CHAR\t=  K-ALPHA\r\n*WAVE_LENGTH1\t=  {KA1}\r\n"
    out += f"*WAVE_LENGTH2\t=  {KA2}\r\n*SPEED_DIM\t=  sec./step\r\n\r\n"
    for place, s in enumerate(scans):
        out += f"*BEGIN\r\n*GROUP\t\t=  {place}\r\n*START\t\t=  {s.start:.7g}\r\n*STEP\t\t=  {s.step:.7g}\r\n"
        out += f"*SPEED\t\t=  2.5\r\n*COUNT\t\t=  {len(s.counts)}\r\n"
        out += "".join(", ".join(map(str, s.counts[i : i + 4])) + "\r\n" for i in range(0, len(s.counts), 4))
        out += "*END\r\n\r\n"
    return (out + "*EOF\r\n").encode()


def _gsas(scans: Scans, flag: str, record: Callable[[Written], list[str]], kind: str = "CONST") -> bytes:
    out = "rutile, wavelength 1.540598".ljust(80) + "\n"
    for place, s in enumerate(scans, 1):
        records = record(s)
        out += f"BANK {place} {len(s.counts)} {len(records)} {kind} {100 * s.start:.7g} {100 * s.step:.7g} 0 0 {flag}\n"
        out += "".join(line.ljust(80) + "\n" for line in records)
    return out.encode()


def _tens(fields: list[str], per_line: int = 10) -> list[str]:
    return ["".join(fields[i : i + per_line]) for i in range(0, len(fields), per_line)]


def gsas_std(scans: Scans) -> bytes:
    return _gsas(scans, "STD", lambda s: _tens([f"{c:8d}" for c in s.counts]))


def gsas_repeated(scans: Scans) -> bytes:
    return _gsas(scans, "", lambda s: _tens([f" 1{c:6d}" for c in s.counts]))


def gsas_esd(scans: Scans) -> bytes:
    return _gsas(scans, "ESD", lambda s: _tens([f"{c:8d}{1.0:8.1f}" for c in s.counts], 5))


def gsas_fxye(scans: Scans, kind: str = "CONS") -> bytes:
    return _gsas(
        scans, "FXYE", lambda s: [f"{100 * a:.7g} {c}.0 1.0" for a, c in zip(s.angles, s.counts, strict=True)], kind
    )


def cif(scans: Scans) -> bytes:
    """GSAS's way: a range, and counts in a loop."""
    out = ""
    for place, s in enumerate(scans):
        out += f"data_rutile_{place}\n_diffrn_radiation_wavelength {KA1}(2)\n_diffrn_measurement_device_type?\n"
        out += f"_pd_meas_2theta_range_min {s.start:.7f}\n_pd_meas_2theta_range_max {s.end:.7f}\n"
        out += f"_pd_meas_2theta_range_inc {s.step:.7f}\n_pd_meas_number_of_points {len(s.counts)}\n"
        out += "loop_\n_pd_meas_counts_total\n_pd_proc_ls_weight\n"
        out += "".join(f"{c} 1.0\n" for c in s.counts) + "\n"
    return out.encode()


def cif_2(scans: Scans) -> bytes:
    """The dictionary's new names, every angle written, uncertainties in parentheses."""
    out = ""
    for place, s in enumerate(scans):
        out += f"data_rutile_{place}\n_diffrn_radiation_wavelength.value {KA1}\n"
        out += f"_pd_meas.number_of_points {len(s.counts)}\n"
        out += "loop_\n_pd_data.point_id\n_pd_meas.2theta_scan\n_pd_meas.intensity_total\n"
        out += "".join(f"{i} {a:.7g} {c}(3)\n" for i, (a, c) in enumerate(zip(s.angles, s.counts, strict=True)))
    return out.encode()


def jcamp(scans: Scans) -> bytes:
    (s,) = scans
    rows = "".join(f"{a:.7g}, {c}\n" for a, c in zip(s.angles, s.counts, strict=True))
    return _jcamp(s, "##XYPOINTS=(XY..XY)\n" + rows)


def jcamp_even(scans: Scans) -> bytes:
    (s,) = scans
    rows = [
        f"{s.start + i * s.step:.7g} " + " ".join(map(str, s.counts[i : i + 6])) for i in range(0, len(s.counts), 6)
    ]
    return _jcamp(s, "##YFACTOR=1\n##XYDATA=(X++(Y..Y))\n" + "\n".join(rows) + "\n")


def _jcamp(s: Written, table: str) -> bytes:
    return (
        "##TITLE=rutile\n##JCAMP-DX=5.00 $$ a remark\n##DATA TYPE=X-RAY DIFFRACTION\n##XUNITS=2Theta\n"
        f"##$WAVELENGTH={KA1}\n##FIRSTX={s.start:.7f}\n##LASTX={s.end:.7f}\n##NPOINTS={len(s.counts)}\n{table}##END=\n"
    ).encode()


def json_of_xrdpattern(scans: Scans) -> bytes:
    (s,) = scans
    label = json.dumps({"xray_info": json.dumps({"primary_wavelength": str(KA1), "secondary_wavelength": str(KA2)})})
    angles = [float(f"{a:.7g}") for a in s.angles]
    content = {"two_theta_values": angles, "intensities": list(s.counts), "label": label, "metadata": "{}"}
    return json.dumps({"title": "rutile", **content}, ensure_ascii=False).encode()


def full_prof(scans: Scans) -> bytes:
    (s,) = scans
    rows = "\n".join(" ".join(f"{c:7d}" for c in s.counts[i : i + 10]) for i in range(0, len(s.counts), 10))
    return f"{s.start:.7f} {s.step:.7f} {s.end:.7f} rutile, wavelength {KA1}\n{rows}\n".encode()


def psi(scans: Scans) -> bytes:
    """Ten counts a line, as many uncertainties, and text after them."""
    (s,) = scans
    fields = [f"{float(c):8.0f}." for c in s.counts]
    fields += [f"{1.5:9.1f}" for _ in s.counts]
    head = f'rutile\nlambda= {KA1}, T= 300.0\n {s.start:.7f} {s.step:.7f} {s.end:.7f} 18000000., sample="a"\n'
    return (head + "\n".join(_tens(fields)) + "\n Filelist='a'\n").encode()


WRITERS: dict[str, Callable[[Scans], bytes]] = {
    f.__name__: f
    for f in (
        raw_1, raw_2, raw_3, raw_4, brml, uxd, uxd_3, xrdml, xrdml_2, ras, rasx, asc, gsas_std, gsas_repeated,
        gsas_esd, gsas_fxye, cif, cif_2, jcamp, jcamp_even, json_of_xrdpattern, full_prof, psi,
    )
}  # fmt: skip
OF_ONE_SCAN = {"jcamp", "jcamp_even", "json_of_xrdpattern", "full_prof", "psi"}
TEXT = set(WRITERS) - {"raw_1", "raw_2", "raw_3", "raw_4", "brml", "rasx", "xrdml", "xrdml_2"}
TUBES = {"raw_1", "raw_2", "raw_3", "raw_4", "brml", "uxd", "uxd_3", "xrdml", "xrdml_2", "ras", "rasx", "asc"}
"""Formats that hold Kα1, Kα2 and a time a point (2.5 s here)."""
