"""Real instrument files: every one is read as the index of the shared data expects, or refused by name.

The values are checked against geddes where it reads a file and this package decodes it alone, against
another export of the same scan, and else against maxima that were taken from the bytes by hand.
"""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from conftest import SHARED

from syngony.errors import PatternError, WavelengthError
from syngony.pattern import Pattern
from syngony.readers import read_pattern, read_patterns

FOLDER = SHARED / "formats"
pytestmark = pytest.mark.skipif(not (FOLDER / "index.csv").is_file(), reason="the shared instrument files are not here")

REFUSED = {
    "raw/stoe_raw1.06.raw": "a STOE RAW file",
    "raw/ascii_dotRAW_sio250.raw": "a .RAW file of old diffractometer software",
    "brml/Sin2Psi.brml": "stress or texture",
    "xrdml/v1.2_polefig.xrdml": "pole figure",
    "xrdml/v1.0_area.xrdml": "Area measurement",
    "asc/Rigaku_xrd_110.asc": "pole figure",
    "txt/Rigaku_txt.TXT": "Beta was scanned",
    "dat/rigaku_maud.dat": "coordinate of a map",
    "dat/ExampleRigaku.dat": "no number",
    "dat/alzrc.dat": "counts without angles",
    "uxd/Sin2Psi.uxd": "stress or texture",
    "uxd/bruker.UXD": "'PHI': a pole figure",
    "gsas/PG3_22048.gsa": "time of flight",
    "chi/pattern_001.chi": "declares 1455 points, the file holds 75",
    "chi/ExampleChiPlot.chi": "8 points",
    "nxs/Test_spec.nxs": "HDF5/NeXus",
    "nxs/pynxtools_xrd_ref.nxs": "HDF5/NeXus",
}
WAVELENGTHS = {  # as the bytes state them; files not named here state none
    "raw/bruker_raw3_D5000.raw": 1.78897,
    "raw/": 1.5406,
    "brml/": 1.5406,
    "xrdml/": 1.540598,
    "rasx/": 1.540593,
    "ras/": 1.540593,
    "asc/2Theta.asc": 1.54059,
    "dat/PSI_DMC.dat": 1.494,
    "uxd/": 1.5406,
    "csv/210520step1_30min.csv": 1.540598,
    "cif/1517474.cif": 2.0785,
    "cif/ALUMINA.cif": 1.5402,
    "cif/ed-2.cif": 1.494,
    "cif/pbso4_prof.cif": 1.912,
    "json/aimat.json": 1.5406,
}
STATES_NONE = {"raw/gsas_ascii_garnet.raw"}
MAXIMA = {
    "raw/bruker_raw1_pyxrd.raw": 12880,
    "raw/gsas_ascii_garnet.raw": 2664,
    "ras/MB120718Si3.ras": 173128,
    "ras/inas_layer_radial_002_004.ras": 255407232,
    "ras/TiO2-3-3h-BET.ras": 1739,
    "asc/2Theta.asc": 717569,
    "dat/PSI_DMC.dat": 45712,
    "dat/fullprof_free_header.dat": 15702,
    "cif/pbso4_prof.cif": 2459,
    "cif/ed-2.cif": 3532,
    "prn/CPD-Y2O3.PRN": 82598,
}
SAME_SCAN = [
    ("raw/bruker_raw1_LiCoO2.raw", "uxd/LiCoO2.UXD"),
    ("raw/bruker_raw3_BT86.raw", "uxd/BT86_.UXD"),
    ("raw/bruker_raw3_D5000.raw", "xy/D5000_1.xy"),
    ("raw/bruker_raw4_BaZrS3.raw", "brml/BaZrS3.brml"),
    ("raw/bruker_raw4_v5conv.raw", "json/aimat.json"),
    ("csv/210520step1_30min.csv", "xy/210520step1_30min.xy"),
    ("xrdml/v1.6_918.xrdml", "xrdml/v1.6_geddes.xrdml"),
]
# FullProf writes points 2 to 2880 of a range whose first is left out: its column of angles says so, the range does not.
EXPLICIT_ANGLES = {"cif/pbso4_prof.cif": (10.1446, 154.0446)}


def listed() -> list[dict[str, str]]:
    if not (FOLDER / "index.csv").is_file():
        return []
    with (FOLDER / "index.csv").open() as stream:
        return list(csv.DictReader(stream))


def expected(entry: dict[str, str]) -> tuple[int, float, float] | None:
    text = entry["expected (points, first x, last x)"].strip("()")
    if not text or entry["file"] in REFUSED:
        return None
    points, first, last = (float(item) for item in text.split(","))
    return (int(points), *EXPLICIT_ANGLES.get(entry["file"], (first, last)))


@pytest.mark.parametrize("entry", listed(), ids=lambda entry: entry["file"])
def test_every_file_is_read_as_expected_or_refused_by_name(entry: dict[str, str]) -> None:
    name = entry["file"]
    if name in REFUSED:
        with pytest.raises(PatternError, match=REFUSED[name]) as caught:
            read_patterns(FOLDER / name, "CuKa")
        assert str(caught.value).isprintable()
        return
    pattern = read_pattern(FOLDER / name, "CuKa")
    want = expected(entry)
    if want is not None:
        assert len(pattern) == want[0]
        assert (pattern.two_theta[0], pattern.two_theta[-1]) == pytest.approx(want[1:], abs=6e-3)
    else:
        assert name == "asc/2Theta.asc"  # 4 to 80 degrees in steps of 0.01, as its header says
        assert (len(pattern), pattern.two_theta[0], pattern.two_theta[-1]) == pytest.approx((7601, 4, 80))
    if name in MAXIMA:
        assert pattern.intensity.max() == MAXIMA[name]


@pytest.mark.parametrize("entry", [e for e in listed() if e["file"] not in REFUSED], ids=lambda entry: entry["file"])
def test_the_wavelength_is_the_files_or_an_honest_unknown(entry: dict[str, str]) -> None:
    name = entry["file"]
    stated = WAVELENGTHS.get(name, WAVELENGTHS.get(name.split("/")[0] + "/"))
    if stated is None or name in STATES_NONE:
        with pytest.raises(WavelengthError, match="no wavelength in the file: pass it"):
            read_pattern(FOLDER / name)
        return
    text = (FOLDER / name).read_bytes().decode("latin-1")
    if name.split("/")[0] in ("uxd", "xrdml", "ras", "asc", "dat", "csv", "cif", "json"):
        assert re.search(rf"\b{stated}", text)  # it is there to be read
    pattern = read_pattern(FOLDER / name)
    assert pattern.wavelength == pytest.approx(stated, abs=1e-9)
    assert pattern.measurement is not None and pattern.measurement.wavelength_source.startswith("file: ")


@pytest.mark.parametrize(
    "name",
    [
        e["file"]
        for e in listed()
        if e["file"].split("/")[0] in ("xrdml", "uxd", "xy", "xye", "csv", "chi", "txt", "jdx")
    ],
)
def test_geddes_agrees(name: str) -> None:
    """The readers that do not use geddes, against it, value by value."""
    geddes = pytest.importorskip("geddes")
    if name in REFUSED:
        return
    other = geddes.read(str(FOLDER / name))
    pattern = read_pattern(FOLDER / name, "CuKa")
    assert np.allclose(pattern.two_theta, other.x, atol=1e-9)
    assert np.allclose(pattern.intensity, other.y, rtol=1e-12)


@pytest.mark.parametrize(("one", "other"), SAME_SCAN)
def test_two_files_of_one_scan_agree(one: str, other: str) -> None:
    first: Pattern = read_pattern(FOLDER / one, "CuKa")
    second: Pattern = read_pattern(FOLDER / other, "CuKa")
    assert np.allclose(first.two_theta, second.two_theta, atol=6e-3)  # UXD and CSV are written to two digits
    assert np.allclose(first.intensity, second.intensity, rtol=1e-3, atol=0.51)


def test_files_of_several_scans() -> None:
    first, second = read_patterns(FOLDER / "ras/inas_layer_radial_002_004.ras")
    assert (len(first), len(second)) == (1501, 2501)
    assert (second.two_theta[0], second.two_theta[-1], second.intensity[-1]) == pytest.approx((56.0, 66.0, 107.0164))
    series = read_patterns(FOLDER / "brml/Temperature.brml")
    assert len(series) == 22 and len({pattern.intensity.tobytes() for pattern in series}) == 22
    assert [p.measurement.part for p in series if p.measurement][:2] == ["1 of 22", "2 of 22"]


def test_what_else_files_say() -> None:
    said = read_pattern(FOLDER / "xrdml/v1.7_feooh.xrdml").measurement
    assert said is not None and (said.sample, said.instrument, said.anode) == ("feooh", "AERIS", "Cu")
    assert (said.count_time, said.ratio, said.k_alpha2) == (37.995, 0.5, 1.544426)
    said = read_pattern(FOLDER / "ras/TiO2-3-3h-BET.ras").measurement
    assert said is not None and (said.sample, said.instrument) == ("TiO2-3-3h-BET", "MiniFlex 300/600")
    assert said.count_time == pytest.approx(0.12)  # 10 degrees a minute in steps of 0.02
    said = read_pattern(FOLDER / "raw/bruker_raw3_D5000.raw").measurement
    assert said is not None and (said.anode, said.count_time, said.k_alpha2) == ("Co", 2.0, 1.79285)
    neutrons = read_pattern(FOLDER / "cif/ALUMINA.cif")
    assert "neutrons" in neutrons.warnings[0]
