"""The one door to all places where work is done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from syngony.parallel import cluster, processes

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def each(
    function: Callable[[_Task], _Result],
    tasks: Iterator[_Task],
    *,
    workers: int = 1,
    address: str | None = None,
    key: Callable[[_Task], str] | None = None,
) -> Generator[tuple[_Task, _Result], None, None]:
    """Tasks with their results, in the order in which they are done.

    Tasks are read lazily, two for each process at a time, so that memory does not grow with their number. To end
    early, close the generator.

    Args:
        function: can be sent to other processes: of a module's top level, or a `functools.partial` of one.
        tasks: can be sent too.
        workers: processes of this machine; with 0, the work is done in this one.
        address: of a dask scheduler, e.g. ``tcp://head:8786``; its workers are used instead.
        key: what names a task on the cluster; two tries of one task are then one.

    Raises:
        ParallelError: a process died, no cluster, a scheduler was lost, other versions on a worker.
        MissingExtraError: dask.distributed is not installed.
        Exception: whatever the function raises.
    """
    if address is not None:
        return cluster.each(function, tasks, address, key)
    return processes.each(function, tasks, workers)
