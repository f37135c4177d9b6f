"""A table of structures to a library: shard by shard, in parallel, resumable, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.packed import pack_table, packed_lines
from syngony.errors import InputError, LibraryError, TableError
from syngony.library.axis import Q_LAST
from syngony.library.file import FORMAT, Library, write_arrays, write_library
from syngony.library.selection import select_lines
from syngony.structure_table import COLUMNS, read_info, read_table
from syngony.whole_files import write_text

if TYPE_CHECKING:
    import pyarrow as pa

SHARD = 2000
"""Structures in a shard: 80 MB of memory for each thread while it is made."""

B_OVERALL = 1.0
"""Å^2, the displacement of every atom: between metals (0.3) and organic or soft salts (3)."""

_AHEAD = 2  # shards in hand for each thread
_COMPUTED = ("mp-", "mvc-", "agm", "oqmd", "jvasp")  # how identifiers of computed structures begin
_WANTED = (*COLUMNS, "name", "occupancies", "published_space_group")

Kind = Literal["measured", "computed"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes:
        library: the file, mapped.
        failures: ``id: reason`` of structures that are not in it.
        added: structures that are.
    """

    library: Library
    failures: list[str]
    added: int


def build_library(
    table: Path | str,
    output: Path | str,
    *,
    title: str = "",
    kind: Kind | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Built:
    """Lines of every structure of a table as one library; run again, an interrupted build goes on.

    Shards are kept in ``OUTPUT.parts`` until the library is whole; only then does it take its name. Memory
    is that of a few shards, whatever the size of the table.

    Args:
        table: Parquet structure table. Where it has a column ``published_space_group`` that is preferred to
            the label of spglib: authors decide from absences, and see distortions below 0.1 Å.
        output: NAME.lib.
        title: one line on what it holds; the table's source if omitted.
        kind: whether the structures were measured or computed; if omitted, by how identifiers begin.
        workers: threads, all cores when omitted (the compiled loops release the interpreter).
        progress: called with structures done and in all.

    Raises:
        TableError: the table cannot be read, is empty, or none of its structures gives a line.
        LibraryError: the output is something else than a library.
    """
    table, output = Path(table), Path(output)
    _refuse_strangers(output)
    total = read_table(table, ["material_id"]).num_rows
    if total == 0:
        raise TableError(f"{table}: no structures in it")
    info = read_info(table)
    name = info.source or table.stem
    source = {"source": name, "licence": info.licence, "kind": kind}
    folder = output.with_name(f"{output.name}.parts")
    identity = _identity(table, kind)
    if folder.is_dir() and _read(folder / "identity") != identity:
        shutil.rmtree(folder)  # of another table or kind, or made by another version
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "identity", identity)
    _make_shards(table, folder, source, max(1, workers or os.cpu_count() or 1), total, progress)
    shards = [Library.load(path) for path in sorted(folder.glob("part-*.lib"))]
    failures = [reason for shard in shards for reason in shard.header["failures"]]
    if not sum(len(shard) for shard in shards):
        raise TableError(f"{table}: none of its {total} structures gives a line; the first: {failures[0]}")
    library = write_library(output, [(shard, None) for shard in shards], title or name)
    del shards
    shutil.rmtree(folder, ignore_errors=True)
    return Built(library, failures, len(library))


def add_to_library(path: Path | str, table: Path | str, **options: Any) -> Built:
    """Add the structures of a table; those of the same identifier are replaced.

    Args:
        path: the library; it is replaced only by a whole one.
        table: Parquet structure table.
        options: those of `build_library`.

    Raises:
        LibraryError, TableError: as `Library.load` and `build_library`.
    """
    path = Path(path)
    old = Library.load(path)
    fresh = path.with_name(f".{path.name}.addition.lib")
    try:
        built = build_library(table, fresh, **options)
        new = built.library
        replaced = set(new.ids())
        kept = np.array([identifier not in replaced for identifier in old.ids()])
        title = options.get("title") or old.header["title"]
        return Built(write_library(path, [(old, kept), (new, None)], title), built.failures, len(new))
    finally:
        fresh.unlink(missing_ok=True)


def remove_from_library(path: Path | str, ids: list[str]) -> Library:
    """Remove structures by identifier.

    Raises:
        InputError: an identifier is not there; nothing is removed.
        LibraryError: the library cannot be read, or would be empty.
    """
    old = Library.load(path)
    there = old.ids()
    missing = sorted(set(ids) - set(there))
    if missing:
        raise InputError(f"{path} has no {', '.join(missing[:5])}{' ...' * (len(missing) > 5)}: nothing was removed")
    unwanted = set(ids)
    kept = np.array([identifier not in unwanted for identifier in there])
    return write_library(path, [(old, kept)], old.header["title"])


def _make_shards(
    table: Path, folder: Path, source: dict[str, Any], workers: int, total: int, progress: Progress | None
) -> None:
    done, pending = 0, set[Future[int]]()
    batches = enumerate(_batches(table))
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(pending) < _AHEAD * workers and (item := next(batches, None)) is not None:
                    path = folder / f"part-{item[0]:05d}.lib"
                    pending.add(pool.submit(_make_shard, item[1], path, source))
                if not pending:
                    return
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    done += future.result()
                    if progress:
                        progress(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _batches(table: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(table) as file:
        columns = [name for name in _WANTED if name in file.schema_arrow.names]
        yield from file.iter_batches(batch_size=SHARD, columns=columns)


def _make_shard(rows: pa.RecordBatch, path: Path, source: dict[str, Any]) -> int:
    """One shard on disk, unless it is there and whole; returns the number of its rows."""
    if path.is_file():
        try:
            Library.load(path)
            return rows.num_rows
        except LibraryError:
            path.unlink()
    arrays, failures, ids = shard_arrays(rows)
    computed = sum(i.startswith(_COMPUTED) for i in ids) > 0.5 * len(ids)
    source = {**source, "kind": source["kind"] or ("computed" if computed else "measured")}
    write_arrays(path, arrays, source, title="", failures=failures)
    return rows.num_rows


def shard_arrays(rows: pa.RecordBatch) -> tuple[dict[str, NDArray], list[str], list[str]]:
    """Arrays of `syngony.library.file.ARRAYS` without ``source``, what failed, and the identifiers kept."""
    packed = pack_table(rows)
    found = packed_lines(packed, Q_LAST, b_overall=B_OVERALL)
    hkl, amplitude, position, counts, metric, norm = select_lines(
        packed.lattice, found.q, found.squared_factor, found.hkl, found.offsets
    )
    plain = rows.drop_columns(["lattice", "species", "frac_coords"])
    columns = {name: plain.column(name).to_pylist() for name in plain.schema.names}
    groups = _space_groups(columns, rows.num_rows)
    names = columns.get("name") or [""] * rows.num_rows
    failures = [*packed.failures, *found.failures]
    kept = np.zeros(len(packed), bool)
    ids, words, numbers = [], [], []
    known = {row for row, _ in failures}
    for index, row in enumerate(packed.rows.tolist()):
        if not 1 <= groups[row] <= 230:
            failures.append((row, f"space group number {groups[row]} is not in 1..230"))
        elif counts[index] == 0:
            if row not in known:
                failures.append((row, "no line between d = 29 and 1.05 Å"))
        else:
            kept[index] = True
            ids.append(str(columns["material_id"][row]))
            parts = (ids[-1], names[row] or "", columns["formula"][row] or packed.structure(index).formula)
            words.append("\t".join(_plain(part) for part in parts).encode())
            numbers.append(groups[row])
    of_line = np.repeat(kept, counts)
    arrays = {
        "hkl": hkl[of_line],
        "amplitude": amplitude[of_line],
        "position": position[of_line],
        "lines": counts[kept],
        "metric": metric[kept],
        "norm": norm[kept],
        "elements": _element_bits(packed.element, packed.offsets)[kept],
        "space_group": np.array(numbers, np.uint8),
        "text": np.frombuffer(b"".join(words), np.uint8),
        "letters": np.array([len(word) for word in words], np.uint16),
    }
    identifiers = columns["material_id"]
    return arrays, [f"{identifiers[row]}: {reason}" for row, reason in sorted(failures)], ids


def _element_bits(element: NDArray[np.int16], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    bits = np.zeros((len(element), 2), np.uint64)
    where = element.astype(np.uint64)
    bits[np.arange(len(element)), element // 64] = np.uint64(1) << (where % np.uint64(64))
    if not len(element):
        return np.zeros((0, 2), np.uint64)
    return np.bitwise_or.reduceat(bits, offsets[:-1], axis=0)


def _space_groups(columns: dict[str, list], count: int) -> list[int]:
    stated = columns.get("published_space_group") or [None] * count
    labels = columns["space_group_number"]
    return [int(own or label or 0) for own, label in zip(stated, labels, strict=True)]


def _plain(text: str) -> str:
    return str(text).replace("\t", " ").replace("\n", " ")


def _identity(table: Path, kind: Kind | None) -> str:
    digest = hashlib.sha256()
    with table.open("rb") as stream:
        while chunk := stream.read(1 << 24):
            digest.update(chunk)
    return f"{FORMAT} {SHARD} {B_OVERALL} {Q_LAST} {kind} {digest.hexdigest()}"


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _refuse_strangers(output: Path) -> None:
    """What is there under the name must be a library, good or bad, or nothing."""
    if output.is_dir():
        raise LibraryError(f"{output} is a folder: give -o the name of a file")
    if output.is_file() and output.suffix != ".lib":
        raise LibraryError(f"{output} is there and is no library: give -o another name, ending in .lib")
