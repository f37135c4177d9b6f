"""The comparison of networks: a network of one's own, added by following the docs alone, stands in its table."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTBOOK

pytest.importorskip("torch", reason="networks need the 'train' extra")
pytest.importorskip("sklearn", reason="trees need the 'baselines' extra")

from syngony import networks
from syngony.errors import InputError
from syngony.evaluation import SimulatedPatterns
from syngony.learning.split import side_of
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures
from syngony.symmetry import space_group_of

ROOT = Path(__file__).resolve().parents[1]
METALS = (
    "Li",
    "Na",
    "K",
    "Rb",
    "Cs",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Zn",
    "Cd",
    "Cu",
    "Ag",
    "Au",
    "Ni",
    "Co",
    "Fe",
    "Mn",
    "Ti",
)
OTHERS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te", "N", "P", "As", "Sb")


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    """Halites and caesium chlorides of 216 compounds: enough for every side of the split."""
    rng = np.random.default_rng(7)
    records = []
    for number, (metal, other) in enumerate((m, o) for m in METALS for o in OTHERS):
        parent = TEXTBOOK["halite" if number % 3 else "caesium_chloride"]()
        species = [metal if s in ("Na", "Cs") else other for s in parent.species]
        crystal = Structure(parent.lattice * rng.uniform(0.85, 1.15), species, parent.frac_coords)
        records.append(StructureRecord(f"c-{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("table") / "structures.parquet"
    write_structures(path, records, TableInfo("tests", "none"))
    return path


@pytest.fixture(scope="module")
def scans(structures, tmp_path_factory):
    """Simulated scans in the place of measured ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    items = [SimulatedPatterns(structures, "lab", limit=6, seed=1)[place] for place in range(6)]
    path = tmp_path_factory.mktemp("scans") / "scans.parquet"
    columns = {
        "two_theta": [item.pattern.two_theta for item in items],
        "intensity": [item.pattern.intensity for item in items],
        "wavelength": [item.pattern.wavelength for item in items],
        "space_group": [str(item.space_groups[0]) for item in items],
    }
    pq.write_table(pa.table(columns), path)
    return path


def benchmark(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(structures: Path, scans: Path, output: Path, monkeypatch) -> list[dict]:
    comparison = benchmark("comparison")
    command = ["comparison.py", str(structures), str(scans), "-o", str(output), "--budget", "128", "--learned", "60"]
    monkeypatch.setattr(sys, "argv", [*command, "--rows", "baselines", "dense"])
    comparison.main()
    return json.loads((output / "comparison.json").read_text())


def test_a_network_added_in_one_file_stands_in_the_table(structures, scans, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "my_networks"
    folder.mkdir()
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)[1]
    (folder / "dense.py").write_text(example)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(folder)])  # what SYNGONY_NETWORKS does
    results = run(structures, scans, tmp_path / "out", monkeypatch)
    assert [row["name"] for row in results] == ["majority", "nearest neighbour", "trees on line positions", "dense"]
    dense = results[-1]
    assert dense["parameters"] == 1024 * 256 + 256 + 7 * 257
    assert dense["patterns"] == 128
    assert dense["core_hours"] > 0
    assert "Vecsei" in example
    assert dense["published"].startswith("ICSD")
    tested = sum(side_of(f"{m}{o}") == "test" for m in METALS for o in OTHERS)
    assert dense["ideal"]["crystal_system"]["n"] == dense["lab"]["crystal_system"]["n"] == tested
    assert dense["measured"]["crystal_system"]["n"] == 6
    assert dense["ideal"]["space_group"] is None  # it learned systems alone
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert text in capsys.readouterr().out
    assert "not comparable" in text
    # Asked again, nothing is trained or evaluated anew.
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.onnx")}
    again = run(structures, scans, tmp_path / "out", monkeypatch)
    assert again[-1]["lab"] == dense["lab"]
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.onnx")}


def test_rows_are_shipped_networks_and_a_network_a_label():
    rows = benchmark("comparison").rows_of(networks.names())
    names = [row.name for row in rows]
    assert {"syngony", "mobilenetv2", "oviedo2019", "lee2022"} <= set(names)
    assert [name for name in names if name.startswith("park2017")] == [
        "park2017, system", "park2017, extinction group", "park2017, space group",
    ]  # fmt: skip
    assert [row.key for row in benchmark("comparison").rows_of(["park2017-system", "lee2022"])] == [
        "park2017-system", "lee2022",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"park2017-colour: choose one of park2017-system"):
        benchmark("comparison").rows_of(["park2017-colour"])


def test_a_budget_is_of_all_of_a_network_or_of_one_label():
    comparison = benchmark("comparison")
    budgets = comparison.budgets_of(["300", "park2017=500", "park2017-system=1000"])
    rows = {row.key: row for row in comparison.rows_of(["park2017", "lee2022"])}
    spent = {key: comparison.budget_of(row, budgets) for key, row in rows.items()}
    assert spent == {
        "park2017-system": 1000, "park2017-extinction_group": 500, "park2017-space_group": 500, "lee2022": 300,
    }  # fmt: skip
    for wrong in ("many", "alexnet=300"):
        with pytest.raises(ValueError, match=r"many|alexnet: no such network"):
            comparison.budgets_of([wrong])
