"""The Materials Project source, with the real mp-api client against a local HTTP stub."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mp_api", reason="mp-api is not installed")

from materials_project_stub import KEY, MaterialsProjectStub, perovskite

from syngony.errors import InputError, SourceError
from syngony.sources import Tally, store
from syngony.sources.materials_project import Order, harvest
from syngony.structure_table import iter_structures, read_info, read_table


@pytest.fixture
def stub():
    service = MaterialsProjectStub()
    yield service
    service.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetch(stub, tmp_path, waits):
    """Fetch into table.parquet; the waits between tries are noted, not slept."""

    def run(systems=("cubic",), count=None, top_up=None, page_size=4, key=KEY, tries=4) -> Tally:
        path = tmp_path / "table.parquet"
        order = Order(systems, count, top_up, page_size)
        return store(harvest(path, order, 0.1, key, stub.endpoint, tries, waits.append), path)

    return run


def ids(path: Path) -> list[str]:
    return read_table(path)["material_id"].to_pylist()


def test_pages_are_put_together_in_order(stub, fetch, tmp_path):
    tally = fetch(("cubic", "tetragonal"))
    assert tally.written == 13 and not tally.refusals
    table = tmp_path / "table.parquet"
    assert ids(table) == [f"mp-{100 + i}" for i in range(10)] + [f"mp-{200 + i}" for i in range(3)]
    assert stub.pages == [("cubic", 1), ("cubic", 2), ("cubic", 3), ("tetragonal", 1)]
    numbers = {r.material_id: r.space_group_number for r in iter_structures(read_table(table))}
    assert numbers["mp-100"] == 221 and numbers["mp-200"] == 136
    info = read_info(table)
    assert "Materials Project" in info.source and info.licence == "CC BY 4.0" and info.label_tolerance == 0.1
    assert info.notes["database_version"] == "2025.09.25"
    assert list(tmp_path.iterdir()) == [table], "pages or partial files are left"


def test_count_asks_for_no_page_beyond_it(stub, fetch, tmp_path):
    fetch(count=5)
    assert ids(tmp_path / "table.parquet") == [f"mp-{100 + i}" for i in range(5)]
    assert stub.pages == [("cubic", 1), ("cubic", 2)]


def test_a_table_is_topped_up_without_fetching_its_rows_again(fetch, tmp_path):
    fetch(count=5)
    base = (tmp_path / "table.parquet").rename(tmp_path / "base.parquet")
    tally = fetch(("cubic", "tetragonal"), count=7, top_up=base)
    assert ids(tmp_path / "table.parquet") == [f"mp-{100 + i}" for i in range(7)] + [
        "mp-200",
        "mp-201",
        "mp-202",
    ]
    assert tally.written == 10
    assert "topped up" in read_info(tmp_path / "table.parquet").source


def test_a_system_with_too_few_structures_is_remarked(stub, tmp_path):
    path = tmp_path / "t.parquet"
    crop = harvest(path, Order(("tetragonal",), 9, page_size=2), key=KEY, endpoint=stub.endpoint)
    assert store(crop, path).written == 3
    assert crop.remarks == ["tetragonal: 3 structures, not 9: there are no more"]


def test_topping_up_at_another_tolerance_is_refused(fetch, stub, tmp_path):
    fetch(count=1)
    with pytest.raises(InputError, match=r"--tolerance 0.1"):
        harvest(tmp_path / "o", Order(top_up=tmp_path / "table.parquet"), 0.01, KEY, stub.endpoint)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_one_line_and_not_retried(stub, fetch, status, tmp_path, waits):
    stub.fail_next(status)
    with pytest.raises(SourceError, match=rf"refused the key in MP_API_KEY \(HTTP {status}\)") as caught:
        fetch()
    assert "\n" not in str(caught.value) and waits == [] and list(tmp_path.iterdir()) == []


def test_a_wrong_key_is_refused(fetch):
    with pytest.raises(SourceError, match="HTTP 401"):
        fetch(key="f" * 32)


def test_a_missing_or_short_key_is_told_before_anything_is_asked(stub, fetch, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    with pytest.raises(SourceError, match="MP_API_KEY is not set: get a key"):
        fetch(key=None)
    with pytest.raises(SourceError, match="has 3 characters, not 32"):
        fetch(key="abc")
    assert stub.attempts == 0


def test_too_many_requests_waits_as_long_as_told(stub, fetch, waits):
    stub.fail_next((429, {"Retry-After": "7"}), (429, {}))
    assert fetch().written == 10
    assert waits == [7.0, 2.0]


def test_a_service_in_trouble_is_given_up_after_some_tries(stub, fetch, waits, tmp_path):
    stub.fail_next(None, 500, 502, 503, 500)
    with pytest.raises(SourceError, match=r"HTTP 500 .* 4 times in a row: .*same command again") as caught:
        fetch()
    assert "\n" not in str(caught.value)
    assert waits == [1.0, 2.0, 4.0]
    assert [p.name for p in tmp_path.iterdir()] == [".table.parquet.parts"], "no half-written table"


def test_a_dropped_connection_resumes_without_asking_a_page_twice(stub, fetch, tmp_path):
    stub.fail_next(None, "drop", "drop", "drop", "drop")
    with pytest.raises(SourceError, match="cannot be reached"):
        fetch()
    assert stub.pages == [("cubic", 1)]
    assert fetch().written == 10
    assert stub.pages == [("cubic", 1), ("cubic", 2), ("cubic", 3)]
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]


def test_one_dropped_connection_is_asked_again(stub, fetch, waits):
    stub.fail_next(None, "drop")
    assert fetch().written == 10 and waits == [1.0]


def test_malformed_json_is_asked_again_then_given_up(stub, fetch):
    stub.fail_next("garbage")
    assert fetch().written == 10
    stub.fail_next(*["garbage"] * 4)
    with pytest.raises(SourceError, match=r"not understood .* 4 times in a row"):
        fetch()


def test_an_unreachable_service_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        harvest(tmp_path / "o", Order(), 0.1, KEY, "http://127.0.0.1:9/", 2, lambda _: None)
    assert "\n" not in str(caught.value)


def test_pages_of_another_query_are_dropped(stub, fetch):
    stub.fail_next(None, 500, 500, 500, 500)
    with pytest.raises(SourceError):
        fetch(page_size=4)
    assert fetch(page_size=5).written == 10
    assert stub.pages == [("cubic", 1), ("cubic", 1), ("cubic", 2), ("cubic", 3)]


def test_documents_that_are_no_structures_are_refused_and_the_rest_kept(stub, fetch):
    stub.documents["Cubic"] = [
        {"material_id": "mp-1"},
        perovskite("mp-2", 3.9),
        stub.documents["Tetragonal"][0],
        perovskite("mp-2", 3.9),
    ]
    tally = fetch()
    assert tally.written == 1
    assert [(r.identifier, r.kind) for r in tally.refusals] == [
        ("mp-1", "not a structure of pymatgen"),
        ("mp-200", "of another system at this tolerance"),
    ]


def test_an_unknown_system_is_refused():
    with pytest.raises(InputError, match="unknown crystal system rhombic: choose from triclinic"):
        Order(("rhombic",))
