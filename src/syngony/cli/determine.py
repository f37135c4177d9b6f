"""``syngony determine``: the main job."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syngony.cli.answer_text import print_answer
from syngony.cli.console import as_json, complain, printable
from syngony.cli.witnesses import DEFAULT_BUDGET, DEFAULT_MODEL, EVIDENCE_HELP, LIBRARY_HELP, evidence_of, libraries_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from syngony.determination import Determination, Determiner, Preparation
    from syngony.pattern import Pattern
    from syngony.report.answers import Report

    _Answer = tuple[Determination, Pattern | None, NDArray[np.float64] | None]


def determine(
    files: Annotated[list[Path] | None, typer.Argument(help="Scans: instrument files, or columns of text.")] = None,
    wavelength: Annotated[
        str | None,
        typer.Option("--wavelength", "-w", help="Å or a tube line (1.5406, CuKa), where the file states none."),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON list; with --watch one object a line.")
    ] = False,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write one row a scan.")] = None,
    report_path: Annotated[
        Path | None, typer.Option("--report", help="Write an HTML file to look at, all scans in it.")
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(help="A folder: determine each file that is written to it from now on.")
    ] = None,
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = DEFAULT_MODEL,
    library: Annotated[list[str] | None, typer.Option(help=LIBRARY_HELP)] = None,
    evidence: Annotated[str | None, typer.Option(help=EVIDENCE_HELP)] = None,
    budget: Annotated[float, typer.Option(min=0.05, help="Seconds of the lattice search, a scan.")] = DEFAULT_BUDGET,
    low: Annotated[float | None, typer.Option(help="Look at the scan from here on, degrees of 2θ.")] = None,
    high: Annotated[float | None, typer.Option(help="Look at the scan up to here, degrees of 2θ.")] = None,
    background: Annotated[
        float | None, typer.Option(help="Take off a background of humps wider than this, degrees of 2θ.")
    ] = None,
) -> None:
    """Determine the crystal system of powder scans, with cell, extinction group and space group."""
    from syngony.cli.progress import progress_bar
    from syngony.determination import Determiner, Preparation
    from syngony.errors import InputError, SyngonyError
    from syngony.wavelengths import parse_wavelength

    files = files or []
    try:  # a wrong option is one error before anything is read, not one a file
        if not files and watch is None:
            raise InputError("no scans: pass files, or --watch and a folder")
        if watch is not None and not watch.is_dir():
            raise InputError(f"{watch}: no such folder to watch")
        if wavelength is not None:
            parse_wavelength(wavelength)
        preparation = Preparation(low, high, background)
        determiner = Determiner(model, libraries_of(library), budget, evidence_of(evidence))
        for path, option in ((csv_path, "--csv"), (report_path, "--report")):
            if path is not None:
                _check_writable(path, option)
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
    outputs = _Outputs(determiner, json_output, watch is not None, csv_path, report_path)
    with progress_bar("determining", "scans") as update:
        for done, path in enumerate(files):
            if len(files) > 1:
                update(done, len(files))
            for answer in _determine_file(path, wavelength, preparation, determiner):
                with update.hidden():
                    outputs.add(*answer)
    if watch is not None:
        _watch(watch, lambda path: _determine_file(path, wavelength, preparation, determiner), outputs)
    outputs.finish()
    if outputs.failed:
        raise typer.Exit(1)


class _Outputs:
    """Where answers go: the terminal as they come, and files that are written whole."""

    def __init__(
        self, determiner: Determiner, as_json: bool, streamed: bool, csv_path: Path | None, report_path: Path | None
    ) -> None:
        self.results: list[Determination] = []
        self.failed = False
        self._json, self._streamed = as_json, streamed
        self._csv, self._report_path = csv_path, report_path
        self._report = _new_report(determiner) if report_path is not None else None
        self._printed = False

    @property
    def paths(self) -> set[Path]:
        """Files that are written, in full."""
        return {path.resolve() for path in (self._csv, self._report_path) if path is not None}

    def add(self, result: Determination, pattern: Pattern | None, taken_off: NDArray[np.float64] | None = None) -> None:
        """Show an answer, and keep it for the files."""
        self.failed |= result.error is not None
        if self._json and self._streamed:
            text = json.dumps(result.as_dict(), ensure_ascii=False)
            print(text if printable(text) else json.dumps(result.as_dict()), flush=True)
        elif not self._json and result.error is None:
            print_answer(result, first=not self._printed)
            self._printed = True
        self.results.append(result)
        if self._report is not None:
            self._report.add(result, pattern, taken_off)

    def write(self) -> None:
        """Write the files as they stand."""
        from syngony.report.table import csv_text

        if self._csv is not None:
            _write(self._csv, csv_text(self.results))
        if self._report is not None and self._report_path is not None and len(self._report):
            self._report.write(self._report_path)

    def finish(self) -> None:
        """Print the list, if that was asked for, and write the files."""
        if self._json and not self._streamed:
            print(as_json([result.as_dict() for result in self.results]))
        self.write()


def _watch(folder: Path, determined: Callable[[Path], Iterator[_Answer]], outputs: _Outputs) -> None:
    """Determine what is written to a folder until the user ends it."""
    from syngony.cli.watching import new_files

    files = new_files(folder, lambda found: found.resolve() in outputs.paths)
    complain(f"watching {folder}; Ctrl-C ends")
    before = len(outputs.results)
    try:
        for path in files:
            for answer in determined(path):
                outputs.add(*answer)
            outputs.write()
    except KeyboardInterrupt:
        complain(f"watched {folder}: {len(outputs.results) - before} scans")


def _new_report(determiner: Determiner) -> Report:
    from syngony.report.answers import Report
    from syngony.report.rendering import made_by

    libraries = determiner.libraries or []
    return Report(made_by(determiner.network, libraries), libraries, determiner.network)


def _determine_file(
    path: Path, wavelength: str | None, preparation: Preparation, determiner: Determiner
) -> Iterator[_Answer]:
    """One determination a scan of the file; what is wrong, or too big, is named and does not stop the others."""
    from syngony.determination import Determination
    from syngony.errors import SyngonyError, reason_of
    from syngony.readers import name_in_file, read_patterns

    try:
        patterns = read_patterns(path, wavelength)
    except (SyngonyError, OSError, MemoryError) as error:
        reason = reason_of(error)
        complain(f"{path}: {reason}")
        yield Determination(str(path), error=reason), None, None
        return
    for pattern in patterns:
        yield _determine_pattern(pattern, name_in_file(path, pattern), preparation, determiner)


def _determine_pattern(pattern: Pattern, name: str, preparation: Preparation, determiner: Determiner) -> _Answer:
    from dataclasses import replace

    from syngony.determination import Determination
    from syngony.errors import SyngonyError, reason_of

    try:
        prepared = preparation(pattern)
        return replace(determiner(prepared.pattern), file=name), prepared.pattern, prepared.taken_off
    except (SyngonyError, OSError, MemoryError) as error:
        reason = reason_of(error)
        complain(f"{name}: {reason}")
        return Determination(name, error=reason), pattern, None


def _check_writable(path: Path, option: str) -> None:
    """Find out before the work whether a file can be written; nothing is left behind."""
    from syngony.errors import InputError

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written (not a regular file): give {option} the name of a file")
    partial = _partial(path)
    try:
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): give {option} another place") from None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    from syngony.errors import InputError

    partial = _partial(path)
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
