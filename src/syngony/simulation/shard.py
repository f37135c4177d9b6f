"""One shard: a pure function of some rows of the table and the settings to one Parquet file."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syngony.diffraction.packed import PackedStructures, pack_table
from syngony.errors import MissingExtraError, SimulationError
from syngony.simulation.rendering import Rendered, ideal, lab
from syngony.simulation.settings import Settings, differences, file_sha256, versions
from syngony.symmetry import crystal_system
from syngony.whole_files import whole_file

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise MissingExtraError("Simulating a table", "data") from None

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("material_id", pa.string()),
        ("formula", pa.string()),
        ("space_group", pa.string()),
        ("space_group_number", pa.int16()),
        ("crystal_system", pa.string()),
        ("wavelength", pa.float64()),
        ("two_theta", pa.list_(pa.float32())),
        ("intensity", pa.list_(pa.float32())),
        ("conditions", pa.string()),
    ]
)
"""Columns of a pattern table. ``space_group`` is the number as text, as measured tables have it."""

# Byte-stream split beats dictionaries here: 0.1 kB a pattern for the angles, a third less for intensities.
_WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["formula", "space_group", "space_group_number", "crystal_system", "wavelength"],
    "use_byte_stream_split": ["two_theta.list.element", "intensity.list.element"],
    "write_statistics": False,
}


@dataclass(frozen=True, eq=False)
class Task:
    """The work of one shard, to be sent to any process or machine.

    Attributes:
        path: the file to make; its folder is there already and is shared by all workers.
        first_row: of the shard, in the table gone through as often as the settings say.
        rows: the shard's part of the structure table, as an Arrow IPC stream.
        settings: how to simulate.
        digest: of the whole simulation, carried by the file.
        versions: those the simulation is made with; a worker with others refuses.
        about: source and licence of the structures, for the file's metadata.
    """

    path: Path
    first_row: int
    rows: bytes
    settings: Settings
    digest: str
    versions: dict[str, str]
    about: dict[str, str]


@dataclass(frozen=True)
class Shard:
    """A shard on disk.

    Attributes:
        name: of the file.
        first_row, rows: which structures of the table it is of.
        patterns: how many it holds; less than `rows` where structures failed.
        size, sha256: of the file, bytes and hexadecimal.
        failures: (row of the table, material_id, reason).
        seconds: of one core that making it took; 0 if it was there.
    """

    name: str
    first_row: int
    rows: int
    patterns: int
    size: int
    sha256: str
    failures: tuple[tuple[int, str, str], ...] = ()
    seconds: float = 0.0


def serialise(rows: pa.Table) -> bytes:
    """An Arrow IPC stream of these rows and no others (sending a slice as it is would send the whole table)."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def rows_of_shard(table: pa.Table, first: int, settings: Settings) -> pa.Table:
    """The structures of the shard that begins at a place of the table gone through `repeats` times."""
    last = min(first + settings.shard_size, table.num_rows * settings.repeats)
    parts = []
    while first < last:
        row = first % table.num_rows
        parts.append(table.slice(row, min(last - first, table.num_rows - row)))
        first += parts[-1].num_rows
    return pa.concat_tables(parts)


def make_shard(task: Task) -> Shard:
    """Simulate the rows of a task and write them; the file appears when it is whole and on the disk.

    Raises:
        SimulationError: the folder is not to be seen from here, or the versions are others.
        OutputError: the file cannot be written.
    """
    began = time.thread_time()
    unlike = differences(task.versions, versions())
    if unlike:
        raise SimulationError(f"the worker on {socket.gethostname()} has other versions: {'; '.join(unlike)}")
    if not task.path.parent.is_dir():
        raise SimulationError(
            f"{task.path.parent} is not there on {socket.gethostname()}: workers need a shared file system, "
            "mounted at the same path"
        )
    rows = pa.ipc.open_stream(task.rows).read_all()
    packed, mislabelled = _pack(rows)
    names = rows["material_id"].to_pylist()
    if task.settings.conditions == "ideal":
        rendered = ideal(packed, task.settings)
    else:
        rendered = lab(packed, task.settings, task.first_row, names)
    failures = tuple(
        (task.first_row + row, str(names[row]), reason) for row, reason in sorted(rendered.failures + mislabelled)
    )
    note = {
        "digest": task.digest,
        "first_row": task.first_row,
        "rows": rows.num_rows,
        "failures": failures,
    }
    table = _pattern_table(rows, rendered, task)
    table = table.replace_schema_metadata({**task.about, "shard": json.dumps(note)})
    # Whoever opens the folder tidies it, once: there may be very many shards in it.
    with whole_file(task.path, tidy=False) as partial, partial.open("wb") as file:
        pq.write_table(table, file, **_WRITER)
    return Shard(
        task.path.name,
        task.first_row,
        rows.num_rows,
        len(rendered.rows),
        task.path.stat().st_size,
        file_sha256(task.path),
        failures,
        time.thread_time() - began,
    )


def read_shard(path: Path, digest: str) -> Shard | None:
    """What a file says of itself, or None if it is no whole shard of this simulation."""
    try:
        footer = pq.read_metadata(path)
        note = json.loads(footer.metadata[b"shard"])
    except (pa.ArrowException, OSError, EOFError, KeyError, TypeError, ValueError):
        return None
    if note["digest"] != digest:
        return None
    failures = tuple((int(row), str(name), str(reason)) for row, name, reason in note["failures"])
    size = path.stat().st_size
    return Shard(path.name, note["first_row"], note["rows"], footer.num_rows, size, file_sha256(path), failures)


def _pack(rows: pa.Table) -> tuple[PackedStructures, list[tuple[int, str]]]:
    """The structures that are possible and have a space group; the rows whose label is wrong, with the reason."""
    labels = rows["space_group_number"].to_pylist()
    wrong = [row for row, number in enumerate(labels) if number is None or not 1 <= number <= 230]
    if not wrong:
        return pack_table(rows), []
    good = np.setdiff1d(np.arange(rows.num_rows), wrong)
    packed = pack_table(rows.take(good))
    renumbered = PackedStructures(
        packed.lattice,
        packed.offsets,
        packed.element,
        packed.frac_coords,
        packed.occupancy,
        good[packed.rows],
        [(int(good[row]), reason) for row, reason in packed.failures],
    )
    return renumbered, [(row, f"space group number {labels[row]} is not in 1..230") for row in wrong]


def _pattern_table(rows: pa.Table, rendered: Rendered, task: Task) -> pa.Table:
    """The columns of `SCHEMA`, without a Python object for any point."""
    chosen = rows.select(["material_id", "formula", "space_group_number"]).take(pa.array(rendered.rows))
    numbers = chosen["space_group_number"].to_pylist()
    offsets = pa.array(rendered.offsets)
    columns = {
        "row": pa.array(rendered.rows + task.first_row),
        "material_id": chosen["material_id"],
        "formula": chosen["formula"],
        "space_group": pa.array([str(number) for number in numbers], pa.string()),
        "space_group_number": chosen["space_group_number"],
        "crystal_system": pa.array([crystal_system(number) for number in numbers], pa.string()),
        "wavelength": pa.array(rendered.wavelengths),
        "two_theta": pa.ListArray.from_arrays(offsets, pa.array(rendered.two_theta)),
        "intensity": pa.ListArray.from_arrays(offsets, pa.array(rendered.intensity)),
        "conditions": pa.array(rendered.conditions, pa.string()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)
