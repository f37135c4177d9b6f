"""Scans in the dialects of text, and what is refused by name."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syngony.errors import PatternError, SyngonyError, WavelengthError
from syngony.readers import read_pattern
from syngony.readers.header import stated_wavelength
from syngony.readers.signatures import read_scans

ANGLES = np.round(np.arange(10.0, 40.0, 0.05), 4)
COUNTS = np.round(50.0 + 5000.0 * np.exp(-(((ANGLES - 25.0) / 0.2) ** 2)) + ANGLES % 7, 2)


def rows(separator: str = " ", decimal: str = ".", end: str = "\n", esd: bool = False, quote: str = "") -> str:
    """The scan above as text."""
    lines = []
    for angle, count in zip(ANGLES, COUNTS, strict=True):
        fields = [f"{angle:.4f}", f"{count:.2f}"] + ([f"{count**0.5:.3f}"] if esd else [])
        lines.append(separator.join(quote + field.replace(".", decimal) + quote for field in fields))
    return end.join(lines) + end


def parsed(text: str | bytes) -> tuple[np.ndarray, np.ndarray]:
    (scan,) = read_scans(text.encode() if isinstance(text, str) else text)
    return scan.positions, scan.intensity


def assert_is_the_scan(text: str | bytes) -> None:
    angles, counts = parsed(text)
    assert np.array_equal(angles, ANGLES) and np.array_equal(counts, COUNTS)


DIALECTS = {
    "blanks": rows("   "),
    "tabs": rows("\t"),
    "commas": rows(","),
    "comma and blank": rows(", "),
    "semicolons": rows(";"),
    "esd": rows(" ", esd=True),
    "csv with esd": rows(",", esd=True),
    "decimal commas, semicolons": rows(";", ","),
    "decimal commas, semicolons and blanks": rows(" ; ", ","),
    "decimal commas, tabs": rows("\t", ","),
    "decimal commas, blanks": rows("  ", ","),
    "decimal commas, quoted": rows(",", ",", quote='"'),
    "quoted": rows(",", quote='"'),
    "CRLF": rows(end="\r\n"),
    "CR": rows(end="\r"),
    "blank lines": rows(end="\n\n"),
    "trailing separators": rows(",", end=",\n"),
    "comments": "# a\n! b\n; c\n' d\n/* e */\n" + rows(),
    "remarks": rows(end="  # seen\n"),
    "comments within": rows().replace("\n25.", "\n# half way\n25.", 1),
    "header": "Sample 1\nmeasured 2021\n2Theta Intensity\n" + rows(),
    "titles that look like axes": "Sample A-1, batch 1/A, 5 nm-1\nTheta alumina\nScan axis: 2Theta/Omega\n" + rows(),
    "footer": rows() + "\nend of scan\nwritten by nobody\n",
    "no last end of line": rows().rstrip(),
    "DOS end of file": rows() + "\x1a",
    "start step stop": "10 0.05 39.95\n" + rows(),
    "scan points": '[Measurement conditions]\nComment,"a, b; 3"\nNo. of points,600\n[Scan points]\nAngle,Intensity\n'
    + rows(","),
    "reversed": "\n".join(reversed(rows().splitlines())),
    "Fortran exponents": "\n".join(f"{a:.4f} {c / 1000:.5f}D+03" for a, c in zip(ANGLES, COUNTS, strict=True)),
    "Fit2D": f"a title\n2-Theta Angle (Degrees)\nIntensity\n   {len(ANGLES)}\n" + rows(),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect(name: str) -> None:
    angles, counts = parsed(DIALECTS[name])
    assert np.allclose(angles, ANGLES, atol=1e-12) and np.allclose(counts, COUNTS, rtol=1e-12)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encoding(encoding: str) -> None:
    assert_is_the_scan(("Messung für Å, 2µm\n" + rows(";", ",")).encode(encoding))


def test_counts_under_start_step_stop() -> None:
    counts = [f"{c:.2f}" for c in COUNTS]
    body = "\n".join(" ".join(counts[i : i + 10]) for i in range(0, len(counts), 10))
    assert np.allclose(parsed("10.0 0.05 39.95 a title\n" + body)[0], ANGLES)
    assert np.array_equal(parsed("10.0 0.05 39.95\n" + "\n".join(counts))[1], COUNTS)
    with pytest.raises(PatternError, match="10 numbers a line"):
        parsed("10.0 0.05 45.0 a title\n" + body)


def test_half_of_two_columns_under_start_step_stop_is_no_grid() -> None:
    """300 rows of two are 600 numbers, as many as the head asks for, and still angles and counts."""
    half = "10 0.05 39.95\n" + "".join(rows().splitlines(keepends=True)[:300])
    angles, counts = parsed(half)
    assert np.allclose(angles, ANGLES[:300]) and np.array_equal(counts, COUNTS[:300])


def header_and(header: str) -> str:
    return header + "\n" + rows(",")


REFUSED = {
    "one line": ("10.0 5\n", "no two columns"),
    "prose": ("once upon a time\n" * 40, "no two columns"),
    "one column": ("\n".join(map(str, COUNTS)), "counts without angles"),
    "too few": ("\n".join(rows().splitlines()[:10]), "10 points"),
    "NaN": (rows().replace("25.0000 5054.00", "25.0000 NaN"), "NaN"),
    "NaN first": ("9.95 nan\n" + rows(), "line 1 holds NaN"),
    "NaN last": (rows() + "40.0 -nan\n", "NaN"),
    "infinity": (rows().replace("25.0000 5054.00", "25.0000 1e999"), "NaN or infinity"),
    "Excel error": (rows(",") + "40.0,#N/A\n", "NaN"),
    "Excel error after a blank": (rows() + "40.0 #VALUE!\n", "NaN"),
    "text in the middle": (rows().replace("\n25.0000", "\nshutter closed\n25.0000"), "line 301 .*shutter"),
    "a lost value": (rows().replace("25.0000 5054.00", "25.0000"), "line 301"),
    "two ranges": (rows() + "second range\n" + rows(), "one range a file"),
    "two ranges, comment": (rows() + "# second range\n" + rows(), "2θ does not increase"),
    "repeated angle": (rows().replace("25.0500", "25.0000"), "2θ does not increase at point 302"),
    "ragged": (rows() + rows(esd=True), "holds 3 numbers"),
    "two delimiters": (rows() + rows(","), "delimiter"),
    "thousands": (rows("\t").replace("5054.00", "5,054"), "decimal"),
    "decimal commas between commas": (rows(",", ","), "2θ does not increase"),
    "negative": (rows().replace("10.0000", "-10.0000"), "angles from -10"),
    "short": ("\n".join(f"{10 + i / 100} {i % 7}" for i in range(100)), "spans 0.99 degrees"),
    "flat": ("\n".join(f"{a} 5" for a in ANGLES), "no signal"),
    "peak list": ("\n".join(f"{10 + 2.3 * i + i % 3} {i % 5}" for i in range(30)), "list of peaks"),
    "d axis": ("\n".join(f"{0.77 / np.sin(np.radians(a / 2)):.5f} {a % 7}" for a in ANGLES), "first column d"),
    "angle twice": ("\n".join(f"{a / 2} {a} {c}" for a, c in zip(ANGLES, COUNTS, strict=True)), "second column rises"),
    "side by side": ("\n".join(f"{a},{c},{a},{c}" for a, c in zip(ANGLES, COUNTS, strict=True)), "side by side"),
    "pairs": ("\n".join(f"{a} {c} {a + 0.02:.3f} {c}" for a, c in zip(ANGLES, COUNTS, strict=True)), "side by side"),
    "steps and points": ("0.05 600\n" + rows(), "remove that line"),
    "incomplete": (header_and("No. of points,4489\nAngle,Intensity"), "declares 4489 points, the file holds 600"),
    "incomplete Fit2D": ("t\n2-Theta\n\n 1455\n" + rows(), "declares 1455"),
    "Q named": ("Q I(Q)\n" + rows(), "Q, without its unit"),
    "Q in words": ("momentum transfer\n" + rows(), "which unit"),
    "Q and 2θ": ("# 2theta and q_A^-1\n" + rows(), "say which the first column is"),
    "d named": (header_and("d [Å],Intensity"), "d, not 2θ"),
    "theta": ("Theta\tCounts\n" + rows("\t"), "θ, not 2θ"),
    "omega": (header_and("omega,intensity"), "omega, not 2θ"),
    "energy": (header_and("Energy (keV),Counts"), "energy"),
    "radians": ("# 2th_rad I\n" + rows(), "radians"),
    "pole figure": ("ScanningMode\tBeta\n" + rows("\t"), "Beta was scanned"),
    "rocking curve": (header_and("Scan axis,Omega\nAngle,Intensity"), "Omega was scanned"),
    "XRDML": ('<?xml version="1.0"?>\n<xrdMeasurements>\n', "PANalytical XRDML"),
    "XML": ('<?xml version="1.0"?>\n<data/>\n', "an XML file"),
    "HTML": ("<!DOCTYPE html><html>" + rows(), "a web page"),
    "JSON": ('{"two_theta": [1, 2]}', "a JSON file"),
    "JSON list": ("[[10.0, 5],\n[10.1, 6]]", "a JSON file"),
    "CIF of a structure": ("data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\n" + rows(), "a structure alone"),
    "CIF cut short": ("data_x\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n" + rows() + "9", "cut short"),
    "RAS": ("*RAS_DATA_START\n" + rows(esd=True), "Rigaku RAS: no scan"),
    "ASC": ("*TYPE = Raw\n*START = 10\n" + rows(","), "Rigaku ASC: no scan"),
    "UXD": ("_FILEVERSION=2\n_THETACOUNTS\n" + rows("\t"), "Bruker UXD: line 2 .* no scan of 2θ"),
    "GSAS": ("title\nBANK 1 600 60 CONST 1000 5 0 0 STD\n" + rows(), "GSAS: .*600 channels|GSAS: .*beyond"),
    "JCAMP": ("##TITLE=a\n##XYPOINTS=(XY..XY)\n" + rows(","), "JCAMP-DX: no whole table"),
    "RTF": ("{\\rtf1 " + rows(), "RTF"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(PatternError, match=reason) as caught:
        read_scans(text.encode())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"RAW ", "Bruker RAW version 1"),
        (b"RAW2", "Bruker RAW version 2"),
        (b"RAW1.01", "Bruker RAW version 3"),
        (b"RAW4.00", "Bruker RAW version 4"),
        (b"RAW_1.06", "STOE RAW"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\xd0\xcf\x11\xe0", "old Office"),
        (b"%PDF-1.4", "PDF"),
        (b"\x1f\x8b\x08", "gzip: unpack"),
        (b"PK\x03\x04", "damaged zip"),
        (b"unknown", "binary file of an unknown kind"),
    ],
)
def test_binary_files_are_refused_by_name(start: bytes, name: str) -> None:
    with pytest.raises(PatternError, match=name):
        read_scans(start + bytes(range(256)) * 8)


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("Experiment0/DataContainer.xml", "Bruker BRML"),
        ("Data0/Profile0.txt", "Rigaku RASX"),
        ("xl/workbook.xml", "Excel workbook: save the sheet as CSV"),
        ("a.xy", "zip archive: unpack"),
    ],
)
def test_zips_are_refused_by_what_they_hold(member: str, name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, rows())
    with pytest.raises(PatternError, match=name):
        read_scans(stream.getvalue())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Wavelength: CuKa doublet", 1.54184),
        ("# Wavelength: 4.133e-11 m", 0.4133),
        ("K-Alpha1 wavelength,1.5405980\nK-Alpha2 wavelength,1.5444260\nRatio K-Alpha2/K-Alpha1,0.5", 1.540598),
        ("K-Alpha2 wavelength,1.5444260\nK-Alpha1 wavelength,1.5405980", 1.540598),
        ("Wavelength (K-Alpha1): 1.5406", 1.5406),
        ("Wavelength Kα1 = 1.5406 Å, Kα2 = 1.5444", 1.5406),
        ("WAVELENGTH 1.5406 1.5444 0.5", 1.5406),
        ("Wavelength (nm) = 0.15406", 1.5406),
        ("wavelength_nm: 0.0413", 0.413),
        ("wavelength: 0.15406 nm", 1.5406),
        ("Wavelength: 1,5406", 1.5406),
        ("Wavelength [Å];1,54060", 1.5406),
        ('"Wavelength","1.5406"', 1.5406),
        ("lambda = 0.41", 0.41),
        ("λ(Cu Kα) = 1.5418 Å", 1.5418),
        ("WAVE_LENGTH1 = 1.54059\nWAVE_LENGTH2 = 1.54441", 1.54059),
        ("Wavelength 1: 1.5406", 1.5406),
        ("Cu Kα1,2", 1.54184),
        ("Cu K-alpha1", 1.540598),
        ("Cu Ka1 and Cu Ka2", 1.54184),
        ("CuKa, Ni filter", 1.54184),
        ("Wavelength: CuKa (40 kV, 40 mA)", 1.54184),
        ("neutron wavelength: 1.494", 1.494),
        ("Monochromator CuKa\nWavelength 0.7093", 0.7093),
        ("Wavelength 2: 1.5444", None),
        ("K-Alpha2 wavelength,1.5444260", None),
        ("FILTER = Cu_K-beta", None),
        ("Monochromator wavelength: 1.3", None),
        ("Anode material,Cu", None),
        ("Detector: Lambda 750k", None),
        ("Lambda 2M", None),
        ("Wavelength,1", None),
        ("Wavelength: 40 kV", None),
        ("Wavelength range 0.5 - 5.0", None),
        ("wavelength 0.15406", None),
        ("wavelength: 15.406", None),
        ("Wavelength: 1.5406\nWavelength: 0.7093", None),
        ("Mo Ka\nWavelength 1.5406", None),
        ("", None),
    ],
)
def test_stated_wavelength(header: str, value: float | None) -> None:
    assert stated_wavelength(header.split("\n"))[0] == (value if value is None else pytest.approx(value, abs=1e-9))


def test_contradictions_and_absurdities_are_said() -> None:
    assert "several wavelengths" in stated_wavelength(["Wavelength: 1.5406", "Wavelength: 0.7093"])[1][0]
    assert "absurd" in stated_wavelength(["Wavelength: 15.406"])[1][0]
    assert "nm" in stated_wavelength(["Wavelength: 0.15406"])[1][0]


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("# q_A^-1 I", 1.0),
        ("q [1/A],I", 1.0),
        ("x (nm^-1),I", 0.1),
        ("title\nQ (Inverse Nanometres)\nIntensity\n600", 0.1),
        ("# q_nm^-1 I", 0.1),
    ],
)
def test_an_axis_of_q_becomes_two_theta(tmp_path: Path, header: str, unit: float) -> None:
    q = 4 * np.pi * np.sin(np.radians(ANGLES / 2)) / 0.709319
    lines = [f"{x / unit:.6f} {c:.2f}" for x, c in zip(q, COUNTS, strict=True)]
    path = write(tmp_path, header + "\n" + "\n".join(lines))
    with pytest.raises(WavelengthError, match="no wavelength in the file: pass it"):
        read_pattern(path)
    pattern = read_pattern(path, "MoKa1")
    assert np.allclose(pattern.two_theta, ANGLES, atol=1e-4) and np.array_equal(pattern.intensity, COUNTS)
    assert "the axis is Q" in pattern.warnings[0]
    with pytest.raises(PatternError, match="5 Å reaches"):
        read_pattern(path, 5.0)


def write(folder: Path, text: str) -> Path:
    path = folder / "scan.xy"
    path.write_text(text)
    return path


def test_wavelength_of_file_and_user(tmp_path: Path) -> None:
    path = write(tmp_path, rows())
    with pytest.raises(WavelengthError, match="no wavelength in the file: pass it, e.g. --wavelength CuKa"):
        read_pattern(path)
    assert read_pattern(path, "CoKa").wavelength == 1.79026
    with pytest.raises(WavelengthError, match="absurd|not between"):
        read_pattern(path, 15.4)
    path = write(tmp_path, "# Wavelength: 1.5406\n" + rows())
    assert read_pattern(path).wavelength == 1.5406
    assert read_pattern(path, "CuKa").warnings == ()
    assert read_pattern(path, "CoKa").warnings == ("the file says 1.5406 Å, 1.79026 Å was given and is used",)
    with pytest.raises(WavelengthError, match="is absurd and not used: pass it"):
        read_pattern(write(tmp_path, "# Wavelength: 154\n# Wavelength: 154.06\n" + rows()))


def test_what_the_user_should_know(tmp_path: Path) -> None:
    whole = "# neutron wavelength: 1.494\n" + rows(esd=True)
    warnings = read_pattern(write(tmp_path, whole.rstrip().rpartition(" ")[0])).warnings
    assert "cut short" in warnings[0] and "neutrons" in warnings[1]
    holed = "\n".join(line for line in rows().splitlines() if not 20 < float(line.split()[0]) < 30)
    assert read_pattern(write(tmp_path, holed), 1.54).warnings == ("nothing was measured between 20 and 30 degrees",)


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "a folder"), (tmp_path / "no.xy", "no such file"), ("a\0b", "cannot be read")):
        with pytest.raises(PatternError, match=reason):
            read_pattern(path, 1.54)
    with pytest.raises(PatternError, match="the file is empty"):
        read_pattern(write(tmp_path, ""), 1.54)


@pytest.mark.parametrize("name", ["rutile", "halite", "quartz"])
def test_examples(name: str) -> None:
    pattern = read_pattern(EXAMPLES / f"{name}.xy")
    assert pattern.wavelength == 1.54184 and pattern.warnings == ()
    assert pattern.two_theta[0] == 10.0 and pattern.two_theta[-1] == pytest.approx(90.0)


# --- laws ---------------------------------------------------------------------------------------

SEPARATORS = [(" ", "."), ("\t", "."), (",", "."), (", ", "."), (";", "."), (";", ","), ("\t", ","), ("   ", ",")]


@st.composite
def scans(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(60, 200))
    start, step = draw(st.integers(1, 9000)) / 100, draw(st.integers(10, 40)) / 100
    counts = draw(st.lists(st.integers(0, 10**7), min_size=n, max_size=n).filter(lambda c: len(set(c)) > 3))
    return np.round(start + step * np.arange(n), 2), np.array(counts) / 100


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    scans(), st.sampled_from(SEPARATORS), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["utf-8", "utf-16"])
)
def test_a_written_scan_is_read_back(
    scan: tuple[np.ndarray, np.ndarray], dialect: tuple[str, str], end: str, encoding: str
) -> None:
    separator, decimal = dialect
    lines = [f"{a:.2f}{separator}{c:.2f}".replace(".", decimal) for a, c in zip(*scan, strict=True)]
    (read,) = read_scans((end.join(["a header", *lines]) + end).encode(encoding))
    assert np.array_equal(read.positions, scan[0]) and np.array_equal(read.intensity, scan[1])


WHOLE = {name: text.encode() for name, text in DIALECTS.items() if name not in ("reversed", "Fortran exponents")}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1))
def test_a_truncated_file_gives_fewer_points_or_an_error(name: str, share: float) -> None:
    content = WHOLE[name]
    try:
        (scan,) = read_scans(content[: int(share * len(content))])
    except SyngonyError:
        return
    n = len(scan.positions)
    assert n <= len(ANGLES)
    # A number cut in two is still a number: the last point is as good as the file.
    assert np.allclose(scan.positions[: n - 1], ANGLES[: n - 1]) and np.allclose(
        scan.intensity[: n - 1], COUNTS[: n - 1]
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(alphabet="0123456789.,;- \t\nNaNe#\"'[{<*_BANK", max_size=400).map(str.encode))
def test_bytes_give_a_scan_or_an_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.xy"
        path.write_bytes(content)
        try:
            read_pattern(path, 1.54)
        except SyngonyError as error:
            assert str(error).isprintable()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_give_a_scan_or_an_error(data: st.DataObject) -> None:
    content = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_scans(bytes(content))
    except SyngonyError as error:
        assert str(error).isprintable()
