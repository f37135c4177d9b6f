"""Determinations in processes of their own, so that the server answers while they run."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from syngony.determination import Determination, Determiner, Preparation, Witnesses
from syngony.errors import SyngonyError, WavelengthError, reason_of
from syngony.pattern import Pattern, two_theta_from_q
from syngony.readers import name_in_file, read_patterns
from syngony.report.answers import Shown, shown

LONGEST = 180.0
"""Seconds for one file; an ordinary scan takes one or two."""

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
    """A pool of processes, each with network and libraries loaded.

    A process that dies (of a scan too big for the memory) is the end of its file alone: the pool is made anew.
    """

    def __init__(self, asked: Witnesses, count: int) -> None:
        self._asked = asked
        self.count = count
        self._pool = self._new_pool()
        self.ready = False

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.count, mp_context=get_context("spawn"), initializer=_start, initargs=(self._asked,)
        )

    async def warm_up(self) -> None:
        """Have every worker determine an invented scan: compiled code is loaded before a user waits for it."""
        try:
            waits = [asyncio.wrap_future(self._pool.submit(_warm)) for _ in range(self.count)]
            await asyncio.gather(*waits)
        except BrokenProcessPool:
            self._pool = self._new_pool()
        self.ready = True

    async def determine(self, upload: Upload) -> list[Shown] | Refusal:
        """All scans of a file."""
        pool = self._pool
        try:
            return await asyncio.wait_for(asyncio.wrap_future(pool.submit(_determine, upload)), LONGEST)
        except TimeoutError:
            return Refusal(f"not done after {LONGEST:.0f} s: choose a smaller range, or use the command line")
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = self._new_pool()
            return Refusal("the scan was too much for this machine (its worker ended): choose a smaller range")

    def close(self) -> None:
        """End the processes; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def default_workers() -> int:
    """Half of the cores, as each determination uses some threads; at least one and at most four."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


_determiner: Determiner | None = None  # of this worker process


def _start(asked: Witnesses) -> None:
    global _determiner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends its workers
    _determiner = asked.determiner()


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
