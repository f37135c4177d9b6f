"""The matminer source, against a stand-in for ``matminer.datasets``: tests download nothing."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from materials_project_stub import perovskite, rutile

from syngony.errors import MissingExtraError, SourceError
from syngony.sources import matminer, store
from syngony.structure_table import iter_structures, read_info, read_table


class PymatgenStructure:
    """What the column holds: an object with ``as_dict``."""

    def __init__(self, document: dict) -> None:
        self.document = document

    def as_dict(self) -> dict:
        return self.document


def frame() -> dict:
    documents = [perovskite("mp-1", 3.9), rutile("mp-2", 4.59)]
    broken = {
        "lattice": {"matrix": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]},
        "sites": documents[0]["structure"]["sites"],
    }
    return {
        "mpid": ["mp-1", "mp-2", "mp-3"],
        "formula": ["SrTiO3", "TiO2", "SrTiO3"],
        "e_form": [-3.5, -3.2, 0.0],
        "structure": [*(PymatgenStructure(d["structure"]) for d in documents), PymatgenStructure(broken)],
    }


@pytest.fixture
def install(monkeypatch):
    def stand_in(load_dataset) -> None:
        package, datasets = ModuleType("matminer"), ModuleType("matminer.datasets")
        datasets.load_dataset = load_dataset
        monkeypatch.setitem(sys.modules, "matminer", package)
        monkeypatch.setitem(sys.modules, "matminer.datasets", datasets)

    return stand_in


def test_the_data_set_becomes_a_table(install, tmp_path, capsys):
    asked = []

    def load_dataset(name: str) -> dict:
        asked.append(name)
        print("Fetching ...")
        return frame()

    install(load_dataset)
    tally = store(matminer.harvest(), tmp_path / "t.parquet")
    assert asked == ["mp_all_20181018"]
    assert capsys.readouterr().out == "", "matminer's progress belongs on stderr"
    records = list(iter_structures(read_table(tmp_path / "t.parquet")))
    assert [(r.material_id, r.space_group_number) for r in records] == [("mp-1", 221), ("mp-2", 136)]
    assert [r.identifier for r in tally.refusals] == ["mp-3"] and "volume" in tally.refusals[0].reason
    info = read_info(tmp_path / "t.parquet")
    assert "mp_all_20181018" in info.source and info.licence == "CC BY 4.0"


def test_other_columns_are_told(install):
    install(lambda _: {"material_id": ["mp-1"], "structure": [None]})
    with pytest.raises(SourceError, match=r"has no column mpid \(it has material_id, structure\)"):
        matminer.harvest()


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionError("Max retries exceeded\nwith url"),
        UserWarning("repeated hash validation failures"),
        EOFError("Compressed file ended before the end-of-stream marker was reached"),
        ValueError("Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_a_failed_download_is_one_line(install, failure):
    def load_dataset(_: str) -> dict:
        raise failure

    install(load_dataset)
    with pytest.raises(SourceError, match=r"cannot be loaded .* check the network") as caught:
        matminer.harvest()
    assert "\n" not in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matminer.datasets", None)
    with pytest.raises(MissingExtraError, match=r"syngony\[sources\]"):
        matminer.harvest()
