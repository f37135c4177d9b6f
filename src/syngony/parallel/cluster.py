"""Work on a dask.distributed cluster whose workers share a file system with this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from syngony.errors import MissingExtraError, ParallelError
from syngony.parallel.installation import installation

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_AHEAD = 2  # tasks in hand for each thread of the cluster
_RETRIES = 2  # of a task that raised; a task whose worker was lost is given to another by the scheduler
_ATTEMPTS = 4  # at a task that dask gave up because workers died
_PATIENCE = 30.0  # s, for a scheduler and a first worker


def each(
    function: Callable[[_Task], _Result],
    tasks: Iterator[_Task],
    address: str,
    key: Callable[[_Task], str] | None = None,
) -> Generator[tuple[_Task, _Result], None, None]:
    """See `syngony.parallel.each`; a lost worker's tasks are done by another.

    Raises:
        MissingExtraError: dask.distributed is not installed.
        ParallelError: no scheduler or no worker, a lost scheduler, a task that kills every worker, other versions.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise MissingExtraError("Working on a cluster", "cluster") from None
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        raise ParallelError(f"no dask scheduler at {address} ({error})") from None
    with client:
        if not _threads(client):
            raise ParallelError(f"the dask scheduler at {address} has no workers: start some")
        work = partial(_checked, function, installation())
        in_hand: dict[Any, tuple[_Task, int]] = {}

        def submit(task: _Task, attempt: int) -> Any:
            name = None if key is None else f"{key(task)}-{attempt}"
            # pure=False: a task without a key is one of its own, and its bytes are not hashed.
            future = client.submit(work, task, key=name, retries=_RETRIES, pure=False)
            in_hand[future.key] = task, attempt
            return future

        def send(count: int) -> list[Any]:
            return [submit(task, 0) for task in islice(tasks, max(0, count))]

        queue = as_completed(send(_AHEAD * _threads(client)))
        for future in queue:
            task, attempt = in_hand.pop(future.key)
            try:
                result = future.result()
            except KilledWorker as error:
                # Dask gives a task up that was on several workers that died, if only in their queue. Where workers
                # come and go, as on spot machines, that is no sign yet that it killed them.
                if attempt == _ATTEMPTS - 1:
                    raise ParallelError(
                        f"workers that were given a task died (out of memory?): {_said(error)}"
                    ) from None
                queue.add(submit(task, attempt + 1))
                continue
            except CancelledError:
                raise ParallelError(f"the dask scheduler at {address} was lost") from None
            future.release()
            # Counted anew: workers come and go.
            queue.update(send(_AHEAD * _threads(client) - len(in_hand)))
            yield task, result


def _checked(function: Callable[[_Task], _Result], wanted: dict[str, str], task: _Task) -> _Result:
    """The function's result on a worker that would give the same as this machine.

    Raises:
        ParallelError: it has other versions.
    """
    here = installation()
    unlike = [
        f"{name} ({here.get(name)} there, {wanted[name]} here)" for name in wanted if here.get(name) != wanted[name]
    ]
    if unlike:
        raise ParallelError(f"the worker on {socket.gethostname()} has other versions: {', '.join(unlike)}")
    return function(task)


def _threads(client: Any) -> int:
    """Threads of all workers there are now; waits for the first."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=_PATIENCE)
    return sum(client.nthreads().values())


def _said(error: Exception) -> str:
    return str(error).rstrip(".")
