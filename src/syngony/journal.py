"""Answers kept one by one as they are made, so that work that was interrupted at any moment goes on."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syngony.errors import InputError, OutputError
from syngony.whole_files import write_text

Entry = dict[str, Any]


class Journal:
    """A file of JSON, one object a line; the first line says what the work is of.

    A line is whole or, after a crash, cut off when the file is opened again. Entries are read one at a time from the
    file, so that memory does not grow with their number.

    Args:
        path: the file, made if it is not there; None for a nameless one that ends with the process.
        identity: of the work, plain values.
        work: what it is called in messages.

    Raises:
        InputError: the file is of another work, or another process is writing it.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path | None, identity: Entry, work: str = "run") -> None:
        self.path, self._work = path, work
        self._identity = json.loads(json.dumps(identity))
        self._file = self._opened()
        *self._offsets, self._end = self._whole_lines()  # where entries begin, and where the last one ends

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Entry]:
        """Entries in the order in which they were added."""
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, number: int) -> Entry:
        begin = self._offsets[number]
        end = self._offsets[number + 1] if number + 1 < len(self) else self._end
        self._file.seek(begin)
        return json.loads(self._file.read(end - begin))

    def add(self, entry: Entry) -> int:
        """Add an entry and return its number; a process that is killed later does not lose it.

        Raises:
            OutputError: the disk is full; the entries before stay.
        """
        line = memoryview(json.dumps(entry).encode() + b"\n")
        try:
            self._file.seek(self._end)
            while line:
                line = line[self._file.write(line) :]
            offset, self._end = self._end, self._file.tell()
        except OSError as error:
            raise OutputError(
                f"{self.path or tempfile.gettempdir()}: {error.strerror or error}. What was done stays: make room and "
                "run again to go on"
            ) from None
        self._offsets.append(offset)
        return len(self) - 1

    def close(self, remove: bool = False) -> None:
        """Close the file, and remove it when nothing depends on it any more."""
        if self.path is not None:
            if remove:
                self.path.unlink(missing_ok=True)
            elif not self._file.closed:
                os.fsync(self._file.fileno())
        self._file.close()

    def _opened(self) -> Any:
        if self.path is None:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by `close`
            file.write(json.dumps(self._identity).encode() + b"\n")
            return file
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_text(self.path, json.dumps(self._identity) + "\n")
            file = self.path.open("r+b", buffering=0)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from None
        try:
            _lock(file, self.path)
            return file
        except BaseException:
            file.close()
            raise

    def _whole_lines(self) -> Iterator[int]:
        """Where entries begin, and where the last one ends; what a crash left behind it is cut off.

        Raises:
            InputError: the file is of another work.
        """
        self._file.seek(0)
        with os.fdopen(os.dup(self._file.fileno()), "rb") as reader:
            first = reader.readline()
            header = _parsed(first)
            alike = not first or (header is not None and header.keys() == self._identity.keys())
            if alike and not reader.read(1):
                self._begin_anew()  # of other work perhaps, but nothing of it was done
            elif header != self._identity:
                self._file.close()
                raise InputError(
                    f"{self.path} is of another {self._work} ({_difference(header, self._identity)}): "
                    "choose another place, or delete it"
                )
            reader.seek(0)
            end = len(reader.readline())
            while _parsed(line := reader.readline()) is not None:
                yield end
                end += len(line)
        self._file.truncate(end)
        yield end

    def _begin_anew(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(self._identity).encode() + b"\n")


def _parsed(line: bytes) -> Entry | None:
    """The object on a line; None if the line is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _difference(there: Entry | None, here: Entry) -> str:
    if there is None:
        return "it does not begin as a journal does"
    unlike = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    return ", ".join(unlike[:5]) + " differ" + "s" * (len(unlike) == 1)


def _lock(file: Any, path: Path) -> None:
    """One writer at a time, where the file system has locks; a crash releases it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path}: another process is writing there; wait for it, or choose another place") from None
    except OSError:  # a file system without locks
        return
