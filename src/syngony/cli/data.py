"""``syngony data``: structures in, and what a table holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from syngony.report.structures import TableSummary
    from syngony.sources import Harvest, Outcome, Tally

app = typer.Typer(help="Fetch structures and look at structure tables.", no_args_is_help=True)
fetch = typer.Typer(help="Fetch structures from a source and label them.", no_args_is_help=True)
app.add_typer(fetch, name="fetch")

_CPUS = os.cpu_count() or 1


def _positive(value: float) -> float:
    if value <= 0:
        raise typer.BadParameter("must be above zero")
    return value


def _systems(text: str) -> str:
    from syngony.symmetry import CRYSTAL_SYSTEMS

    unknown = [name for name in _names(text) if name not in CRYSTAL_SYSTEMS]
    if unknown or not _names(text):
        named = ", ".join(unknown) or "(none)"
        raise typer.BadParameter(f"unknown crystal system {named}: choose from {', '.join(CRYSTAL_SYSTEMS)}")
    return text


def _side(text: str) -> str:
    from syngony.learning.split import SIDES

    if text not in SIDES:
        raise typer.BadParameter(f"choose one of {', '.join(SIDES)}")
    return text


Output = Annotated[Path, typer.Option("--output", "-o", help="The Parquet table to write.", show_default=False)]
Tolerance = Annotated[float, typer.Option(callback=_positive, help="spglib's symprec for the space group labels, Å.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first N entries of the source.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that expand and label.")]
OrderedOnly = Annotated[
    bool, typer.Option("--ordered-only", help="Leave out structures with partly occupied or mixed sites.")
]


@fetch.command("amcsd")
def fetch_amcsd(
    output: Output,
    tolerance: Tolerance = 0.1,
    limit: Limit = None,
    workers: Workers = _CPUS,
    ordered_only: OrderedOnly = False,
) -> None:
    """Minerals of the American Mineralogist database, from the package larixite: no network, no account."""
    from syngony.sources import amcsd

    _report(_run(amcsd.harvest(tolerance, limit, workers), output, ordered_only), output, tolerance)


@fetch.command("cif")
def fetch_cif(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Searched with its sub-folders.")],
    output: Output,
    tolerance: Tolerance = 0.1,
    limit: Limit = None,
    workers: Workers = _CPUS,
    ordered_only: OrderedOnly = False,
) -> None:
    """A folder of CIF files; every file that is refused is named with the reason."""
    from syngony.sources import cif

    tally = _run(cif.harvest(folder, tolerance, limit, workers), output, ordered_only, name_refusals=True)
    _report(tally, output, tolerance, group_refusals=False)
    if any(refusal.kind != "disordered" for refusal in tally.refusals):
        raise typer.Exit(1)


@fetch.command("matminer")
def fetch_matminer(
    output: Output,
    tolerance: Tolerance = 0.1,
    limit: Limit = None,
    workers: Workers = _CPUS,
    ordered_only: OrderedOnly = False,
) -> None:
    """mp_all_20181018 of matminer: the Materials Project of 2018, the paper's main set."""
    from syngony.sources import matminer

    _report(_run(matminer.harvest(tolerance, limit, workers), output, ordered_only), output, tolerance)


@fetch.command("materials-project")
def fetch_materials_project(
    output: Output,
    systems: Annotated[
        str, typer.Option(callback=_systems, help="Crystal systems, with commas between.")
    ] = "cubic,hexagonal,trigonal,tetragonal",
    count: Annotated[
        int | None, typer.Option(min=1, help="Structures wanted of each system; all there are when omitted.")
    ] = None,
    top_up: Annotated[
        Path | None, typer.Option(help="A table whose structures come first and count towards --count.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(envvar="MP_API_ENDPOINT", help="Another address of the service.")
    ] = None,
    tolerance: Tolerance = 0.1,
    ordered_only: OrderedOnly = False,
) -> None:
    """The Materials Project of today, through mp-api; the key comes from MP_API_KEY.

    A download that breaks off is taken up by running the same command again.
    """
    from syngony.sources import materials_project

    order = materials_project.Order(_names(systems), count, top_up)
    harvest = materials_project.harvest(output, order, tolerance, endpoint=endpoint)
    _report(_run(harvest, output, ordered_only), output, tolerance)


@fetch.command("synthetic")
def fetch_synthetic(
    output: Output,
    count: Annotated[int, typer.Option(min=1, help="Structures wanted.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other structures.")] = 0,
    flatten: Annotated[
        float,
        typer.Option(min=0, max=1, help="0: space groups as frequent as in the Materials Project; 1: all alike."),
    ] = 0.5,
    tolerance: Tolerance = 0.1,
    workers: Workers = _CPUS,
) -> None:
    """Random crystals: symmetry, sites, elements and cells drawn from statistics of real ones; no network."""
    from syngony.sources import synthetic

    harvest = synthetic.harvest(count, seed, flatten, tolerance, workers)
    _report(_run(harvest, output, ordered_only=False), output, tolerance)


@app.command()
def info(
    table: Annotated[Path, typer.Argument(help="A Parquet table of structures.")],
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write counts.png and proportions.png there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Counts and proportions by crystal system, and where the structures come from."""
    from syngony.report.structures import draw_counts, draw_proportions, summarise

    summary = summarise(table)
    if figures:
        draw_counts(summary.counts, figures / "counts.png")
        draw_proportions(summary.counts, figures / "proportions.png")
    if as_json:
        import json

        print(json.dumps({"table": str(table), **summary.as_json()}, indent=2, ensure_ascii=False))
    else:
        _print_summary(table, summary)
        if figures:
            print(f"figures: {figures / 'counts.png'}, {figures / 'proportions.png'}")


@app.command()
def split(
    table: Annotated[Path, typer.Argument(help="A Parquet table of structures.")],
    output: Output,
    side: Annotated[str, typer.Option(callback=_side, help="train, validation or test.")] = "test",
) -> None:
    """One side of the split by reduced formula that training uses: 93, 2 and 5 % of the formulas."""
    from syngony.learning.split import split_table

    print(f"{output}: {split_table(table, output, side):,} structures, the {side} side of {table}")


@app.command()
def substitute(
    table: Annotated[Path, typer.Argument(help="A Parquet table of structures.")],
    output: Output,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other elements.")] = 0,
) -> None:
    """The training side with other elements in place of theirs: further crystals for syngony train --also."""
    from syngony.cli.progress import progress_bar
    from syngony.learning.substitution import substitute_table

    with progress_bar("Substituting", "structures") as bar:
        count = substitute_table(table, output, seed, bar)
    print(f"{output}: {count:,} structures with other elements, all of the training side")


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))


def _run(harvest: Harvest, output: Path, ordered_only: bool, name_refusals: bool = False) -> Tally:
    """Write the table behind a progress bar on stderr."""
    from syngony.sources import Refusal, store

    with _progress() as progress:
        task = progress.add_task("structures", total=harvest.total)

        def advance(outcome: Outcome) -> None:
            progress.advance(task)
            if name_refusals and isinstance(outcome, Refusal):
                line = f"{outcome.identifier}: {outcome.reason}"
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

        tally = store(harvest, output, ordered_only, advance)
    for remark in harvest.remarks:
        print(remark, file=sys.stderr)
    return tally


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _report(tally: Tally, output: Path, tolerance: float, group_refusals: bool = True) -> None:
    print(
        f"{output}: {tally.written} structures ({tally.ordered} ordered, {tally.disordered} disordered), "
        f"labelled by spglib at {tolerance:g} Å"
    )
    if not tally.refusals:
        return
    print(f"refused: {len(tally.refusals)}", file=sys.stderr)
    if group_refusals:
        for kind, number in tally.kinds():
            example = next(r for r in tally.refusals if r.kind == kind)
            words = f"{example.identifier}: {example.particulars}".rstrip(": ")
            print(f"  {number:5d}  {kind} (e.g. {words})", file=sys.stderr)


def _print_summary(table: Path, summary: TableSummary) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from syngony.report.structures import proportions

    grid = Table(title=f"{table.name}: {summary.total:,} structures", title_justify="left")
    grid.add_column("crystal system")
    grid.add_column("structures", justify="right")
    grid.add_column("proportion", justify="right")
    grid.add_column("")
    largest = max(summary.counts.values())
    for system, share in proportions(summary.counts).items():
        count = summary.counts[system]
        grid.add_row(system, f"{count:,}", f"{share:.1%}", _bar(count / largest))
    console = Console()
    console.print(grid)
    least, median, most = summary.sites
    tolerance = summary.info.label_tolerance
    facts = {
        "ordered": f"{summary.ordered:,} of {summary.total:,}",
        "reduced formulas": f"{summary.formulas:,}",
        "space groups": f"{summary.space_groups}",
        "elements": f"{summary.elements}",
        "sites a cell": f"{least} to {most}, median {median:g}",
        "source": summary.info.source or "not stated",
        "licence": summary.info.licence or "not stated",
        "label tolerance": "not stated" if tolerance is None else f"{tolerance:g} Å",
        **summary.info.notes,
    }
    lines = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        lines.add_row(name, Text(value))  # Text: a source may hold [brackets], which are no markup
    console.print(lines)


def _bar(fraction: float, width: int = 28) -> str:
    """A bar of block characters, to an eighth of a character."""
    whole, eighths = divmod(round(fraction * width * 8), 8)
    return "█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths]
