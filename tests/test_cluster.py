"""Work shared out on a dask cluster: the same results, bounded memory, lost workers, a lost scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import EXAMPLES, TEXTBOOK
from typer.testing import CliRunner

pytest.importorskip("distributed", reason="dask.distributed is not installed: the 'cluster' extra")
pytest.importorskip("pyarrow", reason="tables need the 'data' extra")
import distributed

from syngony.cli import app
from syngony.errors import ParallelError
from syngony.evaluation import SimulatedPatterns, Witnesses, answers
from syngony.parallel import cluster as on_cluster
from syngony.parallel import each
from syngony.structure_table import StructureRecord, TableInfo, write_structures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"),
]

THREADS = 2


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with distributed.LocalCluster(n_workers=THREADS, threads_per_worker=1, dashboard_address=None) as made:
        yield made.scheduler_address


def square(number: int, folder: Path) -> int:
    """The square; the process that is given 7 first dies."""
    mark = folder / "died"
    if number == 7 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def broken(number: int) -> int:
    raise ValueError(f"no {number}")


def test_a_lost_worker_costs_its_tasks_only_and_few_are_in_hand(address: str, tmp_path: Path) -> None:
    sent = most = 0

    def tasks() -> Iterator[int]:
        nonlocal sent
        for number in range(60):
            sent += 1
            yield number

    found: dict[int, int] = {}
    for number, result in each(partial(square, folder=tmp_path), tasks(), address=address):
        assert number not in found
        found[number] = result
        most = max(most, sent - len(found))
    assert (tmp_path / "died").exists()
    assert found == {number: number * number for number in range(60)}
    assert most <= on_cluster._AHEAD * THREADS


def test_an_error_of_the_function_is_the_callers(address: str) -> None:
    with pytest.raises(ValueError, match="no 1"):
        list(each(broken, iter([1]), address=address))


def test_a_worker_with_other_versions_refuses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cluster, "installation", lambda: {"numpy": "0.1"})
    with pytest.raises(ParallelError, match=r"other versions: numpy \(.* there, 0.1 here\)"):
        list(each(broken, iter([1]), address=address))


def test_a_lost_scheduler_is_an_error_that_says_so() -> None:
    code = (
        "import sys\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made:\n"
        "        print(made.scheduler_address, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        there = process.stdout.readline().strip()
        found = []
        with pytest.raises(ParallelError, match="the dask scheduler at tcp://.* was lost"):
            for seconds, _ in each(time.sleep, iter([0.3] * 1000), address=there):
                found.append(seconds)
                if len(found) == 3:
                    process.kill()
    assert 3 <= len(found) < 10


def test_determine_gives_the_same_table(address: str, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    rutile = (EXAMPLES / "rutile.xy").read_text().splitlines()
    files = [scans / f"{number}.xy" for number in range(6)]
    for number, path in enumerate(files):
        path.write_text("\n".join(rutile[: len(rutile) - 200 * number]))
    files.insert(3, scans / "missing.xy")
    said = {}
    for name, more in (("here", []), ("there", ["--cluster", address])):
        table = tmp_path / f"{name}.csv"
        command = ["determine", *map(str, files), "--evidence", "network", "--csv", str(table), "--json", *more]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1 and result.stderr.count("no such file") == 1, result.stderr
        said[name] = result.stdout, table.read_bytes()
    assert said["here"] == said["there"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.csv", "scans", "there.csv"]


def test_evaluate_gives_the_same_answers(address: str, tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    write_structures(
        table, [StructureRecord(f"t-{n}", 1, make()) for n, make in enumerate(TEXTBOOK.values())], TableInfo()
    )
    patterns = SimulatedPatterns(table, "lab")
    witnesses = Witnesses("syngony", evidence=("network", "library"))
    assert answers(witnesses, patterns, address=address) == answers(witnesses, patterns)


def deadly(number: int) -> int:
    """Ends its process, always."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_task_that_kills_its_workers_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    monkeypatch.setattr(on_cluster, "_ATTEMPTS", 2)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made,
        pytest.raises(ParallelError, match="workers that were given a task died"),
    ):
        list(each(deadly, iter([1]), address=made.scheduler_address))
