"""Shards on a dask.distributed cluster whose workers share a file system with this machine."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from syngony.errors import MissingExtraError, SimulationError, SyngonyError
from syngony.simulation.shard import Shard, Task, make_shard

_AHEAD = 2  # tasks in hand for each thread of the cluster
_RETRIES = 2  # of a task that raised; a task whose worker was lost is given to another by the scheduler
_PATIENCE = 30.0  # s, for a scheduler, a first worker, and a file to show on a network file system


def run(tasks: Iterator[Task], address: str) -> Generator[Shard, None, None]:
    """Shards in the order in which they are done; a lost worker's shards are done by another.

    Args:
        tasks: read lazily, few at a time.
        address: of the scheduler, e.g. ``tcp://head:8786``.

    Raises:
        MissingExtraError: dask.distributed is not installed.
        SimulationError: no scheduler or no worker, a task that kills every worker, files that do not show here.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise MissingExtraError("Simulating on a cluster", "cluster") from None
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        raise SimulationError(f"no dask scheduler at {address} ({error})") from None
    with client:
        if not _threads(client):
            raise SimulationError(f"the dask scheduler at {address} has no workers: start some")
        paths: dict[str, Path] = {}

        def send(count: int) -> list[Any]:
            futures = []
            for task in islice(tasks, max(0, count)):
                # The key says what is computed, so that two tries of one shard are one task of the scheduler.
                key = f"{task.path.name}-{task.digest}"
                paths[key] = task.path
                futures.append(client.submit(make_shard, task, key=key, retries=_RETRIES))
            return futures

        queue = as_completed(send(_AHEAD * _threads(client)))
        for future in queue:
            try:
                shard = future.result()
            except (SyngonyError, OSError) as error:
                raise SimulationError(f"the cluster: {error}") from None
            except KilledWorker as error:
                raise SimulationError(f"every worker that was given a shard died (out of memory?): {error}") from None
            except CancelledError:
                raise SimulationError(f"the dask scheduler at {address} was lost") from None
            future.release()
            _wait_for_file(paths.pop(future.key), shard.size)
            queue.update(send(_AHEAD * _threads(client) - queue.count()))
            yield shard


def _threads(client: Any) -> int:
    """Threads of all workers there are now; waits for the first."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=_PATIENCE)
    return sum(client.nthreads().values())


def _wait_for_file(path: Path, size: int) -> None:
    """Wait until a file that a worker wrote shows on this machine, whole.

    Raises:
        SimulationError: it does not.
    """
    end = time.monotonic() + _PATIENCE
    while not (path.is_file() and path.stat().st_size == size):
        if time.monotonic() > end:
            raise SimulationError(
                f"{path} was written by a worker and does not show here: workers need a file system shared with "
                "this machine, mounted at the same path"
            )
        time.sleep(0.2)
