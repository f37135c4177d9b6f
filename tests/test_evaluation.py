"""Answers against labels: processes, interruptions, figures."""

import json

import numpy as np
import pytest
from conftest import TEXTBOOK

pytest.importorskip("pyarrow", reason="tables need the 'data' extra")

from syngony.diffraction.profile import PaperGrid
from syngony.errors import InputError, TableError
from syngony.evaluation import SimulatedPatterns, TrainingSet, Witnesses, answers, evaluate_structures
from syngony.evaluation.baselines import features_of, trained_baselines, training_features
from syngony.evaluation.report import FILE, figures
from syngony.learning.split import side_of
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


def test_a_batch_that_was_broken_off_ends_the_same(table, tmp_path):
    kept, patterns, network = tmp_path / FILE, SimulatedPatterns(table, "lab"), Witnesses("mobilenetv2")
    answers(network, patterns, kept=kept, identity={})
    whole = kept.read_bytes()
    kept.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    answers(network, patterns, kept=kept, identity={})
    assert kept.read_bytes() == whole


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


METALS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Cu", "Ag", "Au", "Ni", "Co", "Fe", "Mn")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Halite and caesium chloride types of many compounds, cells of many sizes."""
    rng = np.random.default_rng(2)
    records = []
    for number in range(120):
        parent = TEXTBOOK["halite" if number % 3 else "caesium_chloride"]()
        metal, halogen = METALS[number % len(METALS)], ("F", "Cl", "Br", "I")[number % 4]
        species = [metal if s in ("Na", "Cs") else halogen for s in parent.species]
        crystal = Structure(parent.lattice * rng.uniform(0.85, 1.15), species, parent.frac_coords)
        records.append(StructureRecord(f"m-{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    write_structures(path, records, TableInfo("tests", "none"))
    return path


def test_an_ideal_scan_reaches_as_far_as_is_asked(table):
    grid = PaperGrid(two_theta_range=(0.0, 110.0))
    usual, longer = (
        SimulatedPatterns(table, "ideal")[0].pattern,
        SimulatedPatterns(table, "ideal", grid=grid)[0].pattern,
    )
    assert usual.two_theta[-1] == pytest.approx(90.0)
    assert longer.two_theta[-1] == pytest.approx(110.0)
    assert longer.intensity[longer.two_theta > 90.5].max() > 0
    same = longer.two_theta < 89.5
    assert np.allclose(longer.intensity[same], usual.intensity[: same.sum()], atol=1e-9)


def test_one_side_of_the_split_can_be_sampled(many):
    training = SimulatedPatterns(many, "ideal", side="train")
    assert {side_of(training[place].kin) for place in range(len(training))} == {"train"}
    assert len(SimulatedPatterns(many, "ideal", limit=5, side="train")) == 5
    with pytest.raises(TableError, match="no structure on the moon side"):
        SimulatedPatterns(many, "ideal", side="moon")


def test_baselines_learn_and_leave_out_what_is_asked(many, table):
    pytest.importorskip("sklearn", reason="trees need the 'baselines' extra")
    training = training_features(TrainingSet(many), "ideal")
    asked = features_of(SimulatedPatterns(table, "ideal")[place] for place in (1, 2))  # NaCl, CsCl
    report = trained_baselines(training, asked, [(225,), (221,)])
    majority = "majority of the training structures"
    assert set(report) == {majority, "nearest training structure", "trees on line positions"}
    left_out = np.isin(training.kin, ["NaCl", "CsCl"])
    for row in report.values():
        assert row["trained_on"] == len(training.kin) - left_out.sum()
        assert row["accuracy"] == 1.0  # all of them are cubic
    # Two thirds are halites; lines of the others lie elsewhere, which the majority cannot know.
    assert report[majority]["space_group"]["accuracy"] == 0.5
    assert report[majority]["answer"] == "Fm-3m"
    assert report["trees on line positions"]["space_group"]["accuracy"] == 1.0
    assert report["nearest training structure"]["space_group"]["accuracy"] == 1.0
    same = asked.__class__(**{**training.__dict__, "kin": np.repeat(asked.kin[:1], len(training.kin))})
    with pytest.raises(TableError, match="every training structure"):
        trained_baselines(same, asked, [(225,), (221,)])


def test_training_patterns_are_kept(many, tmp_path):
    first = training_features(TrainingSet(many, limit=8, folder=tmp_path), "lab")
    (kept,) = tmp_path.glob("baselines-*.npz")
    changed = kept.stat().st_mtime_ns
    again = training_features(TrainingSet(many, limit=8, folder=tmp_path), "lab")
    assert kept.stat().st_mtime_ns == changed
    for name, value in first.__dict__.items():
        assert np.array_equal(value, getattr(again, name)), name
    training_features(TrainingSet(many, limit=8, seed=1, folder=tmp_path), "lab")
    assert len(list(tmp_path.glob("baselines-*.npz"))) == 2


def test_a_report_states_baselines_when_the_training_table_is_at_hand(table, many, tmp_path):
    pytest.importorskip("sklearn", reason="trees need the 'baselines' extra")
    report = evaluate_structures(Witnesses("mobilenetv2"), table, training=TrainingSet(many, folder=tmp_path))
    rows = report["baselines"]
    assert {"majority", "nearest neighbour, leave one out", "trees on line positions"} <= set(rows)
    assert rows["nearest training structure"]["trained_on"] > 50
    assert all(0 <= row["interval"][0] <= row["accuracy"] <= row["interval"][1] <= 1 for row in rows.values())
    json.dumps(report)
