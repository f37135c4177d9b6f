"""Instrument formats: what the tests write is read back, and damage is an error, never other numbers."""

from __future__ import annotations

from pathlib import Path

import instrument_files as files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instrument_files import KA1, KA2, WRITERS, Written

from syngony.errors import PatternError, SyngonyError, WavelengthError
from syngony.readers import name_in_file, read_pattern, read_patterns
from syngony.readers.scan import Scan
from syngony.readers.signatures import read_scans

PEAK = Written(10.0, 0.05, tuple(50 + round(5000 * np.exp(-(((i - 200) / 5) ** 2))) + i % 7 for i in range(400)))
SECOND = Written(40.0, 0.02, tuple(20 + round(800 * np.exp(-(((i - 99) / 9) ** 2))) + i % 5 for i in range(300)))
MANY = sorted(set(WRITERS) - files.OF_ONE_SCAN)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def assert_same(scan: Scan, written: Written) -> None:
    assert np.allclose(scan.positions, written.angles, atol=2e-5)
    assert np.array_equal(scan.intensity, written.counts)


def write(folder: Path, content: bytes, name: str = "scan.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    (scan,) = read_scans(WRITERS[name]([PEAK]))
    assert_same(scan, PEAK)
    pattern = read_pattern(write(tmp_path, WRITERS[name]([PEAK])))  # .txt, whatever it is
    assert pattern.wavelength == pytest.approx(KA1, abs=1e-9) and pattern.warnings == ()
    said = pattern.measurement
    assert said is not None and said.wavelength_source.startswith("file: ") and said.format and said.part == ""
    if name in files.TUBES:
        assert (said.k_alpha1, said.k_alpha2, said.count_time) == pytest.approx((KA1, KA2, 2.5), abs=1e-6)
        assert said.anode == "Cu" or name == "raw_1"
        assert said.sample == "rutile" or name in ("raw_2", "uxd_3")


@pytest.mark.parametrize("name", MANY)
def test_every_scan_of_a_file_is_read_and_named(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, WRITERS[name]([PEAK, SECOND, PEAK]))
    patterns = read_patterns(path)
    for pattern, written, number in zip(patterns, (PEAK, SECOND, PEAK), (1, 2, 3), strict=True):
        assert np.array_equal(pattern.intensity, written.counts)
        assert np.allclose(pattern.two_theta, written.angles, atol=2e-5)
        assert pattern.name == f"scan.txt [{number} of 3]"
        assert pattern.measurement is not None and pattern.measurement.part == f"{number} of 3"
    assert [name_in_file("a", p) for p in patterns] == ["a", "a [2 of 3]", "a [3 of 3]"]
    first = read_pattern(path)
    assert np.array_equal(first.intensity, PEAK.counts)
    assert first.warnings == ("the file holds 3 scans; this is the first: read_patterns gives all",)


def test_a_scan_that_is_none_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, files.uxd([PEAK, Written(20.0, 0.01, (1, 2, 3) * 20), SECOND]))
    first, second = read_patterns(path)
    assert len(first) == 400 and len(second) == 300
    assert first.warnings == second.warnings and "scan 2 of 3 is left out: the scan spans" in first.warnings[0]


@st.composite
def written_scans(draw: st.DrawFn) -> Written:
    n = draw(st.integers(62, 300))  # three degrees at least, of the finest step
    start, step = draw(st.integers(100, 9000)) / 100, draw(st.integers(5, 30)) / 100
    counts = draw(st.lists(st.integers(0, 99_999), min_size=n, max_size=n).filter(lambda c: len(set(c)) > 3))
    return Written(start, step, tuple(counts))


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(scan=written_scans())
def test_any_scan_is_read_back(name: str, scan: Written) -> None:
    (read,) = read_scans(WRITERS[name]([scan]))
    assert_same(read, scan)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_an_error_or_shorter(name: str, data: st.DataObject) -> None:
    content = WRITERS[name]([PEAK])
    cut = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 100, len(content) - 1))
    try:
        (scan,) = read_scans(content[:cut])
    except SyngonyError as error:
        assert str(error).isprintable()
        return
    # Only what ends in blanks, remarks or one cut number can be read at all; no point is another.
    assert len(scan.positions) == 400 and np.allclose(scan.positions, PEAK.angles, atol=2e-5)
    assert np.array_equal(scan.intensity[:-1], PEAK.counts[:-1])


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_scans_or_an_error(name: str, data: st.DataObject) -> None:
    content = bytearray(WRITERS[name]([PEAK]))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(900, len(content) - 1)))
        content[place] = data.draw(st.integers(0, 255))
    try:
        scans = read_scans(bytes(content))
    except SyngonyError as error:
        assert str(error).isprintable()
    else:
        assert scans and all(len(scan.positions) == len(scan.intensity) for scan in scans)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", sorted(files.TEXT))
def test_encodings(name: str, encoding: str) -> None:
    content = WRITERS[name]([PEAK]).decode().replace("rutile", "rütile")
    (scan,) = read_scans(content.encode(encoding))
    assert_same(scan, PEAK)


@pytest.mark.parametrize("name", ["brml", "uxd_3", "xrdml_2", "ras", "rasx", "cif_2", "jcamp", "json_of_xrdpattern"])
def test_reversed_scans_are_turned_and_repeated_angles_refused(name: str, tmp_path: Path) -> None:
    backwards = Written(PEAK.end, -0.05, PEAK.counts)
    pattern = read_pattern(write(tmp_path, WRITERS[name]([backwards])))
    assert np.allclose(pattern.two_theta, PEAK.angles, atol=2e-5)
    assert np.array_equal(pattern.intensity, PEAK.counts[::-1])
    with pytest.raises(PatternError, match="2θ does not increase|strictly increasing"):
        read_pattern(write(tmp_path, WRITERS[name]([Written(10.0, 0.0, PEAK.counts)])))


NO_POWDER_SCANS = {
    "RAW 3 rocking curve": (files.raw_3([PEAK], kind=3), "rocking curve"),
    "RAW 3 tilted": (files.raw_3([PEAK] * 3, chi=(0.0, 20.0, 40.0)), "chi from 0 to 40 .* stress or texture"),
    "BRML rocking curve": (files.brml([PEAK], axis="Theta"), "2θ does not move"),
    "BRML tilted": (files.brml([PEAK] * 2, chi=(0.0, 45.0)), "stress or texture"),
    "UXD pole figure": (files.uxd([PEAK], drive="PHI"), "'PHI': a pole figure"),
    "UXD rocking curve": (files.uxd([PEAK], drive="THETA"), "rocking curve"),
    "UXD tilted": (files.uxd_3([PEAK] * 2, chi=(0.0, 45.0)), "stress or texture"),
    "XRDML pole figure": (files.xrdml([PEAK], kind="Texture pole figure"), "'Texture pole figure'"),
    "XRDML map": (files.xrdml([PEAK], kind="Area measurement"), "'Area measurement'"),
    "XRDML rocking curve": (files.xrdml([PEAK], axis="Omega"), "'Omega': a rocking curve"),
    "RAS rocking curve": (files.ras([PEAK], axis="Omega"), "rocking curve"),
    "RASX phi": (files.rasx([PEAK], axis="Phi"), "'Phi'"),
    "ASC pole figure": (files.asc([PEAK], kind="Polefig", axis="beta"), "pole figure"),
    "GSAS time of flight": (files.gsas_fxye([PEAK], kind="SLOG"), "time of flight"),
    "CIF time of flight": (
        files.cif_2([PEAK]).replace(b"_pd_meas.2theta_scan", b"_pd_meas.time_of_flight"),
        "time of flight",
    ),
    "JCAMP-DX against Q": (files.jcamp([PEAK]).replace(b"XUNITS=2Theta", b"XUNITS=1/A"), "not 2θ"),
}


@pytest.mark.parametrize("name", NO_POWDER_SCANS)
def test_what_is_no_powder_scan_is_refused_by_name(name: str) -> None:
    content, reason = NO_POWDER_SCANS[name]
    with pytest.raises(PatternError, match=reason):
        read_scans(content)


def test_the_users_wavelength_against_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, files.xrdml([PEAK]))
    assert read_pattern(path, "CuKa").warnings == ()
    other = read_pattern(path, "CoKa")
    assert other.wavelength == 1.79026 and other.measurement is not None
    assert other.measurement.wavelength_source == "user" and other.measurement.k_alpha1 == KA1
    assert other.warnings == ("the file says 1.5406 Å, 1.79026 Å was given and is used",)


def test_a_wavelength_that_is_absurd_or_missing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WavelengthError, match=r"Kα1, 154\.06 Å, is absurd and not used: pass it"):
        read_pattern(write(tmp_path, files.xrdml([PEAK], wavelength="154.06")))
    for nothing in ("", "0"):
        with pytest.raises(WavelengthError, match="no wavelength in the file: pass it"):
            read_pattern(write(tmp_path, files.xrdml([PEAK], wavelength=nothing)))
    assert read_pattern(write(tmp_path, files.xrdml([PEAK], wavelength="")), "CuKa1").wavelength == KA1


def test_cif_with_points_left_out_and_the_wavelength_in_another_block() -> None:
    text = files.cif([PEAK]).decode().replace("50 1.0\n", ". .\n", 1)
    stated = next(line for line in text.splitlines() if "wavelength" in line)
    moved = text.replace(stated, "") + f"data_instrument\n{stated}\n"
    (scan,) = read_scans(moved.encode())
    assert len(scan.positions) == 399 and scan.wavelength == KA1
    (scan,) = read_scans((moved + "data_another\n_diffrn_radiation_wavelength 0.7\n").encode())
    assert scan.wavelength is None


def test_k_beta_where_it_was_chosen() -> None:
    (scan,) = read_scans(files.rasx([PEAK], kind="Kb"))
    assert scan.wavelength == 1.392246 and scan.measurement.wavelength_source == "file: Kβ"
    (scan,) = read_scans(files.rasx([PEAK], kind="Ka1"))
    assert scan.wavelength == KA1 and scan.measurement.ratio == 0.0
