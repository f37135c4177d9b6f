"""Files of a folder as an instrument writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

QUIET = 1.0
"""Seconds for which a file's size must stay for the file to be taken as whole."""

_POLL = 0.25  # seconds

_Mark = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


def new_files(
    folder: Path,
    passed_over: Callable[[Path], bool] = lambda _: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Path]:
    """Files that appear or change in a folder from now on, each when its size has not changed for `QUIET`.

    Names are polled: notifications of the system do not come from network drives, where instruments write.
    Hidden and empty files are passed over; a file that is written again comes again. Never ends.

    Args:
        folder: without its subfolders.
        passed_over: files not to take, such as tables that are written beside the scans.
        clock, sleep: for tests.

    Raises:
        OSError: the folder cannot be listed.
    """
    return _whole(folder, _marks(folder), passed_over, clock, sleep)  # what is there is seen now, not at the first file


def _whole(
    folder: Path,
    done: dict[Path, _Mark],
    passed_over: Callable[[Path], bool],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Path]:
    waiting: dict[Path, tuple[_Mark, float]] = {}
    while True:
        now = clock()
        found = _marks(folder)
        waiting = {path: entry for path, entry in waiting.items() if path in found}
        for path, mark in sorted(found.items()):
            if done.get(path) == mark or passed_over(path):
                continue
            known = waiting.get(path)
            if known is None or known[0] != mark:
                waiting[path] = mark, now
            elif now - known[1] >= QUIET:
                done[path] = mark
                del waiting[path]
                yield path
        sleep(_POLL)


def _marks(folder: Path) -> dict[Path, _Mark]:
    marks = {}
    for path in folder.iterdir():
        try:
            status = path.stat()
            regular = path.is_file()
        except OSError:  # gone between listing and looking
            continue
        if regular and status.st_size > 0 and not path.name.startswith("."):
            marks[path] = status.st_size, status.st_mtime_ns
    return marks
