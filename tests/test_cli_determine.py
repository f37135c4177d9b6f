"""``syngony determine`` from the command line, with a tiny network made here."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLES
from typer.testing import CliRunner, Result

from syngony.cli import app
from syngony.errors import OutputError
from syngony.symmetry import CRYSTAL_SYSTEMS
from syngony.views import ProfileView

LOGITS = [0.0, 1.0, 2.0, 5.0, 0.5, 1.5, 0.0]  # tetragonal wins
RUTILE = str(EXAMPLES / "rutile.xy")


def write_network(path: Path, logits: list[float]) -> Path:
    """An ONNX network that answers the same whatever it sees, and its card."""
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    view = ProfileView()
    n = len(logits)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pattern"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        ],
        "constant",
        [helper.make_tensor_value_info("pattern", float32, ["n", *view.shape])],
        [helper.make_tensor_value_info("logits", float32, ["n", n])],
        [
            helper.make_tensor("weights", float32, [view.points, n], [0.0] * (view.points * n)),
            helper.make_tensor("bias", float32, [n], logits),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    card = {
        "format": 1,
        "name": path.stem,
        "view": view.as_dict(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "network": "constant",
        "parameters": 0,
        "temperature": 1.0,
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_network(tmp_path_factory.mktemp("model") / "tiny.onnx", LOGITS))


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A scan that states no wavelength."""
    path = tmp_path / "bare.xy"
    path.write_text("".join(line + "\n" for line in Path(RUTILE).read_text().splitlines() if line[0] != "#"))
    return str(path)


def run(*arguments: str) -> Result:
    """The network alone: what it says is known here. All witnesses are asked in test_determination.py."""
    return CliRunner().invoke(app, ["determine", "--evidence", "network", *arguments])


def everything(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["determine", *arguments])


def complaints(result: Result) -> list[str]:
    return result.stderr.splitlines()


def test_text(model: str) -> None:
    result = run(RUTILE, "--model", model)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{RUTILE}  1.54184 Å"
    assert lines[1] == "  tetragonal, 89%"
    assert lines[2].startswith("  impression only")
    bars = [line for line in lines if "█" in line or line.split()[0] in CRYSTAL_SYSTEMS]
    shares = [float(line.split()[1].removesuffix("%")) for line in bars]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.4)
    assert len({line.index("%") for line in bars}) == 1
    assert bars[0].endswith("█" * 27)


def test_text_of_all_witnesses() -> None:
    result = everything(RUTILE)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "tetragonal, ", "recognised: Rutile", "tetragonal P cell", "a = 4.59", "c = 2.9", "18 of 18 lines",
        "space group: P4_2/mnm", "extinction group: P - n -", "known phase: Rutile (Ti2 O4), P4_2/mnm",
    ):  # fmt: skip
        assert words in result.stdout
    assert "known phase" not in everything(RUTILE, "--library", "none").stdout


def test_wrong_witnesses_are_wrong_usage(tmp_path: Path) -> None:
    result = everything(RUTILE, "--evidence", "gut")
    assert result.exit_code == 2 and "evidence is of network, lattice, library" in result.stderr
    result = everything(RUTILE, "--library", str(tmp_path / "none.lib"), "--evidence", "library")
    assert result.exit_code == 2 and "none.lib" in result.stderr


def test_json_is_the_contract(model: str) -> None:
    result = run(RUTILE, "--model", model, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (entry,) = json.loads(result.stdout)
    assert entry["file"] == RUTILE and entry["error"] is None and entry["warnings"] == []
    assert entry["wavelength"] == 1.54184 and entry["crystal_system"] == "tetragonal" and entry["abstained"] is False
    assert list(entry["probabilities"]) == list(CRYSTAL_SYSTEMS)
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    for key in ("extinction_groups", "space_groups", "known_phases", "cells"):
        assert isinstance(entry[key], list)


def test_space_groups(tmp_path: Path) -> None:
    logits = [0.0] * 230
    logits[135] = 10.0
    result = run(RUTILE, "--json", "--model", str(write_network(tmp_path / "groups.onnx", logits)))
    (entry,) = json.loads(result.stdout)
    assert entry["space_groups"][0]["number"] == 136 and entry["space_groups"][0]["symbol"] == "P4_2/mnm"
    assert entry["crystal_system"] == "tetragonal"


def test_a_network_that_does_not_know_abstains(tmp_path: Path) -> None:
    result = run(RUTILE, "--model", str(write_network(tmp_path / "unsure.onnx", [0.0] * 7)))
    assert result.exit_code == 0 and "not sure: perhaps " in result.stdout and ", 14%" in result.stdout


def test_the_other_files_are_still_done(model: str, bare: str, tmp_path: Path) -> None:
    (tmp_path / "empty.xy").touch()
    (tmp_path / "scan.raw").write_bytes(b"RAW1.01\x00\x00" + bytes(100))
    (tmp_path / "line\nbreak.xy").write_text("nothing")
    names = ["empty.xy", "scan.raw", "line\nbreak.xy", "missing.xy", ""]
    bad = [str(tmp_path / name) if name else str(tmp_path) for name in names]
    files = [bad[0], RUTILE, *bad[1:], bare, RUTILE]
    result = run(*files, "--json", "--model", model)
    assert result.exit_code == 1
    entries = json.loads(result.stdout)
    assert [entry["file"] for entry in entries] == files
    assert [entry["error"] is None for entry in entries] == [name == RUTILE for name in files]
    lines = complaints(result)
    assert len(lines) == 6 and all(line.startswith(f"syngony: {tmp_path}") for line in lines)
    reasons = ["the file is empty", "Bruker RAW", "no two columns", "no such file", "a folder", "--wavelength CuKa"]
    assert all(reason in line for reason, line in zip(reasons, lines, strict=True))
    assert lines[0] == f"syngony: {bad[0]}: {entries[0]['error']}"


def test_wavelength_option(model: str, bare: str) -> None:
    (entry,) = json.loads(run(bare, "--json", "--model", model, "--wavelength", "CoKa").stdout)
    assert entry["wavelength"] == 1.79026 and entry["warnings"] == []
    result = run(RUTILE, "--model", model, "-w", "CoKa")
    assert result.exit_code == 0
    assert "  warning: the file says 1.54184 Å, 1.79026 Å was given and is used" in result.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--wavelength", "banana"], "'banana' is no wavelength"),
        (["--wavelength", "15.4"], "not between"),
        (["--wavelength", "0.15406"], "in nm"),
        (["--model", "nonsense"], "no model 'nonsense'"),
        (["--model", "nonsense.onnx"], "no such file"),
        (["--csv", "no/such/folder/table.csv"], "cannot be written (No such file or directory)"),
        (["--csv", "."], "cannot be written"),
    ],
)
def test_wrong_options_are_one_line_before_anything_is_read(model: str, options: list[str], reason: str) -> None:
    result = run("missing.xy", "--model", model, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = complaints(result)
    assert line.startswith("syngony: ") and reason in line


def test_csv(model: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("old")
    result = run(RUTILE, "missing.xy", "--model", model, "--csv", str(table))
    assert result.exit_code == 1 and "tetragonal" in result.stdout
    with table.open(newline="", encoding="utf-8") as stream:
        good, bad = csv.DictReader(stream)
    assert good["file"] == RUTILE and good["crystal_system"] == "tetragonal" and good["error"] == ""
    assert sum(float(good[name]) for name in CRYSTAL_SYSTEMS) == pytest.approx(1, abs=1e-5)
    assert bad["file"] == "missing.xy" and "no such file" in bad["error"] and bad["crystal_system"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_table_that_cannot_be_finished_leaves_the_old_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("old")

    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target == table:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        result = run(RUTILE, "--model", model, "--csv", str(table))
    assert isinstance(result.exception, OutputError) and "No space left on device" in str(result.exception)
    assert "tetragonal" in result.stdout and "run again with --resume" in result.stderr
    assert table.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.csv.journal"]
    assert run(RUTILE, "--model", model, "--csv", str(table), "--resume").exit_code == 0
    assert "tetragonal" in table.read_text() and [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_a_failure_of_the_machine_is_one_files(error: Exception, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("syngony.readers.read_patterns", fail)
    result = run(RUTILE, "--model", model)
    assert result.exit_code == 1 and len(complaints(result)) == 1


def test_a_mistake_in_the_program_is_not_hidden(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("syngony.readers.read_patterns", fail)
    assert isinstance(run(RUTILE, "--model", model).exception, KeyError)


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from syngony.cli import main; main()", "determine", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)


def test_the_program_and_a_terminal_without_unicode(model: str, tmp_path: Path) -> None:
    odd = tmp_path / "blüte.xy"
    odd.write_text(Path(RUTILE).read_text())
    done = shell(str(odd), "--model", model, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"tetragonal" in done.stdout and b"####" in done.stdout
    done = shell(str(odd), "missing.xy", "--json", "--model", model, PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and done.stderr.startswith(b"syngony: missing.xy: no such file")
    assert json.loads(done.stdout)[0]["file"] == str(odd)


def test_exit_status_of_wrong_usage(model: str) -> None:
    assert shell("--model", model, "--nonsense").returncode == 2
    done = shell(RUTILE, "--model", "nonsense")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and b"Traceback" not in done.stderr
