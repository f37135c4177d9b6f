"""``syngony determine``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syngony.cli.console import complain
from syngony.cli.witnesses import DEFAULT_BUDGET, DEFAULT_MODEL, EVIDENCE_HELP, LIBRARY_HELP, evidence_of, libraries_of

if TYPE_CHECKING:
    from syngony.cli.outputs import Outputs, Wanted
    from syngony.determination import Request
    from syngony.journal import Journal

_TOGETHER = 16  # files that a process takes at once where the network alone is asked: milliseconds each


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
    workers: Annotated[int, typer.Option(min=1, help="Processes that determine.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask scheduler; its workers share this file system.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Keep answers here until all are written; beside the --csv or --report if omitted."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run: what its journal holds is not done again.")
    ] = False,
) -> None:
    """Determine the crystal system of powder scans, with cell, extinction group and space group."""
    from syngony.cli.outputs import Outputs, Wanted
    from syngony.determination import Preparation, Request, Witnesses
    from syngony.errors import InputError, SyngonyError
    from syngony.wavelengths import parse_wavelength

    files = files or []
    wanted = Wanted(json_output, watch is not None, csv_path, report_path)
    try:  # a wrong option is one error before anything is read, not one a file
        if not files and watch is None:
            raise InputError("no scans: pass files, or --watch and a folder")
        if watch is not None and not watch.is_dir():
            raise InputError(f"{watch}: no such folder to watch")
        if watch is not None and (resume or journal or cluster):
            raise InputError("--watch goes with none of --resume, --journal and --cluster")
        if cluster is not None and workers > 1:
            raise InputError("give either --workers or --cluster")
        if wavelength is not None:
            parse_wavelength(wavelength)
        witnesses = Witnesses(model, libraries_of(library), budget, evidence_of(evidence))
        request = Request(witnesses, wavelength, Preparation(low, high, background))
        witnesses.loaded()
        for path, option in ((csv_path, "--csv"), (report_path, "--report")):
            if path is not None:
                _check_writable(path, option)
        kept = _journal(None if watch is not None else journal, wanted, request, resume)
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
    outputs = Outputs(request, wanted, kept)
    try:
        _determine_all(files, request, outputs, workers, cluster)
        if watch is not None:
            _watch(watch, request, outputs, wanted)
        outputs.finish()
    except BaseException:
        kept.close(remove=len(kept) == 0)
        if kept.path is not None and len(kept):
            complain(f"{len(kept)} files are done and kept in {kept.path}: run again with --resume to go on")
        raise
    if outputs.failed:
        raise typer.Exit(1)


def _journal(asked: Path | None, wanted: Wanted, request: Request, resume: bool) -> Journal:
    """Where answers are kept until the files are written.

    Raises:
        InputError: it holds answers and is not to be gone on with, or they are of other options.
        OutputError: it cannot be written.
    """
    from syngony.errors import InputError
    from syngony.journal import Journal

    beside = wanted.csv or wanted.report
    path = asked or (beside.with_name(f"{beside.name}.journal") if beside is not None and not wanted.streamed else None)
    if resume and path is None:
        raise InputError("--resume goes on from a journal: pass --csv, --report or --journal as before")
    kept = Journal(path, {"journal": "syngony determine", **request.identity()})
    if len(kept) and not resume:
        kept.close()
        raise InputError(
            f"{path} holds {len(kept)} files of an interrupted run: pass --resume to go on, or delete it to begin anew"
        )
    return kept


def _determine_all(files: list[Path], request: Request, outputs: Outputs, workers: int, cluster: str | None) -> None:
    """Determine the files that are not in the journal, and put all in the user's order."""
    from contextlib import closing

    from syngony.cli.progress import progress_bar
    from syngony.determination import ScanFile, determine_files

    scans = [ScanFile.of(path) for path in files]
    todo = [scan for scan in scans if not outputs.kept(scan)]
    if len(todo) < len(scans):
        complain(f"{len(scans) - len(todo)} of {len(scans)} files were done already")
    processes = workers if workers > 1 else 0
    alone = request.witnesses.loaded().kinds == ("network",)
    made = determine_files(todo, request, workers=processes, address=cluster, together=_TOGETHER if alone else 1)
    with progress_bar("determining", "scans") as update, closing(made):
        for done, (scan, answers) in enumerate(made, 1):
            with update.hidden():
                outputs.add(scan, answers)
            if len(todo) > 1:
                update(done, len(todo))
    outputs.put_in_order(scans)


def _watch(folder: Path, request: Request, outputs: Outputs, wanted: Wanted) -> None:
    """Determine what is written to a folder until the user ends it."""
    from syngony.cli.watching import new_files
    from syngony.determination import ScanFile, determine_files

    files = new_files(folder, lambda found: found.resolve() in wanted.paths)
    complain(f"watching {folder}; Ctrl-C ends")
    count = 0
    try:
        for scan, answers in determine_files((ScanFile.of(path) for path in files), request):
            outputs.add(scan, answers)
            outputs.write()
            count += len(answers)
    except KeyboardInterrupt:
        complain(f"watched {folder}: {count} scans")


def _check_writable(path: Path, option: str) -> None:
    """Find out before the work whether a file can be written; nothing is left behind."""
    from syngony.errors import InputError
    from syngony.whole_files import try_to_write

    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be written (not a regular file): give {option} the name of a file")
    try:
        try_to_write(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): give {option} another place") from None
