"""Shards on the cores of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, get_context, parent_process

from syngony.errors import SimulationError
from syngony.simulation.shard import Shard, Task, make_shard

_AHEAD = 2  # tasks in hand for each process: none waits for work, and memory stays flat

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(tasks: Iterator[Task], workers: int) -> Generator[Shard, None, None]:
    """Shards in the order in which they are done.

    Args:
        tasks: read lazily, few at a time.
        workers: processes; with 0 the work is done in this one, with as many threads as its BLAS has.

    Raises:
        SimulationError: a process died.
        OSError: a shard could not be written.
    """
    if workers == 0:
        yield from map(make_shard, tasks)
        return
    # spawn, not fork: the progress bar and compiled loops have threads, and a fork can deadlock on them.
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare)
    pending: set[Future[Shard]] = set()
    try:
        while True:
            with _one_thread_each():  # processes are started by what is submitted
                pending |= {pool.submit(make_shard, task) for task in islice(tasks, _AHEAD * workers - len(pending))}
            if not pending:
                break
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise SimulationError("a worker process died (out of memory? then give fewer --workers)") from None
    except BaseException:  # a full disk, control-C: what the others have in hand is not waited for
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """One thread of BLAS for each process that is started here: there is a process for every core."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _prepare() -> None:
    """Of a worker: control-C is for the parent alone, and the worker ends when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
