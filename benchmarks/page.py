"""How long a user of the page waits for the first answer.

    python benchmarks/page.py [SCAN ...]

Starts `syngony serve` several times, each on a port of its own, and sends scans as a browser does. "At once": the first
upload, sent as soon as the address answers, while workers still load. "First": the first upload after the page has said
that it is ready. "Warm": all others. Prints medians with their quartiles, and the load of the machine beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.xy"))
COMMAND = [sys.executable, "-c", "from syngony.cli import main; main()", "serve", "--port", "0"]


@contextmanager
def served(options: list[str]) -> Iterator[tuple[str, float]]:
    """The page's address, and when it was started."""
    began = time.perf_counter()
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+?/", server.stdout.readline())
        assert found is not None, "syngony serve did not start"
        try:
            yield found.group(), began
        finally:
            server.send_signal(signal.SIGINT)


def ready(address: str) -> bool:
    """Whether the page says that its workers are ready."""
    with urllib.request.urlopen(f"{address}api/status", timeout=60) as answer:
        return bool(json.load(answer)["ready"])


def answer_time(address: str, scan: Path) -> float:
    """Seconds from sending a scan to having its whole answer, HTML and drawing with it."""
    mark = "syngony-benchmark"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{scan.name}"\r\n\r\n'.encode()
        + scan.read_bytes()
        + f"\r\n--{mark}--\r\n".encode()
    )
    request = urllib.request.Request(f"{address}api/determine", body)
    request.add_header("Content-Type", f"multipart/form-data; boundary={mark}")
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as answer:
        (first, *_) = json.load(answer)["scans"]
    seconds = time.perf_counter() - began
    assert first["determination"]["crystal_system"], scan
    return seconds


def row(name: str, seconds: list[float]) -> str:
    """One line of the table."""
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [seconds[0]] * 3
    return (
        f"| {name} | {len(seconds)} | {statistics.median(seconds):.2f} ({low:.2f}-{high:.2f}) "
        f"| {min(seconds):.2f}-{max(seconds):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scans", nargs="*", type=Path, default=EXAMPLES)
    parser.add_argument("--turns", type=int, default=5, help="starts of the server, of each kind")
    parser.add_argument("--workers", default="1")
    arguments = parser.parse_args()
    options = ["--workers", arguments.workers]
    at_once, until_ready, first, warm = [], [], [], []
    for turn in range(arguments.turns):
        scan = arguments.scans[turn % len(arguments.scans)]
        with served(options) as (address, _):
            at_once.append(answer_time(address, scan))
        with served(options) as (address, began):
            while not ready(address):
                time.sleep(0.05)
            until_ready.append(time.perf_counter() - began)
            first.append(answer_time(address, scan))
            warm += [answer_time(address, one) for one in arguments.scans]
    print("| | n | seconds, median (quartiles) | range |\n|---|---|---|---|")
    print(row("start of `syngony serve` to ready", until_ready))
    print(row("answer to a scan sent at once", at_once))
    print(row("first answer when ready", first))
    print(row("further answers", warm))
    names = ", ".join(scan.name for scan in arguments.scans)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{names}; {options[1]} worker; {platform.machine()}, {os.cpu_count()} cores, load {load}; "
          f"Python {platform.python_version()}")  # fmt: skip


if __name__ == "__main__":
    main()
