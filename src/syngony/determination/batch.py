"""Files of scans, any number of them: one after another, on all cores, or on a cluster."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from syngony import readers
from syngony.determination.determiner import Determiner, Witnesses
from syngony.determination.preparation import Preparation, Prepared
from syngony.determination.result import Determination
from syngony.errors import ParallelError, SyngonyError, reason_of
from syngony.inference import Scores
from syngony.parallel import each
from syngony.pattern import Pattern

_FAILURES = (SyngonyError, OSError, MemoryError)
"""Of one scan: named, and the others are still done."""


@dataclass(frozen=True)
class ScanFile:
    """A file of scans, to be sent to any process or machine.

    Attributes:
        name: as the user calls it.
        place: its path from the root.
        mark: bytes and time of the last change (ns); None where there is no such file.
    """

    name: str
    place: str
    mark: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> ScanFile:
        """The file as it is now."""
        try:
            status = path.stat()
            mark = status.st_size, status.st_mtime_ns
        except OSError:
            mark = None
        return cls(str(path), str(path.absolute()), mark)


@dataclass(frozen=True)
class Request:
    """What is to be done with each file.

    Attributes:
        witnesses: who is asked.
        wavelength: for files that state none: Å or a tube line.
        preparation: of each scan.
    """

    witnesses: Witnesses
    wavelength: str | None = None
    preparation: Preparation = field(default_factory=Preparation)

    def identity(self) -> dict[str, Any]:
        """All that decides the answer for a file, as plain values."""
        return {**self.witnesses.identity(), "wavelength": self.wavelength, **asdict(self.preparation)}


def determine_files(
    files: Iterable[ScanFile], request: Request, *, workers: int = 0, address: str | None = None, together: int = 1
) -> Generator[tuple[ScanFile, list[Determination]], None, None]:
    """Each file with one determination a scan, in the order in which they are done.

    What is wrong with a file or a scan, or too big, is the `error` of its determination. Files are read where they
    are determined; on a cluster they must be on a file system that its workers share.

    Args:
        files: read lazily.
        request: what is to be done with each.
        workers: processes; with 0, this one.
        address: of a dask scheduler; its workers are used instead.
        together: files that are taken at once, which a network alone is faster with.

    Raises:
        ParallelError: see `syngony.parallel.each`; a worker of the cluster does not see the files.
        ModelError, LibraryError: witnesses that cannot be used.
    """
    shared = address is not None or workers > 0
    if shared:
        request = replace(request, witnesses=request.witnesses.anywhere())
    work = partial(_determine_shared if address is not None else _determine_together, request=request)
    source = iter(files)
    groups = iter(lambda: list(islice(source, together)), [])
    for group, answers in each(work, groups, workers=workers, address=address):
        yield from zip(group, answers, strict=True)


def _determine_together(files: list[ScanFile], request: Request) -> list[list[Determination]]:
    """One determination for each scan of each file."""
    determiner = request.witnesses.loaded()
    read = [_scans(file, request) for file in files]
    patterns = [scan for scans in read for _, scan in scans if isinstance(scan, Pattern)]
    asked: Iterator[Scores | Exception | None]
    try:
        asked = iter(determiner.asked(patterns))
    except _FAILURES as error:
        asked = iter([error] * len(patterns))
    return [
        [
            _determined(name, scan, next(asked), determiner) if isinstance(scan, Pattern) else scan
            for name, scan in scans
        ]
        for scans in read
    ]


def _scans(file: ScanFile, request: Request) -> list[tuple[str, Pattern | Determination]]:
    """The scans of a file by name, as they are looked at, or what is wrong with them."""
    try:
        patterns = readers.read_patterns(file.place, request.wavelength)
    except _FAILURES as error:
        return [(file.name, Determination(file.name, error=reason_of(error)))]
    scans: list[tuple[str, Pattern | Determination]] = []
    for pattern in patterns:
        name = readers.name_in_file(file.name, pattern)
        try:
            scans.append((name, request.preparation(pattern).pattern))
        except _FAILURES as error:
            scans.append((name, Determination(name, error=reason_of(error))))
    return scans


def _determined(name: str, pattern: Pattern, asked: Scores | Exception | None, determiner: Determiner) -> Determination:
    try:
        if isinstance(asked, Exception):
            raise asked
        return replace(determiner.verdict(pattern, *determiner.weigh(pattern, scores=asked)), file=name)
    except _FAILURES as error:
        return Determination(name, error=reason_of(error))


def looked_at(file: ScanFile, request: Request) -> list[tuple[Pattern, Prepared | None]]:
    """The scans of a file, and as the witnesses saw them, to be drawn; empty where it cannot be read."""
    try:
        return [
            (pattern, _prepared(pattern, request)) for pattern in readers.read_patterns(file.place, request.wavelength)
        ]
    except _FAILURES:
        return []


def _prepared(pattern: Pattern, request: Request) -> Prepared | None:
    try:
        return request.preparation(pattern)
    except _FAILURES:
        return None


def _determine_shared(files: list[ScanFile], request: Request) -> list[list[Determination]]:
    """`_determine_together` on a worker that sees the files as the machine does that sent them.

    Raises:
        ParallelError: it does not.
    """
    request.witnesses.loaded()  # what is wrong with them is no fault of the file
    for file in files:
        here = ScanFile.of(Path(file.place)).mark
        if file.mark is not None and (here is None or here[0] != file.mark[0]):
            raise ParallelError(
                f"{file.place} is not to be seen on {socket.gethostname()}, or is another file there: workers need a "
                "file system shared with this machine, mounted at the same path"
            )
    return _determine_together(files, request)
