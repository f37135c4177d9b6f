"""Determinations in processes of their own, so that the server answers while they run, whatever a file does to them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import numpy as np

from syngony.determination import Determination, Determiner, Preparation, Witnesses
from syngony.errors import SyngonyError, WavelengthError, reason_of
from syngony.pattern import Pattern, two_theta_from_q
from syngony.readers import name_in_file, read_patterns
from syngony.report.answers import Shown, shown

LONGEST = 180.0
"""Seconds for one file; an ordinary scan takes one or two."""

MOST_MEMORY = 2_000_000_000
"""Bytes that a process may take for a file, beyond what network and libraries take. Linux alone can hold it to that."""

_STARTING = 300.0  # seconds in which a process loads and compiles; half a minute where nothing was ever compiled

MOST_SCANS = 60
"""Scans of one file that are determined."""


@dataclass(frozen=True)
class Upload:
    """One file of a user.

    Attributes:
        name: as the user's browser calls it, without folders.
        data: its bytes.
        wavelength: of the user, where the file states none.
        preparation: what to do to its scans before.
    """

    name: str
    data: bytes
    wavelength: str | None = None
    preparation: Preparation = field(default_factory=Preparation)


@dataclass(frozen=True)
class Refusal:
    """Why a file was not determined, and whether a wavelength would help."""

    reason: str
    needs_wavelength: bool = False


class Workers:
    """Processes, each with network and libraries loaded, that determine one file at a time.

    A process that dies (of a scan too big for the memory) or does not end in time is the end of its file alone:
    another takes its place.

    Args:
        asked: network, libraries, budget, kinds of evidence.
        count: processes.
        longest: seconds for one file.
    """

    def __init__(self, asked: Witnesses, count: int, longest: float = LONGEST) -> None:
        self._asked = asked
        self._longest = longest
        self.count = count
        self.ready = False
        self.ends = {"late": 0, "dead": 0}
        self.waiting = 0
        self._turns = asyncio.Semaphore(count)
        self._closed = False
        self._threads = ThreadPoolExecutor(count)  # each waits for one process
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: set[_Worker] = set()
        for _ in range(count):
            self._start_one()

    async def warm_up(self) -> None:
        """Wait until every process has determined an invented scan: then code is compiled, and no user waits for it."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._warm_one) for _ in range(self.count)))
        self.ready = True

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a process is free for one file."""
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def determine(self, upload: Upload) -> list[Shown] | Refusal:
        """All scans of a file. Whoever loads it only in its `turn` holds no more files than there are processes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._determine, upload)

    def pids(self) -> list[int]:
        """Identifiers of the processes."""
        return [worker.pid for worker in tuple(self._all)]

    def close(self) -> None:
        """End the processes; what waits is dropped."""
        self._closed = True
        for worker in tuple(self._all):
            worker.end()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_one(self) -> None:
        worker = _Worker(self._asked)
        self._all.add(worker)
        self._idle.put(worker)
        if self._closed:  # in the meantime, by another thread
            worker.end()

    def _replace(self, worker: _Worker, cause: str) -> None:
        worker.end()
        self._all.discard(worker)
        if not self._closed:
            self.ends[cause] += 1
            self._start_one()

    def _warm_one(self) -> None:
        worker = self._idle.get()
        try:
            worker.wait()
            self._idle.put(worker)
        except (EOFError, OSError, TimeoutError):
            self._replace(worker, "dead")

    def _determine(self, upload: Upload) -> list[Shown] | Refusal:
        worker = self._idle.get()
        try:
            worker.wait()
            done = worker.ask(upload, self._longest)
        except TimeoutError:
            self._replace(worker, "late")
            return Refusal(f"not done after {self._longest:.0f} s: choose a smaller range, or use the command line")
        except (EOFError, OSError):
            self._replace(worker, "dead")
            return Refusal("the scan was too much for this machine (its worker ended): choose a smaller range")
        self._idle.put(worker)
        return done


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, asked: Witnesses) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, asked), daemon=True)
        self._process.start()
        other.close()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def wait(self) -> None:
        """Until it is ready.

        Raises:
            EOFError: it died.
            TimeoutError: it does not become ready.
        """
        if not self._ready:
            self._receive(_STARTING)
            self._ready = True

    def ask(self, upload: Upload, seconds: float) -> list[Shown] | Refusal:
        """Its answer.

        Raises:
            EOFError, OSError: it died.
            TimeoutError: it has none after so many seconds.
        """
        self._pipe.send(upload)
        return self._receive(seconds)

    def end(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.join(5)

    def _receive(self, seconds: float) -> list[Shown] | Refusal:
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv()


def default_workers() -> int:
    """Half of the cores, as each determination uses some threads; at least one and at most four."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


_determiner: Determiner | None = None  # of this worker process


def _work(pipe: Connection, asked: Witnesses) -> None:
    """What a process does: load, warm up, say that it is ready, then an answer for each file until the pipe closes."""
    global _determiner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends its workers
    _determiner = asked.determiner()
    _warm()
    _bound_memory()
    try:
        pipe.send(Refusal("ready"))
        while True:
            pipe.send(_determine(pipe.recv()))
    except (EOFError, OSError):  # the server has ended
        return


def _bound_memory() -> None:
    """Let allocations beyond `MOST_MEMORY` fail, so that a file cannot take the memory of everybody else."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    import resource

    used = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData"))
    most = 1024 * used + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _warm() -> None:
    """A tetragonal powder that is not there: every witness is asked once."""
    assert _determiner is not None
    h, k, l = np.array([[1, 1, 0], [1, 0, 1], [2, 0, 0], [1, 1, 1], [2, 1, 0], [2, 1, 1], [2, 2, 0], [3, 1, 0]]).T  # noqa: E741
    lines = two_theta_from_q((h * h + k * k) / 4.6**2 + l * l / 2.95**2, 1.5406)
    angles = np.arange(15.0, 75.0, 0.02)
    counts = 100.0 + 2000.0 * np.exp(-0.5 * ((angles[:, None] - lines) / 0.06) ** 2).sum(1)
    noise = np.random.default_rng(0).normal(size=len(angles))
    _determiner(Pattern(angles, counts + np.sqrt(counts) * noise, 1.5406))


def _determine(upload: Upload) -> list[Shown] | Refusal:
    assert _determiner is not None
    with TemporaryDirectory(prefix="syngony-") as folder:
        path = Path(folder) / "scan"  # the user's name never becomes a path
        path.write_bytes(upload.data)
        try:
            patterns = read_patterns(path, upload.wavelength)
        except WavelengthError as error:
            return Refusal(str(error).replace("--wavelength ", ""), needs_wavelength=upload.wavelength is None)
        except (SyngonyError, OSError, MemoryError) as error:
            return Refusal(reason_of(error))
    if len(patterns) > MOST_SCANS:
        return Refusal(f"{len(patterns)} scans in one file: the page takes {MOST_SCANS}; use the command line")
    named = [_named(pattern, upload.name) for pattern in patterns]
    return [_shown(pattern, name_in_file(upload.name, pattern), upload) for pattern in named]


def _shown(pattern: Pattern, name: str, upload: Upload) -> Shown:
    assert _determiner is not None
    libraries = _determiner.libraries or []
    key = secrets.token_urlsafe(12)
    try:
        prepared = upload.preparation(pattern)
        pattern = prepared.pattern
        result = replace(_determiner(pattern), file=name)
        return shown(result, pattern, libraries, key, taken_off=prepared.taken_off)
    except (SyngonyError, OSError, MemoryError) as error:
        return shown(Determination(name, error=reason_of(error)), pattern, libraries, key)


def _named(pattern: Pattern, name: str) -> Pattern:
    """The pattern under the user's name for its file."""
    return replace(pattern, name=name)
