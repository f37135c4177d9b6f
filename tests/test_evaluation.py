"""Answers against labels: processes, interruptions, figures."""

import json

import numpy as np
import pytest
from conftest import TEXTBOOK

pytest.importorskip("pyarrow", reason="tables need the 'data' extra")

from syngony.errors import InputError
from syngony.evaluation import SimulatedPatterns, Witnesses, answers, evaluate_structures
from syngony.evaluation.report import FILE, figures
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures
from syngony.symmetry import space_group_of

QUICK = Witnesses("mobilenetv2", time_budget=0.2, evidence=("network", "lattice"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    records = []
    for number, make in enumerate([*TEXTBOOK.values()] * 2):
        parent = make()
        crystal = Structure(parent.lattice * (1 + 0.01 * number), parent.species, parent.frac_coords)
        records.append(StructureRecord(f"t-{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("table") / "table.parquet"
    write_structures(path, records, TableInfo("tests", "none"))
    return path


def test_a_simulated_scan_depends_on_its_place_alone(table):
    one, other = SimulatedPatterns(table, "lab", seed=3), SimulatedPatterns(table, "lab", seed=3)
    for place in (7, 2):
        assert np.array_equal(one[place].pattern.intensity, other[place].pattern.intensity)
    assert not np.array_equal(one[2].pattern.intensity, SimulatedPatterns(table, "lab", seed=4)[2].pattern.intensity)
    assert one[0].sites == 6
    assert len(SimulatedPatterns(table, "ideal", limit=4)) == 4
    with pytest.raises(InputError, match="ideal or lab"):
        SimulatedPatterns(table, "dirty")


def test_processes_change_nothing(table):
    patterns = SimulatedPatterns(table, "ideal")
    generous = Witnesses("mobilenetv2", time_budget=None, evidence=("network", "lattice"))
    chosen = SimulatedPatterns(table, "ideal", limit=4)
    alone, shared = answers(generous, chosen), answers(generous, chosen, workers=2)
    assert [a.name for a in alone] == [a.name for a in shared]
    for one, other in zip(alone, shared, strict=True):
        assert one.systems == pytest.approx(other.systems)
    assert len(patterns) == 10


def test_an_interrupted_evaluation_goes_on(table, tmp_path):
    kept, patterns = tmp_path / FILE, SimulatedPatterns(table, "ideal")
    identity = {"what": "test"}
    whole = answers(QUICK, patterns, kept=kept, identity=identity)
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(patterns)
    kept.write_text("".join(lines[:6]) + lines[6][:20])  # killed while it wrote
    steps = []
    again = answers(QUICK, patterns, kept=kept, identity=identity, progress=lambda *a: steps.append(a))
    assert len(steps) == len(patterns) - 5
    assert [a.place for a in again] == [a.place for a in whole]
    assert [list(a.truth) for a in again] == [list(a.truth) for a in whole]
    with pytest.raises(InputError, match="another evaluation"):
        answers(QUICK, patterns, kept=kept, identity={"what": "else"})


def test_figures_add_up(table, tmp_path):
    report = evaluate_structures(QUICK, table, "ideal", folder=tmp_path)
    assert report["n"] == 10
    assert report["evidence"] == ["network", "lattice"]
    assert report["libraries"] == []
    assert np.sum(report["crystal_system"]["confusion_matrix"]) == 10
    assert report["extinction_group"]["accuracy"] >= report["space_group"]["accuracy"]
    for kinds in report["by"].values():
        assert sum(row["n"] for row in kinds.values()) == 10
    assert json.loads((tmp_path / FILE).read_text().splitlines()[0])["conditions"] == "ideal"
    # An answer that is right by construction.
    answer = answers(QUICK, SimulatedPatterns(table, "ideal", limit=1))[0]
    system = np.eye(7)[6]
    sure = answer.__class__(0, "x", truth=(225,), systems=tuple(system), space_groups=((225, 1.0),),
                            extinction_groups=((96, 1.0),))  # fmt: skip
    assert figures([sure])["space_group"]["accuracy"] == 1.0
    assert figures([sure])["crystal_system"]["accuracy"] == 1.0


def test_a_network_alone_is_asked_in_batches(table):
    report = evaluate_structures(Witnesses("mobilenetv2"), table, "lab")
    assert report["evidence"] == ["network"]
    assert report["space_group"]["accuracy"] is not None
    assert report["by"]["rests on"]["impression"]["n"] == 10
