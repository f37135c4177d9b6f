"""`syngony simulate` end to end: read, pack, simulate, write. What docs/simulate.md quotes.

    python benchmarks/simulate.py ../shared/data/materials_project.parquet [--kills 3] [--cluster]

With --kills every simulation is done once more, killed so many times on the way (SIGKILL); with --cluster once
more on dask workers, of which one is killed. The files must be the same.

The command line is run as a user would run it; its output goes to a temporary folder beside --scratch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from footer import footer, load_now

from syngony.simulation.settings import file_sha256


def command(table: Path, output: Path, conditions: str, *more: str) -> list[str]:
    """The command line of one simulation."""
    return [
        sys.executable,
        "-m",
        "syngony",
        "simulate",
        str(table),
        "-o",
        str(output),
        "--conditions",
        conditions,
        *more,
    ]


def manifest_of(output: Path) -> dict[str, Any]:
    """What the simulation says of itself."""
    path = output / "_manifest.json" if output.is_dir() else output.with_name(f"{output.name}.manifest.json")
    return json.loads(path.read_text())


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds on the clock, and of all cores, of a command that may name failures."""
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode not in (0, 1):
        raise SystemExit(f"exit status {done.returncode}: {' '.join(arguments)}")
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def killed(arguments: list[str], parts: Path, times: int, shards: int) -> list[int]:
    """Run a command, SIGKILL it at random moments, and run it to the end; shards that were there at each kill."""
    found = [0]
    for _ in range(times):
        target = found[-1] + random.randint(1, max(1, shards // (times + 1)))
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        while len(list(parts.glob("part-*.parquet"))) < target and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.5))
        process.kill()
        process.wait()
        found.append(len(list(parts.glob("part-*.parquet"))))
    timed(arguments)
    return found[1:]


def on_a_cluster(table: Path, output: Path, conditions: str, workers: int) -> float:
    """Seconds on a local dask cluster whose first worker is killed when a third is done."""
    from distributed import LocalCluster

    from syngony.simulation.run import simulate_table
    from syngony.simulation.settings import Settings

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        victims = [next(iter(cluster.workers.values())).pid]

        def watch(done: int, total: int) -> None:
            if victims and done > total / 3:
                os.kill(victims.pop(), signal.SIGKILL)

        began = time.perf_counter()
        settings = Settings(conditions=conditions)  # type: ignore[arg-type]
        simulate_table(table, output, settings, address=cluster.scheduler_address, progress=watch)
        if victims:
            raise SystemExit("no worker was killed: use a larger table")
        return time.perf_counter() - began


def verdict(one: Path, other: Path) -> str:
    """Whether two outputs are the same files."""
    one_file, other_file = (
        {path.name: file_sha256(path) for path in output.iterdir()} if output.is_dir() else file_sha256(output)
        for output in (one, other)
    )
    return "same files, same hashes" if one_file == other_file else "DIFFERENT"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--conditions", nargs="+", default=["ideal", "lab"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, help="the first N structures")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--scratch", type=Path, help="folder for the output: 1.2 GB a run for 145,841 structures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder, table = Path(name), arguments.structures
        if arguments.limit:
            table = folder / "table.parquet"
            pq.write_table(pq.read_table(arguments.structures).slice(0, arguments.limit), table)
        n = pq.read_metadata(table).num_rows
        print("| patterns | structures | s | a second | core-hours | bytes a pattern | without a pattern |")
        print("|---|---|---|---|---|---|---|")
        for conditions in arguments.conditions:
            output = folder / f"{conditions}.parquet"
            line = command(table, output, conditions, "--workers", str(arguments.workers))
            seconds, of_cores = timed(line)
            said = manifest_of(output)
            size = sum(shard["bytes"] for shard in said["shards"])
            print(
                f"| {conditions} | {n:,} | {seconds:.0f} | {n / seconds:.0f} | {of_cores / 3600:.3f} "
                f"| {size / said['patterns']:,.0f} | {len(said['failures'])} |",
                flush=True,
            )
            if arguments.kills:
                again = folder / f"{conditions}-killed.parquet"
                line = command(table, again, conditions, "--workers", str(arguments.workers))
                found = killed(line, again.with_name(f"{again.name}.parts"), arguments.kills, len(said["shards"]))
                print(f"  {conditions}, killed with {found} shards there: {verdict(output, again)}", flush=True)
            if arguments.cluster:
                again = folder / f"{conditions}-cluster.parquet"
                took = on_a_cluster(table, again, conditions, arguments.workers)
                print(f"  {conditions}, dask, a worker killed, {took:.0f} s: {verdict(output, again)}", flush=True)
    about = f"{arguments.workers} workers, {load_now()} at the end"
    print(f"\n{footer(about, ('numpy', 'numba', 'pyarrow'))}")


if __name__ == "__main__":
    main()
