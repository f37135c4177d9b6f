"""Every long command under SIGKILL at random moments: the end must be that of an undisturbed run. For docs/scale.md.

    python benchmarks/interruptions.py [--kills 20] [--commands fetch simulate train evaluate determine]

Each command is run once undisturbed. Then it is begun in an empty folder, killed at a random moment and begun again
until it ends, and so on with further empty folders until it was killed --kills times. Of every end it is asked whether
the files are those of the undisturbed run, whether partial files, journals or working folders are left, whether an
answer is there twice, and, after every kill, whether worker processes stay behind. Exit status 1 if one is.

Data are made here, in a temporary folder beside --scratch.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syngony.simulation.settings import file_sha256

LINGER = 30.0
"""Seconds after which a worker of a killed command counts as left behind."""

_MOST_TRIES = 400


@dataclass(frozen=True)
class Command:
    """A long command.

    Attributes:
        arguments: of ``syngony``, for an output in a folder of its own.
        again: what is added when it was interrupted.
        result: what must be the same, of that folder.
    """

    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], Any]
    again: tuple[str, ...] = ()

    def line(self, folder: Path, begun: bool) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "syngony", *self.arguments(folder), *(self.again if begun else ())]


def commands(inputs: Path, size: float, workers: int = 2) -> dict[str, Command]:
    """The long commands on small data of `inputs`; `size` times some seconds of work. Workers are of determinations."""
    table, scans = inputs / "table.parquet", inputs / "scans"
    witnesses = ["--evidence", "network,library"]  # a lattice search ends by the clock, and may differ by that
    return {
        "fetch": Command(
            lambda f: ["data", "fetch", "synthetic", "-o", str(f / "t.parquet"), f"--count={round(600 * size)}",
                       "--workers=2"],
            lambda f: file_sha256(f / "t.parquet"),
        ),
        "simulate": Command(
            lambda f: ["simulate", str(table), "-o", str(f / "p"), "--conditions=lab", "--shard-size=20", "--workers=2",
                       f"--repeats={round(3 * size)}"],
            lambda f: {path.name: file_sha256(path) for path in (f / "p").iterdir()},
        ),
        "train": Command(
            lambda f: ["train", "oviedo2019", "--structures", str(table), "-o", str(f / "run"), "--threads=1",
                       f"--patterns={round(640 * size)}", "--epoch-patterns=128", "--batch-size=32"],
            _trained,
            ("--resume",),
        ),
        "evaluate": Command(
            lambda f: ["evaluate", "--structures", str(table), "-o", str(f / "report"), f"--limit={round(40 * size)}",
                       f"--workers={workers}", *witnesses],
            _evaluated,
        ),
        "determine": Command(
            lambda f: ["determine", *map(str, sorted(scans.iterdir())), "--csv", str(f / "t.csv"),
                       f"--workers={workers}", *witnesses],
            lambda f: file_sha256(f / "t.csv"),
            ("--resume",),
        ),
    }  # fmt: skip


def _trained(folder: Path) -> Any:
    """Curves without the time they took, and every weight."""
    import torch

    run = folder / "run"
    with (run / "curves.csv").open(newline="") as stream:
        curves = [{k: v for k, v in row.items() if k != "core_seconds"} for row in csv.DictReader(stream)]
    weights = {}
    for name in ("last", "best", "settled"):
        state = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        weights[name] = {key: value.tolist() for key, value in state.items()}
    return curves, weights, (run / "calibration.json").read_text()


def _evaluated(folder: Path) -> Any:
    """The figures, and every answer, of which none may be there twice."""
    report = folder / "report"
    answers = [json.loads(line) for line in (report / "answers.jsonl").read_text().splitlines()[1:]]
    places = [answer["place"] for answer in answers]
    if len(set(places)) < len(places):
        raise SystemExit("evaluate: an answer is there twice")
    return (report / "evaluation.json").read_text(), sorted(answers, key=lambda answer: answer["place"])


def make_inputs(folder: Path, scans: int) -> None:
    """A table of structures and some scans of them."""
    import pyarrow.parquet as pq

    run(
        [
            sys.executable,
            "-m",
            "syngony",
            "data",
            "fetch",
            "synthetic",
            "-o",
            str(folder / "table.parquet"),
            "--count=300",
        ]
    )
    run(
        [
            sys.executable,
            "-m",
            "syngony",
            "simulate",
            str(folder / "table.parquet"),
            "-o",
            str(folder / "patterns.parquet"),
        ]
    )
    (folder / "scans").mkdir()
    for row in pq.read_table(folder / "patterns.parquet").slice(0, scans).to_pylist():
        points = np.column_stack([row["two_theta"], row["intensity"]])
        header = f"wavelength = {row['wavelength']:.5f}"
        np.savetxt(folder / "scans" / f"{row['material_id']}.xy", points[500:], fmt="%.3f %.5f", header=header)


def run(line: list[str]) -> float:
    """Run a command to its end; seconds."""
    began = time.perf_counter()
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"exit status {done.returncode}: {' '.join(line)[:300]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def run_and_kill(line: list[str], after: float) -> float | None:
    """Run a command and SIGKILL it after so many seconds; None, or how many it took if it had ended well by then."""
    began = time.perf_counter()
    process = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, said = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        wait_for_workers(process.pid)
        if process.stderr is not None:
            process.stderr.close()
        return None
    if process.returncode != 0:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(line)[:300]}\n{said[-2000:]}")
    return time.perf_counter() - began


def wait_for_workers(group: int) -> None:
    """Wait until no process of a killed command is left."""
    end = time.monotonic() + LINGER
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise SystemExit(f"workers of a killed command were there after {LINGER:.0f} s")


def leftovers(folder: Path) -> list[str]:
    """Names of files that no finished command should leave."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    return [name for name in names if "/." in f"/{name}" or name.endswith((".partial", ".journal", ".parts"))]


def interrupt(command: Command, scratch: Path, kills: int, earliest: float) -> tuple[int, int, float]:
    """Kills, ends that were compared, and seconds of the undisturbed run.

    Raises:
        SystemExit: an end is another than that of the undisturbed run.
    """
    undisturbed = scratch / "undisturbed"
    undisturbed.mkdir(parents=True)
    seconds = run(command.line(undisturbed, False))
    wanted, killed, ends = command.result(undisturbed), 0, 0
    while killed < kills:
        folder = scratch / f"round-{ends}"
        folder.mkdir()
        before = killed
        for _ in range(_MOST_TRIES):
            line = command.line(folder, killed > before)
            # When enough were killed, the last round is left to end.
            after = random.uniform(earliest, 1.0) * seconds if killed < kills else None
            if after is None:
                run(line)
            elif (took := run_and_kill(line, after)) is None:
                killed += 1
                continue
            elif killed == before:  # the first run of all may have compiled code
                seconds = min(seconds, took)
            break
        else:
            raise SystemExit(f"no end after {_MOST_TRIES} tries: {folder}")
        ends += 1
        if command.result(folder) != wanted:
            raise SystemExit(f"another result than undisturbed: {folder}")
        if left := leftovers(folder):
            raise SystemExit(f"left behind: {', '.join(left)}")
    return killed, ends, seconds


def main() -> None:
    names = ("fetch", "simulate", "train", "evaluate", "determine")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=names, default=list(names))
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--size", type=float, default=1.0, help="of the work, in some seconds")
    parser.add_argument("--scans", type=int, default=60, help="that determine is given")
    parser.add_argument("--earliest", type=float, default=0.0, help="share of the undisturbed time before any kill")
    parser.add_argument("--seed", type=int, help="of the moments; another each time if omitted")
    parser.add_argument("--scratch", type=Path, help="folder for the output")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    random.seed(seed)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        inputs = Path(name) / "inputs"
        inputs.mkdir()
        make_inputs(inputs, arguments.scans)
        print("| command | undisturbed, s | killed | ended | same as undisturbed |\n|---|---|---|---|---|", flush=True)
        for what in arguments.commands:
            command = commands(inputs, arguments.size)[what]
            killed, ends, seconds = interrupt(command, Path(name) / what, arguments.kills, arguments.earliest)
            print(f"| {what} | {seconds:.1f} | {killed} | {ends} | all |", flush=True)
    from footer import footer  # here: tests load this file from another folder

    print(f"\n{footer(f'seed {seed}', ('numpy', 'pyarrow'))}")


if __name__ == "__main__":
    main()
