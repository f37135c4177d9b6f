"""Which format a file is, by its first bytes or lines, never by its extension."""

from __future__ import annotations

import re
from collections.abc import Callable

from syngony.errors import PatternError
from syngony.readers import (
    archive,
    brml,
    bruker_raw,
    exchange,
    gsas,
    powder_cif,
    rasx,
    rigaku,
    text,
    uxd,
    xrdml,
)
from syngony.readers.scan import Scan

_AS_TEXT = "export the scan as two columns of text (.xy, .xye, .csv)"
_MAX_TEXT = 10_000_000  # bytes, twenty times the longest real scan at hand; parsing takes fifty times as much
_MAX_LINES = 1_000_000
_MAX_XML = 30_000_000  # bytes: markup is longer, and instruments put many scans in one file
_HEAD = 20_000  # characters in which the marks of a text are looked for

_BINARY: tuple[tuple[bytes, Callable[[bytes], list[Scan]]], ...] = (
    (b"RAW1.01", bruker_raw.read_bruker_raw),
    (b"RAW4.00", bruker_raw.read_bruker_raw),
    (b"RAW2", bruker_raw.read_bruker_raw),
    (b"RAW ", bruker_raw.read_bruker_raw),
)
_REFUSED_BINARY: tuple[tuple[bytes, str], ...] = (
    (b"RAW_1", "a STOE RAW file"),
    (b".RAW", "a .RAW file of old diffractometer software"),
    (b"V3RD", "a Philips RD file"),
    (b"V5RD", "a Philips RD file"),
    (b"\x89HDF", "an HDF5/NeXus file"),
    (b"CDF\x01", "a NetCDF file"),
    (b"\xd0\xcf\x11\xe0", "an old Office document (.xls, .doc)"),
    (b"PAR1", "a Parquet table"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"{\\rtf", "an RTF document"),
)  # fmt: skip
_PACKED: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"7z\xbc\xaf", "7z"),
)
_XRDML = re.compile(r"<(?:\w{1,40}:)?xrdMeasurement")
_TEXT: tuple[tuple[str, re.Pattern[str], Callable[[str], list[Scan]]], ...] = tuple(
    (part, re.compile(pattern, re.MULTILINE | re.IGNORECASE | re.DOTALL), read)
    for part, pattern, read in (
        ("", r"\A\s*(?:\{\s*[\"}]|\[\s*[\[{\"\d\]-])", exchange.read_json),
        ("*", r"^\*RAS_(?:DATA|HEADER|INT)_START", rigaku.read_ras),
        ("*", r"^\*(?:TYPE|START|COUNT|GROUP_COUNT)\s*=", rigaku.read_asc),
        ("_", r"^_(?:FILEVERSION|DRIVE|STEPSIZE)\s*=|^_(?:2THETA)?(?:COUNTS|CPS)\s*$", uxd.read_uxd),
        ("##", r"^##\s*(?:JCAMP-?DX|TITLE|XYPOINTS|XYDATA)\s*=", exchange.read_jcamp),
        ("bank", r"^[ \t]*BANK\s+\d+\s+\d+", gsas.read_gsas),
        ("_", r"^data_\S*[ \t]*$(?=[\s\S]*^(?:loop_|_[a-z]))", powder_cif.read_powder_cif),
    )
)
"""A part of the pattern, in small letters, that is found faster than the pattern; the pattern; who reads it."""
_REFUSED_TEXT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE | re.IGNORECASE | re.DOTALL), name)
    for pattern, name in (
        (r"\A\s*<(?:!doctype\s+html|html)", "a web page"),
        (r"\A\s*<(?:\?xml|!--|!doctype|[a-z])", "an XML file of another kind than XRDML"),
        (r"\ASampleIdent,", "a Philips UDF file"),
        (r"\ASIETRONICS XRD SCAN", "a Sietronics CPI file"),
    )
)


def read_scans(content: bytes) -> list[Scan]:
    """The scans in a file of any format that is read.

    Raises:
        PatternError: a format that is not read, by name; or what the format's reader finds wrong.
    """
    content = content.rstrip(b"\x00") if content.count(b"\x00") == len(content) else content
    if not content:
        raise PatternError("the file holds nothing but zeros: copy it again from the instrument")
    for magic, read in _BINARY:
        if content.startswith(magic):
            return read(content)
    for magic, name in _REFUSED_BINARY:
        if content.startswith(magic):
            raise PatternError(f"{name}, which cannot be read: {_AS_TEXT}")
    for magic, name in _PACKED:
        if content.startswith(magic):
            raise PatternError(f"a file packed with {name}: unpack it first")
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _reader_of_archive(content)(content)
    decoded = text.decode_text(content)
    head = decoded[:_HEAD]
    if head.lstrip().startswith("<") and _XRDML.search(head):
        if len(content) > _MAX_XML:
            raise PatternError(f"{len(content) / 1e6:.0f} MB of XRDML: larger than any powder scan")
        return xrdml.read_xrdml(content)
    if len(content) > _MAX_TEXT:
        raise PatternError(f"{len(content) / 1e6:.0f} MB of text: larger than any powder scan")
    if (lines := max(decoded.count("\n"), decoded.count("\r"))) > _MAX_LINES:
        raise PatternError(f"{lines} lines: longer than any powder scan")
    for pattern, name in _REFUSED_TEXT:
        if pattern.search(head):
            raise PatternError(f"{name}, which cannot be read: {_AS_TEXT}")
    small = head.lower()
    for part, pattern, read_text in _TEXT:
        if part in small and pattern.search(head):
            return read_text(decoded)
    return text.read_columns_of_text(decoded)


def _reader_of_archive(content: bytes) -> Callable[[bytes], list[Scan]]:
    names = archive.Archive(content).names
    if any(re.match(r"Experiment\d+/", name) for name in names):
        return brml.read_brml
    if any(re.match(r"Data\d+/Profile\d+\.txt", name) for name in names):
        return rasx.read_rasx
    if any(name.startswith("xl/") for name in names):
        raise PatternError("an Excel workbook: save the sheet as CSV")
    raise PatternError("a zip archive: unpack it first")
