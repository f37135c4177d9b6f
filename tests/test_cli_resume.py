"""``syngony determine`` that was interrupted: its journal, what is done again, what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLES
from test_cli_determine import LOGITS, run, write_network

from syngony.determination import Determination, batch
from syngony.pattern import Pattern


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_network(tmp_path_factory.mktemp("model") / "tiny.onnx", LOGITS))


@pytest.fixture
def scans(tmp_path: Path) -> list[str]:
    folder = tmp_path / "scans"
    folder.mkdir()
    rutile = (EXAMPLES / "rutile.xy").read_text().splitlines()
    for number in range(5):
        (folder / f"{number}.xy").write_text("\n".join(rutile[: len(rutile) - 100 * number]))
    return [str(path) for path in sorted(folder.iterdir())]


def broken_off(monkeypatch: pytest.MonkeyPatch, after: int, *arguments: str) -> str:
    """Run the command until so many files are done, then break it off; what it said on stderr."""
    original, count = batch._scans, 0

    def failing(*given: object, **more: object) -> list[tuple[str, Pattern | Determination]]:
        nonlocal count
        count += 1
        if count > after:
            raise RuntimeError("broken off")
        return original(*given, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_scans", failing)
        patch.setattr(sys.modules["syngony.cli.determine"], "_TOGETHER", 1)
        result = run(*arguments)
    assert str(result.exception) == "broken off"
    return result.stderr


def looked_at(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], str]:
    """Names of the files that the command determines, and its stdout."""
    original, names = batch._scans, []

    def noting(file: batch.ScanFile, request: batch.Request) -> list[tuple[str, Pattern | Determination]]:
        names.append(Path(file.name).name)
        return original(file, request)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_scans", noting)
        result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return names, result.stdout


def test_what_was_done_is_not_done_again(
    model: str,
    scans: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    everything = looked_at(monkeypatch, *scans, "--model", model, "--csv", str(whole), "--json")[1]
    options = ["--model", model, "--csv", str(table), "--json"]
    said = broken_off(monkeypatch, 3, *scans, *options)
    assert "3 files are done and kept in" in said and "--resume" in said
    assert not table.exists()
    with (tmp_path / "t.csv.journal").open("a") as journal:
        journal.write('{"file": "cut')  # killed while it wrote
    refused = run(*scans, *options)
    assert refused.exit_code == 2 and "holds 3 files of an interrupted run: pass --resume" in refused.stderr
    other = run(*scans, *options, "--resume", "--low", "20")
    assert other.exit_code == 2 and "is of another run (low differs)" in other.stderr
    names, said = looked_at(monkeypatch, *scans, *options, "--resume")
    assert names == ["3.xy", "4.xy"]
    assert said == everything and table.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans", "t.csv", "whole.csv"]


def test_what_changed_or_failed_is_done_again_and_what_is_new_is_done(
    model: str,
    scans: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = tmp_path / "scans" / "bad.xy"
    bad.write_text("nothing")
    options = ["--model", model, "--json", "--journal", str(tmp_path / "kept")]
    broken_off(monkeypatch, 3, scans[0], str(bad), scans[1], scans[2], *options)
    Path(scans[0]).write_text(Path(scans[0]).read_text() + "\n")
    bad.write_text(Path(scans[3]).read_text())
    names, said = looked_at(monkeypatch, scans[4], scans[0], str(bad), scans[1], scans[1], *options, "--resume")
    assert names == ["4.xy", "0.xy", "bad.xy"]
    assert [Path(entry["file"]).name for entry in json.loads(said)] == ["4.xy", "0.xy", "bad.xy", "1.xy", "1.xy"]
    assert not (tmp_path / "kept").exists()


def test_options_that_do_not_go_together(model: str, scans: list[str], tmp_path: Path) -> None:
    for options, reason in (
        (["--resume"], "--resume goes on from a journal"),
        (["--workers", "2", "--cluster", "tcp://127.0.0.1:9"], "either --workers or --cluster"),
        (["--watch", str(tmp_path), "--resume"], "--watch goes with none of"),
    ):
        result = run(*scans, "--model", model, *options)
        assert result.exit_code == 2 and reason in result.stderr


def test_an_answer_through_json_is_the_same(model: str) -> None:
    (entry,) = json.loads(run(str(EXAMPLES / "rutile.xy"), "--model", model, "--json").stdout)
    answer = Determination.from_dict(entry)
    assert json.loads(json.dumps(answer.as_dict())) == entry
    assert answer.probability == max(entry["probabilities"].values())
    assert isinstance(answer.warnings, tuple)
