"""The command line: a thin door to the functions of the package.

Nothing heavy is imported before a command that needs it runs.
"""

from __future__ import annotations

import sys

import typer

from syngony.cli import data, learning, library
from syngony.cli.determine import determine
from syngony.cli.index import index
from syngony.cli.paper import paper
from syngony.cli.serve import serve
from syngony.cli.simulate import simulate
from syngony.errors import SyngonyError

app = typer.Typer(
    name="syngony",
    help="Crystal system, symmetry and unit cell from a powder X-ray diffraction pattern.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(no_args_is_help=True)(determine)
app.command(no_args_is_help=True)(index)
app.command(no_args_is_help=True)(library.match)
app.add_typer(library.app, name="library")
app.add_typer(data.app, name="data")
app.command(no_args_is_help=True)(simulate)
app.command()(learning.train)
app.command()(learning.export)
app.command()(learning.join)
app.command()(learning.evaluate)
app.command()(learning.models)
app.command()(paper)
app.command()(serve)


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit status 1."""
    try:
        app()
    except SyngonyError as error:
        print(f"syngony: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        print(f"syngony: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
