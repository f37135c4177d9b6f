"""``syngony determine``: the main job."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from syngony.determination import Determination


def determine(
    files: Annotated[list[Path], typer.Argument(help="Scans: text of two columns, 2θ and intensity.")],
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write one row a scan.")] = None,
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = "mobilenetv2",
) -> None:
    """Determine the crystal system of powder scans."""
    from syngony.cli.progress import progress_bar
    from syngony.determination import Determination, load_network
    from syngony.determination import determine as determine_pattern
    from syngony.errors import SyngonyError
    from syngony.readers import read_pattern
    from syngony.wavelengths import parse_wavelength

    if wavelength is not None:
        parse_wavelength(wavelength)  # an absurd option is one error, not one a file
    network = load_network(model)
    results: list[Determination] = []
    with progress_bar("determining", "scans") as update:
        for done, path in enumerate(files):
            if len(files) > 1:
                update(done, len(files))
            try:
                pattern = read_pattern(path, wavelength)
                result = determine_pattern(pattern, network)
            except SyngonyError as error:
                result = Determination(str(path), error=str(error))
                print(f"syngony: {path}: {error}", file=sys.stderr)
            results.append(_with_path(result, path))
    if csv_path is not None:
        _write_csv(csv_path, results)
    if as_json:
        print(json.dumps([result.as_dict() for result in results], indent=1, ensure_ascii=False))
    else:
        for result in results:
            if result.error is None:
                _print(result)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _with_path(result: Determination, path: Path) -> Determination:
    from dataclasses import replace

    return replace(result, file=str(path))


def _print(result: Determination) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(result.file, style="bold"), Text(f"{result.wavelength:g} Å", style="dim"))
    verdict = f"{result.crystal_system}, {result.probability:.0%}"
    if result.abstained:
        console.print(Text(f"  not sure: perhaps {verdict}", style="yellow"))
    else:
        console.print(Text(f"  {verdict}", style="bold green"))
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, probability in sorted(result.probabilities.items(), key=lambda item: -item[1]):
        table.add_row(f"  {name}", f"{probability:6.1%}", "█" * round(30 * probability))
    console.print(table)
    if result.space_groups:
        listed = ", ".join(f"{g.symbol} {g.probability:.0%}" for g in result.space_groups[:3])
        console.print(f"  likeliest space groups: {listed}")
    console.print(f"  rests on: {result.rests_on} (network {result.model})", style="dim")
    for warning in result.warnings:
        console.print(f"  warning: {warning}", style="yellow")


def _write_csv(path: Path, results: list[Determination]) -> None:
    from syngony.errors import InputError
    from syngony.symmetry import CRYSTAL_SYSTEMS

    header = ["file", "wavelength", "crystal_system", "probability", "abstained", *CRYSTAL_SYSTEMS]
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([*header, "space_group", "model", "warnings", "error"])
            for r in results:
                probabilities = [r.probabilities.get(name, "") for name in CRYSTAL_SYSTEMS]
                group = r.space_groups[0].number if r.space_groups else ""
                known = [r.file, r.wavelength or "", r.crystal_system or "", r.probability or "", r.abstained]
                writer.writerow([*known, *probabilities, group, r.model or "", "; ".join(r.warnings), r.error or ""])
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
