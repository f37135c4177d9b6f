"""Files as large as readers take them, of what costs most: many scans, lines, columns, records, names, nestings."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import instrument_files as files
from instrument_files import Written

SIZE = 9_500_000
"""Bytes, just below what is read of a text that names its format."""
COLUMNS = 5_900_000
"""The same of columns without a format."""

_SHORT = Written(10.0, 0.25, tuple(50 + i % 9 for i in range(24)))
_LONG = Written(10.0, 0.0005, tuple(i % 1000 for i in range(300_000)))


def _filled(start: bytes, unit: bytes, end: bytes = b"") -> Callable[[], bytes]:
    return lambda: start + unit * (SIZE // len(unit)) + end


def _columns(start: bytes, unit: bytes) -> Callable[[], bytes]:
    return lambda: start + unit * (COLUMNS // len(unit))


def _many(name: str) -> Callable[[], bytes]:
    return lambda: files.WRITERS[name]([_SHORT] * (500 if name in ("brml", "rasx") else 1000))


def _rising() -> bytes:
    return "".join(f"{10 + i * 1e-4:.4f} {i % 97}\n" for i in range(500_000)).encode()


def _one_list() -> bytes:
    ends = "<positions axis='2Theta'><startPosition>1</startPosition><endPosition>9</endPosition></positions>"
    listed = "<intensities>" + "11 " * 9_000_000 + "</intensities>"
    return files._xrdml(f"<scan scanAxis='Gonio'><dataPoints>{ends}{listed}</dataPoints></scan>", "1.0")


def _one_member_often() -> bytes:
    """A BRML whose list names one scan 5,000 times."""
    name = "Experiment0/RawData0.xml"
    scan = zipfile.ZipFile(io.BytesIO(files.brml([_SHORT]))).read(name)
    listed = f"<D><RawDataReferenceList>{f'<string>{name}</string>' * 5000}</RawDataReferenceList></D>"
    return files.zipped({"Experiment0/DataContainer.xml": listed, name: scan})


CASES: dict[str, Callable[[], bytes]] = {
    **{f"{name}, many scans": _many(name) for name in files.WRITERS if name not in files.OF_ONE_SCAN},
    "rows of two": _columns(b"", b"1 2\n"),
    "rows of 16": _columns(b"", b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    "rows with commas": _columns(b"", b"11,22\n"),
    "one line of numbers": _columns(b"", b"11 "),
    "a scan of 500,000 points": _rising,
    "lines of words": _columns(b"", b"a b\n"),
    "comments": _columns(b"", b"# wavelength=1.5\n"),
    "semicolons": _columns(b"", b";;;;;;;;;;;;;\n"),
    "quotes": _columns(b"", b'"1","2"\n'),
    "start step stop, one line": _columns(b"10 0.0001 170\n", b"1 "),
    "start step stop, lines": _columns(b"10 0.0001 170\n", b"1 2 3 4 5 6 7 8 9 10\n"),
    "JSON, long lists": _filled(b'{"two_theta_values":[', b"1,", b'1],"intensities":[1]}'),
    "JSON, many lists": _filled(b"[", b"[1],", b"1]"),
    "CIF, a long loop": _filled(b"data_a\nloop_\n_pd_meas_counts_total\n", b"1\n"),
    "CIF, many blocks": lambda: b"".join(b"data_%d\n_a 1\n" % i for i in range(400_000)),
    "CIF, many names": lambda: b"data_a\n" + b"".join(b"_t%d 1\n" % i for i in range(700_000)),
    "CIF, names without values": _filled(b"data_a\nloop_\n", b"_t?\n"),
    "GSAS, many banks": _filled(b"t\n", b"BANK 1 9 9 CONST 1 1 0 0 STD\n"),
    "GSAS, a long bank": _filled(b"t\nBANK 1 1000000 99999 CONST 1000 1 0 0 STD\n", b"       1" * 10 + b"\n"),
    "GSAS, half a bank line often": _filled(b"", b"BANK 1 "),
    "JCAMP-DX, points": _filled(b"##TITLE=a\n##XUNITS=2Theta\n##XYPOINTS=(XY..XY)\n", b"10 20\n", b"##END=\n"),
    "JCAMP-DX, records": _filled(b"##TITLE=a\n", b"##A=100\n"),
    "JCAMP-DX, remarks": _filled(b"##TITLE=", b"$"),
    "RAS, a long scan": _filled(b"*RAS_INT_START\n", b"1 2 3\n", b"*RAS_INT_END\n"),
    "RAS, empty scans": _filled(b"*RAS_INT_START\n", b"*RAS_INT_END\n*RAS_INT_START\n"),
    "RAS, keys": _filled(b"*RAS_HEADER_START\n", b'*A "1"\n'),
    "RAS, a long key": _filled(b"*RAS_HEADER_START\n*A", b' "1'),
    "RAS, blanks": _filled(b"*RAS_HEADER_START\n*A", b" "),
    "ASC, a long group": _filled(b"*TYPE = Raw\n*BEGIN\n*START=1\n*STEP=1\n", b"1,2,3\n", b"*END\n"),
    "ASC, empty groups": _filled(b"*TYPE = Raw\n", b"*BEGIN\n*END\n"),
    "UXD, a long range": _filled(b"_FILEVERSION=1\n_START=1\n_STEPSIZE=1\n_COUNTS\n", b"1 2 3 4 5 6\n"),
    "UXD, pairs": _filled(b"_FILEVERSION=3\n_2THETACOUNTS\n", b"10 20.123\n"),
    "UXD, empty ranges": _filled(b"_FILEVERSION=1\n_START=1\n_STEPSIZE=1\n", b"_COUNTS=1\n"),
    "XRDML, one long list": _one_list,
    "XRDML, elements": lambda: files._xrdml("<a/>" * 490_000, "1.0"),
    "XRDML, attributes": lambda: files._xrdml("<a " + " ".join(f'b{i}="1"' for i in range(990_000)) + "/>", "1.0"),
    "BRML, one member often": _one_member_often,
    "BRML, a long scan": lambda: files.brml([_LONG]),
    "RASX, a long scan": lambda: files.rasx([_LONG]),
    "RAW 1, nine million points": lambda: files.raw_1([Written(10.0, 0.0001, tuple(range(1_000_000)))] * 9),
    "digits": _columns(b"# wavelength ", b"1"),
    "digits and points": _columns(b"# wavelength ", b"1."),
    "blanks": _columns(b"# wavelength", b" "),
    "half a unit often": _columns(b"", b"q ["),
    "half a wavelength often": _columns(b"", b"lambda "),
    "half a line's name often": _columns(b"", b"Ka1,"),
    "half a tag often": _columns(b"", b"<a "),
    "half of a data block often": _columns(b"", b"data_\n"),
    "half of XRDML often": _filled(b"<?xml", b"<xrd "),
}
