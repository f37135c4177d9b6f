"""Answers kept for downloads, on disk and bounded: the oldest go first."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

from markupsafe import Markup

from syngony.determination import Determination
from syngony.errors import OutputError
from syngony.report.answers import Shown

MOST = 2000
"""Answers; each takes some 40 kB of the disk."""

_TABLE = (
    "create table answers (number integer primary key, key text unique, result blob, row blob, html blob, drawing blob)"
)


class Gone(LookupError):
    """An answer has made room for newer ones, or never was."""


class Shelf:
    """Answers by their keys.

    They are in a nameless file of the folder for temporary files (SQLite's temporary database), which ends with the
    process, whatever ends it; of memory they take two megabytes at most.

    Args:
        most: answers to keep.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()  # a report is written in a thread of its own
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(_TABLE)

    def __len__(self) -> int:
        return self._ask("select count(*) from answers")[0][0]

    def put(self, answers: Iterable[Shown]) -> None:
        """Keep answers, and let the oldest go.

        Raises:
            OutputError: the disk is full.
        """
        packed = [
            (answer.key, *map(_packed, (answer.result.as_dict(), answer.row, str(answer.html), answer.drawing)))
            for answer in answers
        ]
        with self._lock:
            try:
                self._database.executemany(
                    "insert or replace into answers (key, result, row, html, drawing) values (?, ?, ?, ?, ?)", packed
                )
                self._database.execute(
                    "delete from answers where number <= (select max(number) from answers) - ?", (self._most,)
                )
            except sqlite3.Error as error:
                raise OutputError(f"the answers cannot be kept for a download: {error}") from None

    def get(self, keys: Iterable[str]) -> Iterator[Shown]:
        """Answers in the order of the keys, unpacked one after another.

        Raises:
            Gone: when it comes to one that is not there.
        """
        return (self._whole(key) for key in keys)

    def results(self, keys: Iterable[str]) -> list[Determination]:
        """What `get` gives, without its pictures.

        Raises:
            Gone: one is not there.
        """
        return [Determination.from_dict(self._parts("result", key)[0]) for key in keys]

    def _whole(self, key: str) -> Shown:
        result, row, html, drawing = self._parts("result, row, html, drawing", key)
        # What was markup when it was kept is markup again: all of it was made by the report's templates.
        row["thumbnail"] = Markup(row["thumbnail"])
        return Shown(key, Determination.from_dict(result), row, Markup(html), drawing)

    def _parts(self, columns: str, key: str) -> list[Any]:
        found = self._ask(f"select {columns} from answers where key = ?", key)
        if not found:
            raise Gone(key)
        return [_unpacked(part) for part in found[0]]

    def _ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(query, values).fetchall()


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode(), 1)


def _unpacked(value: bytes) -> Any:
    return json.loads(zlib.decompress(value))
