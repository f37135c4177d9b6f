"""Work on the cores of this machine, by processes that end when this one does, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from typing import TypeVar

from syngony.errors import ParallelError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_AHEAD = 2  # tasks in hand for each process: none waits for work, and memory stays flat

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def each(
    function: Callable[[_Task], _Result], tasks: Iterator[_Task], workers: int
) -> Generator[tuple[_Task, _Result], None, None]:
    """See `syngony.parallel.each`; with 0 workers, this process has as many threads as its BLAS."""
    if workers == 0:
        for task in tasks:
            yield task, function(task)
        return
    pending: dict[Future[_Result], _Task] = {}
    with _pool(workers) as submit:
        while True:
            for task in islice(tasks, _AHEAD * workers - len(pending)):
                pending[submit(function, task)] = task
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()


def in_order(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int = 1, batch: int = 32
) -> Iterator[_Result]:
    """``map`` over processes: results in the order of the tasks, few of them in memory at a time.

    Args:
        function: can be sent to other processes.
        tasks: can be sent too; read lazily.
        workers: processes; with 1 or less, the work is done in this one.
        batch: small tasks that are sent together, to hide the cost of sending.

    Raises:
        ParallelError: a process died.
    """
    if workers <= 1:
        yield from map(function, tasks)
        return
    source = iter(tasks)
    pending: deque[Future[list[_Result]]] = deque()
    with _pool(workers) as submit:
        while some := list(islice(source, batch)):
            pending.append(submit(partial(_all, function), some))
            if len(pending) > 3 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _all(function: Callable[[_Task], _Result], some: list[_Task]) -> list[_Result]:
    return [function(task) for task in some]


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Future]]:
    """What submits to a pool of processes; leaving the block ends them, what waits is dropped.

    Raises:
        ParallelError: a process died.
    """
    # spawn, not fork: the progress bar and compiled loops have threads, and a fork can deadlock on them.
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare)

    def submit(function: Callable, task: object) -> Future:
        with _one_thread_each():  # processes are started by what is submitted
            return pool.submit(function, task)

    try:
        yield submit
    except BrokenProcessPool:
        raise ParallelError("a worker process died (out of memory? then give fewer --workers)") from None
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
