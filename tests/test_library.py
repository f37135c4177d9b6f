"""Libraries on disk: what they hold, and that nothing bad passes for good."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables of structures cannot be read")

from conftest import EXAMPLES, TEXTBOOK, halite, rutile
from typer.testing import CliRunner

from syngony.cli import app
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, LibraryError, TableError
from syngony.library import build as building
from syngony.library import file as library_file
from syngony.library.axis import Q_FIRST, Q_LAST, place
from syngony.library.build import add_to_library, build_library, remove_from_library
from syngony.library.chemistry import Elements
from syngony.library.file import ARRAYS, MAGIC, Library, load_library, shipped_libraries, write_arrays
from syngony.library.strain import reciprocal_basis, strain_modes
from syngony.structure import Structure, lattice_vectors
from syngony.structure_table import StructureRecord, TableInfo, write_structures

GROUPS = {"rutile": 136, "halite": 225, "caesium_chloride": 221, "wurtzite": 186, "triclinic": 2}


def records(names=tuple(TEXTBOOK)):
    return [StructureRecord(f"t-{name}", GROUPS[name], TEXTBOOK[name](), name) for name in names]


def write_table(path, rows):
    write_structures(path, rows, TableInfo("a test", "free"))
    return path


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "t.parquet", records())


@pytest.fixture
def library(tmp_path, table):
    return build_library(table, tmp_path / "small.lib").library


def test_a_library_holds_what_the_table_has(library):
    assert len(library) == 5 and library.name == "small"
    entry = library.entry(library.ids().index("t-rutile"))
    assert (entry.name, entry.formula, entry.space_group) == ("rutile", "Ti2 O4", 136)
    assert (entry.source, entry.licence, entry.measured) == ("a test", "free", True)


@pytest.mark.parametrize("name", ["rutile", "wurtzite", "triclinic"])
def test_lines_are_those_of_the_engine(library, name):
    one = library.take(library.ids().index(f"t-{name}"))
    g = one["metric"].astype(float)
    h, k, l = one["hkl"].T.astype(float)  # noqa: E741
    q = g[0] * h * h + g[1] * k * k + g[2] * l * l + 2 * (g[3] * k * l + g[4] * h * l + g[5] * h * k)
    expected = reflections(TEXTBOOK[name](), 1.54184, (3.0, 93.9), b_overall=building.B_OVERALL)
    strong = one["amplitude"] > 80
    nearest = np.abs(np.log(q[strong, None] * expected.d_spacing[None] ** 2)).argmin(axis=1)
    np.testing.assert_allclose(q[strong], expected.d_spacing[nearest] ** -2, rtol=2e-6)
    # Lines that merge are stronger than one reflection alone; the quantisation is half of 1/255 of the root.
    root = np.sqrt(expected.intensity[nearest] / 100)
    assert (one["amplitude"][strong] / 255.0 >= root - 0.003).all()
    # Positions are of merged lines: within half a bin of the strongest of them.
    assert np.abs(one["position"] / 16 - place(q)).max() < 0.6
    assert (q >= Q_FIRST).all() and (q < Q_LAST).all()


def test_the_published_group_is_preferred(tmp_path):
    row = StructureRecord("x", 227, halite(), "", published_space_group=225)
    built = build_library(write_table(tmp_path / "p.parquet", [row]), tmp_path / "p.lib")
    assert built.library.space_group.tolist() == [225]


def test_computed_structures_are_known_by_their_identifiers(tmp_path):
    row = StructureRecord("mp-22862", 225, halite())
    table = write_table(tmp_path / "mp.parquet", [row])
    assert not build_library(table, tmp_path / "mp.lib").library.entry(0).measured
    assert build_library(table, tmp_path / "own.lib", kind="measured").library.entry(0).measured


def test_building_twice_gives_the_same_bytes_whatever_the_workers(tmp_path, table):
    one = build_library(table, tmp_path / "a.lib", workers=1).library.path.read_bytes()
    assert build_library(table, tmp_path / "b.lib", workers=3).library.path.read_bytes() == one
    assert [p.name for p in tmp_path.glob("*.parts")] == []


def test_an_interrupted_build_goes_on(tmp_path, table, monkeypatch):
    monkeypatch.setattr(building, "SHARD", 2)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_library(table, tmp_path / "a.lib", workers=1, progress=stop)
    assert not (tmp_path / "a.lib").exists()
    there = sorted(p.name for p in (tmp_path / "a.lib.parts").glob("part-*.lib"))
    assert there
    made = []
    shard = building.shard_arrays
    monkeypatch.setattr(building, "shard_arrays", lambda rows: made.append(1) or shard(rows))
    assert build_library(table, tmp_path / "a.lib", workers=1).added == 5
    assert len(made) == 3 - len(there)


def test_shards_of_another_kind_are_not_gone_on_with(tmp_path, table, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "SHARD", 2)
    with pytest.raises(KeyboardInterrupt):
        build_library(table, tmp_path / "a.lib", kind="computed", workers=1, progress=stop)
    built = build_library(table, tmp_path / "a.lib", kind="measured", workers=1)
    assert all(built.library.entry(i).measured for i in range(5))


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("change", ["build", "add", "remove"])
def test_a_good_library_outlives_a_failure_at_the_last_moment(tmp_path, table, library, monkeypatch, change, failure):
    before, calls = library.path.read_bytes(), []

    def fail(descriptor):
        calls.append(descriptor)
        # A build and an addition sync their one shard first (and an addition what it adds), then the library itself.
        if len(calls) == {"build": 2, "add": 3, "remove": 1}[change]:
            raise failure

    monkeypatch.setattr(library_file.os, "fsync", fail)
    with pytest.raises(type(failure)):
        if change == "build":
            build_library(table, library.path)
        elif change == "add":
            add_to_library(library.path, table)
        else:
            remove_from_library(library.path, ["t-halite"])
    assert library.path.read_bytes() == before
    assert not list(tmp_path.glob("**/*.partial")) and not list(tmp_path.glob(".*.lib"))


def test_nothing_half_written_replaces_a_good_library(tmp_path, library):
    before = library.path.read_bytes()
    tiny = Structure(np.eye(3) * 1.02, ["H"], [[0, 0, 0]])  # its longest spacing is 1.02 Å
    empty = write_table(tmp_path / "tiny.parquet", [StructureRecord("h", 221, tiny)])
    with pytest.raises(TableError, match=r"none of its 1 structures gives a line.*h: "):
        build_library(empty, library.path)
    with pytest.raises(TableError, match="no structures in it"):
        build_library(write_table(tmp_path / "none.parquet", []), library.path)
    with pytest.raises(TableError, match="no such file"):
        build_library(tmp_path / "missing.parquet", library.path)
    assert library.path.read_bytes() == before


def test_structures_without_lines_are_named_and_the_others_kept(tmp_path):
    tiny = Structure(np.eye(3) * 1.02, ["H"], [[0, 0, 0]])
    rows = [StructureRecord("h", 221, tiny), StructureRecord("bad", 0, rutile()), *records(["halite"])]
    built = build_library(write_table(tmp_path / "m.parquet", rows), tmp_path / "m.lib")
    assert built.library.ids() == ["t-halite"]
    assert [failure.partition(":")[0] for failure in built.failures] == ["h", "bad"]


def test_add_replaces_and_remove_removes(tmp_path, library):
    larger = Structure(halite().lattice * 1.01, halite().species, halite().frac_coords)
    rows = [StructureRecord("t-halite", 225, larger, "renewed"), StructureRecord("new", 225, halite())]
    built = add_to_library(library.path, write_table(tmp_path / "more.parquet", rows))
    assert built.added == 2 and len(built.library) == 6
    again = Library.load(library.path)
    assert again.entry(again.ids().index("t-halite")).name == "renewed"
    assert "t-halite" not in remove_from_library(library.path, ["t-halite"]).ids()
    with pytest.raises(InputError, match="nothing was removed"):
        remove_from_library(library.path, ["t-halite"])
    with pytest.raises(LibraryError, match="empty library"):
        remove_from_library(library.path, Library.load(library.path).ids())
    assert len(Library.load(library.path)) == 5


def test_a_library_added_to_is_the_library_of_all(tmp_path, library):
    first = build_library(write_table(tmp_path / "two.parquet", records(["rutile", "halite"])), tmp_path / "two.lib")
    rest = [name for name in TEXTBOOK if name not in ("rutile", "halite")]
    added = add_to_library(first.library.path, write_table(tmp_path / "rest.parquet", records(rest))).library
    assert sorted(added.ids()) == sorted(library.ids())
    for name in library.ids():
        one, other = (item.take(item.ids().index(name)) for item in (added, library))
        assert all((one[key] == other[key]).all() for key in one)
        assert added.entry(added.ids().index(name)) == library.entry(library.ids().index(name))
    left = remove_from_library(added.path, [f"t-{name}" for name in rest])
    assert (
        left.path.read_bytes()
        == build_library(tmp_path / "two.parquet", tmp_path / "again.lib").library.path.read_bytes()
    )


def damaged(library, change):
    path = library.path.with_name("damaged.lib")
    path.write_bytes(change(bytearray(library.path.read_bytes())))
    return path


def rewritten(content: bytearray, **changes) -> bytes:
    length = int.from_bytes(content[-24:-16], "little")
    header = {**json.loads(bytes(content[-24 - length : -24])), **changes}
    text = json.dumps(header).encode()
    return bytes(content[: -24 - length]) + text + len(text).to_bytes(8, "little") + MAGIC


def test_a_damaged_library_says_so(library):
    def flip(content):
        content[200] ^= 1
        return content

    with pytest.raises(LibraryError, match=r"damaged \(its hash is wrong\): build it again"):
        Library.load(damaged(library, flip))
    with pytest.raises(LibraryError, match="its hash is wrong"):
        Library.load(damaged(library, lambda c: rewritten(c, title="another")))
    with pytest.raises(LibraryError, match="format 99, this Syngony reads format 1"):
        Library.load(damaged(library, lambda c: rewritten(c, format=99)))
    with pytest.raises(LibraryError, match="cut short"):
        Library.load(damaged(library, lambda c: c[:-30]))
    with pytest.raises(LibraryError, match="not a library"):
        Library.load(EXAMPLES / "rutile.xy")
    with pytest.raises(LibraryError, match="no such library.*amcsd"):
        load_library("nothing")


def test_a_library_that_cannot_be_searched_is_one_error(tmp_path, library):
    """Before any scan is read: status 2, and one line that says what to do."""
    empty = tmp_path / "empty.lib"
    arrays = {key: getattr(library, key)[:0] for key in ARRAYS if key != "source"}
    write_arrays(empty, arrays, library.header["sources"][0], title="", failures=[])
    wrong = {
        empty: "the library is empty: build it of a table that has structures",
        damaged(library, lambda c: rewritten(c, format=99)): "build it again",
        EXAMPLES / "rutile.xy": "not a library of Syngony: pass a file that",
        tmp_path: "no such library",
    }
    for path, message in wrong.items():
        result = CliRunner().invoke(app, ["match", str(EXAMPLES / "rutile.xy"), "--library", str(path)])
        assert result.exit_code == 2 and result.stdout == "", path
        assert message in result.stderr.replace("\n", " ") and len(result.stderr.splitlines()) == 1, result.stderr


def test_what_is_no_library_is_not_overwritten(tmp_path, table):
    other = tmp_path / "thesis.docx"
    other.write_text("years of work")
    with pytest.raises(LibraryError, match="is no library"):
        build_library(table, other)
    assert other.read_text() == "years of work"


LATTICES = [
    ((5, 5, 5, 90, 90, 90), 225, "F", 1),
    ((5, 5, 5, 90, 90, 90), 229, "I", 1),
    ((4.6, 4.6, 2.9, 90, 90, 90), 136, "P", 2),
    ((4.6, 4.6, 12.9, 90, 90, 90), 139, "I", 2),
    ((4.9, 4.9, 5.4, 90, 90, 120), 152, "P", 2),
    ((5, 5, 5, 57, 57, 57), 166, "P", 2),
    ((3, 4, 5, 90, 90, 90), 69, "F", 3),
    ((3, 4, 5, 90, 90, 90), 63, "C", 3),
    ((3, 4, 5, 90, 103, 90), 12, "C", 4),
    ((4.1, 5.3, 11.7, 68, 101, 57), 2, "skew", 6),
]
CENTRING = {
    "P": np.eye(3),
    "F": [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    "I": [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]],
    "C": [[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]],
    "skew": [[1, 2, 0], [0, 1, 3], [1, 0, 1]],
}


@pytest.mark.parametrize(("parameters", "group", "centring", "modes"), LATTICES)
def test_a_lattice_keeps_the_freedom_of_its_system(parameters, group, centring, modes):
    lattice = np.array(CENTRING[centring]) @ lattice_vectors(parameters)
    vectors = np.linalg.inv(lattice).T
    full = vectors @ vectors.T
    found = strain_modes(reciprocal_basis(full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]), group)
    assert len(found) == modes
    np.testing.assert_allclose(found @ found.T, np.eye(modes), atol=1e-6)
    np.testing.assert_allclose(found[0], np.array([1, 1, 1, 0, 0, 0]) / np.sqrt(3))


def test_a_cubic_label_on_a_cell_that_is_nearly_so():
    metric = np.array([5.0**-2, 5.02**-2, 5.0**-2, 0, 0, 0])
    assert len(strain_modes(reciprocal_basis(metric), 225)) == 1
    assert len(strain_modes(reciprocal_basis(metric), 123)) == 2


def test_elements_narrow_a_library(library):
    ids = np.array(library.ids())

    def allowed(hint):
        return sorted(ids[Elements.parse(hint).allowed(library)])

    assert allowed("Ti,O") == ["t-rutile"]
    assert allowed("Ti, O, H") == ["t-rutile"]  # hydrogen is often not located
    assert allowed("only Na Cl Cs") == ["t-caesium_chloride", "t-halite"]
    assert allowed(["Cl", "not Na"]) == ["t-caesium_chloride"]
    assert allowed("not O; not S") == ["t-caesium_chloride", "t-halite"]


@pytest.mark.parametrize("hint", ["Xx", "", "only", "Ti; not Ti", ["O", "only Ti"], "only O; not O"])
def test_hints_that_nothing_can_meet(hint):
    with pytest.raises(InputError):
        Elements.parse(hint)


def test_the_shipped_library_and_its_attribution():
    assert shipped_libraries() == ["amcsd"]
    library = load_library("amcsd")
    assert len(library) > 9000 and library.path.stat().st_size < 15e6
    (source,) = library.header["sources"]
    assert "Downs & Hall-Wallace" in source["source"] and source["licence"] and source["kind"] == "measured"
    notice = (EXAMPLES.parent / "NOTICE").read_text()
    assert "amcsd.lib" in notice and "Downs" in notice


def test_the_command_line(tmp_path, table):
    run = CliRunner()
    out = tmp_path / "mine.lib"
    result = run.invoke(app, ["library", "build", str(table), "-o", str(out), "--title", "five"])
    assert result.exit_code == 0 and "5 structures" in result.stdout
    described = json.loads(run.invoke(app, ["library", "info", str(out), "--json"]).stdout)
    assert described[0]["title"] == "five" and described[0]["crystal_systems"]["cubic"] == 2
    assert "5 structures" in run.invoke(app, ["library", "info", str(out)]).stdout
    result = run.invoke(app, ["library", "remove", str(out), "t-wurtzite"])
    assert result.exit_code == 0 and "4 structures" in result.stdout
    assert run.invoke(app, ["library", "add", str(out), str(table)]).exit_code == 0
    assert len(Library.load(out)) == 5
    assert run.invoke(app, ["library", "info", str(tmp_path / "no.lib")]).exit_code == 1
