"""How fast a determination is: one file with everything, start-up included, and a batch with the network alone.

    python benchmarks/speed.py [--files 3000] [--runs 7] [--workers 2]

The batch is as many text files of 4,001 points, written here by the simulated laboratory from the textbook cells of
``examples``; reading them and the start of the worker processes are in the time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from footer import footer, load_now

from syngony.readers import read_pattern

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from syngony.cli import main; main()", "determine"]


def timed(arguments: list[str]) -> float:
    """Seconds of one command.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    return time.perf_counter() - began


def write_batch(folder: Path, number: int) -> list[str]:
    """Files of scans with other noise each."""
    scans = [read_pattern(path) for path in sorted((ROOT / "examples").glob("*.xy"))]
    rng = np.random.default_rng(0)
    for place in range(number):
        scan = scans[place % len(scans)]
        counts = rng.poisson(np.maximum(scan.intensity, 0.0))
        with (folder / f"{place:05}.xy").open("w") as stream:
            stream.write(f"# wavelength = {scan.wavelength}\n")
            np.savetxt(stream, np.column_stack([scan.two_theta, counts]), fmt=("%.3f", "%d"))
    return [str(path) for path in sorted(folder.iterdir())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    one = [str(ROOT / "examples" / "rutile.xy")]
    timed(one)  # compiled once
    times = [timed(one) for _ in range(arguments.runs)]
    spread = f"{min(times):.2f}-{max(times):.2f} s, {len(times)} runs"
    print(f"one file, all witnesses, start-up included: median {statistics.median(times):.2f} s ({spread})")
    with TemporaryDirectory() as name:
        (Path(name) / "scans").mkdir()
        files = write_batch(Path(name) / "scans", arguments.files)
        table = Path(name) / "table.csv"
        seconds = timed([*files, "--evidence", "network", "--csv", str(table), "--workers", str(arguments.workers)])
        rows = len(table.read_text().splitlines()) - 1
    if rows != arguments.files:
        raise SystemExit(f"{rows} rows for {arguments.files} files")
    rate = arguments.files / seconds
    print(f"{rows:,} files, network alone, {arguments.workers} workers: {seconds:.1f} s, {rate:.0f} scans a second")
    print(f"\n{footer(load_now(), ('numpy', 'onnxruntime'))}")


if __name__ == "__main__":
    main()
