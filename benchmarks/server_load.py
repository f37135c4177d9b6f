"""The page's server under load: many clients at once, good files, bad ones and such as are too large.

    python benchmarks/server_load.py --requests 5000
    python benchmarks/server_load.py --requests 200 --evidence network,lattice,library --library amcsd

Starts `syngony serve` and sends requests of four kinds, shuffled: good files, whose answer is compared with that of
`syngony.determine` on the same file (with the lattice search, which has a second of the clock, the crystal system
alone); bad files, whose reason is compared with that of `syngony.read_pattern`; files over 40 MB, announced or
not; and pages, status, health and metrics. A client that is refused for want of room (503) comes again after as many
seconds as it is told. Prints what became of them, seconds by kind, and the memory of the server and its workers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from syngony.determination import Determiner
from syngony.errors import SyngonyError
from syngony.readers import read_pattern

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

COMMAND = [sys.executable, "-c", "from syngony.cli import main; main()", "serve", "--port", "0"]
LARGE = 41_000_000
SHARES = {"good": 0.6, "bad": 0.15, "large": 0.05, "other": 0.2}
MARK = "syngony-benchmark"


@dataclass(frozen=True)
class Wanted:
    """A request and what must come of it.

    Attributes:
        kind: good, bad, large or other.
        name, content: the file; of the others, the path.
        answer: what a good file's determination must be, as `--json` prints it; a bad one's reason.
    """

    kind: str
    name: str
    content: bytes = b""
    answer: Any = None


@dataclass
class Outcomes:
    """What became of the requests."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)


def files(evidence: str, library: str) -> list[Wanted]:
    """Good and bad files with what is said of them without a server."""
    import instrument_files

    libraries = () if library == "none" else (library,)
    determiner = Determiner("syngony", libraries, evidence=tuple(evidence.split(",")))
    scans = {path.name: path.read_bytes() for path in sorted((ROOT / "examples").glob("*.xy"))}
    plain = next(iter(scans.values()))
    pattern = read_pattern(sorted((ROOT / "examples").glob("*.xy"))[0])
    step = float(pattern.two_theta[1] - pattern.two_theta[0])
    counts = tuple((pattern.intensity / pattern.intensity.max() * 10_000).round().astype(int).tolist())
    written = instrument_files.Written(float(pattern.two_theta[0]), step, counts)
    for kind in ("raw_1", "brml", "xrdml", "ras", "cif"):
        scans[f"scan.{kind}"] = instrument_files.WRITERS[kind]([written])
    scans["<img src=x onerror=alert(1)>.xy"] = plain
    bad = {
        "bare.xy": b"".join(line for line in plain.splitlines(keepends=True) if not line.startswith(b"#")),
        "words.txt": b"nothing\n" * 100,
        "empty.xy": b"",
        "zeros.raw": bytes(100_000),
        "cut.raw": scans["scan.raw_1"][:2000],
        "damaged.brml": scans["scan.brml"][:-300],
    }
    found = []
    with TemporaryDirectory() as folder:
        for name, content in (scans | bad).items():
            path = Path(folder) / "scan"
            path.write_bytes(content)
            try:
                told = json.loads(json.dumps(determiner(read_pattern(path)).as_dict()))
                found.append(Wanted("good", name, content, {**told, "file": name}))
            except SyngonyError as error:
                found.append(Wanted("bad", name, content, str(error).replace("--wavelength ", "")))
    assert {one.name for one in found if one.kind == "bad"} == set(bad)
    return found


def requests_of(number: int, known: list[Wanted]) -> list[Wanted]:
    """So many requests, shuffled."""
    pools = {kind: [one for one in known if one.kind == kind] for kind in ("good", "bad")}
    pools["large"] = [Wanted("large", "announced"), Wanted("large", "unannounced")]
    pools["other"] = [Wanted("other", path) for path in ("/", "/health", "/metrics", "/api/status", "/openapi.json")]
    listed = [pools[kind][i % len(pools[kind])] for kind, share in SHARES.items() for i in range(round(share * number))]
    random.Random(0).shuffle(listed)
    return listed


class Client:
    """One of many clients: a connection that is opened anew when the server closed it."""

    def __init__(self, address: tuple[str, int], outcomes: Outcomes, whole: bool) -> None:
        self._address, self._outcomes, self._whole = address, outcomes, whole

    def work(self, queue: SimpleQueue[Wanted]) -> None:
        """Send requests until there are none."""
        while True:
            try:
                wanted = queue.get_nowait()
            except Empty:
                return
            try:
                self._one(wanted)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._outcomes.wrong.append(f"{wanted.kind} {wanted.name!a}: {type(error).__name__} {error}")

    def _one(self, wanted: Wanted) -> None:
        while True:
            began = time.perf_counter()
            status, headers, body = self._send(wanted)
            if status != 503:
                break
            self._outcomes.refused += 1
            assert json.loads(body)["reason"]
            time.sleep(float(headers["Retry-After"]) * random.uniform(0.5, 1.5))
        self._outcomes.seconds.setdefault(wanted.kind, []).append(time.perf_counter() - began)
        self._outcomes.statuses[wanted.kind, status] += 1
        if not self._is_right(wanted, status, body):
            self._outcomes.wrong.append(f"{wanted.kind} {wanted.name!a}: {status} {body[:300]!a}")

    def _send(self, wanted: Wanted) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=600)
        try:
            if wanted.kind == "other":
                connection.request("GET", wanted.name)
            else:
                self._post(connection, wanted)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, wanted: Wanted) -> None:
        name = wanted.name.replace('"', "%22")
        head = f'--{MARK}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        connection.putrequest("POST", "/api/determine")
        connection.putheader("Content-Type", f"multipart/form-data; boundary={MARK}")
        body = head + wanted.content + f"\r\n--{MARK}--\r\n".encode()
        if wanted.name == "unannounced":
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            self._pour(connection, head)
            return
        connection.putheader("Content-Length", str(LARGE if wanted.kind == "large" else len(body)))
        connection.endheaders()
        connection.send(body)

    def _pour(self, connection: http.client.HTTPConnection, head: bytes) -> None:
        """Chunks until there were too many, or the server will have no more."""
        piece = bytes(1_000_000)
        try:
            for chunk in (head, *(piece for _ in range(LARGE // len(piece)))):
                connection.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # its answer is there to be read

    def _is_right(self, wanted: Wanted, status: int, body: bytes) -> bool:
        if wanted.kind == "other":
            return status == 200
        if wanted.kind == "large":
            return status == 413 and "40 MB" in json.loads(body)["reason"]
        if wanted.kind == "bad":
            return status == 422 and json.loads(body)["reason"] == wanted.answer
        told = json.loads(body)["scans"][0]["determination"] if status == 200 else {}
        return told == wanted.answer if self._whole else told.get("crystal_system") == wanted.answer["crystal_system"]


@contextmanager
def served(options: list[str]) -> Iterator[tuple[str, int]]:
    """The address of a server that is ready."""
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://([^:]+):(\d+)/", server.stdout.readline())
        assert found is not None, "syngony serve did not start"
        address = found.group(1), int(found.group(2))
        try:
            while ask(address, "/health")[0] != 200:
                time.sleep(0.2)
            yield address
            assert server.poll() is None, "the server ended"
        finally:
            server.send_signal(signal.SIGINT)


def ask(address: tuple[str, int], path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=600)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def figures(address: tuple[str, int]) -> dict[str, float]:
    """Figures of the moment that `/metrics` tells."""
    lines = [line.rsplit(" ", 1) for line in ask(address, "/metrics")[1].splitlines() if not line.startswith("#")]
    return {name.removeprefix("syngony_"): float(value) for name, value in lines if "{" not in name}


def run(address: tuple[str, int], wanted: list[Wanted], clients: int, whole: bool) -> tuple[Outcomes, float, float]:
    """Outcomes, seconds in all, and the most memory (bytes) that server and workers held."""
    outcomes, queue, most = Outcomes(), SimpleQueue(), 0.0
    for one in wanted:
        queue.put(one)
    began = time.perf_counter()
    threads = [threading.Thread(target=Client(address, outcomes, whole).work, args=(queue,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        now = figures(address)
        most = max(most, now["server_resident_bytes"] + now["workers_resident_bytes"])
        time.sleep(1.0)
    return outcomes, time.perf_counter() - began, most


def report(outcomes: Outcomes, seconds: float, memory: list[tuple[str, float, float]], most: float) -> None:
    """Print it."""
    print("| requests | n | answers | seconds, median | 99 in 100 | slowest |\n|---|---|---|---|---|---|")
    for kind, times in sorted(outcomes.seconds.items()):
        answers = ", ".join(f"{count} of {status}" for (k, status), count in outcomes.statuses.items() if k == kind)
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        print(f"| {kind} | {len(times)} | {answers} | {statistics.median(times):.3f} | {p99:.3f} | {max(times):.3f} |")
    total = sum(map(len, outcomes.seconds.values()))
    print(f"\n{total} requests in {seconds:.0f} s, {outcomes.refused} times told to come again (503).")
    print(f"Wrong answers: {len(outcomes.wrong)}")
    for line in outcomes.wrong[:10]:
        print(f"  {line}")
    for when, server, workers in memory:
        print(f"Memory {when}: server {server / 1e6:.0f} MB, workers {workers / 1e6:.0f} MB")
    print(f"Most at once: {most / 1e6:.0f} MB")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {load}, "
          f"Python {platform.python_version()}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=64, help="requests at once")
    parser.add_argument("--workers", default="1")
    parser.add_argument("--evidence", default="network", help="as of syngony serve")
    parser.add_argument("--library", default="none", help="as of syngony serve")
    arguments = parser.parse_args()
    known = files(arguments.evidence, arguments.library)
    whole = "lattice" not in arguments.evidence
    options = ["--workers", arguments.workers, "--evidence", arguments.evidence, "--library", arguments.library]
    memory = []
    with served(options) as address:
        outcomes, _, _ = run(address, known, 1, whole)  # each once: what is loaded on first use is loaded
        wrong = outcomes.wrong
        now = figures(address)
        memory.append(("before", now["server_resident_bytes"], now["workers_resident_bytes"]))
        outcomes, seconds, most = run(address, requests_of(arguments.requests, known), arguments.clients, whole)
        outcomes.wrong += wrong
        time.sleep(5)
        now = figures(address)
        memory.append(("5 s after", now["server_resident_bytes"], now["workers_resident_bytes"]))
        assert now["worker_dead_total"] == now["worker_late_total"] == 0, "a worker ended"
    report(outcomes, seconds, memory, most)
    print(f"Answers kept for downloads: {now['answers_kept']:.0f}")
    sys.exit(1 if outcomes.wrong else 0)


if __name__ == "__main__":
    main()
