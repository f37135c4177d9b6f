"""Files that are no columns of text, known by their first bytes or lines and refused by name."""

from __future__ import annotations

import re
import struct
import zipfile
from io import BytesIO

from syngony.errors import PatternError

_AS_TEXT = "export the scan as two columns of text (.xy, .xye, .csv)"

# First bytes. Longer signatures come before the shorter ones that they begin with.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"RAW_1", "a STOE RAW file"),
    (b"RAW1.01", "a Bruker RAW file (version 3)"),
    (b"RAW4.00", "a Bruker RAW file (version 4)"),
    (b"RAW2", "a Bruker RAW file (version 2)"),
    (b"RAW ", "a Siemens/Bruker RAW file (version 1)"),
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

# Lines of text, searched in the first _HEAD characters.
_HEAD = 20_000
_TEXT: tuple[tuple[str, str], ...] = (
    (r"\A\s*<[^>]*>?.*?<xrdMeasurement|\A\s*<xrdMeasurement", "a PANalytical XRDML file"),
    (r"\A\s*<(?:!doctype\s+html|html)", "a web page"),
    (r"\A\s*<(?:\?xml|!--|[a-z])", "an XML file"),
    (r"\A\s*(?:\{\s*[\"}]|\[\s*[\[{\"\d\]-])", "a JSON file"),
    (r"^\*RAS_(?:DATA|HEADER|INT)_START", "a Rigaku RAS file"),
    (r"^\*(?:TYPE|START|COUNT|GROUP_COUNT)\s*=", "a Rigaku ASC/DAT file"),
    (r"^_(?:FILEVERSION|DRIVE|STEPSIZE)\s*=|^_(?:2THETA)?(?:COUNTS|CPS)\s*$", "a Bruker UXD file"),
    (r"^##\s*(?:JCAMP-?DX|TITLE|XYPOINTS|XYDATA)\s*=", "a JCAMP-DX file"),
    (r"^BANK\s+\d+\s+\d+", "a GSAS file"),
    (r"^data_\S*[ \t]*$(?=[\s\S]*^(?:loop_|_[a-z]))", "a CIF"),
    (r"\ASampleIdent,", "a Philips UDF file"),
    (r"\ASIETRONICS XRD SCAN", "a Sietronics CPI file"),
)
_TEXT_PATTERNS = tuple((re.compile(pattern, re.MULTILINE | re.IGNORECASE | re.DOTALL), name) for pattern, name in _TEXT)


def refuse_known_binary(content: bytes) -> None:
    """Refuse by name what begins with the signature of a format that is not text.

    Raises:
        PatternError: which format this is, and what to do.
    """
    for magic, name in _MAGIC:
        if content.startswith(magic):
            raise PatternError(f"{name}, which cannot be read yet: {_AS_TEXT}")
    for magic, name in _PACKED:
        if content.startswith(magic):
            raise PatternError(f"a file packed with {name}: unpack it first")
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise PatternError(_of_zip(content))


def refuse_known_text(text: str) -> None:
    """Refuse by name text in which a scan is laid out otherwise than in columns.

    Raises:
        PatternError: which format this is, and what to do.
    """
    head = text[:_HEAD]
    for pattern, name in _TEXT_PATTERNS:
        if pattern.search(head):
            raise PatternError(f"{name}, which cannot be read yet: {_AS_TEXT}")


def _of_zip(content: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
        return f"a damaged zip archive (Bruker BRML, Rigaku RASX, Excel ...): copy it again, or {_AS_TEXT}"
    if any(re.match(r"Experiment\d+/", name) for name in names):
        return f"a Bruker BRML file, which cannot be read yet: {_AS_TEXT}"
    if any(re.match(r"Data\d+/Profile\d+\.txt", name) for name in names):
        return f"a Rigaku RASX file, which cannot be read yet: {_AS_TEXT}"
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook: save the sheet as CSV"
    return "a zip archive: unpack it first"
