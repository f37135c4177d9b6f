"""``syngony determine``: the main job."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syngony.cli.console import as_json, complain, print_lines
from syngony.cli.witnesses import DEFAULT_BUDGET, DEFAULT_MODEL, EVIDENCE_HELP, LIBRARY_HELP, evidence_of, libraries_of

if TYPE_CHECKING:
    from syngony.determination import Determination, Determiner
    from syngony.pattern import Pattern

_BAR = 30  # characters of a probability of one
_WORTH_A_BAR = 0.005
_WORTH_NAMING = 0.05  # of a known phase
_PHASES = 3


def determine(
    files: Annotated[list[Path], typer.Argument(help="Scans: instrument files, or columns of text.")],
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write one row a scan.")] = None,
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = DEFAULT_MODEL,
    library: Annotated[list[str] | None, typer.Option(help=LIBRARY_HELP)] = None,
    evidence: Annotated[str | None, typer.Option(help=EVIDENCE_HELP)] = None,
    budget: Annotated[float, typer.Option(min=0.05, help="Seconds of the lattice search, a scan.")] = DEFAULT_BUDGET,
) -> None:
    """Determine the crystal system of powder scans, with cell, extinction group and space group."""
    from syngony.cli.progress import progress_bar
    from syngony.determination import Determiner
    from syngony.errors import SyngonyError
    from syngony.wavelengths import parse_wavelength

    try:  # a wrong option is one error before anything is read, not one a file
        if wavelength is not None:
            parse_wavelength(wavelength)
        determiner = Determiner(model, libraries_of(library), budget, evidence_of(evidence))
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
            for result in _determine_file(path, wavelength, determiner):
                if not json_output and result.error is None:
                    _print(result, first=not any(other.error is None for other in results))
                results.append(result)
    if json_output:
        print(as_json([result.as_dict() for result in results]))
    if csv_path is not None:
        _write_csv(csv_path, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _determine_file(path: Path, wavelength: str | None, determiner: Determiner) -> Iterator[Determination]:
    """One determination a scan of the file; what is wrong, or too big, is named and does not stop the others."""
    from syngony.determination import Determination
    from syngony.errors import SyngonyError
    from syngony.readers import name_in_file, read_patterns

    try:
        patterns = read_patterns(path, wavelength)
    except (SyngonyError, OSError, MemoryError) as error:
        reason = _reason(error)
        complain(f"{path}: {reason}")
        yield Determination(str(path), error=reason)
        return
    for pattern in patterns:
        yield _determine_pattern(pattern, name_in_file(path, pattern), determiner)


def _determine_pattern(pattern: Pattern, name: str, determiner: Determiner) -> Determination:
    from dataclasses import replace

    from syngony.determination import Determination
    from syngony.errors import SyngonyError

    try:
        return replace(determiner(pattern), file=name)
    except (SyngonyError, OSError, MemoryError) as error:
        reason = _reason(error)
        complain(f"{name}: {reason}")
        return Determination(name, error=reason)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory for this scan"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _print(result: Determination, first: bool) -> None:
    if not first:
        print()
    print_lines(_lines(result))


def _lines(result: Determination) -> list[tuple[str, str]]:
    """The lines that people read, each with its style."""
    verdict = f"{result.crystal_system}, {result.probability:.0%}"
    said = (f"not sure: perhaps {verdict}", "yellow") if result.abstained else (verdict, "bold green")
    lines = [(f"{result.file}  {result.wavelength:g} Å", "bold"), (f"  {said[0]}", said[1])]
    lines.extend((f"  {reason}", "yellow") for reason in result.reasons)
    lines.append((f"  {result.basis}", ""))
    if result.cells:
        lines.extend(_cell_lines(result.cells[0]))
    if result.space_groups:
        listed = ", ".join(f"{group.symbol} {group.probability:.0%}" for group in result.space_groups[:3])
        lines.append((f"  space group: {listed}", ""))
    if result.extinction_groups:
        listed = ", ".join(f"{group['symbol']} {group['probability']:.0%}" for group in result.extinction_groups[:3])
        lines.append((f"  extinction group: {listed}", ""))
    named = [phase for phase in result.known_phases if phase["probability"] >= _WORTH_NAMING][:_PHASES]
    for phase in named:
        lines.append((f"  {_phase_line(phase)}", ""))
    width = max(len(name) for name in result.probabilities)
    for name, probability in sorted(result.probabilities.items(), key=lambda item: -item[1]):
        if probability >= _WORTH_A_BAR:
            bar = "█" * round(_BAR * probability)
            lines.append((f"  {name:<{width}}  {probability:6.1%}  {bar}".rstrip(), "dim"))
    lines.extend((f"  {remark}", "yellow") for remark in result.remarks)
    lines.extend((f"  warning: {warning}", "yellow") for warning in result.warnings)
    return lines


def _cell_lines(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Cell parameters that symmetry leaves free, and how well the cell does."""
    free = {
        "cubic": ("a",),
        "tetragonal": ("a", "c"),
        "hexagonal": ("a", "c"),
        "rhombohedral": ("a", "c"),
        "orthorhombic": ("a", "b", "c"),
        "monoclinic": ("a", "b", "c", "beta"),
    }.get(cell["lattice_system"], ("a", "b", "c", "alpha", "beta", "gamma"))
    parts = [f"{name} = {cell[name]:.4f} Å" if len(name) == 1 else f"{name} = {cell[name]:.3f}°" for name in free]
    merit = "" if cell["m20"] is None else f", M20 = {cell['m20']:.0f}"
    return [
        (f"  {cell['lattice_system']} {cell['centring']} cell ({cell['probability']:.0%}): {', '.join(parts)}", ""),
        (f"    {cell['lines_indexed']} of {cell['lines_total']} lines{merit}, V = {cell['volume']:.1f} Å³", ""),
    ]


def _phase_line(phase: dict[str, Any]) -> str:
    from syngony.symmetry import space_group_symbol

    name = f"{phase['name']} ({phase['formula']})" if phase["name"] else phase["formula"]
    place = "also in it" if phase["component"] > 1 else "known phase"
    return (
        f"{place}: {name}, {space_group_symbol(phase['space_group'])}, {phase['probability']:.0%} "
        f"[{phase['library']} {phase['id']}]"
    )


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
