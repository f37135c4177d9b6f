"""`syngony simulate` on local dask clusters: speed-up, memory, lost workers, and what more takes. For docs/scale.md.

    python benchmarks/scale.py ../shared/data/materials_project.parquet -o runs/scale [--patterns 1000000]
    python benchmarks/scale.py --model runs/scale [--conditions ideal]

The first gives the table to clusters of --workers (1 and 2) workers, each time as often as the number of patterns
needs, then to the largest one while a worker is killed every --interval seconds, and to this machine's processes; the
hashes must be those of one another. The memory of each worker is sampled; it must be flat. A run that is done is
kept in the folder and not done again, and one that was interrupted goes on, without its time. The second prints the
cost model that follows: core-hours, bytes and network for 10^7 to 10^9 patterns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from footer import footer, load_now

from syngony.simulation.run import Simulation, simulate_table
from syngony.simulation.settings import Settings
from syngony.whole_files import write_text

_ROWS = "rows.json"

SAMPLING = 2.0  # s between two looks at the memory of the workers
_MB = 1e6


def resident(pid: int) -> float:
    """MB of a process in memory; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


class Watch(threading.Thread):
    """Looks at the workers of a cluster, and kills one now and then."""

    def __init__(self, cluster: Any, interval: float | None) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int, float]] = []  # s, process, MB
        self.killed = 0
        self._cluster, self._interval = cluster, interval
        self._over = threading.Event()

    def run(self) -> None:
        """Until `end`."""
        began = last = time.monotonic()
        while not self._over.wait(SAMPLING):
            pids = [worker.pid for worker in list(self._cluster.workers.values()) if worker.pid]
            now = time.monotonic()
            self.samples += [(now - began, pid, size) for pid in pids if (size := resident(pid))]
            if self._interval is not None and now - last >= self._interval and pids:
                last = now
                self.killed += self._kill(random.choice(pids))

    def _kill(self, pid: int) -> bool:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def memory(self) -> dict[str, float]:
        """Largest MB of a worker in the second and in the last quarter of the time: they are alike if it is flat."""
        if not self.samples:
            return {}
        last = max(moment for moment, _, _ in self.samples)
        quarters = [
            [size for moment, _, size in self.samples if low * last <= moment <= high * last]
            for low, high in ((0.25, 0.5), (0.75, 1.0))
        ]
        return {"second quarter": max(quarters[0], default=0.0), "last quarter": max(quarters[1], default=0.0)}


@contextmanager
def cluster_of(workers: int, interval: float | None) -> Iterator[tuple[str, Watch]]:
    """Address of a cluster of this machine, whose workers are watched."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        watch = Watch(cluster, interval)
        watch.start()
        try:
            yield cluster.scheduler_address, watch
        finally:
            watch.end()


def measured(folder: Path, name: str, table: Path, settings: Settings, workers: int, interval: float | None) -> dict:
    """One run: from the notes of an earlier one, or done now; `workers` of 0 are this machine's processes."""
    note = folder / f"{name}.json"
    if note.is_file():
        told = json.loads(note.read_text())
        if told["settings"] != settings.as_json():
            raise SystemExit(f"{note} is of other settings: choose another -o, or delete it")
        return told
    output = folder / f"{name}.parquet"
    began = time.perf_counter()
    if workers == 0:
        done, killed, memory = simulate_table(table, output, settings), 0, {}
    else:
        with cluster_of(workers, interval) as (address, watch):
            began = time.perf_counter()
            done = simulate_table(table, output, settings, address=address)
        killed, memory = watch.killed, watch.memory()
    told = {**told_of(done, time.perf_counter() - began, killed, memory), "workers": workers}
    write_text(note, json.dumps(told) + "\n")
    shutil.rmtree(output) if output.is_dir() else output.unlink()  # the notes have the hashes
    return told


def told_of(done: Simulation, seconds: float, killed: int, memory: dict[str, float]) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "patterns": done.patterns,
        "seconds": seconds if not done.kept else None,
        "core_seconds": done.core_seconds if not done.kept else None,
        "bytes": done.size,
        "manifest": len(json.dumps(done.manifest, indent=1)),
        "shards": len(done.manifest["shards"]),
        "failures": len(done.failures),
        "settings": done.manifest["settings"],
        "hashes": [shard["sha256"] for shard in done.manifest["shards"]],
        "killed": killed,
        "memory": memory,
        "date": time.strftime("%Y-%m-%d"),
    }


def report(runs: dict[str, dict[str, Any]]) -> bool:
    """Print the table; whether all runs gave the same files."""
    wanted = next(iter(runs.values()))["hashes"]
    alone = next((r["seconds"] for name, r in runs.items() if name.endswith("cluster-1")), None)
    print("| run | patterns | s | times one worker | core-hours | MB a worker, 2nd and last quarter | killed | files |")
    print("|---|---|---|---|---|---|---|---|")
    same = True
    for name, run in runs.items():
        equal = run["hashes"] == wanted
        same &= equal
        seconds, memory = run["seconds"], run["memory"]
        core = f"{run['core_seconds'] / 3600:.3f}" if seconds else ""
        print(
            f"| {name} | {run['patterns']:,} | {f'{seconds:.0f}' if seconds else 'interrupted'} "
            f"| {f'{alone / seconds:.2f}' if alone and seconds else ''} "
            f"| {core} "
            f"| {', '.join(f'{size:.0f}' for size in memory.values())} | {run['killed']} "
            f"| {run['shards']}, {'same hashes' if equal else 'DIFFERENT'} |"
        )
    return same


def cost_model(folder: Path, conditions: str) -> None:
    """Print core-hours, bytes and network of 10^7, 10^8 and 10^9 patterns, from the runs in a folder."""
    notes = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{conditions}-*.json"))]
    timed = [note for note in notes if note["seconds"] and note["workers"] and not note["killed"]]
    if not timed:
        raise SystemExit(f"{folder}: no undisturbed run of {conditions} patterns there: give a table and -o first")
    # The clock of whole runs, waiting included: what a queue bills.
    core = float(np.median([note["seconds"] * note["workers"] / note["patterns"] for note in timed]))
    patterns, shards = notes[0]["patterns"], notes[0]["shards"]
    size, shard, entry = notes[0]["bytes"] / patterns, patterns / shards, notes[0]["manifest"] / shards
    rows = json.loads((folder / _ROWS).read_text())
    print("| patterns | core-hours | on 64 cores, h | storage, TB | files | manifest, MB | rows sent to workers, GB |")
    print("|---|---|---|---|---|---|---|")
    for power in (7, 8, 9):
        count = 10**power
        hours, files = count * core / 3600, math.ceil(count / shard)
        print(
            f"| 10^{power} | {hours:,.0f} | {hours / 64:,.1f} | {count * size / 1e12:,.2f} | {files:,} "
            f"| {files * entry / 1e6:,.1f} | {count * rows['sent'] / 1e9:,.1f} |"
        )
    a_core = f"{core * 1000:.2f} ms of a core and {size:,.0f} bytes a pattern, {size / core / 1e6:.1f} MB/s from a core"
    a_file = f"{shard:,.0f} patterns, {shard * core:.1f} s and {shard * rows['sent'] / 1e6:.2f} MB of rows a file"
    print(f"\n{conditions}: {a_core}; {a_file}; cached lines take {rows['lines']:,.0f} bytes a structure.")


def note_rows(folder: Path, table: Path, settings: Settings) -> None:
    """Note the bytes of a structure on its way to a worker, and of its lines as training caches them."""
    from syngony.learning.line_cache import build_line_cache
    from syngony.simulation.shard import rows_of_shard, serialise
    from syngony.structure_table import COLUMNS, read_table

    if (folder / _ROWS).is_file():
        return
    structures = read_table(table, columns=[*COLUMNS, "occupancies"])
    rows = rows_of_shard(structures, 0, settings)
    some = np.random.default_rng(0).choice(structures.num_rows, min(2000, structures.num_rows), replace=False)
    cache = build_line_cache(table, folder / "lines", rows=np.sort(some))
    size = sum(path.stat().st_size for path in (folder / "lines").rglob("*.npy"))
    said = {"sent": len(serialise(rows)) / rows.num_rows, "lines": size / len(cache)}
    write_text(folder / _ROWS, json.dumps(said) + "\n")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, help="folder of the runs: 8 GB while a million patterns are made")
    parser.add_argument("--model", type=Path, help="print the cost model of the runs in this folder instead")
    parser.add_argument(
        "--patterns", type=int, default=1_000_000, help="at least; a whole number of turns of the table"
    )
    parser.add_argument("--conditions", choices=("ideal", "lab"), default="ideal")
    parser.add_argument("--shard-size", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--interval", type=float, default=20.0, help="seconds between two kills")
    given = parser.parse_args()
    if given.model is None and (given.structures is None or given.output is None):
        parser.error("give a table of structures and -o, or --model")
    return given


def main() -> None:
    given = arguments()
    if given.model is not None:
        cost_model(given.model, given.conditions)
        return
    folder, table = given.output, given.structures
    folder.mkdir(parents=True, exist_ok=True)
    repeats = math.ceil(given.patterns / pq.read_metadata(table).num_rows)
    settings = Settings(conditions=given.conditions, shard_size=given.shard_size, repeats=repeats)
    note_rows(folder, table, settings)
    plan: list[tuple[str, int, float | None]] = [(f"cluster-{count}", count, None) for count in given.workers]
    plan += [(f"killed-{max(given.workers)}", max(given.workers), given.interval), ("processes", 0, None)]
    runs = {}
    for name, workers, interval in plan:
        full = f"{given.conditions}-{name}"
        runs[full] = measured(folder, full, table, settings, workers, interval)
        print(f"{full}: done", flush=True)
    same = report(runs)
    print(f"\n{footer(f'{load_now()} at the end', ('distributed', 'numpy', 'numba', 'pyarrow'))}")
    if not same:
        raise SystemExit("the files differ")


if __name__ == "__main__":
    main()
