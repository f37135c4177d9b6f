"""``syngony determine --watch``: files as an instrument writes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import EXAMPLES

from syngony.cli.watching import QUIET, new_files


class Clock:
    """Time that passes only while it is slept; what happens in the folder is scheduled."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def at(self, when: float, event: Callable[[], object]) -> None:
        self.events.append((when, event))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for entry in [entry for entry in self.events if entry[0] <= self.now]:
            self.events.remove(entry)
            entry[1]()
        if self.now > 60:
            raise KeyboardInterrupt


def watched(folder: Path, clock: Clock, **more: Callable[[Path], bool]) -> list[tuple[str, float]]:
    """Names that come, each with the time, until a minute has passed."""
    found: list[tuple[str, float]] = []
    files: Iterator[Path] = new_files(folder, clock=lambda: clock.now, sleep=clock.sleep, **more)
    with pytest.raises(KeyboardInterrupt):
        for path in files:
            found.append((path.name, clock.now))
    return found


def test_a_file_is_taken_when_it_has_stopped_growing(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "new.xy"
    for second in range(1, 6):
        clock.at(second * 0.7, lambda n=second: path.write_text("x" * n))
    ((name, when),) = watched(tmp_path, clock)
    assert name == "new.xy" and 5 * 0.7 + QUIET <= when < 5 * 0.7 + QUIET + 0.6


def test_what_is_there_stays_until_it_is_written_again(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "old.xy"
    path.write_text("old")
    clock.at(10, lambda: path.write_text("newer"))
    assert [(name, round(when) >= 11) for name, when in watched(tmp_path, clock)] == [("old.xy", True)]


def test_what_is_no_scan_is_passed_over(tmp_path: Path) -> None:
    clock = Clock()
    clock.at(1, lambda: (tmp_path / ".hidden").write_text("x"))
    clock.at(1, lambda: (tmp_path / "empty.xy").touch())
    clock.at(1, lambda: (tmp_path / "folder").mkdir())
    clock.at(1, lambda: (tmp_path / "out.csv").write_text("x"))
    clock.at(1, lambda: (tmp_path / "gone.xy").write_text("x"))
    clock.at(1.5, lambda: (tmp_path / "gone.xy").unlink())
    clock.at(2, lambda: (tmp_path / "scan.xy").write_text("x"))
    taken = watched(tmp_path, clock, passed_over=lambda path: path.name == "out.csv")
    assert [name for name, _ in taken] == ["scan.xy"]


def test_the_command_watches_until_it_is_interrupted(tmp_path: Path) -> None:
    folder, table = tmp_path / "scans", tmp_path / "scans" / "table.csv"
    folder.mkdir()
    command = [sys.executable, "-c", "from syngony.cli import main; main()", "determine", "--watch", str(folder)]
    options = ["--json", "--csv", str(table), "--model", "mobilenetv2", "--evidence", "network"]
    with subprocess.Popen(
        command + options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline().startswith(f"syngony: watching {folder}")
        (folder / "one.xy").write_text((EXAMPLES / "rutile.xy").read_text())
        entry = json.loads(process.stdout.readline())
        (folder / "bad.xy").write_text("nothing")
        assert json.loads(process.stdout.readline())["error"].startswith("no two columns")
        time.sleep(2.5 * QUIET)  # long enough for the table to be taken for a scan
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert entry["file"] == str(folder / "one.xy") and entry["crystal_system"] == "tetragonal"
    assert out == "" and err.splitlines()[-1] == f"syngony: watched {folder}: 2 scans" and "Traceback" not in err
    assert process.returncode == 1 and len(table.read_text().splitlines()) == 3
