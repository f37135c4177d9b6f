"""Downloads that survive a bad network: retries with back-off, and pages kept until the table is written."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from syngony.errors import SourceError
from syngony.whole_files import write_text

_Answer = TypeVar("_Answer")

_LONGEST_WAIT = 300.0  # s; a service that asks for more is better asked again by hand


class TemporaryFailure(Exception):
    """A request failed in a way that may pass.

    Attributes:
        wait: seconds the service asked to wait (Retry-After), or None.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def persist(
    request: Callable[[], _Answer],
    advice: str,
    tries: int = 6,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """The answer to a request, asked again after 1, 2, 4, ... seconds while it fails temporarily.

    Args:
        request: raises `TemporaryFailure` when it is worth asking again.
        advice: what to do if every try fails; ends the message.
        tries: number of tries.
        sleep: replaced in tests.

    Raises:
        SourceError: every try failed.
    """
    reason = ""
    for attempt in range(tries):
        try:
            return request()
        except TemporaryFailure as failure:
            reason = str(failure)
            wait = failure.wait if failure.wait is not None else 2.0**attempt
        if attempt + 1 < tries:
            sleep(min(wait, _LONGEST_WAIT))
    raise SourceError(f"{reason}, {tries} times in a row: {advice}")


class PageStore:
    """Pages of a download in a hidden folder beside the output, each written whole or not at all.

    Args:
        output: the table being made; the folder is ``.NAME.parts`` beside it.
        query: what was asked. Pages of another query are of no use and are dropped.
    """

    def __init__(self, output: Path, query: dict[str, Any]) -> None:
        self.folder = output.with_name(f".{output.name}.parts")
        if self._read("query") != query:
            self.remove()
        self._query = query

    def page(self, name: str) -> Any:
        """What was kept under a name, or None."""
        return self._read(name)

    def keep(self, name: str, content: Any) -> None:
        """Keep a page.

        Raises:
            SourceError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._read("query") is None:
                self._write("query", self._query)
            self._write(name, content)
        except OSError as error:
            reason = error.strerror or str(error)
            raise SourceError(f"{self.folder} cannot be written ({reason}): choose another -o") from None

    def remove(self) -> None:
        """Drop all pages."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: Any) -> None:
        write_text(self.folder / f"{name}.json", json.dumps(content))

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
