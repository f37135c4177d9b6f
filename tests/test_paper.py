"""`syngony paper`, `train`, `export`, `evaluate` from the command line, end to end on a small table."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TEXTBOOK
from typer.testing import CliRunner

from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures
from syngony.symmetry import CRYSTAL_SYSTEMS, space_group_of

pytest.importorskip("torch", reason="training needs the 'train' extra")

from syngony.cli import app

METALS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Cu", "Ag", "Au", "Ni", "Co", "Fe", "Mn")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(1)
    records = []
    for number in range(250):
        parent = list(TEXTBOOK.values())[number % len(TEXTBOOK)]()
        others = sorted(set(parent.species) - {"O"})
        # Each drawing gets a formula of its own, so that the split has something to split.
        swap = dict(zip(others, rng.choice(METALS, len(others), replace=False), strict=True))
        crystal = Structure(
            parent.lattice * rng.uniform(0.9, 1.15), [str(swap.get(s, s)) for s in parent.species], parent.frac_coords
        )
        records.append(StructureRecord(f"t/{number}", space_group_of(crystal), crystal))
    path = tmp_path_factory.mktemp("paper") / "table.parquet"
    write_structures(path, records, TableInfo("tests", "none"))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def report(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    options = ["--patterns", "256", "--size", "32", "--weights", "none", "--threads", "1", "--save-images"]
    text = run("paper", "--structures", table, "-o", folder, *options)
    assert "the paper: 54 %" in text
    return folder


def test_the_papers_experiment_makes_every_figure_and_table(report):
    figures = ("counts", "proportions", "pattern", "curves", "confusion_matrix")
    for name in figures:
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(figures)
    for words in ("precision", "Beside the paper", "random ones in one stage", "interval"):
        assert words in page
    numbers = json.loads((report / "report.json").read_text())
    assert numbers["paper"]["accuracy"] == 0.54
    assert np.sum(numbers["crystal_system"]["confusion_matrix"]) == numbers["n"]


def test_images_are_stored_by_crystal_system(report):
    stored = {name: len(list((report / "images" / name).glob("*.png"))) for name in CRYSTAL_SYSTEMS}
    assert stored["cubic"] == 100
    assert stored["tetragonal"] == stored["hexagonal"] == stored["triclinic"] == 50
    assert stored["trigonal"] == 0


def test_the_saved_image_is_what_the_network_sees(report):
    from matplotlib.image import imread

    image = imread(next((report / "images" / "cubic").glob("*.png")))
    assert image.shape[:2] == (32, 32)
    assert np.allclose(image[0, 0, :3], [0.267, 0.005, 0.329], atol=0.01)  # viridis at zero


def test_train_export_evaluate_determine(table, tmp_path):
    run("train", "mobilenetv2", "--structures", table, "-o", tmp_path / "run", "--patterns", "64", "--threads", "1",
        "--batch-size", "16")  # fmt: skip
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"data": {"source": "textbook cells"}}))
    text = run("export", tmp_path / "run", "-o", tmp_path / "mine.onnx", "--card", card)
    assert "parameters" in text
    model = tmp_path / "mine.onnx"
    out = json.loads(run("evaluate", "--model", model, "--structures", table, "--limit", "30", "--json",
                         "--evidence", "network", "-o", tmp_path / "evaluation"))  # fmt: skip
    assert out["n"] == 30
    assert out["model"] == "mine"
    assert set(out["crystal_system"]["per_class"]) == set(CRYSTAL_SYSTEMS)
    assert set(out["baselines"]) == {"majority", "nearest neighbour, leave one out"}
    assert (tmp_path / "evaluation" / "report.html").is_file()
    lab = json.loads(
        run("evaluate", "--model", model, "--structures", table, "--limit", "20", "--conditions", "lab", "--json",
            "--evidence", "network")
    )  # fmt: skip
    assert lab["conditions"] == "lab"
    text = run("evaluate", "--model", model, "--structures", table, "--limit", "4", "--budget", "0.3")
    assert "evidence: network, lattice, library; libraries: amcsd" in text


def test_evaluate_on_labelled_patterns(report, tmp_path):
    from syngony.learning.export import export_run

    export_run(report / "run", tmp_path / "small.onnx")
    angles = np.arange(10, 80, 0.05)
    rows = [
        {
            "two_theta": angles,
            "intensity": 10 + 100 * np.exp(-(((angles - peak) / 0.1) ** 2)),
            "wavelength": 1.5418,
            "space_group": group,
            "crystal_system": "cubic",
        }
        for peak, group in ((30, "225"), (40, "186|194"), (50, "2"))
    ]
    path = tmp_path / "patterns.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    out = json.loads(run("evaluate", "--model", tmp_path / "small.onnx", "--patterns", path, "--json",
                         "--evidence", "network"))  # fmt: skip
    assert out["n"] == 3
    assert [sum(row) for row in out["crystal_system"]["confusion_matrix"]] == [1, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["evaluate"], 2),
        (["evaluate", "--structures", "a", "--patterns", "b"], 2),
        (["evaluate", "--structures", "a.parquet", "--conditions", "dirty"], 2),
        (["paper", "--structures", "nothing.parquet", "-o", "r", "--layout", "round"], 2),
    ],
)
def test_wrong_usage_is_status_two(arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"text"])
def test_a_damaged_table_is_one_line_and_leaves_nothing(content, tmp_path):
    from syngony.errors import TableError

    broken = tmp_path / "broken.parquet"
    broken.write_bytes(content)
    for command in (["paper", "--structures", broken, "-o", tmp_path / "r", "--weights", "none"],
                    ["train", "mobilenetv2", "--structures", broken, "-o", tmp_path / "r"],
                    ["data", "split", broken, "-o", tmp_path / "split.parquet"],
                    ["data", "info", broken]):  # fmt: skip
        result = CliRunner().invoke(app, [str(a) for a in command])
        assert isinstance(result.exception, TableError), (command, result.output, result.exception)
        assert "\n" not in str(result.exception)
    assert not list(tmp_path.glob("**/*partial*"))
    assert not (tmp_path / "split.parquet").exists()
