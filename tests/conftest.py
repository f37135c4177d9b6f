"""Shared material for the tests: textbook crystals, and where the shared data lies."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from syngony.structure import Structure

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# Background jobs of a shell ignore interrupts, and programs that the tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

F_CENTRING = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def rutile() -> Structure:
    """TiO2, P4_2/mnm."""
    return Structure.from_parameters(
        (4.594, 4.594, 2.959, 90, 90, 90),
        ["Ti"] * 2 + ["O"] * 4,
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
    )


def halite() -> Structure:
    """NaCl, Fm-3m."""
    return Structure.from_parameters(
        (5.640, 5.640, 5.640, 90, 90, 90),
        ["Na"] * 4 + ["Cl"] * 4,
        np.concatenate([F_CENTRING, (F_CENTRING + [0.5, 0, 0]) % 1]),
    )


def caesium_chloride() -> Structure:
    """CsCl, Pm-3m."""
    return Structure.from_parameters((4.123,) * 3 + (90,) * 3, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def wurtzite() -> Structure:
    """ZnS, P6_3mc."""
    return Structure.from_parameters(
        (3.811, 3.811, 6.234, 90, 90, 120),
        ["Zn", "Zn", "S", "S"],
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.375], [2 / 3, 1 / 3, 0.875]],
    )


def triclinic() -> Structure:
    """An invented P-1 crystal in a strongly skewed cell."""
    return Structure.from_parameters(
        (4.1, 5.3, 11.7, 68.0, 101.0, 57.0),
        ["Cu", "O", "O", "Ca", "Ca"],
        [[0, 0, 0], [0.21, 0.35, 0.12], [0.79, 0.65, 0.88], [0.4, 0.1, 0.33], [0.6, 0.9, 0.67]],
    )


TEXTBOOK = {f.__name__: f for f in (rutile, halite, caesium_chloride, wurtzite, triclinic)}


@pytest.fixture
def materials_project() -> Path:
    """The shared structure table."""
    return _shared("materials_project.parquet")


@pytest.fixture
def measured_patterns() -> Path:
    """The shared table of measured scans."""
    return _shared("measured_patterns.parquet")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the shared data ({name}) is not beside this checkout")
    return path
