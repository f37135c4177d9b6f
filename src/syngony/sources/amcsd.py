"""The American Mineralogist Crystal Structure Database, as the Python package larixite ships it.

Downs & Hall-Wallace, "The American Mineralogist crystal structure database", American Mineralogist 88,
247-250 (2003). larixite holds a trimmed copy (about 9,300 structures) in an SQLite file; it is read here
directly, because importing larixite pulls in packages this needs nothing of.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from syngony.errors import MissingExtraError, SourceError, StructureError
from syngony.parallel import in_order
from syngony.sources.expansion import Site, expand, label, parse_operations
from syngony.sources.harvest import Harvest, Outcome, Refusal, useful_workers
from syngony.sources.site_labels import element_of_label, formula_elements
from syngony.structure import Structure
from syngony.structure_table import StructureRecord, TableInfo
from syngony.symmetry import LABEL_TOLERANCE

SOURCE = (
    "American Mineralogist Crystal Structure Database (Downs & Hall-Wallace, American Mineralogist 88, "
    "247-250, 2003), as redistributed in the Python package larixite"
)
LICENCE = "larixite: MIT; AMCSD: cite Downs & Hall-Wallace (2003) and the papers of the structures"

_DATABASE = "amcsd_cif1.db"

# Coordinates and occupancies are base64 of little-endian int32, in units of 1/4,000,000. Values out of
# the range of a coordinate stand for the CIF's "?" (unknown) and "." (does not apply).
_SCALE = 4.0e6
_UNKNOWN, _NOT_APPLICABLE = 2.0, 3.0

# Atomic fractions (hydrogen left out) may differ this much from the formula: rounded occupancies, and
# formulas written from chemical analysis. More means a site whose element was misread.
_FORMULA_TOLERANCE = 0.05

_QUERY = """
SELECT cif.id, minerals.name AS mineral, cif.formula, cif.a, cif.b, cif.c, cif.alpha, cif.beta, cif.gamma,
       cif.atoms_sites, cif.atoms_x, cif.atoms_y, cif.atoms_z, cif.atoms_occupancy, spacegroups.symmetry_xyz
FROM cif
LEFT JOIN minerals ON minerals.id = cif.mineral_id
LEFT JOIN spacegroups ON spacegroups.id = cif.spacegroup_id
ORDER BY cif.id
"""


@dataclass(frozen=True)
class Entry:
    """A row of the database, as it stands there."""

    id: int
    mineral: str | None
    formula: str | None
    cell: tuple[str, ...]
    labels: str | None
    x: str
    y: str
    z: str
    occupancy: str | None
    operations: str | None


def harvest(tolerance: float = LABEL_TOLERANCE, limit: int | None = None, workers: int = 1) -> Harvest:
    """All structures of the database.

    Args:
        tolerance: symprec of the labels, Å.
        limit: take only the first entries.
        workers: processes that expand and label.

    Raises:
        MissingExtraError: larixite is not installed.
        SourceError: its database is missing or damaged.
    """
    path = database_path()
    total = _count(path)
    total = total if limit is None else min(total, limit)
    status = path.stat()

    def entries(first: int, _: int) -> Iterator[list[Outcome]]:
        read = partial(read_entry, tolerance=tolerance)
        for outcome in in_order(read, islice(_entries(path), first, limit), useful_workers(workers, total - first)):
            yield [outcome]

    return Harvest(
        info=TableInfo(SOURCE, LICENCE, tolerance, {"hydrogen": "not located in O-H, H2O and NH4 sites"}),
        entries=entries,
        identity={"amcsd": [status.st_size, status.st_mtime_ns], "tolerance": tolerance, "limit": limit},
        total=total,
    )


def database_path() -> Path:
    """The SQLite file inside the installed larixite.

    Raises:
        MissingExtraError: larixite is not installed.
        SourceError: it is, without the file.
    """
    spec = find_spec("larixite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("The AMCSD source", "data")
    path = Path(next(iter(spec.submodule_search_locations))) / _DATABASE
    if not path.is_file():
        raise SourceError(f"larixite is installed without {_DATABASE}: reinstall it (pip install -U larixite)")
    return path


def read_entry(entry: Entry, tolerance: float = LABEL_TOLERANCE) -> Outcome:
    """One row as a labelled structure, or the reason why not."""
    identifier = f"amcsd-{entry.id}"
    try:
        operations = parse_operations(tuple(json.loads(entry.operations or "[]")))
        elements = formula_elements(entry.formula or "")
        structure = expand([_number(text) for text in entry.cell], _sites(entry, set(elements)), operations)
        _check_formula(structure, elements)
        number = label(structure, tolerance, operations.point_group_order)
    except StructureError as error:
        return Refusal(identifier, str(error))
    name = entry.mineral if entry.mineral and "missing" not in entry.mineral else ""
    return StructureRecord(identifier, number, structure, name, operations.space_group_number)


def _entries(path: Path) -> Iterator[Entry]:
    for row in _select(path, _QUERY):
        number, mineral, formula, *cell = row[:9]
        yield Entry(number, mineral, formula, tuple(str(value) for value in cell), *row[9:])


def _count(path: Path) -> int:
    return int(next(_select(path, "SELECT count(*) FROM cif"))[0])


def _select(path: Path, query: str) -> Iterator[tuple[Any, ...]]:
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            yield from connection.execute(query)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise SourceError(f"{path.name} in larixite cannot be read ({error}): reinstall larixite") from None


def _sites(entry: Entry, elements: set[str]) -> Iterator[Site]:
    labels = json.loads(entry.labels) if entry.labels and entry.labels.startswith("[") else []
    coordinates = np.stack([_decode(text, len(labels)) for text in (entry.x, entry.y, entry.z)], axis=-1)
    occupancies = _decode(entry.occupancy, len(labels), absent=1.0)
    for site, position, occupancy in zip(labels, coordinates, occupancies, strict=True):
        if occupancy in (_UNKNOWN, _NOT_APPLICABLE):
            occupancy = 1.0  # CIF's default
        if occupancy == 0:
            continue  # a position listed as empty
        if np.isin(position, (_UNKNOWN, _NOT_APPLICABLE)).any():
            raise StructureError(f"a site has no coordinates: {site}")
        x, y, z = (float(value) for value in position)
        yield Site(element_of_label(site, elements), (x, y, z), float(occupancy), site)


def _decode(text: str | None, length: int, absent: float | None = None) -> np.ndarray:
    """(length,) numbers; a column stored as "0" was absent from the CIF."""
    if text in (None, "0", ""):
        if absent is None and length:
            raise StructureError("sites without coordinates")
        return np.full(length, absent if absent is not None else 0.0)
    values = np.frombuffer(b64decode(text or ""), dtype="<i4") / _SCALE
    if len(values) != length:
        raise StructureError(f"sites and coordinates differ in number: {length} and {len(values)}")
    return values


def _number(text: str) -> float:
    """A cell parameter; two entries have a stray or a decimal comma."""
    try:
        return float(text.split("(")[0].rstrip(",").replace(",", "."))
    except ValueError:
        raise StructureError(f"impossible cell: {text!r} is not a number") from None


def _check_formula(structure: Structure, elements: dict[str, float]) -> None:
    found, stated = (
        {symbol: n for symbol, n in amounts.items() if symbol not in ("H", "D")}
        for amounts in (structure.composition, elements)
    )
    if not found or not stated:
        return
    all_found, all_stated = sum(found.values()), sum(stated.values())
    for symbol in sorted(found.keys() | stated.keys()):
        have, want = found.get(symbol, 0.0) / all_found, stated.get(symbol, 0.0) / all_stated
        if abs(have - want) > _FORMULA_TOLERANCE:
            raise StructureError(
                f"sites disagree with the formula: {symbol} is {have:.0%} of the atoms, not {want:.0%}"
            )
