"""The report of determinations: what it draws, what it says, and that no text in it becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES, rutile
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from syngony.cli import app
from syngony.determination import Determination, SpaceGroup
from syngony.diffraction.reflections import reflections
from syngony.library.file import load_library
from syngony.pattern import Measurement, Pattern
from syngony.readers import read_pattern
from syngony.report.answers import MOST_WHOLE, Report, common_folder, script_json
from syngony.report.drawing import drawing_of, lines_wavelength, thinned
from syngony.report.phase_sticks import phase_sticks
from syngony.report.rendering import alternatives, share
from syngony.report.table import COLUMNS, csv_text
from syngony.report.thumbnail import thumbnail
from syngony.report.wording import cell_text, hkl_text, verdict_text, with_uncertainty
from syngony.symmetry import CRYSTAL_SYSTEMS

HOSTILE = "<script>alert('x')</script>\"&.xy"
K_ALPHA, K_ALPHA1 = 1.54184, 1.540598


def cell(**changes: object) -> dict[str, object]:
    """Rutile's, as a determination gives it."""
    return {
        "a": 4.594, "b": 4.594, "c": 2.959, "alpha": 90.0, "beta": 90.0, "gamma": 90.0, "volume": 62.45,
        "centring": "P", "lattice_system": "tetragonal", "crystal_system": "tetragonal", "merit": 20.0, "m20": 300.0,
        "f20": 100.0, "uncertainties": {"a": 0.0004, "c": 0.0003}, "lines_indexed": 1, "lines_total": 2,
        "lines_predicted": 3, "intensity_explained": 0.9, "unindexed": [33.3], "zero_shift": 0.0, "probability": 0.9,
        **changes,
    }  # fmt: skip


def phase(**changes: object) -> dict[str, object]:
    return {
        "name": "Rutile", "formula": "Ti2 O4", "id": "amcsd-9404", "library": "amcsd", "space_group": 136,
        "score": 0.96, "probability": 0.9, "scale": 1.0,
        "distortion": 0.0, "zero_shift": 0.0, "missing": 0.0, "unexplained": 0.0,
        "relatives": (), "component": 1, "measured": True, "match_probability": 0.9, **changes,
    }  # fmt: skip


def answer(file: str = "scan.xy", **changes: object) -> Determination:
    probabilities = dict.fromkeys(CRYSTAL_SYSTEMS, 0.008) | {"tetragonal": 0.9, "cubic": 0.06}
    fields = {
        "file": file, "wavelength": K_ALPHA, "crystal_system": "tetragonal", "probabilities": probabilities,
        "abstained": False, "rests_on": "recognised", "basis": "recognised: Rutile",
        "space_groups": (SpaceGroup(136, "P4_2/mnm", 0.8),),
        "extinction_groups": ({"symbol": "P - n -", "space_groups": [102, 118, 136], "probability": 0.85},),
        "known_phases": (phase(),), "cells": (cell(),), "witnesses": {"network": probabilities},
        "lines": (
            {"two_theta": 27.4, "intensity": 100.0, "uncertainty": 0.01, "hkl": [1, 1, 0]},
            {"two_theta": 33.3, "intensity": 5.0, "uncertainty": 0.02, "hkl": None},
        ),
        "model": "tiny", **changes,
    }  # fmt: skip
    return Determination(**fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scan() -> Pattern:
    return read_pattern(EXAMPLES / "rutile.xy")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._raw = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, _: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self.words)).strip()

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.found)


def page_of(*answers: tuple[Determination, Pattern | None], libraries: tuple = ()) -> str:
    report = Report("Syngony 0 · network: tiny (sha256 abc)", libraries)
    for result, pattern in answers:
        report.add(result, pattern)
    return report.html()


def test_cells_are_drawn_where_the_structure_has_lines(scan: Pattern) -> None:
    sharp = reflections(rutile(), K_ALPHA1, (20.0, 80.0))
    lines = [
        {"two_theta": float(angle), "intensity": 1.0, "uncertainty": 0.01, "hkl": index.tolist()}
        for angle, index in zip(sharp.two_theta, sharp.hkl, strict=True)
    ]
    result = answer(lines=tuple(lines))
    assert lines_wavelength(scan, result) == K_ALPHA1
    drawing = drawing_of(scan, result)
    ticks = np.array(drawing["cells"][0]["two_theta"])
    for line in lines:
        assert np.abs(ticks - line["two_theta"]).min() < 1e-3
    mean = reflections(rutile(), K_ALPHA, (20.0, 80.0)).two_theta
    moved = [{**line, "two_theta": float(angle)} for line, angle in zip(lines, mean, strict=True)]
    assert lines_wavelength(scan, answer(lines=tuple(moved))) == K_ALPHA


def test_a_zero_shift_moves_the_ticks_of_a_cell(scan: Pattern) -> None:
    plain, shifted = (drawing_of(scan, answer(cells=(cell(zero_shift=z),)))["cells"][0] for z in (0.0, 0.2))
    assert shifted["two_theta"][0] - plain["two_theta"][0] == pytest.approx(0.2, abs=1e-3)


def test_lines_are_marked_as_explained_or_not(scan: Pattern) -> None:
    assert [line["explained"] for line in drawing_of(scan, answer())["lines"]] == [True, False]


def test_a_known_phase_stands_on_its_lines(scan: Pattern) -> None:
    sticks = phase_sticks(scan, phase(), [load_library("amcsd")])
    assert sticks is not None
    calculated = reflections(rutile(), K_ALPHA, (20.0, 80.0))
    strong = calculated.two_theta[calculated.intensity > 10]
    for angle in strong:
        assert np.abs(sticks.two_theta - angle).min() < 0.06  # the scan has a zero shift and another cell by a hair
    strongest = int(sticks.height.argmax())
    assert sorted(abs(sticks.hkl[strongest])) == [0, 1, 1] and 0.3 < sticks.height[strongest] < 1.5
    assert (np.diff(sticks.two_theta) >= 0).all()


def test_a_phase_that_no_library_has_is_not_drawn(scan: Pattern) -> None:
    library = load_library("amcsd")
    assert phase_sticks(scan, phase(library="mine"), [library]) is None
    assert phase_sticks(scan, phase(id="amcsd-x"), [library]) is None
    assert drawing_of(scan, answer())["phases"] == []


def test_a_scan_with_other_phases_is_drawn_whole(scan: Pattern) -> None:
    result = answer(known_phases=(phase(), phase(probability=0.01)))
    (drawn,) = drawing_of(scan, result, [load_library("amcsd")])["phases"]
    assert drawn["label"] == "Rutile (90%)" and drawn["shown"]
    assert len(drawn["two_theta"]) == len(drawn["height"]) == len(drawn["base"]) == len(drawn["hkl"])


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(2, 60).map(lambda k: 2 * k), st.integers(0, 2**32 - 1))
def test_thinning_keeps_the_highest_and_the_lowest_point(n: int, most: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n)
    kept = thinned(values, most)
    assert len(kept) <= max(most, 0) or n <= most
    assert (np.diff(kept) > 0).all()
    assert values[kept].max() == values.max() and values[kept].min() == values.min()


def test_texts_of_users_stay_texts(scan: Pattern) -> None:
    measured = Pattern(
        scan.two_theta, scan.intensity, K_ALPHA, HOSTILE, measurement=Measurement(sample=HOSTILE, instrument=HOSTILE)
    )
    result = answer(
        HOSTILE, warnings=(HOSTILE,), reasons=(HOSTILE,), remarks=(HOSTILE,), abstained=True,
        known_phases=(phase(name=HOSTILE, formula=HOSTILE),), basis=f"recognised: {HOSTILE}",
    )  # fmt: skip
    failed = Determination(HOSTILE, error=HOSTILE)
    harmless = Elements(page_of((answer(), scan), (Determination("b", error="c"), None)))
    elements = Elements(page_of((result, measured), (failed, None)))
    assert elements.count("script") == harmless.count("script") == 4
    assert elements.text.count(HOSTILE) >= 8
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]


def test_a_drawing_cannot_leave_its_script() -> None:
    text = script_json({"label": "</script><!--<script>", "n": [1, 2]})
    assert "<" not in text and json.loads(text) == {"label": "</script><!--<script>", "n": [1, 2]}


def test_a_report_asks_no_other_host(scan: Pattern) -> None:
    page = page_of((answer(), scan))
    elements = Elements(page)
    links = [
        attributes[name]
        for _, attributes in elements.found
        for name in ("src", "href", "action", "srcset", "data")
        if name in attributes
    ]
    assert links == []
    (policy,) = (a["content"] for tag, a in elements.found if tag == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    assert "@import" not in page.split("<script")[0]
    assert 4_000_000 < len(page) < 6_000_000  # plotly once


def test_what_an_answer_says(scan: Pattern) -> None:
    text = Elements(page_of((answer(), scan))).text
    for words in (
        "tetragonal", "90\u202f%", "recognised", "Rutile (Ti2 O4), P4_2/mnm", "a\u00a0=\u00a04.5940(4)\u00a0Å",
        "P - n -", "0kl:\u00a0k\u00a0+\u00a0l\u00a0=\u00a02n",
        "P4_2nm, P-4n2, P4_2/mnm", "leaves unexplained: 33.300°", "cubic, 6.0\u202f%", "not explained",
        "1.54184 Å", "10 to 90°, 4,001 points", "sha256 abc",
    ):  # fmt: skip
        assert words in text, words


def test_a_refusal_says_why(scan: Pattern) -> None:
    why = "probably not one phase: 97%"
    refused = answer(
        abstained=True, reasons=(why,), cells=(), known_phases=(), witnesses={"network": {}, "lattice": {}}
    )
    refused = Determination(**{**refused.__dict__, "witnesses": dict.fromkeys(("lattice",), refused.probabilities)})
    text = Elements(page_of((refused, scan))).text
    assert "not sure: perhaps tetragonal" in text and why in text
    assert verdict_text(refused) == "not sure: perhaps tetragonal"
    assert verdict_text(Determination(**{**refused.__dict__, "lines": ()})) == "not sure"  # nothing there to look like
    assert "No unit cell explains the lines." in text and "No library was asked." in text


def test_many_scans_are_a_table_and_the_first_are_whole(scan: Pattern) -> None:
    n = MOST_WHOLE + 5
    answers: list[tuple[Determination, Pattern | None]] = [(answer(f"s{i}.xy"), scan) for i in range(n - 1)]
    answers.append((Determination("bad.xy", error="the file is empty"), None))
    elements = Elements(page_of(*answers))
    assert elements.count("details") - MOST_WHOLE == MOST_WHOLE  # one fold a scan, and one for its lines
    links = [a["href"] for tag, a in elements.found if tag == "a"]
    assert links == [f"#scan-{i + 1}" for i in range(MOST_WHOLE)]
    targets = {a.get("id") for _, a in elements.found}
    assert {link[1:] for link in links if link} <= targets
    assert f"{n - 1} named, 0 not sure, 1 no answer" in elements.text and "the file is empty" in elements.text


def test_a_folder_that_all_share_is_said_once(scan: Pattern) -> None:
    assert common_folder(["/a/b/c.xy", "/a/b/d/e.xy"]) == "/a/b/" and common_folder(["/a/bc.xy", "/a/bd.xy"]) == "/a/"
    assert common_folder(["a.xy", "/a/b.xy"]) == common_folder(["/a/b.xy"]) == common_folder([]) == ""
    text = Elements(page_of((answer("/a/b/c.xy"), scan), (Determination("/a/b/d/e.xy", error="why"), None))).text
    assert "; in /a/b/" in text and " d/e.xy why" in text


def test_a_report_is_written_whole_or_not_at_all(
    scan: Pattern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syngony.errors import OutputError

    report = Report("made")
    report.add(answer(), scan)
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(Path, "replace", full)
        report.write(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    report.write(path)
    assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "<0.1 %"), (1.0, ">99.9 %"), (0.0312, "3.1 %"), (0.5, "50 %"), (0.954, "95.4 %")]
)
def test_shares_are_never_all_or_nothing(p: float, text: str) -> None:
    assert share(p).replace("\u202f", " ") == text


def test_alternatives_are_named_and_the_answer_is_not() -> None:
    other = cell(lattice_system="orthorhombic", centring="C", b=5.0, probability=0.05)
    said = alternatives(answer(cells=(cell(), other, cell(probability=0.0)), known_phases=(phase(), phase(name="B"))))
    assert said[0].startswith("cubic") and "orthorhombic C" in said[1] and "b\u00a0=\u00a05.0000" in said[1]
    assert said[2].startswith("another phase: B (Ti2 O4)") and len(said) == 3


def test_wording() -> None:
    assert cell_text(cell()) == "a = 4.5940(4) Å, c = 2.9590(3) Å"
    assert "β = 101.250°" in cell_text(cell(lattice_system="monoclinic", beta=101.25))
    assert with_uncertainty(2.0, 0.0123, 4) == "2.0000(123)" and with_uncertainty(2.0, 0.0, 2) == "2.00"
    assert hkl_text([1, 0, -2]) == "10-2" and hkl_text([10, 0, 2]) == "10 0 2"


def test_a_thumbnail_shows_the_highest_line() -> None:
    values = np.ones(1000)
    values[500] = 100.0
    points = re.findall(r"([\d.]+),([\d.]+)", thumbnail(values))
    heights = [float(y) for _, y in points]
    assert len(points) == 120 and 58 <= heights.index(min(heights)) <= 61
    assert thumbnail(np.ones(3)).startswith("<svg")


def test_the_table_has_a_value_for_every_column() -> None:
    import csv
    import io

    good, bad = csv.DictReader(io.StringIO(csv_text([answer(HOSTILE), Determination("b", error='why, "so"')])))
    assert tuple(good) == COLUMNS and good["file"] == HOSTILE
    assert (good["a"], good["lattice_system"], good["known_phase"]) == ("4.594", "tetragonal", "Rutile")
    assert bad["error"] == 'why, "so"' and bad["a"] == ""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["determine", "--model", "mobilenetv2", "--evidence", "network", *arguments])


def test_the_command_writes_a_report(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    result = run(str(EXAMPLES / "rutile.xy"), "missing.xy", "--report", str(path))
    assert result.exit_code == 1 and "missing.xy: no such file" in result.stderr
    text = Elements(path.read_text()).text
    assert "2 scans" in text and "rutile.xy" in text and "no such file" in text
    assert re.search(r"mobilenetv2 \(sha256 [0-9a-f]{64}\)", text)
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    result = run("missing.xy", "--report", str(tmp_path / "no" / "out.html"))
    assert result.exit_code == 2 and "--report" in result.stderr and len(result.stderr.splitlines()) == 1
    assert run().exit_code == 2
