"""Files that appear under their name when they are whole and on the disk, and not before."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from syngony.errors import OutputError

PARTIAL = ".partial"
"""How names of files that are being written end; they begin with a dot, so that readers of folders pass over them."""


@contextmanager
def whole_file(path: Path | str, *, durable: bool = True, tidy: bool = True) -> Iterator[Path]:
    """A hidden neighbour to write to, which takes the name of `path` when the block ends well.

    Whatever interrupts the block, SIGKILL included, a file that had the name keeps it.

    Args:
        path: the file; its folder must be there.
        durable: bring the file to the disk before it takes the name, so that a power cut leaves it whole as well.
        tidy: remove neighbours that killed processes of this machine left; False in folders of very many files.

    Yields:
        The neighbour's path, of which there is no file yet.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    partial = _neighbour(path)
    if tidy:
        _remove_abandoned(path)
    try:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise _said(path, error) from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """A hidden folder to fill, which takes the name of `path` when the block ends well.

    Where another process made the folder in the meantime, that one stays.

    Yields:
        The hidden folder, empty.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    partial = _neighbour(path)
    _remove_abandoned(path)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.iterdir():
            _sync(file)
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise _said(path, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path | str, text: str, *, encoding: str = "utf-8", errors: str = "strict") -> None:
    """Write a text file, whole or not at all; line ends as they are in the text.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding=encoding, errors=errors, newline="")


def try_to_write(path: Path) -> None:
    """Find out whether a file can be made beside `path`; nothing is left behind.

    Raises:
        OSError: it cannot.
    """
    partial = _neighbour(path)
    partial.touch()
    partial.unlink()


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(folder)


def _neighbour(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}{PARTIAL}")


def _said(path: Path, error: OSError) -> OutputError:
    if isinstance(error, OutputError):
        return error
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _machine() -> str:
    """Short and without odd characters; tells the machines apart that share a file system."""
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _remove_abandoned(path: Path) -> None:
    """Remove partial files of `path` whose writers are dead. Those of other machines stay: who knows."""
    if os.name != "posix" or not path.parent.is_dir():
        return
    beginning = f".{path.name}.{_machine()}-"
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(beginning) and entry.name.endswith(PARTIAL)]
    for name in names:
        number = name[len(beginning) : -len(PARTIAL)]
        if number.isdecimal() and not is_running(int(number)):
            left = path.with_name(name)
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process of this machine has the number (POSIX)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
