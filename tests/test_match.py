"""Recognising phases: textbook crystals, strained, mixed, seen with other radiation."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables of structures cannot be read")

from conftest import EXAMPLES, TEXTBOOK, caesium_chloride, halite, rutile, triclinic, wurtzite
from instrument_files import Written, uxd
from typer.testing import CliRunner

import syngony
from syngony.cli import app
from syngony.diffraction.laboratory import Conditions, Phase, measure, tube
from syngony.errors import InputError, LibraryError, PatternError
from syngony.library.agreement import Agreement
from syngony.library.build import build_library
from syngony.library.exclusion import Exclusion
from syngony.library.judgement import judgement
from syngony.library.match import open_libraries, rank
from syngony.library.mixture import recognise
from syngony.library.scan import Scan
from syngony.pattern import Pattern
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures

GROUPS = {"rutile": 136, "halite": 225, "caesium_chloride": 221, "wurtzite": 186, "triclinic": 2}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A library of the five textbook crystals, and magnesia, which is built as halite is."""
    folder = tmp_path_factory.mktemp("library")
    rows = [StructureRecord(f"t-{name}", GROUPS[name], make(), name) for name, make in TEXTBOOK.items()]
    sulphide = Structure(halite().lattice * (5.20 / 5.64), ["Mg"] * 4 + ["S"] * 4, halite().frac_coords)
    larger = Structure(halite().lattice * (5.70 / 5.64), ["Ca"] * 4 + ["S"] * 4, halite().frac_coords)
    rows += [StructureRecord("t-mgs", 225, sulphide, "niningerite"), StructureRecord("t-cas", 225, larger, "oldhamite")]
    write_structures(folder / "t.parquet", rows, TableInfo("a test", "free"))
    return build_library(folder / "t.parquet", folder / "small.lib").library


def scan_of(structure, **conditions):
    settings = {"counts": 5000.0, "background": 0.02, **conditions}
    return Pattern(*measure(Phase.from_structure(structure), Conditions(**settings), np.random.default_rng(1)))


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_crystals_are_recognised(small, name):
    first = syngony.match(scan_of(TEXTBOOK[name]()), small)[0]
    assert first.id == f"t-{name}" and first.space_group == GROUPS[name]
    assert first.scale == pytest.approx(1.0, abs=1e-3) and first.score > 0.9


def test_the_scale_of_the_lattice_is_found(small):
    first = syngony.match(scan_of(caesium_chloride(), lattice_strain=(0.021, 0.021, 0.021, 0, 0, 0)), small)[0]
    assert first.id == "t-caesium_chloride" and first.scale == pytest.approx(1.021, abs=5e-4)
    assert first.distortion == 0.0


def test_a_strained_cell_is_refined(small):
    strain = (0.015, 0.015, -0.015, 0, 0, 0)
    ranking = rank(Scan.from_pattern(scan_of(rutile(), lattice_strain=strain)), [small])
    leader = int(ranking.order[0])
    assert ranking.phase(0).id == "t-rutile"
    a, c = ranking.refined.metric[leader][[0, 2]] ** -0.5
    assert a == pytest.approx(4.594 * 1.015, rel=4e-4) and c == pytest.approx(2.959 * 0.985, rel=4e-4)


def test_the_zero_of_the_goniometer_is_found(small):
    first = syngony.match(scan_of(triclinic(), zero_shift=0.08), small)[0]
    assert first.id == "t-triclinic" and first.zero_shift == pytest.approx(0.08, abs=0.02)


@pytest.mark.parametrize(
    ("anode", "wavelength", "start", "stop"),
    [("Mo", 0.71073, 5, 40), ("Co", 1.79026, 20, 100), ("Cu", 1.54184, 25, 60)],
)
def test_any_wavelength_and_range(small, anode, wavelength, start, stop):
    scan = scan_of(wurtzite(), wavelength=wavelength, radiation=tube(anode), start=start, stop=stop)
    assert syngony.match(scan, small)[0].id == "t-wurtzite"


@pytest.mark.parametrize(("strain", "least", "most"), [(0.7, 0.4, 0.9), (0.0, 0.0, 0.15)])
def test_lines_that_grow_with_the_angle_are_drawn_so(small, strain, least, most):
    ranking = rank(Scan.from_pattern(scan_of(rutile(), strain=strain)), [small])
    assert least <= ranking.agreement.width.growth <= most
    assert ranking.phase(0).id == "t-rutile" and ranking.phase(0).unexplained < 0.1


def test_texture_is_tolerated(small):
    first = syngony.match(scan_of(rutile(), march=0.5, texture_axis=(0, 0, 1)), small)[0]
    assert first.id == "t-rutile"


def test_isostructural_relatives_are_one_answer(small):
    first, second = syngony.match(scan_of(halite()), small)[:2]
    assert {first.id, *first.relatives} >= {"t-halite", "t-cas"}
    assert second.space_group != 225 or second.id == "t-mgs"


def test_an_absent_phase_is_less_probable(small):
    present = syngony.match(scan_of(triclinic()), small)[0]
    lattice = Structure.from_parameters(
        (6.1, 7.9, 9.3, 90, 97, 90),
        ["Zn", "S", "O", "Ca"],
        [[0, 0, 0], [0.3, 0.2, 0.1], [0.7, 0.4, 0.2], [0.5, 0.6, 0.7]],
    )
    absent = syngony.match(scan_of(lattice), small)
    assert not absent or absent[0].probability < 0.5 * present.probability


def test_both_phases_of_a_mixture_are_listed(small):
    conditions = Conditions(counts=5000.0, impurity=1.0)
    scan = measure(
        Phase.from_structure(rutile()), conditions, np.random.default_rng(3), Phase.from_structure(wurtzite())
    )
    phases = recognise(Pattern(*scan), small)
    assert {phase.id for phase in phases[:3]} >= {"t-rutile", "t-wurtzite"}
    assert any(phase.component == 2 for phase in phases)
    alone = syngony.match(scan_of(rutile() if phases[0].id == "t-rutile" else wurtzite()), small)[0]
    assert phases[0].probability < alone.probability


def test_chemistry_narrows_and_is_used_in_the_probability():
    scan = syngony.read_pattern(EXAMPLES / "rutile.xy", "CuKa")
    free, hinted = syngony.match(scan)[0], syngony.match(scan, elements="only Ti,O")[0]
    assert free.name == hinted.name == "Rutile" and hinted.probability >= free.probability
    assert all("Ti" not in phase.formula for phase in syngony.match(scan, elements="not Ti"))


def test_excluded_entries_are_not_there(small):
    scan = scan_of(rutile())
    for without in (
        Exclusion(ids=["t-rutile"]),
        Exclusion(formulas=["TiO2"]),
        Exclusion(types=[(136, "SnO2")]),
    ):
        left = syngony.match(scan, small, top=20, without=without)
        assert all(phase.id != "t-rutile" and "t-rutile" not in phase.relatives for phase in left)
    kept = Exclusion(ids=["nobody"], formulas=["Ti2O3"], types=[(141, "TiO2"), (136, "TiO")])
    assert syngony.match(scan, small, without=kept) == syngony.match(scan, small)


def test_a_structure_type_is_left_out_whole(small):
    names = np.array(small.ids())
    assert set(names[~Exclusion(types=[(225, "MgO")]).allowed(small)]) == {"t-halite", "t-mgs", "t-cas"}
    assert set(names[~Exclusion(formulas=["S2 Ca2"]).allowed(small)]) == {"t-cas"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"ids": "mp-1"}, "are lists"), ({"formulas": ["123"]}, "not a chemical"), ({"types": [(231, "NaCl")]}, "1..230")],
)
def test_an_impossible_exclusion_is_named(wrong, message):
    with pytest.raises(InputError, match=message):
        Exclusion(**wrong)


@pytest.mark.parametrize(("name", "mineral", "group"), [("halite", "Halite", 225), ("quartz", "Quartz", 152)])
def test_the_shipped_library_knows_the_examples(name, mineral, group):
    first = syngony.match(syngony.read_pattern(EXAMPLES / f"{name}.xy", "CuKa"))[0]
    assert (first.name, first.library) == (mineral, "amcsd") and first.probability > 0.5
    assert first.space_group in (group, group + 2) and first.crystal_system in ("cubic", "trigonal")


def test_bad_input_is_named(small, tmp_path):
    scan = scan_of(halite())
    with pytest.raises(PatternError, match=r"shares less than 10 degrees.*d = 29 to 1.05"):
        syngony.match(scan_of(halite(), start=1.0, stop=9.0), small)
    with pytest.raises(InputError, match="ask for at least one"):
        syngony.match(scan, small, top=0)
    with pytest.raises(LibraryError, match="no library to search"):
        open_libraries([])
    with pytest.raises(LibraryError, match="no such library"):
        syngony.match(scan, tmp_path / "none.lib")


def test_a_flat_scan_shows_no_line(small):
    angles = np.arange(5, 90, 0.02)
    with pytest.raises(PatternError, match="no line|no signal"):
        syngony.match(Pattern(angles, np.where(angles < 40, 0.0, -1.0) + (angles > 89.97), 1.54), small)


def test_probabilities_exclude_each_other():
    rule = judgement()
    shares = rule.probabilities(np.array([4.0, 2.0, -3.0]))
    assert 0.9 < shares.sum() < 1.0 + 1e-9 and (np.diff(shares) < 0).all()
    assert rule.probabilities(np.array([-800.0, -900.0])).max() < 1e-6
    assert rule.probabilities(np.array([900.0]))[0] == pytest.approx(1.0)


def test_candidates_are_judged_beside_each_other(small):
    """The same fit is worth less where another candidate fits better, and less than that other one."""
    ranking = rank(Scan.from_pattern(scan_of(rutile())), [small])
    found, first = ranking.agreement, int(ranking.order[0])
    figures = found.features[[first, first]].copy()
    figures[1, :4] += [-0.05, -0.03, 0.01, 0.05]  # strict, tolerant, missing, unexplained

    def logits(rows):
        some = Agreement(figures[rows], found.width, found.factors, found.height)
        return judgement().logits(some, ranking.scan.noise, np.full(len(rows), 136), np.ones(len(rows), bool))

    better, worse = logits([0, 1])
    assert worse < better and worse < logits([1])[0]


def test_the_command_line(tmp_path):
    run = CliRunner()
    good, bad = EXAMPLES / "rutile.xy", tmp_path / "bad.xy"
    bad.write_text("nothing\n")
    result = run.invoke(app, ["match", str(good), str(bad), "-w", "CuKa", "--json", "--top", "2"])
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert second["error"] and second["known_phases"] == []
    keys = {"name", "formula", "id", "library", "space_group", "score", "probability", "scale"}
    assert len(first["known_phases"]) == 2 and keys <= set(first["known_phases"][0])
    assert run.invoke(app, ["match", str(good), "-w", "CuKa", "--elements", "Qq"]).exit_code == 2
    assert run.invoke(app, ["match", str(good), "-w", "CuKa", "--library", "none.lib"]).exit_code == 2
    assert "Rutile" in run.invoke(app, ["match", str(good), "-w", "CuKa"]).stdout


def test_a_scan_out_of_range_is_named_and_the_others_matched(tmp_path):
    low = tmp_path / "low.xy"
    low.write_text("".join(f"{1 + 0.02 * i:.2f} {100 + i % 7}\n" for i in range(400)))
    result = CliRunner().invoke(app, ["match", str(low), str(EXAMPLES / "halite.xy"), "-w", "CuKa", "--json"])
    assert result.exit_code == 1 and "low.xy" in result.stderr
    refused, found = json.loads(result.stdout)
    assert "shares less than 10 degrees" in refused["error"] and refused["known_phases"] == []
    assert found["error"] is None and found["known_phases"][0]["name"] == "Halite"


def test_every_scan_of_a_file_is_matched(tmp_path):
    scans = [np.loadtxt(EXAMPLES / f"{name}.xy") for name in ("rutile", "halite")]
    path = tmp_path / "two.uxd"
    path.write_bytes(uxd([Written(10.0, 0.02, tuple(scan[:, 1].astype(int).tolist())) for scan in scans]))
    result = CliRunner().invoke(app, ["match", str(path), "-w", "CuKa", "--json", "--top", "1"])
    assert result.exit_code == 0, result.stderr
    listed = json.loads(result.stdout)
    assert [one["file"] for one in listed] == [str(path), f"{path} [2 of 2]"]
    assert [one["known_phases"][0]["name"] for one in listed] == ["Rutile", "Halite"]


def test_matching_needs_no_extra():
    code = (
        "import sys\n"
        "extras = {'torch', 'pyarrow', 'matplotlib', 'larixite', 'pandas', 'onnxruntime'}\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in extras:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import syngony\n"
        f"p = syngony.read_pattern({str(EXAMPLES / 'rutile.xy')!r}, 'CuKa')\n"
        "print(syngony.match(p)[0].name)\n"
        "assert 'scipy.signal' not in sys.modules, 'it takes 0.4 s to import'"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "Rutile"
