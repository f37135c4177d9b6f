"""Files made to hurt: bombs, lies about sizes, entities, zeros. An error, little memory, little time."""

from __future__ import annotations

import io
import os
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import instrument_files as files
import numpy as np
import pytest
from instrument_files import Written

from syngony.errors import PatternError
from syngony.readers import read_pattern
from syngony.readers.signatures import read_scans

PEAK = Written(10.0, 0.05, tuple(50 + round(5000 * np.exp(-(((i - 200) / 5) ** 2))) + i % 7 for i in range(400)))
SECONDS, BYTES = 10.0, 600_000_000  # far above what is needed, far below what hurts


@contextmanager
def bounded(seconds: float = SECONDS, size: int = BYTES) -> Iterator[None]:
    tracemalloc.start()
    began = time.perf_counter()
    try:
        yield
        assert time.perf_counter() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_a_gigabyte_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "scan.raw"
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 1_000_000_000)
    with bounded(1, 10_000_000), pytest.raises(PatternError, match="1000 MB: larger than any powder scan"):
        read_pattern(path)
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 90_000_000)
    with bounded(), pytest.raises(PatternError, match="nothing but zeros"):
        read_pattern(path)


@pytest.mark.parametrize("start", [b"RAW ", b"RAW2", b"RAW1.01\0", b"RAW4.00\0", b"PK\x03\x04", b"*RAS_INT_START\n"])
def test_zeros_behind_a_signature(start: bytes) -> None:
    with bounded(), pytest.raises(PatternError):
        read_scans(start + bytes(20_000_000))


def bomb(archive: bytes, member: str, start: bytes = b"") -> bytes:
    """The archive with one member replaced by 400 MB of blanks."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
        with new.open(member, "w", force_zip64=True) as out:
            out.write(start)
            for _ in range(40):
                out.write(b" " * 10_000_000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("archive", "member"),
    [
        (files.brml([PEAK]), "Experiment0/RawData0.xml"),
        (files.brml([PEAK]), "Experiment0/DataContainer.xml"),
        (files.rasx([PEAK]), "Data0/Profile0.txt"),
        (files.rasx([PEAK]), "root.xml"),
    ],
)
def test_zip_bombs(archive: bytes, member: str) -> None:
    content = bomb(archive, member)
    assert len(content) < 1_000_000
    with bounded(), pytest.raises(PatternError, match="unpacks to far more"):
        read_scans(content)
    # The directory claims that the member is small: it is still not unpacked whole.
    place = content.rfind(b"PK\x01\x02")  # the last member of the directory: the bomb
    lie = bytearray(content)
    lie[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    with bounded(), pytest.raises(PatternError):
        read_scans(bytes(lie))


def test_an_archive_inside_an_archive() -> None:
    inner = files.brml([PEAK])
    with pytest.raises(PatternError, match="Bruker BRML, Experiment0/RawData0.xml: damaged"):
        read_scans(
            files.zipped(
                {
                    "Experiment0/DataContainer.xml": "<D><RawDataReferenceList><string>Experiment0/RawData0.xml"
                    "</string></RawDataReferenceList></D>",
                    "Experiment0/RawData0.xml": inner,
                }
            )
        )
    with pytest.raises(PatternError, match="a zip archive: unpack it first"):
        read_scans(files.zipped({"scan.brml": inner}))


def test_members_that_point_elsewhere_or_twice() -> None:
    wrong = "<D><RawDataReferenceList><string>../../etc/passwd</string></RawDataReferenceList></D>"
    with pytest.raises(PatternError, match="lacks its member"):
        read_scans(files.zipped({"Experiment0/DataContainer.xml": wrong}))
    with pytest.warns(UserWarning, match="Duplicate name"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for text in ("<a/>", wrong):
                archive.writestr("Experiment0/DataContainer.xml", text)
    with pytest.raises(PatternError, match="members of one name"):
        read_scans(stream.getvalue())


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12))
    + "]>"
)


@pytest.mark.parametrize(
    "start",
    [
        LAUGHS,
        '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_bombs(start: str) -> None:
    entity = "&m;" if start is LAUGHS else "&a;"
    body = files.xrdml([PEAK]).decode().partition("?>")[2].replace("rutile", entity)
    with bounded(2, 50_000_000), pytest.raises(PatternError, match="a document type is declared"):
        read_scans((start + body).encode())
    with bounded(2, 50_000_000), pytest.raises(PatternError, match="a document type is declared"):
        read_scans(files.zipped({"Experiment0/DataContainer.xml": start + f"<D>{entity}</D>"}))


def test_deep_and_many_elements() -> None:
    head = '<xrdMeasurements xmlns="x">'
    with bounded(), pytest.raises(PatternError, match="too deep or too many"):
        read_scans((head + "<a>" * 5_000_000).encode())
    with bounded(60), pytest.raises(PatternError, match="too deep or too many"):
        read_scans((head + "<a/>" * 3_000_000).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"1 " * 10_000_000,
        b"1 2\n" * 3_000_000,
        b"10 0.0001 170\n" + b"1 " * 10_000_000,
        b"[" * 10_000_000,
        b'{"two_theta_values": ' + b"[" * 100_000,
        b"data_a\nloop_\n_pd_meas_counts_total\n" + b"1\n" * 1_000_000,
        b"BANK 1 9 9 CONST 1 1 0 0 STD\n" * 100_000,
        b"##TITLE=a\n##XYPOINTS=(XY..XY)\n" + b"1 2\n" * 1_000_000,
        b"a" * 29_000_000,
        b"2" * 29_000_000,
        b'"' * 900_000,
    ],
    ids=lambda content: content[:12].decode(),
)
def test_long_texts(content: bytes) -> None:
    with bounded(60, 2_000_000_000), pytest.raises(PatternError):
        read_scans(content)


def test_scans_without_end() -> None:
    """Headers that declare more points or ranges than there are bytes."""
    for name in ("raw_1", "raw_2", "raw_3", "raw_4"):
        content = bytearray(files.WRITERS[name]([PEAK]))
        points = (400).to_bytes(2, "little")
        place = content.find(points)
        content[place : place + 2] = b"\xff\xff"
        with bounded(), pytest.raises(PatternError):
            read_scans(bytes(content))


def test_two_scans_in_one_text(tmp_path: Path) -> None:
    path = tmp_path / "two.xy"
    rows = "".join(f"{a:.3f} {c}\n" for a, c in zip(PEAK.angles, PEAK.counts, strict=True))
    path.write_text(rows + rows)
    with pytest.raises(PatternError, match="one range a file"):
        read_pattern(path, "CuKa")


def test_a_device_is_no_file() -> None:
    if Path("/dev/zero").exists():
        with bounded(1, 10_000_000), pytest.raises(PatternError):
            read_pattern("/dev/zero")
