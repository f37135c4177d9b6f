"""``syngony library`` and ``syngony match``: known phases."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syngony.cli.console import complain

if TYPE_CHECKING:
    from syngony.library.build import Built
    from syngony.library.chemistry import Elements
    from syngony.library.file import Library
    from syngony.library.match import KnownPhase
    from syngony.pattern import Pattern

app = typer.Typer(help="Libraries of known phases: build, list, add, remove.", no_args_is_help=True)

_LIBRARY = typer.Argument(metavar="NAME.lib", help="A library.")
_WORKERS = typer.Option(min=1, help="Threads; all cores if omitted.")


@app.command(no_args_is_help=True)
def build(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Structure table (Parquet).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="NAME.lib")],
    title: Annotated[str, typer.Option(help="One line on what it holds; the table's source if omitted.")] = "",
    kind: Annotated[
        str | None, typer.Option(help="measured or computed structures; by their identifiers if omitted.")
    ] = None,
    workers: Annotated[int | None, _WORKERS] = None,
) -> None:
    """Make a library of a table of structures. Run again, an interrupted build goes on."""
    from syngony.cli.progress import progress_bar
    from syngony.library.build import build_library

    _check_kind(kind)
    with progress_bar("building", "structures") as update:
        built = build_library(table, output, title=title, kind=kind, workers=workers, progress=update)  # type: ignore[arg-type]
    _report(built)


@app.command(no_args_is_help=True)
def add(
    library: Annotated[Path, _LIBRARY],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Structure table (Parquet).")],
    kind: Annotated[
        str | None, typer.Option(help="measured or computed structures; by their identifiers if omitted.")
    ] = None,
    workers: Annotated[int | None, _WORKERS] = None,
) -> None:
    """Add a table's structures to a library; those of the same identifier are replaced."""
    from syngony.cli.progress import progress_bar
    from syngony.library.build import add_to_library

    _check_kind(kind)
    with progress_bar("adding", "structures") as update:
        built = add_to_library(library, table, kind=kind, workers=workers, progress=update)
    _report(built)


@app.command(no_args_is_help=True)
def remove(
    library: Annotated[Path, _LIBRARY],
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Identifiers of structures.")],
) -> None:
    """Remove structures from a library."""
    from syngony.library.build import remove_from_library

    left = remove_from_library(library, ids)
    print(f"{library}: {len(left):,} structures")


@app.command()
def info(
    libraries: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Libraries; those shipped if omitted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """What libraries hold: structures by crystal system, sources, licences, hash."""
    from syngony.errors import SyngonyError
    from syngony.library.file import load_library, shipped_libraries

    described, failed = [], False
    for name in libraries or shipped_libraries():
        try:
            described.append(_described(load_library(name)))
        except SyngonyError as error:
            complain(str(error))
            failed = True
    if as_json:
        print(json.dumps(described, indent=1))
    else:
        for one in described:
            _print_info(one)
    if failed:
        raise typer.Exit(1)


def match(
    files: Annotated[list[Path], typer.Argument(help="Scans: instrument files, or columns of text.")],
    library: Annotated[
        list[str] | None, typer.Option("--library", help="A .lib file or a shipped name; repeat for several.")
    ] = None,
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    elements: Annotated[
        list[str] | None, typer.Option("--elements", help='"Ti,O" (contains), "only Ti,O" or "not Fe"; may repeat.')
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Phases to list.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Recognise the phase of powder scans in libraries of known structures."""
    from syngony.errors import SyngonyError
    from syngony.library.chemistry import Elements
    from syngony.library.match import open_libraries
    from syngony.wavelengths import parse_wavelength

    try:  # a wrong option is one error before anything is read, not one a file
        if wavelength is not None:
            parse_wavelength(wavelength)
        opened = open_libraries(library)
        hint = Elements.parse(elements) if elements else None
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
    results = [found for path in files for found in _match_file(path, wavelength, opened, hint, top)]
    if as_json:
        print(json.dumps(results, indent=1))
    else:
        for result in results:
            if result["error"] is None:
                _print_phases(result)
    if any(result["error"] for result in results):
        raise typer.Exit(1)


def _match_file(
    path: Path, wavelength: str | None, libraries: list[Library], hint: Elements | None, top: int
) -> Iterator[dict[str, Any]]:
    """One entry of the JSON a scan; what is wrong with one is named and does not stop the others."""
    from syngony.errors import SyngonyError, reason_of
    from syngony.readers import name_in_file, read_patterns

    try:
        patterns = read_patterns(path, wavelength)
    except (SyngonyError, OSError, MemoryError) as error:
        complain(f"{path}: {reason_of(error)}")
        yield _entry(str(path), error=reason_of(error))
        return
    for pattern in patterns:
        yield _match_pattern(pattern, name_in_file(path, pattern), libraries, hint, top)


def _match_pattern(
    pattern: Pattern, name: str, libraries: list[Library], hint: Elements | None, top: int
) -> dict[str, Any]:
    from syngony.errors import SyngonyError, reason_of
    from syngony.library.match import match as match_pattern

    known = {"wavelength": pattern.wavelength, "warnings": list(pattern.warnings)}
    try:
        phases = match_pattern(pattern, libraries, top, hint)
    except (SyngonyError, OSError, MemoryError) as error:
        complain(f"{name}: {reason_of(error)}")
        return _entry(name, **known, error=reason_of(error))
    return _entry(name, **known, known_phases=[_plain(phase) for phase in phases])


def _entry(file: str, **known: Any) -> dict[str, Any]:
    return {"file": file, "wavelength": None, "error": None, "warnings": [], "known_phases": [], **known}


def _plain(phase: KnownPhase) -> dict[str, Any]:
    return {**asdict(phase), "crystal_system": phase.crystal_system, "relatives": list(phase.relatives)}


def _print_phases(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from syngony.symmetry import space_group_symbol

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{result['file']}  {result['wavelength']:g} Å", style="bold", markup=False)
    for warning in result["warnings"]:
        console.print(f"  warning: {warning}", style="yellow", markup=False)
    if not result["known_phases"]:
        console.print("  no structure in the libraries resembles this scan", style="yellow")
        return
    table = Table("probability", "phase", "formula", "space group", "system", "scale", "score", "library, id", box=None)
    for phase in result["known_phases"]:
        second = " (second phase)" if phase["component"] == 2 else ""
        table.add_row(
            f"{phase['probability']:.1%}",
            (phase["name"] or "-") + second,
            phase["formula"],
            f"{space_group_symbol(phase['space_group'])} ({phase['space_group']})",
            phase["crystal_system"],
            f"{phase['scale']:.4f}",
            f"{phase['score']:.3f}",
            f"{phase['library']} {phase['id']}",
        )
    console.print(table)


def _described(library: Library) -> dict[str, Any]:
    import numpy as np

    from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index

    systems = np.bincount([crystal_system_index(int(n)) for n in library.space_group], minlength=7)
    return {
        "name": library.name,
        "path": str(library.path),
        "title": library.header["title"],
        "structures": len(library),
        "lines": int(library.header["total_lines"]),
        "megabytes": round(library.path.stat().st_size / 1e6, 1),
        "crystal_systems": dict(zip(CRYSTAL_SYSTEMS, systems.tolist(), strict=True)),
        "sources": library.header["sources"],
        "sha256": library.header["sha256"],
    }


def _print_info(one: dict[str, Any]) -> None:
    print(f"{one['name']}: {one['structures']:,} structures, {one['lines']:,} lines, {one['megabytes']} MB")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in one["crystal_systems"].items()))
    for source in one["sources"]:
        print(f"  {source['kind']}: {source['source']}")
        if source["licence"]:
            print(f"  licence: {source['licence']}")
    print(f"  {one['path']}\n  sha256 {one['sha256'][:16]}")


def _report(built: Built) -> None:
    for failure in built.failures:
        print(failure, file=sys.stderr)
    size = built.library.path.stat().st_size / 1e6
    print(
        f"{built.library.path}: {len(built.library):,} structures, {size:,.1f} MB; "
        f"{len(built.failures)} of the table without lines"
    )


def _check_kind(kind: str | None) -> None:
    if kind not in (None, "measured", "computed"):
        raise typer.BadParameter(f"--kind is measured or computed, not {kind}")
