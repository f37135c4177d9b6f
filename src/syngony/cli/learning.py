"""``syngony train``, ``export``, ``evaluate`` and ``models``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from syngony.cli.witnesses import DEFAULT_BUDGET, DEFAULT_MODEL, EVIDENCE_HELP, LIBRARY_HELP, evidence_of, libraries_of


def train(
    network: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Name of a network; a wrong one lists all."),
    ],
    structures: Annotated[Path, typer.Option(help="Structure table (Parquet).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    recipe: Annotated[
        str,
        typer.Option(help="paper: as published; robust: to survive real scans; calculated: for scans without noise."),
    ] = "robust",
    head: Annotated[
        str | None, typer.Option(help="Label of the outputs: system, extinction_group or space_group.")
    ] = None,
    patterns: Annotated[
        int | None,
        typer.Option(help="Patterns to train on, all epochs together: 1,000,000, or as the run was begun with."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Patterns a step.")] = 64,
    epoch_patterns: Annotated[
        int | None,
        typer.Option(min=1, help="Patterns between two checkpoints, which is what a crash costs at most; 20,000."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and patterns.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves it to torch.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder for computed lines; OUTPUT/cache if omitted.")] = None,
    also: Annotated[Path | None, typer.Option(help="A further table to train on (synthetic crystals).")] = None,
    also_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of patterns from that table.")] = 0.3,
    start: Annotated[
        str | None, typer.Option(help="Go on from the weights of a shipped network or an .onnx file.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest rate, in place of the recipe's.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the network, as its file's build names it; the value is JSON."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine, each with its share.")] = 1,
    machines: Annotated[
        int, typer.Option(min=1, help="Machines that run this command together: see docs/training.md.")
    ] = 1,
) -> None:
    """Train a network on a structure table, split by reduced formula."""
    from syngony.learning import recipes

    recipes.train_recipe(
        network,
        structures,
        output,
        recipe=recipe,
        head=head,
        resume=resume,
        patterns=patterns,
        batch_size=batch_size,
        epoch_patterns=epoch_patterns,
        seed=seed,
        threads=threads,
        cache=cache,
        also=also,
        also_share=also_share,
        start=start,
        learning_rate=learning_rate,
        options=_options(option or []),
        processes=processes,
        machines=machines,
    )


def _options(given: list[str]) -> dict[str, Any]:
    from syngony.errors import InputError

    options = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            options[name] = json.loads(value)
        except ValueError:
            raise InputError(f"--option {text}: give NAME=VALUE with a JSON value, as in dropout=[0.1,0.2]") from None
    return options


def export(
    run: Annotated[Path, typer.Argument(help="Folder of syngony train.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="NAME.onnx; the card is written beside it.")],
    card: Annotated[
        Path | None, typer.Option(help="JSON with further entries of the card: data, licence, figures.")
    ] = None,
) -> None:
    """Make a shippable network (ONNX and a card) of a training run."""
    from syngony.errors import InputError
    from syngony.learning.export import export_run

    extra: dict[str, Any] | None = None
    if card is not None:
        try:
            extra = json.loads(card.read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{card}: not a readable JSON file ({error})") from None
    network = export_run(run, output, card=extra)
    print(f"{output}: {network.card['parameters']:,} parameters, sha256 {network.card['sha256'][:16]}")


def join(
    networks: Annotated[list[str], typer.Argument(metavar="NETWORK...", help="Shipped names or .onnx files.")],
    structures: Annotated[Path, typer.Option(help="Structure table that they were trained on.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="NAME.onnx; the card is written beside it.")],
    cache: Annotated[Path | None, typer.Option(help="Folder for computed lines; beside OUTPUT if omitted.")] = None,
) -> None:
    """Make one network of several of one view: the mean of what they say, calibrated anew."""
    from syngony.errors import InputError
    from syngony.inference import Network
    from syngony.learning import ensemble

    if len(networks) < 2 or output.suffix != ".onnx":
        raise InputError("give two networks or more, and a NAME.onnx to write")
    loaded = [Network.load(name) for name in networks]
    joined = ensemble.join(loaded, output, structures, cache or output.parent / "cache")
    print(f"{output}: {joined.card['parameters']:,} parameters, sha256 {joined.card['sha256'][:16]}")


def evaluate(
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = DEFAULT_MODEL,
    structures: Annotated[Path | None, typer.Option(help="Structure table (Parquet).")] = None,
    patterns: Annotated[Path | None, typer.Option(help="Table of labelled patterns (Parquet).")] = None,
    conditions: Annotated[str, typer.Option(help="Of simulated patterns: ideal or lab.")] = "ideal",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many: a random sample of structures, the first of patterns.")
    ] = None,
    library: Annotated[list[str] | None, typer.Option(help=LIBRARY_HELP)] = None,
    evidence: Annotated[str | None, typer.Option(help=EVIDENCE_HELP)] = None,
    budget: Annotated[
        float, typer.Option(help="Seconds of the processor for the lattice search, a pattern.")
    ] = DEFAULT_BUDGET,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask scheduler, whose workers determine.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sample and the laboratory.")] = 0,
    known: Annotated[
        bool, typer.Option("--known", help="Leave the compounds of --structures in the libraries; they are taken out.")
    ] = False,
    baselines: Annotated[
        Path | None,
        typer.Option(help="Structure table that baselines learn from (its training side): neighbour and trees."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for an HTML report; an interrupted run goes on there.")
    ] = None,
) -> None:
    """Every figure about accuracy, on structures or on labelled patterns."""
    from syngony.cli.progress import progress_bar
    from syngony.evaluation import TrainingSet, Witnesses, evaluate_patterns, evaluate_structures

    if (structures is None) == (patterns is None):
        raise typer.BadParameter("give either --structures or --patterns")
    if conditions not in ("ideal", "lab"):
        raise typer.BadParameter(f"--conditions is ideal or lab, not {conditions}")
    if cluster is not None and workers > 1:
        raise typer.BadParameter("give either --workers or --cluster")
    # Seconds of the processor: figures are the same on a busy machine.
    witnesses = Witnesses(model, libraries_of(library), budget, evidence_of(evidence), time.thread_time)
    with progress_bar("evaluating", "patterns") as update:
        training = TrainingSet(baselines, folder=output) if baselines is not None else None
        common: dict[str, Any] = {"limit": limit, "training": training, "folder": output, "progress": update}
        common |= {"workers": workers, "address": cluster}
        if structures is not None:
            report = evaluate_structures(witnesses, structures, conditions, seed=seed, known=known, **common)  # type: ignore[arg-type]
        else:
            assert patterns is not None
            report = evaluate_patterns(witnesses, patterns, **common)
    if output is not None:
        from syngony.report.evaluation import write_evaluation

        write_evaluation(report, output)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    system = report["crystal_system"]
    low, high = system["interval"]
    where = f", {report['conditions']} conditions" if report["conditions"] else ""
    console.print(f"[bold]{report['model']}[/bold] on {report['n']:,} patterns{where}")
    console.print(
        f"crystal system {system['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%}), "
        f"macro F1 {system['macro_f1']:.3f}, calibration error {system['ece']:.3f}"
    )
    console.print(f"evidence: {', '.join(report['evidence'])}; libraries: {', '.join(report['libraries']) or 'none'}")
    for name in ("extinction_group", "space_group"):
        group = report[name]
        if group["accuracy"] is not None:
            told = name.replace("_", " ")
            console.print(f"{told} {group['accuracy']:.1%}, in the first five {group['top5']:.1%}")
    answered = report["answered"]
    if answered["accuracy"] is not None:
        console.print(f"answered {answered['fraction']:.1%}, of which right {answered['accuracy']:.1%}")
    for name, row in report["baselines"].items():
        low, high = row["interval"]
        learned = f", learned from {row['trained_on']:,} structures" if "trained_on" in row else ""
        console.print(f"{name}: {row['accuracy']:.1%} ({low:.1%} to {high:.1%}){learned}")
    table = Table("system", "precision", "recall", "F1", "patterns")
    for name, row in system["per_class"].items():
        cells = [f"{row[key]:.2f}" for key in ("precision", "recall", "f1")]
        table.add_row(name, *cells, f"{row['support']:,}")
    console.print(table)


def models() -> None:
    """The networks that are shipped: trained on what, how good, hash."""
    from rich.console import Console
    from rich.table import Table

    from syngony.inference import Network, shipped_models

    table = Table("name", "network", "trained on", "crystal system", "sha256")
    for name in shipped_models():
        card = Network.load(name).card
        figures = ", ".join(f"{key} {value}" for key, value in card.get("figures", {}).items())
        data = card.get("data", {})
        table.add_row(name, card["network"], data.get("source", "?"), figures or "?", card["sha256"][:16])
    Console().print(table)
