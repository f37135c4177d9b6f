"""``syngony determine``: the main job."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syngony.cli.console import as_json, complain, print_lines

if TYPE_CHECKING:
    from syngony.determination import Determination
    from syngony.inference import Network
    from syngony.pattern import Pattern

_BAR = 30  # characters of a probability of one


def determine(
    files: Annotated[list[Path], typer.Argument(help="Scans: instrument files, or columns of text.")],
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write one row a scan.")] = None,
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = "mobilenetv2",
) -> None:
    """Determine the crystal system of powder scans."""
    from syngony.cli.progress import progress_bar
    from syngony.determination import load_network
    from syngony.errors import SyngonyError
    from syngony.wavelengths import parse_wavelength

    try:  # a wrong option is one error before anything is read, not one a file
        if wavelength is not None:
            parse_wavelength(wavelength)
        network = load_network(model)
        if csv_path is not None:
            _check_writable(csv_path)
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
    results: list[Determination] = []
    with progress_bar("determining", "scans") as update:
        for done, path in enumerate(files):
            if len(files) > 1:
                update(done, len(files))
            results.extend(_determine_file(path, wavelength, network))
    if json_output:
        print(as_json([result.as_dict() for result in results]))
    else:
        _print([result for result in results if result.error is None])
    if csv_path is not None:
        _write_csv(csv_path, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _determine_file(path: Path, wavelength: str | None, network: Network) -> list[Determination]:
    """One determination a scan of the file; what is wrong, or too big, is named and does not stop the others."""
    from syngony.determination import Determination
    from syngony.errors import SyngonyError
    from syngony.readers import name_in_file, read_patterns

    try:
        patterns = read_patterns(path, wavelength)
    except (SyngonyError, OSError, MemoryError) as error:
        reason = _reason(error)
        complain(f"{path}: {reason}")
        return [Determination(str(path), error=reason)]
    return [_determine_pattern(pattern, name_in_file(path, pattern), network) for pattern in patterns]


def _determine_pattern(pattern: Pattern, name: str, network: Network) -> Determination:
    from dataclasses import replace

    from syngony.determination import Determination, determine
    from syngony.errors import SyngonyError

    try:
        return replace(determine(pattern, network), file=name)
    except (SyngonyError, OSError, MemoryError) as error:
        reason = _reason(error)
        complain(f"{name}: {reason}")
        return Determination(name, error=reason)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory for this scan"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _print(results: list[Determination]) -> None:
    for place, result in enumerate(results):
        if place:
            print()
        print_lines(_lines(result))


def _lines(result: Determination) -> list[tuple[str, str]]:
    """The lines that people read, each with its style."""
    verdict = f"{result.crystal_system} ({result.probability:.0%})"
    said = (f"not sure: perhaps {verdict}", "yellow") if result.abstained else (verdict, "bold green")
    lines = [(f"{result.file}  {result.wavelength:g} Å", "bold"), (f"  {said[0]}", said[1])]
    width = max(len(name) for name in result.probabilities)
    for name, probability in sorted(result.probabilities.items(), key=lambda item: -item[1]):
        bar = "█" * round(_BAR * probability)
        lines.append((f"  {name:<{width}}  {probability:6.1%}  {bar}".rstrip(), ""))
    if result.space_groups:
        listed = ", ".join(f"{group.symbol} {group.probability:.0%}" for group in result.space_groups[:3])
        lines.append((f"  likeliest space groups: {listed}", ""))
    lines.append((f"  rests on: {result.rests_on} (network {result.model})", "dim"))
    lines.extend((f"  warning: {warning}", "yellow") for warning in result.warnings)
    return lines


def _check_writable(path: Path) -> None:
    """Find out before the work whether a table can be written; nothing is left behind."""
    from syngony.errors import InputError

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written (not a regular file): give --csv the name of a file")
    partial = _partial(path)
    try:
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): give --csv another place") from None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _write_csv(path: Path, results: list[Determination]) -> None:
    from syngony.errors import InputError
    from syngony.symmetry import CRYSTAL_SYSTEMS

    header = ["file", "wavelength", "crystal_system", "probability", "abstained", *CRYSTAL_SYSTEMS]
    partial = _partial(path)
    try:
        with partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
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
