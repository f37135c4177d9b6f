"""The line under a benchmark's table: when, on what, with which versions."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version

import syngony


def footer(about: str, packages: tuple[str, ...]) -> str:
    """Date, machine, what else is to be known of the run, and the versions of Python, Syngony and packages."""
    return ", ".join(
        [
            f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores",
            about,
            f"Python {platform.python_version()}, syngony {syngony.__version__}",
            *(f"{name} {version(name)}" for name in packages),
        ]
    )


def load_now() -> str:
    """Of the machine, in the last minute."""
    return f"load {os.getloadavg()[0]:.1f}"
