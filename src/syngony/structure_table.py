"""The one table of structures: Parquet, one row a structure, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from syngony.errors import MissingExtraError, TableError
from syngony.structure import Structure
from syngony.symmetry import LABEL_TOLERANCE
from syngony.whole_files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("material_id", "formula", "space_group_number", "lattice", "species", "frac_coords")
OPTIONAL_COLUMNS = ("name", "occupancies", "published_space_group")


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
        structure = Structure.from_parameters(
            row["lattice"], row["species"], row["frac_coords"], row.get("occupancies")
        )
        number, published = int(row["space_group_number"]), row.get("published_space_group")
        return cls(row["material_id"], number, structure, row.get("name") or "", published)


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
        pairs = {k.decode(): v.decode() for k, v in (metadata or {}).items() if not k.startswith(b"ARROW")}
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
        TableError: the file is missing, no Parquet, truncated, or lacks columns.
    """
    pa = _pyarrow()
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        present = pq.read_schema(path).names
        missing = [c for c in COLUMNS if c not in present]
        if missing:
            raise TableError(
                f"{path}: no column {', '.join(missing)}; a structure table has {', '.join(COLUMNS)} "
                "(see syngony data fetch)"
            )
        wanted = columns or [*COLUMNS, *OPTIONAL_COLUMNS]
        return pq.read_table(path, columns=[c for c in wanted if c in present])
    except (pa.ArrowException, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{path}: not a readable Parquet file ({reason}): fetch it again") from None


def read_info(path: Path | str) -> TableInfo:
    """Source, licence and label tolerance that a table states."""
    import pyarrow.parquet as pq

    return TableInfo.from_metadata(pq.read_schema(path).metadata)


def iter_structures(table: pa.Table) -> Iterator[StructureRecord]:
    """Rows of a table, one by one, as records.

    Raises:
        StructureError: at the first row that holds an impossible structure.
    """
    for batch in table.to_batches(max_chunksize=2000):
        for row in batch.to_pylist():
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
