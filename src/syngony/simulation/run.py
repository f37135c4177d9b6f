"""A whole table of structures to patterns."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syngony.errors import ParallelError, SimulationError, TableError
from syngony.parallel import each
from syngony.simulation.output import Output, wait_for_file
from syngony.simulation.settings import Settings, digest, file_sha256, identity
from syngony.simulation.shard import Shard, Task, make_shard, rows_of_shard, serialise
from syngony.structure_table import COLUMNS, read_info, read_table

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Simulation:
    """What `simulate_table` did.

    Attributes:
        path: the pattern table: a Parquet file, or a folder of them.
        manifest: what the manifest holds: format, table, settings, versions, shards, failures.
        structures: simulated now; one that is simulated several times counts as often.
        kept: those whose shards were there already.
        core_seconds: of the shards made now.
    """

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    structures: int
    kept: int
    core_seconds: float

    @property
    def patterns(self) -> int:
        """Number of patterns in the table."""
        return int(self.manifest["patterns"])

    @property
    def size(self) -> int:
        """Bytes of the shards."""
        return sum(shard["bytes"] for shard in self.manifest["shards"])

    @property
    def failures(self) -> list[str]:
        """``material_id: reason`` of every structure without a pattern."""
        return [f"{f['material_id']}: {f['reason']}" for f in self.manifest["failures"]]


def simulate_table(
    table: Path | str,
    output: Path | str,
    settings: Settings | None = None,
    *,
    workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate every structure of a table; the same call takes up what was interrupted.

    The bytes of the output are a function of the table, the settings and the versions (and of the last bit of
    the processor's arithmetic): neither workers nor interruptions change them.

    Args:
        table: Parquet structure table.
        output: the pattern table; a file when the table fits one shard, else a folder of shards.
        settings: wavelength, conditions, seed.
        workers: processes; all cores when omitted, none but this one with 0.
        address: of a dask scheduler; its workers are used instead and must see `output` at the same path.
        progress: called with structures done and to do, without those of earlier runs.

    Returns:
        What was done; structures that cannot be simulated are in its `failures`.

    Raises:
        TableError: the table cannot be read or is empty.
        SimulationError: the output is of another simulation or in use, a full disk, a worker died, no cluster.
        OSError: the output's folder cannot be made.
    """
    settings = settings or Settings()
    table, output = Path(table), Path(output).absolute()
    rows = read_table(table, columns=[*COLUMNS, "occupancies"])
    if rows.num_rows == 0:
        raise TableError(f"{table}: no structures in it")
    total = rows.num_rows * settings.repeats
    starts = range(0, total, settings.shard_size)
    whole = identity(file_sha256(table), rows.num_rows, settings)
    info = read_info(table)
    about = {"source": info.source, "licence": info.licence}
    destination = Output(output, whole, len(starts), about)
    manifest = destination.finished()
    if manifest is not None:
        return Simulation(output, manifest, 0, total, 0.0)
    with destination.opened() as kept:
        todo = [index for index in range(len(starts)) if index not in kept]
        before = sum(shard.rows for shard in kept.values())

        def tasks() -> Iterator[Task]:
            for index in todo:
                part = serialise(rows_of_shard(rows, starts[index], settings))
                path = destination.shard_path(index)
                yield Task(path, starts[index], part, settings, digest(whole), whole["versions"], about)

        made = each(
            make_shard,
            tasks(),
            workers=_useful(workers, len(todo)),
            address=address,
            # What is computed, so that two tries of one shard are one task of the cluster.
            key=lambda task: f"{task.path.name}-{task.digest}",
        )
        new = _collect(made, total - before, destination, progress)
        shards = sorted([*kept.values(), *new], key=lambda shard: shard.first_row)
        manifest = destination.finish(shards)
    seconds = sum(shard.seconds for shard in new)
    return Simulation(output, manifest, total - before, before, seconds)


def _collect(
    made: Generator[tuple[Task, Shard], None, None], total: int, destination: Output, progress: Progress | None
) -> list[Shard]:
    """All shards, as they come; a lost worker is told with how to go on."""
    shards: list[Shard] = []
    done = 0
    if progress:
        progress(0, total)
    try:
        with closing(made):  # workers end before the folder is swept and unlocked
            for task, shard in made:
                wait_for_file(task.path, shard.size)
                shards.append(shard)
                done += shard.rows
                if progress:
                    progress(done, total)
    except (SimulationError, ParallelError) as error:
        raise SimulationError(f"{error}. {_stays(destination)}") from None
    except OSError as error:  # a full disk
        reason = f"{destination.folder}: {error.strerror}" if error.strerror else str(error)
        raise SimulationError(f"{reason}. {_stays(destination)}") from None
    return shards


def _stays(destination: Output) -> str:
    return f"Whole shards stay in {destination.folder}: run the same command again to go on"


def _useful(workers: int | None, shards: int) -> int:
    wanted = os.cpu_count() or 1 if workers is None else workers
    return min(wanted, shards)
