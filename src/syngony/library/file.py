"""A library on disk: one memory-mapped file, whole or not there, checked by its hash.

::

    SYNGONY-LIBRARY\\n          16 bytes
    arrays                      each aligned to 64 bytes, in the order of `ARRAYS`
    header                      JSON, UTF-8: format, sources, counts, where each array lies, sha256 of all above
    length of the header        8 bytes, little-endian
    SYNGONY-LIBRARY\\n          16 bytes

The header stands at the end, so that a library of any size is written in one pass and little memory, and a
truncated file shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syngony.errors import LibraryError
from syngony.library.axis import BINS, FINE
from syngony.shipped import is_as_shipped
from syngony.whole_files import whole_file

FORMAT = 1
"""Goes up when the arrays or their meaning change."""

MAGIC = b"SYNGONY-LIBRARY\n"
_ALIGN = 64
_CHUNK = 1 << 24

ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "hkl": ("<i1", (3,)),
    "amplitude": ("<u1", ()),
    "position": ("<u2", ()),
    "lines": ("<u2", ()),
    "metric": ("<f4", (6,)),
    "norm": ("<f4", (2,)),
    "elements": ("<u8", (2,)),
    "space_group": ("<u1", ()),
    "source": ("<u1", ()),
    "text": ("<u1", ()),
    "letters": ("<u2", ()),
}
"""Name, type and shape of an element of each array; see `Library`."""

_OF_LINES = ("hkl", "amplitude", "position")


class Entry(NamedTuple):
    """What a library says of one structure.

    Attributes:
        id, name, formula: as its table has them; the formula is of the whole cell.
        space_group: number.
        source, licence: of the table it came from.
        measured: True when the structure was determined by experiment, False when computed.
    """

    id: str
    name: str
    formula: str
    space_group: int
    source: str
    licence: str
    measured: bool


@dataclass(frozen=True, eq=False)
class Library:
    """n structures with m lines in all, memory-mapped.

    Attributes:
        path: the file.
        header: format, title, sources, counts, hash.
        hkl: (m, 3) int8 indices of each line in the structure's own cell, in order of Q.
        amplitude: (m,) uint8, 255 times the root of the intensity for CuKa relative to the strongest line.
        position: (m,) uint16 place on the axis of `syngony.library.axis`, in sixteenths of a bin.
        lines: (n,) uint16, lines of each structure.
        metric: (n, 6) float32, a*.a*, b*.b*, c*.c*, b*.c*, a*.c*, a*.b* in 1/Å^2.
        norm: (n, 2) float32, lengths of the sharp and of the blurred fingerprint.
        elements: (n, 2) uint64, a bit for each element of `syngony.elements.ELEMENTS`.
        space_group: (n,) uint8.
        source: (n,) uint8, place in ``header["sources"]``.
        text: UTF-8 of id, name and formula of every structure, with tabs between.
        letters: (n,) uint16, bytes of each structure's text.
    """

    path: Path
    header: dict[str, Any]
    hkl: NDArray[np.int8]
    amplitude: NDArray[np.uint8]
    position: NDArray[np.uint16]
    lines: NDArray[np.uint16]
    metric: NDArray[np.float32]
    norm: NDArray[np.float32]
    elements: NDArray[np.uint64]
    space_group: NDArray[np.uint8]
    source: NDArray[np.uint8]
    text: NDArray[np.uint8]
    letters: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.space_group)

    @property
    def name(self) -> str:
        """The file's name without its ending: what answers call the library."""
        return self.path.stem

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(n + 1,) structure i has lines offsets[i]:offsets[i + 1]."""
        return _starts(self.lines)

    @cached_property
    def text_offsets(self) -> NDArray[np.int64]:
        """(n + 1,) structure i has bytes text_offsets[i]:text_offsets[i + 1] of `text`."""
        return _starts(self.letters)

    def entry(self, index: int) -> Entry:
        """One structure (0 to len - 1)."""
        span = slice(self.text_offsets[index], self.text_offsets[index + 1])
        identifier, name, formula = self.text[span].tobytes().decode(errors="replace").split("\t")
        source = self.header["sources"][self.source[index]]
        number = int(self.space_group[index])
        return Entry(
            identifier, name, formula, number, source["source"], source["licence"], source["kind"] == "measured"
        )

    def ids(self) -> list[str]:
        """Identifiers of all structures, in order."""
        words, starts = self.text.tobytes(), self.text_offsets.tolist()
        return [words[a : words.index(b"\t", a)].decode(errors="replace") for a in starts[:-1]]

    def take(self, index: int) -> dict[str, NDArray]:
        """Copies of the arrays of one structure: hkl, amplitude, position and metric."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return {name: np.array(getattr(self, name)[span]) for name in _OF_LINES} | {"metric": self.metric[index]}

    @classmethod
    def load(cls, path: Path | str, verify: bool = True) -> Library:
        """Map a library.

        Args:
            path: of a file that ``syngony library build`` wrote.
            verify: read it once to compare its hash, about 1 s per GB.

        Raises:
            LibraryError: no such file, no library, another version, truncated or changed since it was written, or
                arrays that do not fit together.
        """
        path = Path(path)
        if not path.is_file():
            raise LibraryError(f"{path}: no such library; build one with syngony library build TABLE -o NAME.lib")
        header, end = _read_header(path)
        data = np.memmap(path, np.uint8, mode="r", shape=(end,))
        if verify:
            digest = hashlib.sha256()
            for begin in range(0, end, _CHUNK):
                digest.update(data[begin : begin + _CHUNK].data)
            digest.update(_canonical(header))
            if digest.hexdigest() != header.get("sha256"):
                raise LibraryError(f"{path}: the file was changed or damaged (its hash is wrong): build it again")
        library = cls(path, header, **_mapped(path, header, data))
        _refuse_impossible(library)
        return library


def shipped_libraries() -> list[str]:
    """Names of the libraries that come with Syngony."""
    return sorted(p.name.removesuffix(".lib") for p in _shelf().iterdir() if p.name.endswith(".lib"))


def load_library(name: str | Path, verify: bool = True) -> Library:
    """A shipped library by its name, or one's own by its path.

    Raises:
        LibraryError: neither; or what `Library.load` says.
    """
    if str(name) in shipped_libraries():
        path = Path(str(_shelf().joinpath(f"{name}.lib")))
        if verify and not is_as_shipped(path):
            raise LibraryError(
                f"{name}.lib is not as it was shipped: install Syngony again, or pass your own by its path"
            )
        return Library.load(path, verify)
    if not Path(name).is_file():
        raise LibraryError(
            f"{name}: no such library: give the path of a .lib file or one of {', '.join(shipped_libraries())}; "
            "syngony library build TABLE -o NAME.lib makes one"
        )
    return Library.load(name, verify)


def write_library(path: Path | str, parts: Sequence[tuple[Library, NDArray[np.bool_] | None]], title: str) -> Library:
    """Join structures of libraries into one file, which takes its name only when it is whole.

    Args:
        path: the file to write; a library of that name is replaced at the end and never harmed before.
        parts: libraries and which of their structures to keep, None for all.
        title: one line on what it holds.

    Raises:
        LibraryError: nothing is kept, or the sources are more than 255.
    """
    path = Path(path)
    sources: list[dict[str, Any]] = []
    renumbered: list[NDArray[np.uint8]] = []
    for library, kept in parts:
        places = []
        for entry in library.header["sources"]:
            if entry not in sources:
                sources.append(entry)
            places.append(sources.index(entry))
        if len(sources) > 255:
            raise LibraryError("a library holds structures of at most 255 sources: make several libraries")
        own = np.array(places, np.uint8)[library.source] if places else library.source
        renumbered.append(own if kept is None else own[kept])
    columns = {key: _column(parts, key) for key in ARRAYS} | {"source": iter(renumbered)}
    _write(path, {"title": title, "sources": sources}, columns)
    return Library.load(path, verify=False)


def write_arrays(path: Path, arrays: dict[str, NDArray], source: dict[str, Any], **more: Any) -> None:
    """Write a library of one source from arrays in memory: a shard, or a small library.

    Args:
        path: the file.
        arrays: those of `ARRAYS`, without ``source``.
        source: ``source``, ``licence`` and ``kind`` (``measured`` or ``computed``).
        more: further entries of the header.
    """
    arrays = {**arrays, "source": np.zeros(len(arrays["lines"]), np.uint8)}
    _write(path, {"sources": [source], **more}, {key: iter([arrays[key]]) for key in ARRAYS}, may_be_empty=True)


def _write(
    path: Path, header: dict[str, Any], columns: dict[str, Iterator[NDArray]], may_be_empty: bool = False
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, **header, "arrays": {}}
    digest = hashlib.sha256()
    with whole_file(path) as partial, partial.open("wb") as stream:

        def put(chunk: bytes) -> None:
            stream.write(chunk)
            digest.update(chunk)

        put(MAGIC)
        for key, (kind, shape) in ARRAYS.items():
            put(bytes(-stream.tell() % _ALIGN))
            begin = stream.tell()
            for chunk in columns[key]:
                put(np.ascontiguousarray(chunk, kind).tobytes())
            row = int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize
            header["arrays"][key] = [begin, (stream.tell() - begin) // row]
        header["structures"] = header["arrays"]["lines"][1]
        header["total_lines"] = header["arrays"]["amplitude"][1]
        if header["structures"] == 0 and not may_be_empty:
            raise LibraryError(f"{path}: no structure is left to write: an empty library recognises nothing")
        stream.write(_sealed(header, digest))


def sealed(arrays: bytes, header: dict[str, Any]) -> bytes:
    """What stands behind the arrays in a file, which are all that comes before: header with hash, and the end."""
    return _sealed(header, hashlib.sha256(arrays))


def _sealed(header: dict[str, Any], digest: Any) -> bytes:
    digest.update(_canonical(header))
    text = json.dumps({**header, "sha256": digest.hexdigest()}).encode()
    return text + len(text).to_bytes(8, "little") + MAGIC


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and where it begins."""
    tail = 8 + len(MAGIC)
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if stream.read(len(MAGIC)) != MAGIC:
            raise LibraryError(f"{path}: not a library of Syngony: pass a file that syngony library build wrote")
        stream.seek(max(0, size - tail))
        end = stream.read()
        length = int.from_bytes(end[:8], "little")
        begin = size - tail - length
        if end[8:] != MAGIC or begin < len(MAGIC):
            raise LibraryError(f"{path}: the file is cut short: copy or build it again")
        stream.seek(begin)
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            header = None
    if not isinstance(header, dict) or "format" not in header:
        raise LibraryError(f"{path}: its header is damaged: build it again")
    if header["format"] != FORMAT:
        raise LibraryError(
            f"{path}: a library of format {header['format']}, this Syngony reads format {FORMAT}: "
            "build it again with syngony library build"
        )
    return header, begin


def _mapped(path: Path, header: dict[str, Any], data: NDArray[np.uint8]) -> dict[str, NDArray]:
    """The arrays that a header tells of."""
    arrays = {}
    try:
        for key, (kind, shape) in ARRAYS.items():
            offset, count = header["arrays"][key]
            size = count * int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize
            if not 0 <= offset <= offset + size <= len(data):
                raise ValueError("beyond the end")
            arrays[key] = np.asarray(data[offset : offset + size]).view(kind).reshape(count, *shape)
        for source in header["sources"]:
            if not (isinstance(source["source"], str) and isinstance(source["licence"], str) and "kind" in source):
                raise ValueError("a source without its name")
    except (KeyError, TypeError, ValueError, OverflowError):
        raise LibraryError(f"{path}: its header is damaged: build it again") from None
    return arrays


def _refuse_impossible(library: Library) -> None:
    """Refuse arrays that do not fit together: compiled loops follow them without looking, and a hash is soon forged.

    Raises:
        LibraryError: counts that differ, or numbers that point beyond what is there.
    """
    n, m = len(library.lines), int(library.lines.sum(dtype=np.int64))
    of_structures = (library.metric, library.norm, library.elements, library.space_group, library.source)
    fits = all(len(array) == n for array in (*of_structures, library.letters))
    fits = fits and all(len(array) == m for array in (library.hkl, library.amplitude, library.position))
    fits = fits and len(library.text) == library.letters.sum(dtype=np.int64)
    if fits and n:
        fits = int(library.source.max()) < len(library.header["sources"])
        fits = fits and bool(library.space_group.min() >= 1 and library.space_group.max() <= 230)
        fits = fits and bool(np.isfinite(library.metric).all() and np.isfinite(library.norm).all())
        tabs = np.concatenate([[0], np.cumsum(library.text == ord("\t"))])[library.text_offsets]
        fits = fits and bool((np.diff(tabs) == 2).all())
    if fits and m:
        fits = int(library.position.max()) < BINS * FINE
    if not fits:
        raise LibraryError(f"{library.path}: its arrays do not fit together: build it again")


def _canonical(header: dict[str, Any]) -> bytes:
    return json.dumps({key: value for key, value in header.items() if key != "sha256"}, sort_keys=True).encode()


def _column(parts: Sequence[tuple[Library, NDArray[np.bool_] | None]], key: str) -> Iterator[NDArray]:
    for library, kept in parts:
        yield _kept(library, key, kept)


def _kept(library: Library, key: str, kept: NDArray[np.bool_] | None) -> NDArray:
    values = getattr(library, key)
    if kept is None:
        return values
    if key in _OF_LINES:
        return values[np.repeat(kept, library.lines)]
    if key == "text":
        return values[np.repeat(kept, library.letters)]
    return values[kept]


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _shelf() -> Any:
    return files("syngony").joinpath("libraries")
