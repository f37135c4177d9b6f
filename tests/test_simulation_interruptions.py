"""`syngony simulate` under SIGKILL: of itself, of a worker, of a worker of a cluster. The hashes must not change."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTBOOK

pytest.importorskip("pyarrow", reason="tables need the 'data' extra")
import pyarrow.parquet as pq

from syngony.errors import MissingExtraError, SimulationError
from syngony.simulation.run import simulate_table
from syngony.simulation.settings import Settings, file_sha256
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo, write_structures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"),
]

ROWS, SHARD = 420, 6
SETTINGS = Settings(conditions="lab", seed=2, shard_size=SHARD)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(11)
    parents = [make() for make in TEXTBOOK.values()]
    crystals = [
        Structure(p.lattice * rng.uniform(0.9, 1.15), p.species, p.frac_coords)
        for p in (parents[n % len(parents)] for n in range(ROWS))
    ]
    path = tmp_path_factory.mktemp("interruptions") / "table.parquet"
    write_structures(path, [StructureRecord(f"t-{n}", 1, c) for n, c in enumerate(crystals)], TableInfo())
    return path


@pytest.fixture(scope="module")
def undisturbed(table):
    return hashes(simulate_table(table, table.with_name("undisturbed"), SETTINGS, workers=1).path)


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in folder.iterdir()}


def start(table: Path, output: Path) -> subprocess.Popen:
    options = ["--conditions", "lab", "--seed", "2", "--shard-size", str(SHARD), "--workers", "2"]
    command = [sys.executable, "-m", "syngony", "simulate", str(table), "-o", str(output), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shards_in(folder: Path) -> set[Path]:
    return set(folder.glob("part-*.parquet"))


def wait_for_shards(process: subprocess.Popen, folder: Path, count: int) -> None:
    end = time.monotonic() + 120
    while len(shards_in(folder)) < count and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()


def check_whole(output: Path, undisturbed: dict[str, str]) -> None:
    assert hashes(output) == undisturbed
    assert pq.read_table(output)["row"].to_pylist() == list(range(ROWS))
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_killed_three_times_at_random_moments(table, undisturbed, tmp_path):
    rng = np.random.default_rng()
    output, parts = tmp_path / "p.parquet", tmp_path / "p.parquet.parts"
    kept: dict[Path, int] = {}
    for _ in range(3):
        process = start(table, output)
        wait_for_shards(process, parts, len(kept) + int(rng.integers(1, 12)))
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.communicate()
        now = {path: path.stat().st_mtime_ns for path in shards_in(parts)}
        assert kept.items() <= now.items()  # none lost, none made twice
        time.sleep(0.5)  # its workers end by themselves
        kept = {path: path.stat().st_mtime_ns for path in shards_in(parts)}
    process = start(table, output)
    said, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert f"{SHARD * len(kept):,} structures were there already" in complaints
    assert f"{ROWS} patterns" in said
    check_whole(output, undisturbed)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_a_killed_worker_is_one_line_and_nothing_is_lost(table, undisturbed, tmp_path):
    output, parts = tmp_path / "p.parquet", tmp_path / "p.parquet.parts"
    process = start(table, output)
    wait_for_shards(process, parts, 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(c) for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]
    os.kill(workers[0], signal.SIGKILL)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaints.count("\n") == 1
    assert "a worker process died" in complaints
    assert "run the same command again" in complaints
    assert not list(parts.glob("*.partial"))
    process = start(table, output)
    assert process.communicate(timeout=120)[1].endswith("structures were there already\n")
    check_whole(output, undisturbed)


def test_control_c_is_one_line(table, tmp_path):
    for turn in range(5):  # on a busy machine the simulation may end before it is interrupted
        output, parts = tmp_path / f"{turn}.parquet", tmp_path / f"{turn}.parquet.parts"
        process = start(table, output)
        while not shards_in(parts) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert process.returncode == 130
    assert complaints == "syngony: stopped; run the same command again to go on\n"
    assert not list(parts.glob(".*.partial"))


def test_a_cluster_gives_the_same_bytes_when_a_worker_is_killed(table, undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed: the 'cluster' extra")
    output = tmp_path / "p.parquet"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).pid

        def watch(done: int, _: int) -> None:
            nonlocal victim
            if done > 5 * SHARD and victim:
                os.kill(victim, signal.SIGKILL)
                victim = 0

        done = simulate_table(table, output, SETTINGS, address=cluster.scheduler_address, progress=watch)
    assert victim == 0
    assert done.structures == ROWS
    check_whole(output, undisturbed)


def test_a_cluster_that_is_not_there(table, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="dask.distributed is not installed: the 'cluster' extra")
    from syngony.parallel import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    with pytest.raises(SimulationError, match=r"no dask scheduler at tcp://127.0.0.1:9"):
        simulate_table(table, tmp_path / "p", SETTINGS, address="tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"syngony\[cluster\]"):
        simulate_table(table, tmp_path / "p", SETTINGS, address="tcp://127.0.0.1:9")
