"""``syngony serve``: the local page."""

from __future__ import annotations

from typing import Annotated

import typer

from syngony.cli.console import complain
from syngony.cli.witnesses import DEFAULT_BUDGET, DEFAULT_MODEL, EVIDENCE_HELP, LIBRARY_HELP, evidence_of, libraries_of


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any other than this is open to other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that determine. By the cores if omitted.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SYNGONY_TOKEN",
            show_envvar=True,
            help="What clients must show, at least 16 letters; better by the environment, where nobody lists it. "
            "For an address of other machines one is made if omitted.",
        ),
    ] = None,
    waiting: Annotated[int, typer.Option(min=0, help="Files that may wait for a worker; more are refused.")] = 32,
    model: Annotated[str, typer.Option(help="A shipped network's name, or an .onnx file.")] = DEFAULT_MODEL,
    library: Annotated[list[str] | None, typer.Option(help=LIBRARY_HELP)] = None,
    evidence: Annotated[str | None, typer.Option(help=EVIDENCE_HELP)] = None,
    budget: Annotated[float, typer.Option(min=0.05, help="Seconds of the lattice search, a scan.")] = DEFAULT_BUDGET,
) -> None:
    """Serve a page on this machine: drop scans on it, look at the answers, take them with you."""
    from syngony.determination import Witnesses
    from syngony.errors import SyngonyError
    from syngony.server.run import run

    try:
        run(Witnesses(model, libraries_of(library), budget, evidence_of(evidence)), host, port, workers, token, waiting)
    except SyngonyError as error:
        complain(str(error))
        raise typer.Exit(2) from None
