"""``syngony data``: structures in, and what a table holds."""

from __future__ import annotations

import typer

app = typer.Typer(help="Fetch structures and look at structure tables.", no_args_is_help=True)
