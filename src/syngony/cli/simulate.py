"""``syngony simulate``: a table of structures to a table of patterns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from syngony.simulation.run import Simulation

_LOG_INTERVAL = 30.0  # s between lines where stderr is no terminal


def simulate(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Structure table (Parquet).")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Pattern table: a file, or a folder of shards above 2,000 structures."),
    ],
    wavelength: Annotated[
        str | None,
        typer.Option(help="Å, or a tube line (CoKa). If omitted, CuKa; in the lab, all its tubes and beamlines."),
    ] = None,
    conditions: Annotated[
        str, typer.Option(help="ideal: the paper's patterns; lab: as an instrument records.")
    ] = "ideal",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if omitted.")] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask scheduler; its workers share this file system.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the laboratory.")] = 0,
    shard_size: Annotated[int, typer.Option(min=1, max=20_000, help="Structures in one file.")] = 2000,
    repeats: Annotated[
        int, typer.Option(min=1, help="Patterns of each structure; in the lab each of its own instrument and sample.")
    ] = 1,
) -> None:
    """Simulate the pattern of every structure of a table.

    Run again with the same options, an interrupted simulation goes on. Structures that cannot be simulated are
    named and listed in the manifest; the others are done.
    """
    if conditions not in ("ideal", "lab"):
        raise typer.BadParameter(f"--conditions is ideal or lab, not {conditions}")
    if cluster is not None and workers is not None:
        raise typer.BadParameter("give either --workers or --cluster")
    from syngony.simulation.run import simulate_table
    from syngony.simulation.settings import Settings

    settings = Settings(wavelength, conditions, seed, shard_size, repeats)  # type: ignore[arg-type]
    began = time.perf_counter()
    try:
        with _progress() as update:
            done = simulate_table(table, output, settings, workers=workers, address=cluster, progress=update)
    except KeyboardInterrupt:
        print("syngony: stopped; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    _report(done, time.perf_counter() - began)
    if done.failures:
        raise typer.Exit(1)


def _report(done: Simulation, seconds: float) -> None:
    for failure in done.failures:
        print(failure, file=sys.stderr)
    if done.kept:
        print(f"{done.kept:,} structures were there already", file=sys.stderr)
    settings, files = done.manifest["settings"], len(done.manifest["shards"])
    radiation = f"{settings['wavelength']:g} Å" if settings["wavelength"] else "several wavelengths"
    rate = f", {done.structures / seconds:.0f} a second" if done.structures else ""
    print(
        f"{done.path}: {done.patterns:,} patterns, {done.size / 1e6:,.1f} MB in {files} file{'s' * (files != 1)}, "
        f"{settings['conditions']}, {radiation}, seed {settings['seed']}; "
        f"{len(done.failures)} structures without; {done.structures:,} simulated in {seconds:.0f} s{rate}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; a line now and then in a log."""
    from syngony.cli.progress import progress_bar

    if sys.stderr.isatty():
        with progress_bar("simulating", "structures") as update:
            yield update
        return
    began = last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == 0 or now - last < _LOG_INTERVAL:
            return
        last, rate = now, done / (now - began)
        left = (total - done) / rate
        print(
            f"simulating: {done:,} of {total:,}, {rate:.0f} structures/s, {left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )

    yield log
