"""The one table of structures: Parquet, one row a structure, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from syngony.errors import MissingExtraError, StructureError, TableError
from syngony.structure import Structure
from syngony.symmetry import LABEL_TOLERANCE
from syngony.whole_files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("material_id", "formula", "space_group_number", "lattice", "species", "frac_coords")
OPTIONAL_COLUMNS = ("name", "occupancies", "published_space_group")

MOST_ROWS = 20_000_000
"""Of a table that is read whole: a hundred times the Materials Project."""


@dataclass(frozen=True)
class StructureRecord:
    """A labelled structure: one row of the table.

    Attributes:
        material_id: identifier in its source, e.g. ``mp-2657``.
        space_group_number: 1..230, the label.
        structure: the crystal, all atoms of one cell.
        name: mineral or common name, or empty.
        published_space_group: 1..230 as the structure's authors state it, where the source says; None elsewhere.
    """

    material_id: str
    space_group_number: int
    structure: Structure
    name: str = ""
    published_space_group: int | None = None

    def row(self) -> dict[str, Any]:
        """The record as a row of the Parquet table."""
        structure = self.structure
        return {
            "material_id": self.material_id,
            "formula": structure.formula,
            "space_group_number": self.space_group_number,
            "lattice": list(structure.parameters),
            "species": list(structure.species),
            "frac_coords": structure.frac_coords.astype(np.float32).ravel(),
            "name": self.name,
            "occupancies": None if structure.is_ordered else structure.occupancies.astype(np.float32),
            "published_space_group": self.published_space_group,
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> StructureRecord:
        """The inverse of `row`.

        Raises:
            StructureError: the row holds an impossible structure.
        """
        number, published = row["space_group_number"], row.get("published_space_group")
        if number is None or not 1 <= number <= 230:
            raise StructureError(f"space_group_number is {number}, not 1 to 230: label the structure again")
        if row["lattice"] is None or row["species"] is None or row["frac_coords"] is None:
            raise StructureError("the row lacks its lattice, species or frac_coords")
        structure = Structure.from_parameters(
            row["lattice"], row["species"], row["frac_coords"], row.get("occupancies")
        )
        return cls(row["material_id"] or "", int(number), structure, row.get("name") or "", published)


@dataclass(frozen=True)
class TableInfo:
    """What a table says of itself in its Parquet metadata."""

    source: str = ""
    licence: str = ""
    label_tolerance: float | None = LABEL_TOLERANCE
    notes: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Key and value pairs for the Parquet schema."""
        tolerance = "" if self.label_tolerance is None else f"{self.label_tolerance:g}"
        return {"source": self.source, "licence": self.licence, "label_tolerance": tolerance, **self.notes}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None) -> TableInfo:
        """Read back what `metadata` wrote; a table from elsewhere has none."""
        own = ((k, v) for k, v in (metadata or {}).items() if not k.startswith(b"ARROW"))
        pairs = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in own}
        tolerance = pairs.pop("label_tolerance", "")
        source, licence = pairs.pop("source", ""), pairs.pop("licence", "")
        return cls(source, licence, float(tolerance) if tolerance else None, pairs)


def schema(info: TableInfo | None = None) -> pa.Schema:
    """Arrow schema of a structure table."""
    pa = _pyarrow()
    return pa.schema(
        [
            ("material_id", pa.string()),
            ("formula", pa.string()),
            ("space_group_number", pa.int16()),
            ("lattice", pa.list_(pa.float64(), 6)),
            ("species", pa.list_(pa.string())),
            ("frac_coords", pa.list_(pa.float32())),
            ("name", pa.string()),
            ("occupancies", pa.list_(pa.float32())),
            ("published_space_group", pa.int16()),
        ],
        metadata=(info or TableInfo()).metadata(),
    )


def write_structures(path: Path | str, records: Iterable[StructureRecord], info: TableInfo) -> int:
    """Write a structure table, whole or not at all, and return the number of rows.

    Raises:
        OutputError: it cannot be written.
    """
    return write_rows(path, (record.row() for record in records), info)


def write_rows(path: Path | str, rows: Iterable[dict[str, Any]], info: TableInfo) -> int:
    """`write_structures` for records that are rows (`StructureRecord.row`) already."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    layout, count = schema(info), 0
    with whole_file(path) as partial, pq.ParquetWriter(partial, layout, compression="zstd") as writer:
        for batch in _batched(rows, 5000):
            writer.write_table(pa.Table.from_pylist(batch, schema=layout))
            count += len(batch)
    return count


def read_table(path: Path | str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet table of structures as an Arrow table.

    Raises:
        TableError: the file is missing, no Parquet, truncated, lacks columns or holds something else in them.
    """
    pa = _pyarrow()
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        layout = pq.read_schema(path)
        rows, present = pq.read_metadata(path).num_rows, layout.names
        if rows > MOST_ROWS:  # a file of a few kB can declare billions that take no room in it
            raise TableError(f"{path}: {rows:,} rows; at most {MOST_ROWS:,} are read: split the table")
        missing = [c for c in COLUMNS if c not in present]
        if missing:
            raise TableError(
                f"{path}: no column {', '.join(missing)}; a structure table has {', '.join(COLUMNS)} "
                "(see syngony data fetch)"
            )
        _refuse_other_types(path, layout)
        wanted = columns or [*COLUMNS, *OPTIONAL_COLUMNS]
        return pq.read_table(path, columns=[c for c in wanted if c in present])
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: not a readable Parquet file ({_first_line(error)}): fetch it again") from None


def read_info(path: Path | str) -> TableInfo:
    """Source, licence and label tolerance that a table states.

    Raises:
        TableError: no readable Parquet, or what it states is no text or number.
    """
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        return TableInfo.from_metadata(pq.read_schema(path).metadata)
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise TableError(f"{path}: what the table says of itself cannot be read ({_first_line(error)})") from None


def _refuse_other_types(path: Path, layout: pa.Schema) -> None:
    """Refuse a table whose columns hold something else than a structure's, before a row of it is read."""
    import pyarrow.types as of

    def text(kind: Any) -> bool:
        return of.is_string(kind) or of.is_large_string(kind) or (of.is_dictionary(kind) and text(kind.value_type))

    def number(kind: Any) -> bool:
        return of.is_integer(kind) or of.is_floating(kind)

    def listed(kind: Any, item: Callable[[Any], bool]) -> bool:
        lists = of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind)
        return lists and item(kind.value_type)

    def null(kind: Any) -> bool:
        return of.is_null(kind)

    fitting: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "material_id": ("text", text),
        "formula": ("text", text),
        "space_group_number": ("whole numbers", of.is_integer),
        "lattice": ("lists of six numbers", lambda kind: listed(kind, number)),
        "species": ("lists of symbols", lambda kind: listed(kind, text)),
        "frac_coords": ("lists of numbers", lambda kind: listed(kind, number)),
        "name": ("text", lambda kind: text(kind) or null(kind)),
        "occupancies": ("lists of numbers", lambda kind: listed(kind, number) or null(kind)),
        "published_space_group": ("whole numbers", lambda kind: of.is_integer(kind) or null(kind)),
    }
    for name, (what, fits) in fitting.items():
        if name in layout.names and not fits(layout.field(name).type):
            raise TableError(f"{path}: column {name} holds {layout.field(name).type}, not {what}: fetch it again")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def iter_structures(table: pa.Table) -> Iterator[StructureRecord]:
    """Rows of a table, one by one, as records.

    Raises:
        StructureError: at the first row that holds an impossible structure.
        TableError: a text is none.
    """
    for batch in table.to_batches(max_chunksize=2000):
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError as error:  # Arrow does not look whether text is text
            raise TableError(f"a text in the table is none ({error}): fetch it again") from None
        for row in rows:
            yield StructureRecord.from_row(row)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("Reading and writing Parquet tables", "data") from None
    return pyarrow


def _batched(items: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
