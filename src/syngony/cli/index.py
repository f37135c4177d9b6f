"""``syngony index``: lines and unit cells alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syngony.cli.console import as_json, complain, print_lines

if TYPE_CHECKING:
    from syngony.absences.ranking import ExtinctionGroup
    from syngony.lattice.indexing import IndexedCell, Indexing
    from syngony.lines.lines import Lines
    from syngony.pattern import Pattern

_LISTED = 5
_ANGLES = ("alpha", "beta", "gamma")


def index(
    files: Annotated[list[Path], typer.Argument(help="Instrument files, or with --lines lists of line positions.")],
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="The files list lines: 2θ in degrees and, if known, intensity.")
    ] = False,
    budget: Annotated[float, typer.Option(min=0.0, help="Seconds for each file; 0 is no limit.")] = 30.0,
    max_volume: Annotated[float, typer.Option(min=1.0, help="Largest primitive cell, Å^3.")] = 4000.0,
    max_axis: Annotated[float, typer.Option(min=1.0, help="Longest axis of the reduced cell, Å.")] = 60.0,
) -> None:
    """Find the unit cells that explain powder scans, best first."""
    from syngony.cli.progress import progress_bar
    from syngony.errors import SyngonyError
    from syngony.wavelengths import parse_wavelength

    try:
        if wavelength is not None:
            parse_wavelength(wavelength)
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
    limits = {"time_budget": budget or None, "max_volume": max_volume, "max_axis": max_axis}
    results: list[dict[str, Any]] = []
    failed = False
    with progress_bar("indexing", "scans") as update:
        for done, path in enumerate(files):
            if len(files) > 1:
                update(done, len(files))
            for result, text in _index_file(path, wavelength, lines, limits):
                failed = failed or result["error"] is not None
                if not json_output and text:
                    with update.hidden():
                        print_lines([("", "")] * bool(results) + text)
                results.append(result)
    if json_output:
        print(as_json(results))
    if failed:
        raise typer.Exit(1)


def _index_file(
    path: Path, wavelength: str | None, listed: bool, limits: dict[str, Any]
) -> list[tuple[dict[str, Any], list[tuple[str, str]]]]:
    """What is said of each scan of a file, as plain values and as lines to read."""
    from syngony.errors import SyngonyError
    from syngony.lines.line_list import read_lines
    from syngony.readers import name_in_file, read_patterns

    try:
        if listed:
            return [_index_lines(str(path), read_lines(path, wavelength), None, limits)]
        patterns = read_patterns(path, wavelength)
    except (SyngonyError, OSError, MemoryError) as error:
        return [_failed(str(path), error)]
    return [_index_lines(name_in_file(path, pattern), None, pattern, limits) for pattern in patterns]


def _failed(name: str, error: Exception) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or "not enough memory"
    complain(f"{name}: {reason}")
    nothing: dict[str, Any] = {"reason": None, "cells": [], "extinction_groups": [], "lines": []}
    return {"file": name, "wavelength": None, "error": reason, "warnings": [], **nothing}, []


def _index_lines(
    name: str, listed: Lines | None, pattern: Pattern | None, limits: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is said of a list of lines, or of a pattern and the lines in it."""
    from syngony.absences.ranking import rank_extinction_groups, rank_from_lines
    from syngony.errors import SyngonyError
    from syngony.lattice.indexing import index_lines
    from syngony.lines.lines import find_lines

    try:
        if pattern is not None:
            listed = find_lines(pattern)
        assert listed is not None
        found = index_lines(listed, **limits)
        groups: tuple[ExtinctionGroup, ...] = ()
        if found.cells:
            first = found.cells[0]
            if pattern is not None:
                groups = rank_extinction_groups(pattern, first.cell, zero_shift=first.zero_shift)
            else:
                groups = rank_from_lines(
                    listed.two_theta, listed.intensity, listed.wavelength, first.cell, zero_shift=first.zero_shift
                )
    except (SyngonyError, OSError, MemoryError) as error:
        return _failed(name, error)
    warnings = [] if pattern is None else list(pattern.warnings)
    result = {
        "file": name,
        "wavelength": listed.wavelength if pattern is None else pattern.wavelength,
        "error": None,
        "warnings": warnings,
        **found.as_dict(),
        "extinction_groups": [
            {"symbol": g.symbol, "space_groups": list(g.space_groups), "probability": round(g.probability, 6)}
            for g in groups
        ],
    }
    return result, _text(name, found, groups, warnings)


def _text(
    name: str, found: Indexing, groups: tuple[ExtinctionGroup, ...], warnings: list[str]
) -> list[tuple[str, str]]:
    """The lines that people read, each with its style."""
    lines = found.lines
    text = [(f"{name}  {lines.wavelength:g} Å, {len(lines)} lines", "bold")]
    for place, cell in enumerate(found.cells[:_LISTED]):
        text.append((f"  {_describe(cell)}", "bold green" if place == 0 else ""))
        if place == 0:
            text.append((f"    {_evidence(cell)}", ""))
            missing = lines.two_theta[~cell.indexed]
            if len(missing):
                shown = ", ".join(f"{x:.3f}" for x in missing[:10]) + (", ..." if len(missing) > 10 else "")
                text.append((f"    not explained: {shown} degrees", "yellow"))
            if groups:
                likely = "; ".join(f"{g.symbol} {g.probability:.0%}" for g in groups[:3])
                text.append((f"    extinction groups: {likely}", ""))
    if found.reason:
        text.append((f"  {found.reason}", "yellow"))
    return text + [(f"  warning: {warning}", "yellow") for warning in warnings]


def _describe(cell: IndexedCell) -> str:
    """Bravais lattice and free parameters with their uncertainties in parentheses."""
    values = dict(zip(("a", "b", "c", *_ANGLES), cell.cell.parameters, strict=True))
    uncertainties = dict(zip(values, cell.uncertainties, strict=True))
    system = cell.cell.lattice_system
    shown = {
        "cubic": ("a",), "tetragonal": ("a", "c"), "hexagonal": ("a", "c"), "rhombohedral": ("a", "c"),
        "orthorhombic": ("a", "b", "c"), "monoclinic": ("a", "b", "c", "beta"),
    }.get(system, tuple(values))  # fmt: skip
    parts = [
        f"{name} = {_with_uncertainty(values[name], uncertainties[name])}{'°' if name in _ANGLES else ' Å'}"
        for name in shown
    ]
    return f"{system} {cell.cell.centring}  " + ", ".join(parts) + f"  V = {cell.cell.volume:.2f} Å^3"


def _evidence(cell: IndexedCell) -> str:
    return (
        f"{cell.lines_indexed} of {cell.lines_total} lines, {cell.intensity_explained:.0%} of the intensity; "
        f"M20 = {cell.m20:.0f}, F20 = {cell.f20:.0f}; odds 10^{cell.score:.0f} to 1 against accident; "
        f"zero shift {cell.zero_shift:+.3f} degrees"
    )


def _with_uncertainty(value: float, uncertainty: float) -> str:
    """4.5937(4): the standard uncertainty in units of the last digit, as crystallographers write it."""
    import math

    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return f"{value:.4f}"
    digits = max(0, -math.floor(math.log10(uncertainty)))
    last = round(uncertainty * 10**digits)
    if last == 10 and digits:
        digits, last = digits - 1, 1
    return f"{value:.{digits}f}({last})"
