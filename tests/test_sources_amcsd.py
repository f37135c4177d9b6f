"""The AMCSD source on the database that larixite ships."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
if find_spec("larixite") is None:
    pytest.skip("larixite, which ships the AMCSD, is not installed", allow_module_level=True)

from syngony.errors import MissingExtraError, SourceError
from syngony.sources import Refusal, amcsd, store
from syngony.structure_table import StructureRecord, read_info, read_table


@pytest.fixture(scope="module")
def entries() -> dict[int, amcsd.Entry]:
    wanted = {}
    for entry in amcsd._entries(amcsd.database_path()):
        wanted[entry.id] = entry
    return wanted


def by_mineral(entries, mineral: str, formula: str) -> list[StructureRecord]:
    chosen = [e for e in entries.values() if e.mineral == mineral and e.formula == formula]
    assert chosen, f"no {mineral}"
    return [r for r in map(amcsd.read_entry, chosen) if isinstance(r, StructureRecord)]


@pytest.mark.parametrize(
    ("mineral", "formula", "cell", "number", "volume"),
    [
        ("Galena", "Pb S", {"Pb": 4.0, "S": 4.0}, 225, 209),
        ("Rutile", "Ti O2", {"Ti": 2.0, "O": 4.0}, 136, 62.4),
        ("Calcite", "Ca C O3", {"Ca": 6.0, "C": 6.0, "O": 18.0}, 167, 367),
        ("Halite", "Na Cl", {"Na": 4.0, "Cl": 4.0}, 225, 179),
    ],
)
def test_minerals_have_the_textbook_cell(entries, mineral, formula, cell, number, volume):
    records = by_mineral(entries, mineral, formula)
    right = [r for r in records if r.structure.composition == cell and r.space_group_number == number]
    assert len(right) > len(records) / 2, "high-pressure forms apart, the textbook cell"
    assert any(r.structure.volume == pytest.approx(volume, rel=0.02) for r in right)
    assert right[0].name == mineral and right[0].material_id.startswith("amcsd-")


def test_mixed_sites_keep_their_occupancies(entries):
    record = amcsd.read_entry(entries[1484])  # (Mg Fe2) O4, a spinel whose cations share two sites
    assert isinstance(record, StructureRecord) and record.space_group_number == 227
    composition = record.structure.composition
    assert not record.structure.is_ordered
    assert composition["O"] == 32 and composition["Mg"] + composition["Fe"] == pytest.approx(24, abs=0.1)


def test_what_contradicts_itself_is_refused(entries):
    def kind(number: int) -> str:
        outcome = amcsd.read_entry(entries[number])
        assert isinstance(outcome, Refusal)
        return outcome.kind

    assert kind(19200) == "less symmetry found than stated"  # trigonal operations in a square cell
    assert kind(2477) == "occupancy not in (0, 1]"
    assert kind(1963) == "atoms overlap"
    assert kind(131) == "one position is occupied more than once"


def test_a_table_of_the_first_entries(tmp_path):
    path = tmp_path / "a.parquet"
    tally = store(amcsd.harvest(limit=60), path)
    assert tally.written >= 55 and tally.written + len(tally.refusals) == 60
    assert read_table(path).num_rows == tally.written
    info = read_info(path)
    assert "Downs & Hall-Wallace" in info.source and info.licence and info.label_tolerance == 0.1


def test_the_label_tolerance_is_recorded(tmp_path):
    store(amcsd.harvest(tolerance=0.01, limit=5), tmp_path / "a.parquet")
    assert read_info(tmp_path / "a.parquet").label_tolerance == 0.01


def test_ordered_only_leaves_no_partial_site(tmp_path):
    tally = store(amcsd.harvest(limit=60), tmp_path / "a.parquet", ordered_only=True)
    assert tally.disordered == 0 and tally.kinds()[0] == ("disordered", 15)
    assert read_table(tmp_path / "a.parquet")["occupancies"].null_count == tally.written


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(amcsd, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"syngony\[data\]"):
        amcsd.harvest()


def test_a_damaged_database_is_one_line(monkeypatch, tmp_path):
    path = tmp_path / "amcsd_cif1.db"
    path.write_bytes(amcsd.database_path().read_bytes()[:300_000])
    monkeypatch.setattr(amcsd, "database_path", lambda: path)
    with pytest.raises(SourceError, match=r"cannot be read .* reinstall larixite"):
        store(amcsd.harvest(), tmp_path / "a.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["amcsd_cif1.db"]


def test_the_package_is_never_written_to():
    with sqlite3.connect(f"{amcsd.database_path().as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        assert connection.execute("select count(*) from cif").fetchone()[0] > 9000
    assert not list(amcsd.database_path().parent.glob("*.db-*"))


@pytest.mark.slow
def test_the_whole_database(tmp_path):
    tally = store(amcsd.harvest(workers=2), tmp_path / "a.parquet")
    assert tally.ordered >= 6000 and tally.written >= 9000
