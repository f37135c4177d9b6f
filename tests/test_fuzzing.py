"""Mutated files: an error of Syngony's own or an answer, in little time; and what was found wrong by trying many."""

from __future__ import annotations

import random
import time
from pathlib import Path

import hostile_targets
import instrument_files as files
import largest_files
import numpy as np
import pytest
from conftest import EXAMPLES, rutile
from hostile_targets import TARGETS, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated, mutated_value

from syngony.errors import LibraryError, ModelError, PatternError, StructureError, TableError
from syngony.pattern import Pattern
from syngony.readers.signatures import read_scans

SECONDS = 2.0  # of processor time for one file
TRIED = 150  # of each kind; benchmarks/fuzz.py tries 100,000

SIGNATURES = (b"", b"RAW ", b"RAW2", b"RAW1.01\0", b"RAW4.00\0", b"PK\x03\x04", b"data_a\n")
NEEDS_PYARROW = {"structure_table", "pattern_table", "library"}


def target(name: str) -> hostile_targets.Target:
    if name in NEEDS_PYARROW:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables cannot be read")
    return TARGETS[name]


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name: str) -> None:
    one = target(name)
    assert not any(refused(one, seed) for seed in one.seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_are_read_or_refused(name: str) -> None:
    one = target(name)
    outcomes = []
    for number in range(TRIED):
        content = one.file(number)
        began = time.process_time()
        outcomes.append(refused(one, content))
        assert time.process_time() - began < SECONDS, f"{name} {number}"
    assert 0 < sum(outcomes) < TRIED  # mutations that never or always harm would test nothing


def test_a_mutated_file_is_a_function_of_its_number() -> None:
    assert TARGETS["xrdml"].file(7) == TARGETS["xrdml"].file(7) != TARGETS["xrdml"].file(8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"RAW ", b"RAW2", b"RAW1.01\0", b"RAW4.00\0", b"PK\x03\x04", b"data_a\n"]),
)
def test_any_bytes_behind_any_signature(content: bytes, signature: bytes) -> None:
    refused(TARGETS["raw_1"], signature + content)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789.,;+-eE \t\n\r#*_=\"'aKλÅ²٣", max_size=300))
def test_any_text_of_the_signs_of_scans(text: str) -> None:
    refused(TARGETS["columns"], text.encode())


# --- what was found -----------------------------------------------------------------------------


def jcamp(table: str) -> bytes:
    return f"##TITLE=a\n##XUNITS=2Theta\n##XYPOINTS=(XY..XY)\n{table}\n##END=\n".encode()


@pytest.mark.parametrize("word", ["1.2.3", "1e", ".", "4-5", ","])
def test_a_word_of_digits_that_is_no_number(word: str) -> None:
    with pytest.raises(PatternError, match="JCAMP-DX: the table holds something that is no number"):
        read_scans(jcamp(f"10.0 5\n{word}, 7"))


@pytest.mark.parametrize("count", ["9" * 5000, "²"])
def test_a_declared_count_that_no_whole_number_holds(count: str) -> None:
    whole = files.cif([hostile_targets.ONE]).decode()
    content = whole.replace("_pd_meas_number_of_points 40", f"_pd_meas_number_of_points {count}").encode()
    assert content != whole.encode()
    refused(TARGETS["cif"], content)
    bank = files.gsas_std([hostile_targets.ONE]).replace(b"BANK 1 40", f"BANK 1 {count}".encode())
    with pytest.raises(PatternError):
        read_scans(bank)


@pytest.mark.parametrize(
    "head",
    [
        b"1" * 20_000 + b" 0.1 90",
        b"# " + b"2th" * 50_000,
        b"<?xml" + b"<xrd " * 50_000,
        b"# wavelength " + b"1." * 50_000,
    ],
    ids=lambda head: head[:12].decode(),
)
def test_a_long_line_takes_no_time(head: bytes) -> None:
    """Expressions that look for marks must not take the square of a line's length."""
    rows = b"".join(b"%d.%02d 7\n" % divmod(1000 + 5 * i, 100) for i in range(400))
    began = time.process_time()
    with _either():
        read_scans(head + b"\n" + rows)
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("UXD, pairs", ""),
        ("JCAMP-DX, points", ""),
        ("CIF, many blocks", "more than 20000 data blocks"),
        ("BRML, one member often", "5000 scans in one file"),
        ("XRDML, one long list", "27 MB of numbers in one list"),
        ("JCAMP-DX, records", "lines"),
        ("UXD, empty ranges", "4097 scans in one file"),
        ("XRDML, attributes", "over a thousand attributes"),
    ],
)
def test_the_largest_files_take_little(name: str, reason: str) -> None:
    """Each took far longer once, or more memory: `benchmarks/fuzz.py --largest` measures them all."""
    content = largest_files.CASES[name]()
    began = time.process_time()
    with pytest.raises(PatternError, match=reason) if reason else _either():
        read_scans(content)
    assert time.process_time() - began < 2 * SECONDS


class _either:
    """A context in which a file may be refused."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, PatternError)


def test_more_scans_than_are_read() -> None:
    short = files.Written(10.0, 0.25, (1, 2) * 12)
    for name, most in (("raw_1", 4096), ("raw_3", 4096), ("rasx", 500), ("ras", 4096), ("xrdml", 4096)):
        with pytest.raises(PatternError, match="in one file, at most"):
            read_scans(files.WRITERS[name]([short] * (most + 1)))


# --- structures ---------------------------------------------------------------------------------


def structure_cif(sites: str, cell: float = 60.0, group: int = 1) -> bytes:
    lengths = "".join(f"_cell_length_{axis} {cell}\n" for axis in "abc")
    angles = "".join(f"_cell_angle_{name} 90\n" for name in ("alpha", "beta", "gamma"))
    names = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "loop_\n" + "".join(f"_atom_site_{name}\n" for name in names)
    return f"data_a\n{lengths}{angles}_space_group_IT_number {group}\n{loop}{sites}".encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (structure_cif("O1 O 0.1 0.2 0.3 1\n" * 100_000), "too many atoms: 100000 sites"),
        (structure_cif("".join(f"O{i} O 0.{i}1 0.2{i} 0.3 1\n" for i in range(100)), 200.0, 225), "more than 6000"),
        (structure_cif("O1 O 0.1 0.2 0.3 0.0005\n" * 1900), "atoms overlap: 1804050 pairs"),
        (b"data_a\n" * 30_000, "more than 20000 data blocks"),
        (b"#" * 11_000_000, "more than 10 MB"),
    ],
    ids=["sites", "atoms", "pairs", "blocks", "bytes"],
)
def test_structures_too_large(content: bytes, reason: str) -> None:
    began = time.process_time()
    with pytest.raises(Exception, match=reason):
        TARGETS["structure_cif"].read(content)
    assert time.process_time() - began < SECONDS


def test_a_packed_cif_is_not_unpacked_whole(tmp_path: Path) -> None:
    import gzip

    from syngony.sources.cif import read_file

    path = tmp_path / "a.cif.gz"
    path.write_bytes(gzip.compress(b" " * 200_000_000, 1))
    began = time.process_time()
    (outcome,) = read_file(path)
    assert "more than 10 MB" in outcome.reason and time.process_time() - began < 1  # type: ignore[union-attr]


def test_operations_without_end() -> None:
    from syngony.sources.expansion import parse_operations

    with pytest.raises(StructureError, match="too many symmetry operations: 5000"):
        parse_operations(("x,y,z",) * 5000)


# --- tables -------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> dict[str, list]:
    from syngony.structure_table import StructureRecord

    return {name: [value] for name, value in StructureRecord("t", 136, rutile()).row().items()}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("lattice", "4 4 4 90 90 90", "column lattice holds string, not lists of six numbers"),
        ("lattice", [[4.0] * 6], "column lattice holds list"),
        ("species", [1, 2], "column species holds list"),
        ("space_group_number", 136.5, "column space_group_number holds double, not whole numbers"),
        ("material_id", [1], "column material_id holds list"),
    ],
)
def test_columns_of_another_type(rows: dict, column: str, value: object, reason: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables cannot be read")
    from syngony.structure_table import read_table

    path = tmp_path / "t.parquet"
    path.write_bytes(hostile_targets.parquet(pa.table(rows | {column: [value]})))
    with pytest.raises(TableError, match=reason):
        read_table(path)


def test_symbols_that_are_no_text(rows: dict) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables cannot be read")
    from syngony.diffraction.packed import pack_table

    species = pa.array([[b"\xf5x"] * len(rows["species"][0])], pa.list_(pa.binary())).view(pa.list_(pa.string()))
    table = pa.table({**rows, "species": species})
    with pytest.raises(TableError, match="a text in the table is none"):
        pack_table(table)


@pytest.mark.parametrize("column", ["lattice", "species", "frac_coords", "space_group_number"])
def test_rows_that_lack_something(rows: dict, column: str) -> None:
    from syngony.structure_table import StructureRecord

    with pytest.raises(StructureError):
        StructureRecord.from_row({name: values[0] for name, values in rows.items()} | {column: None})


def test_a_table_that_declares_billions_of_rows(rows: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables cannot be read")
    from syngony import structure_table

    path = tmp_path / "t.parquet"
    path.write_bytes(hostile_targets.parquet(pa.table(rows)))
    monkeypatch.setattr(structure_table, "MOST_ROWS", 0)
    with pytest.raises(TableError, match="1 rows; at most 0 are read"):
        structure_table.read_table(path)


@pytest.mark.parametrize("stated", ["", "a", "0", "231", "1|", "9" * 5000, "²"])
def test_patterns_without_a_space_group(stated: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: tables cannot be read")
    from syngony.evaluation.labelled import read_labelled_patterns

    row = {**hostile_targets._pattern_rows()[0], "space_group": stated}
    path = tmp_path / "t.parquet"
    path.write_bytes(hostile_targets.parquet(pa.Table.from_pylist([row])))
    with pytest.raises(TableError, match="is no number or n.m of 1 to 230"):
        read_labelled_patterns(path)


# --- networks and libraries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"view": {"kind": "profile", "points": 10**9}},
        {"view": {"kind": "profile", "points": 2.5}},
        {"view": {"kind": "profile", "two_theta_range": [5.0]}},
        {"view": {"kind": "profile", "intensity": "sqrt+" * 1000 + "sqrt"}},
        {"view": {"kind": "image", "size": 100_000}},
        {"view": {"kind": "line_list", "two_theta_range": [90, 5]}},
        {"view": "profile"},
        {"temperature": 0},
        {"temperature": "nan"},
        {"temperature": []},
    ],
    ids=str,
)
def test_cards_that_describe_nothing_possible(change: dict) -> None:
    from syngony.inference import Network

    card = {"name": "a", "view": {"kind": "profile", "points": 64}, "temperature": 1.0}
    assert Network(Path("a.onnx"), card).temperature == 1.0
    with pytest.raises(ModelError, match="describes no view"):
        Network(Path("a.onnx"), card | change)


def test_a_card_that_does_not_fit_its_network(tmp_path: Path) -> None:
    import json
    import shutil

    from syngony.inference import Network, shipped_models

    whole = Network.load("syngony")
    for suffix in (".onnx", ".json"):
        shutil.copy(whole.path.with_suffix(suffix), tmp_path)
    card = json.loads((tmp_path / "syngony.json").read_text())
    card["view"] = {"kind": "profile", "points": 64}
    (tmp_path / "syngony.json").write_text(json.dumps(card))
    network = Network.load(tmp_path / "syngony.onnx")
    scan = Pattern(np.arange(10.0, 80.0, 0.1), np.arange(700.0), "CuKa")
    with pytest.raises(ModelError, match="does not take what its card says"):
        network.scores(network.view(scan)[None])
    assert "syngony" in shipped_models()


def test_what_is_shipped_is_what_was_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`scripts/pin` writes the hashes anew when a network, a card or a library was made anew."""
    import shutil

    from syngony import inference
    from syngony.library import file as library_file
    from syngony.shipped import is_as_shipped

    folder = Path(inference.__file__).parent
    shipped = [path for name in ("models", "libraries") for path in sorted((folder / name).glob("*.*"))]
    assert len(shipped) >= 5 and all(is_as_shipped(path) for path in shipped)
    copy = tmp_path / "models"
    shutil.copytree(folder / "models", copy)
    card = copy / "syngony.json"
    card.write_text(card.read_text().replace('"temperature": ', '"temperature": 1'))
    monkeypatch.setattr(inference, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match=r"syngony.json is not as it was shipped"):
        inference.Network.load("syngony")
    assert inference.Network.load("mobilenetv2").name == "mobilenetv2"
    shutil.copytree(folder / "libraries", tmp_path / "libraries")
    with (tmp_path / "libraries" / "amcsd.lib").open("ab") as stream:
        stream.write(b" ")
    monkeypatch.setattr(library_file, "files", lambda _: tmp_path)
    with pytest.raises(LibraryError, match=r"amcsd.lib is not as it was shipped"):
        library_file.load_library("amcsd")


@pytest.mark.parametrize("key", ["position", "lines", "letters", "source", "space_group", "metric"])
def test_a_library_with_the_right_hash_and_wrong_arrays(key: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: libraries cannot be built")
    from syngony.library.file import Library, sealed

    path = tmp_path / "a.lib"
    path.write_bytes(hostile_targets._libraries()[0])
    library = Library.load(path)
    offset, _ = library.header["arrays"][key]
    size = getattr(library, key).nbytes
    whole = path.read_bytes()
    end = max(place for place, _ in library.header["arrays"].values()) + library.letters.nbytes
    arrays = whole[:offset] + b"\xff" * size + whole[offset + size : end]
    path.write_bytes(arrays + sealed(arrays, {k: v for k, v in library.header.items() if k != "sha256"}))
    with pytest.raises(LibraryError, match="do not fit together"):
        Library.load(path)


def test_mutations_change_something() -> None:
    rng = random.Random(0)
    whole = (EXAMPLES / "rutile.xy").read_bytes()[:3000]
    assert sum(mutated(rng, [whole]) != whole for _ in range(50)) > 45
    assert sum(mutated_value(rng, {"a": [1, {"b": "c"}]}) != {"a": [1, {"b": "c"}]} for _ in range(50)) > 35
