"""Arrow columns of a structure table to flat arrays, with every check that `Structure` makes, all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from syngony.diffraction.overlaps import crowded_sites
from syngony.elements import ELEMENT_INDEX
from syngony.errors import StructureError, TableError
from syngony.structure import MAX_AXIS, MIN_VOLUME, OCCUPANCY_SLACK, Structure


def pack_columns(table: pa.Table | pa.RecordBatch) -> tuple:
    """The fields of `PackedStructures`, in their order.

    Raises:
        TableError: a column is missing or of another type.
    """
    lattice, six = _numbers(table, "lattice")
    coords, three = _numbers(table, "frac_coords")
    element, sites = _elements(table)
    n = len(sites)
    good = (six == 6) & (sites > 0) & (three == 3 * sites)
    occupancy, given = _occupancies(table, sites)
    good &= given == sites
    # From here on only rows whose arrays have the right length; their values may still be wrong.
    keep = np.flatnonzero(good)
    offsets = np.concatenate([[0], np.cumsum(sites[keep])]).astype(np.int64)
    parameters = lattice[np.repeat(good, six)].reshape(-1, 6)
    element = element[np.repeat(good, sites)]
    coords = coords[np.repeat(good, three)].reshape(-1, 3)
    occupancy = occupancy[np.repeat(good, given)]
    vectors, possible = _vectors(parameters)
    wrong = (element < 0) | ~np.isfinite(coords).all(axis=1)
    wrong |= ~((occupancy > 0) & (occupancy <= 1 + OCCUPANCY_SLACK))
    possible &= ~np.logical_or.reduceat(wrong, offsets[:-1]) if len(keep) else possible
    possible &= ~crowded_sites(vectors, offsets, coords, occupancy, possible)
    rows = keep[possible]
    failed = np.setdiff1d(np.arange(n), rows)
    failures = [(int(row), _reason(table.slice(int(row), 1).to_pylist()[0])) for row in failed]
    chosen = np.repeat(possible, np.diff(offsets))
    sizes = np.diff(offsets)[possible]
    return (
        vectors[possible],
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        element[chosen],
        coords[chosen],
        occupancy[chosen],
        rows.astype(np.int64),
        failures,
    )


def _reason(row: dict[str, Any]) -> str:
    try:
        Structure.from_parameters(
            row["lattice"] or [], row["species"] or [], row["frac_coords"] or [], row.get("occupancies")
        )
    except StructureError as error:
        return str(error)
    return "not a possible structure"


def _column(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    if name not in table.schema.names:
        raise TableError(f"no column {name}: a structure table has lattice, species, frac_coords (see syngony data)")
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _flat(table: pa.Table | pa.RecordBatch, name: str) -> tuple[pa.Array, NDArray[np.int64]]:
    column = _column(table, name)
    try:
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        return pc.list_flatten(column), lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    except (pa.ArrowException, NotImplementedError) as error:
        raise TableError(f"column {name} is {column.type}, not a list: {error}") from None


def _numbers(table: pa.Table | pa.RecordBatch, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values of a list column as float64, NaN where null, and the length of each row's list."""
    values, lengths = _flat(table, name)
    try:
        return pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False), lengths
    except pa.ArrowException as error:
        raise TableError(f"column {name} does not hold numbers: {error}") from None


def _elements(table: pa.Table | pa.RecordBatch) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Element index of every site, -1 where unknown, and the number of sites of each row."""
    values, lengths = _flat(table, "species")
    encoded = values if isinstance(values, pa.DictionaryArray) else values.dictionary_encode()
    try:
        symbols = encoded.dictionary.to_pylist()
    except UnicodeDecodeError as error:  # Arrow does not look whether text is text
        raise TableError(f"a text in the table is none ({error}): fetch it again") from None
    codes = np.array([ELEMENT_INDEX.get(symbol, -1) for symbol in symbols] + [-1], np.int16)
    where = pc.fill_null(encoded.indices, len(codes) - 1).to_numpy(zero_copy_only=False)
    return codes[where], lengths


def _occupancies(
    table: pa.Table | pa.RecordBatch, sites: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Occupancy of every site, 1 where the column or its list is missing, and the number of each row."""
    if "occupancies" not in table.schema.names or table.column("occupancies").null_count == len(sites):
        return np.ones(sites.sum()), sites
    values, lengths = _numbers(table, "occupancies")
    missing = pc.is_null(_column(table, "occupancies")).to_numpy(zero_copy_only=False)
    given = np.where(missing, sites, lengths)
    out = np.ones(given.sum())
    out[np.repeat(~missing, given)] = values
    return out, given


def _vectors(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n, 3, 3) cell vectors as `syngony.structure.lattice_vectors`, and which cells are possible."""
    lengths, degrees = parameters[:, :3], parameters[:, 3:]
    possible = np.isfinite(parameters).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        possible &= (lengths > 0).all(axis=1) & (degrees > 0).all(axis=1) & (degrees < 180).all(axis=1)
        a, b, c = lengths.T
        cos_a, cos_b, cos_g = np.cos(np.radians(degrees)).T
        sin_g = np.sin(np.radians(degrees[:, 2]))
        c_x = c * cos_b
        c_y = c * (cos_a - cos_b * cos_g) / sin_g
        rest = c * c - c_x * c_x - c_y * c_y
        possible &= rest > 0
        vectors = np.zeros((len(parameters), 3, 3))
        vectors[:, 0, 0] = a
        vectors[:, 1, 0], vectors[:, 1, 1] = b * cos_g, b * sin_g
        vectors[:, 2, 0], vectors[:, 2, 1], vectors[:, 2, 2] = c_x, c_y, np.sqrt(np.maximum(rest, 0))
        possible &= (a * b * sin_g * vectors[:, 2, 2] >= MIN_VOLUME) & (lengths <= MAX_AXIS).all(axis=1)
    return vectors, possible
