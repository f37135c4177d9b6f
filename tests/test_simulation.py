"""`syngony simulate`: what is written, that it hangs on table, settings and seed alone, and what is refused."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTBOOK, rutile
from typer.testing import CliRunner

pytest.importorskip("pyarrow", reason="tables need the 'data' extra")
import pyarrow as pa
import pyarrow.parquet as pq

from syngony.cli import app
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, SimulationError, TableError, WavelengthError
from syngony.evaluation import read_labelled_patterns
from syngony.simulation import shard as shards
from syngony.simulation.rendering import INTENSITY_STEP
from syngony.simulation.run import simulate_table
from syngony.simulation.settings import Settings, file_sha256
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, read_table, schema, write_structures
from syngony.symmetry import space_group_of


def records(count: int) -> list[StructureRecord]:
    rng = np.random.default_rng(5)
    found = []
    for number in range(count):
        parent = list(TEXTBOOK.values())[number % len(TEXTBOOK)]()
        crystal = Structure(parent.lattice * rng.uniform(0.9, 1.15), parent.species, parent.frac_coords)
        found.append(StructureRecord(f"t-{number}", space_group_of(crystal), crystal))
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulation") / "table.parquet"
    write_structures(path, records(23), TableInfo("textbook cells", "none"))
    return path


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A table with a row of each fault between good ones."""
    rows = [record.row() for record in records(7)]
    rows[1]["species"] = ["Xx"] * len(rows[1]["species"])
    rows[2]["lattice"] = [0.0, 4.0, 4.0, 90.0, 90.0, 90.0]
    rows[3]["frac_coords"] = rows[3]["frac_coords"][:-3]
    rows[4]["space_group_number"] = 231
    rows[5]["lattice"] = None
    path = tmp_path_factory.mktemp("broken") / "table.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema()), path)
    return path


def hashes(output: Path) -> dict[str, str]:
    """sha256 of every file, hidden ones too."""
    files = output.iterdir() if output.is_dir() else output.parent.glob(f"{output.name}*")
    return {file.name: file_sha256(file) for file in files}


def test_ideal_patterns_are_the_papers(table, tmp_path):
    done = simulate_table(table, tmp_path / "p.parquet", Settings("CoKa"), workers=0)
    read = pq.read_table(done.path).to_pylist()
    assert done.path.is_file()
    assert len(read) == 23
    assert read[0]["space_group"] == "136"
    assert read[0]["crystal_system"] == "tetragonal"
    assert read[0]["wavelength"] == pytest.approx(1.79026)
    for row, record in zip(read, read_table(table).to_pylist(), strict=True):
        lines = reflections(StructureRecord.from_row(record).structure, "CoKa")
        assert np.abs(row["intensity"] - paper_pattern(lines)).max() <= 0.5 * INTENSITY_STEP + 1e-7
        assert np.allclose(row["two_theta"], PaperGrid().two_theta, atol=1e-5)
        assert row["material_id"] == record["material_id"]


def test_a_folder_of_shards_is_one_table(table, tmp_path):
    one = simulate_table(table, tmp_path / "one.parquet", workers=0)
    many = simulate_table(table, tmp_path / "many.parquet", Settings(shard_size=5), workers=0)
    assert sorted(hashes(many.path)) == ["_manifest.json", *(f"part-{i:05d}.parquet" for i in range(5))]
    assert pq.read_table(many.path).equals(pq.read_table(one.path))
    assert [s["rows"] for s in many.manifest["shards"]] == [5, 5, 5, 5, 3]
    assert many.manifest == json.loads((many.path / "_manifest.json").read_text())
    assert many.manifest["about"]["source"] == "textbook cells"
    assert [path.name for path in tmp_path.iterdir() if "parts" in path.name] == []


@pytest.mark.parametrize("conditions", ["ideal", "lab"])
def test_the_number_of_workers_changes_nothing(table, tmp_path, conditions):
    settings = Settings(conditions=conditions, seed=3, shard_size=4)
    one = simulate_table(table, tmp_path / "one.parquet", settings, workers=1)
    two = simulate_table(table, tmp_path / "two.parquet", settings, workers=2)
    assert hashes(one.path) == hashes(two.path)
    assert len(hashes(one.path)) == 7


def test_a_laboratory_is_drawn_for_each_row_from_the_seed(table, tmp_path):
    first = simulate_table(table, tmp_path / "a.parquet", Settings(conditions="lab", seed=0), workers=0)
    other = simulate_table(table, tmp_path / "b.parquet", Settings(conditions="lab", seed=1), workers=0)
    rows = pq.read_table(first.path).to_pylist()
    drawn = [json.loads(row["conditions"]) for row in rows]
    assert len({c["zero_shift"] for c in drawn}) == 23
    partners = {(row["material_id"], c["impurity_phase"]) for row, c in zip(rows, drawn, strict=True) if c["impurity"]}
    assert partners
    assert all(mine != partner for mine, partner in partners)
    assert not pq.read_table(first.path)["intensity"].equals(pq.read_table(other.path)["intensity"])


def test_a_wavelength_restricts_the_laboratory(table, tmp_path):
    every = simulate_table(table, tmp_path / "a.parquet", Settings(conditions="lab"), workers=0)
    assert len(set(pq.read_table(every.path)["wavelength"].to_pylist())) > 1
    iron = simulate_table(table, tmp_path / "b.parquet", Settings("FeKa", conditions="lab"), workers=0)
    assert set(pq.read_table(iron.path)["wavelength"].to_pylist()) <= {1.937355, 1.936042}
    beamline = simulate_table(table, tmp_path / "c.parquet", Settings(0.7, conditions="lab"), workers=0)
    assert np.allclose(pq.read_table(beamline.path)["wavelength"], 0.7)


def test_evaluation_reads_files_and_folders(table, tmp_path):
    simulate_table(table, tmp_path / "lab.parquet", Settings(conditions="lab", shard_size=10), workers=0)
    patterns = read_labelled_patterns(tmp_path / "lab.parquet")
    assert len(patterns) == 23
    assert [p.pattern.name for p in patterns[:2]] == ["t-0", "t-1"]
    assert patterns[0].space_groups == (136,)
    assert patterns[0].kin == "O2 Ti1"
    assert len(read_labelled_patterns(tmp_path / "lab.parquet", limit=12)) == 12
    with pytest.raises(TableError):
        read_labelled_patterns(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("conditions", ["ideal", "lab"])
def test_a_bad_structure_is_named_and_the_others_are_done(broken, tmp_path, conditions):
    done = simulate_table(broken, tmp_path / "p.parquet", Settings(conditions=conditions, shard_size=3), workers=0)
    assert [f["row"] for f in done.manifest["failures"]] == [1, 2, 3, 4, 5]
    reasons = " ".join(f["reason"] for f in done.manifest["failures"])
    assert all(word in reasons for word in ("Xx", "impossible cell", "positions", "231"))
    assert pq.read_table(done.path)["row"].to_pylist() == [0, 6]
    assert done.patterns == 2


def test_the_command_line_names_failures_with_status_one(broken, table, tmp_path):
    result = CliRunner().invoke(app, ["simulate", str(broken), "-o", str(tmp_path / "p.parquet"), "--workers", "1"])
    assert result.exit_code == 1
    assert "t-1: unknown element Xx" in result.stderr
    assert "2 patterns" in result.stdout
    good = ["simulate", str(table), "-o", str(tmp_path / "good.parquet"), "--wavelength", "MoKa", "--seed", "4"]
    assert CliRunner().invoke(app, good).exit_code == 0
    again = CliRunner().invoke(app, good)
    assert again.exit_code == 0
    assert "23 structures were there already" in again.stderr


@pytest.mark.parametrize(
    "options", [["--conditions", "dirty"], ["--workers", "0"], ["--workers", "2", "--cluster", "tcp://x:1"]]
)
def test_wrong_usage_is_status_two(table, tmp_path, options):
    result = CliRunner().invoke(app, ["simulate", str(table), "-o", str(tmp_path / "p.parquet"), *options])
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_settings_that_make_no_sense():
    with pytest.raises(WavelengthError):
        Settings(17.0)
    for wrong in ({"conditions": "dirty"}, {"seed": -1}, {"shard_size": 0}, {"shard_size": 10**6}):
        with pytest.raises(InputError):
            Settings(**wrong)


def test_tables_that_cannot_be_read(table, tmp_path):
    whole = table.read_bytes()
    for name, content in {"truncated": whole[: len(whole) // 2], "text": b"no table", "nothing": b""}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(TableError, match=name):
            simulate_table(path, tmp_path / "p.parquet", workers=0)
    write_structures(tmp_path / "empty", [], TableInfo())
    with pytest.raises(TableError, match="no structures"):
        simulate_table(tmp_path / "empty", tmp_path / "p.parquet", workers=0)
    assert not list(tmp_path.glob("p.parquet*"))


def interrupted(
    table: Path,
    output: Path,
    monkeypatch,
    after: int,
    error: BaseException,
    settings: Settings,
    says: str | None = None,
) -> None:
    """Run until `after` shards are written, then fail in the middle of writing the next."""
    original, count = pq.write_table, 0

    def failing(what, file, **options):
        nonlocal count
        count += 1
        if count > after:
            file.write(b"PAR1 half a shard")
            raise error
        original(what, file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shards.pq, "write_table", failing)
        with pytest.raises(SimulationError if isinstance(error, OSError) else type(error), match=says):
            simulate_table(table, output, settings, workers=0)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_is_interrupted_goes_on(table, tmp_path, monkeypatch, error):
    settings = Settings(shard_size=4)
    undisturbed = simulate_table(table, tmp_path / "whole.parquet", settings, workers=0)
    output = tmp_path / "p.parquet"
    interrupted(table, output, monkeypatch, 2, error, settings, "No space left" if error.args else None)
    parts = tmp_path / "p.parquet.parts"
    assert sorted(p.name for p in parts.iterdir()) == [
        ".lock",
        "_manifest.json",
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert not output.exists()
    before = (parts / "part-00001.parquet").stat().st_mtime_ns
    (parts / ".part-00002.parquet.dead.partial").write_bytes(b"half")
    steps = []
    done = simulate_table(table, output, settings, workers=0, progress=lambda n, total: steps.append((n, total)))
    assert done.kept == 8
    assert steps == [(0, 15), (4, 15), (8, 15), (12, 15), (15, 15)]
    assert hashes(output) == hashes(undisturbed.path)
    assert (output / "part-00001.parquet").stat().st_mtime_ns == before


def test_a_shard_that_is_no_shard_is_made_again(table, tmp_path, monkeypatch):
    settings = Settings(shard_size=4)
    output = tmp_path / "p.parquet"
    interrupted(table, output, monkeypatch, 3, KeyboardInterrupt(), settings)
    parts = tmp_path / "p.parquet.parts"
    (parts / "part-00000.parquet").write_bytes((parts / "part-00000.parquet").read_bytes()[:500])
    (parts / "part-00001.parquet").replace(parts / "part-00002.parquet")
    assert simulate_table(table, output, settings, workers=0).kept == 0
    whole = simulate_table(table, tmp_path / "whole.parquet", settings, workers=0)
    assert hashes(output) == hashes(whole.path)


def test_another_simulation_is_refused_and_says_why(table, tmp_path, monkeypatch):
    output = tmp_path / "p.parquet"
    interrupted(table, output, monkeypatch, 1, KeyboardInterrupt(), Settings(shard_size=4))
    with pytest.raises(SimulationError, match=r"another simulation: settings.seed \(0 there, 7 here\)"):
        simulate_table(table, output, Settings(shard_size=4, seed=7), workers=0)
    other = tmp_path / "other.parquet"
    write_structures(other, records(22), TableInfo())
    with pytest.raises(SimulationError, match=r"table.sha256 .* table.rows \(23 there, 22 here\)"):
        simulate_table(other, output, Settings(shard_size=4), workers=0)
    simulate_table(table, output, Settings(shard_size=4), workers=0)
    with pytest.raises(SimulationError, match=r"settings.wavelength"):
        simulate_table(table, output, Settings("MoKa", shard_size=4), workers=0)


def test_nothing_else_is_overwritten(table, tmp_path):
    mine = tmp_path / "mine.parquet"
    mine.write_text("precious")
    with pytest.raises(SimulationError, match="choose another -o"):
        simulate_table(table, mine, workers=0)
    assert mine.read_text() == "precious"
    done = simulate_table(table, tmp_path / "p.parquet", Settings(shard_size=4), workers=0)
    (done.path / "part-00003.parquet").write_bytes(b"damaged")
    with pytest.raises(SimulationError, match=r"part-00003.parquet is missing or was changed"):
        simulate_table(table, done.path, Settings(shard_size=4), workers=0)
    (tmp_path / "empty").mkdir()
    assert simulate_table(table, tmp_path / "empty", workers=0).path.is_file()


def test_two_processes_on_one_output(table, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    parts = tmp_path / "p.parquet.parts"
    parts.mkdir()
    with (parts / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SimulationError, match="another process is writing"):
            simulate_table(table, tmp_path / "p.parquet", workers=0)
    assert simulate_table(table, tmp_path / "p.parquet", workers=0).patterns == 23


def test_killed_in_the_last_step(table, tmp_path, monkeypatch):
    settings = Settings()
    with monkeypatch.context() as patch:
        patch.setattr("syngony.simulation.output.shutil.rmtree", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            simulate_table(table, tmp_path / "p.parquet", settings, workers=0)
    assert (tmp_path / "p.parquet.parts").is_dir()
    assert simulate_table(table, tmp_path / "p.parquet", settings, workers=0).kept == 23
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.parquet", "p.parquet.manifest.json"]


def test_one_structure_has_no_impurity(tmp_path):
    write_structures(tmp_path / "one", [StructureRecord("r", 136, rutile())], TableInfo())
    done = simulate_table(tmp_path / "one", tmp_path / "p.parquet", Settings(conditions="lab"), workers=0)
    assert json.loads(pq.read_table(done.path)["conditions"][0].as_py())["impurity_phase"] is None


def test_repeats_go_through_the_table_again_with_other_draws(table, tmp_path):
    once = simulate_table(table, tmp_path / "once", Settings(conditions="lab", shard_size=20_000), workers=0)
    thrice = simulate_table(table, tmp_path / "thrice", Settings(conditions="lab", shard_size=10, repeats=3), workers=0)
    n = once.structures
    assert thrice.structures == 3 * n
    rows = pq.read_table(thrice.path)
    assert rows["row"].to_pylist() == [row for row in range(3 * n) if row % n in set(first_rows(once.path))]
    names = rows["material_id"].to_pylist()
    assert names[: len(names) // 3] == names[len(names) // 3 : 2 * len(names) // 3]
    scans = rows["intensity"].to_pylist()
    assert scans[0] != scans[len(scans) // 3]
    with pytest.raises(InputError, match="once or more"):
        Settings(repeats=0)


def first_rows(path: Path) -> list[int]:
    return pq.read_table(path)["row"].to_pylist()
