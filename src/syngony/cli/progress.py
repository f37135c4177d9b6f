"""Progress bars on stderr, so that stdout stays clean for results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar with rate and remaining time; called with done and total."""

    def __init__(self, progress: Progress, task: TaskID, unit: str) -> None:
        self._progress, self._task, self._unit = progress, task, unit

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        speed = self._progress.tasks[self._task].speed
        rate = f"{speed:.{0 if speed >= 10 else 1}f} {self._unit}/s" if speed else ""
        self._progress.update(self._task, completed=done, total=total, rate=rate)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while results are printed: on a terminal they would go on in its line."""
        if self._progress.disable:
            yield
            return
        self._progress.stop()
        yield
        self._progress.start()


@contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[Bar]:
    """A bar for as long as the context lasts; none where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield Bar(bar, bar.add_task(description, total=None, rate=""), unit)
