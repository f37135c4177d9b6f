"""Determinations as a table of plain values: one row a scan, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from syngony.symmetry import CRYSTAL_SYSTEMS

if TYPE_CHECKING:
    from syngony.determination import Determination

_CELL = ("a", "b", "c", "alpha", "beta", "gamma", "volume", "lattice_system", "centring", "m20")

COLUMNS = (
    "file", "wavelength", "crystal_system", "probability", "abstained", *CRYSTAL_SYSTEMS, "space_group", "model",
    "warnings", "error", "rests_on", "reasons", "extinction_group", *_CELL, "known_phase", "known_phase_id",
    "known_phase_probability",
)  # fmt: skip
"""Lengths in Å, angles in degrees; the cell is the first one, the phase the likeliest."""


def row(r: Determination) -> list[Any]:
    """One scan, in the order of `COLUMNS`; empty where there is no answer."""
    cell = r.cells[0] if r.cells else {}
    phase = r.known_phases[0] if r.known_phases else {}
    known = [r.file, r.wavelength or "", r.crystal_system or "", r.probability or "", r.abstained]
    systems = [r.probabilities.get(name, "") for name in CRYSTAL_SYSTEMS]
    group = r.space_groups[0].number if r.space_groups else ""
    extinction = r.extinction_groups[0]["symbol"] if r.extinction_groups else ""
    said = [group, r.model or "", "; ".join(r.warnings), r.error or "", r.rests_on or "", "; ".join(r.reasons)]
    lattice = ["" if cell.get(name) is None else cell[name] for name in _CELL]
    named = [phase.get("name") or phase.get("formula", ""), phase.get("id", ""), phase.get("probability", "")]
    return [*known, *systems, *said, extinction, *lattice, *named]


def write_csv(stream: TextIO, results: Iterable[Determination]) -> None:
    """Write the whole table with its header to a stream that leaves line ends alone."""
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    writer.writerows(row(result) for result in results)


def csv_text(results: Iterable[Determination]) -> str:
    """The whole table with its header."""
    stream = io.StringIO(newline="")
    write_csv(stream, results)
    return stream.getvalue()
