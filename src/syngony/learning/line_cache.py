"""The lines of a whole table of structures, computed once and memory-mapped by training."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.reflections import reflections
from syngony.errors import StructureError
from syngony.structure_table import StructureRecord, read_table
from syngony.views.profile import REFERENCE_WAVELENGTH

TWO_THETA_LIMIT = 94.0
"""Degrees of CuKa: a little more than networks see, for lattices that are drawn larger."""

WEAKEST = 0.02
"""Lines weaker than this (strongest = 100) are not kept: under the noise of any scan."""

_FORMAT = 1
_CHUNK = 2000


@dataclass(frozen=True, eq=False)
class LineCache:
    """Lines of n structures, one after another.

    Attributes:
        q: (m,) float32, 1/Å^2.
        intensity: (m,) float32 for CuKa, strongest of each structure = 100.
        offsets: (n + 1,) int64; structure i has lines offsets[i]:offsets[i + 1].
        space_group: (n,) int16.
        formula: (n,) formulas of the cells.
        material_id: (n,) identifiers.
        identity: of the table and rows, the same wherever they are read.
    """

    q: NDArray[np.float32]
    intensity: NDArray[np.float32]
    offsets: NDArray[np.int64]
    space_group: NDArray[np.int16]
    formula: NDArray[np.str_]
    material_id: NDArray[np.str_]
    identity: str = ""

    def __len__(self) -> int:
        return len(self.space_group)

    def lines(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Q and intensity of one structure."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return self.q[span], self.intensity[span]

    @classmethod
    def load(cls, folder: Path) -> LineCache:
        """Map a cache that `build_line_cache` wrote."""

        def array(name: str, mode: Literal["r"] | None = None) -> NDArray:
            return np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)

        return cls(
            array("q", "r"),
            array("intensity", "r"),
            array("offsets"),
            array("space_group"),
            array("formula"),
            array("material_id"),
            folder.name,
        )


def build_line_cache(
    table: Path | str,
    root: Path | str,
    *,
    rows: NDArray[np.int64] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LineCache:
    """Lines of every structure of a table, from the cache in `root` if they are there already.

    Structures that cannot be simulated are left out and listed in ``refused.json``.

    Args:
        table: Parquet structure table.
        root: folder of caches; the cache's own folder is named after the table's contents and rows.
        rows: only these rows of the table.
        workers: processes, all cores when omitted.
        progress: called with structures done and in all.

    Raises:
        TableError: the table cannot be read.
    """
    source = read_table(table)
    identity = hashlib.sha256(Path(table).read_bytes())
    if rows is not None:
        identity.update(np.asarray(rows, dtype=np.int64).tobytes())
        source = source.take(rows)
    digest = identity.hexdigest()[:16]
    folder = Path(root) / f"lines-{_FORMAT}-{digest}"
    if folder.is_dir():
        return LineCache.load(folder)
    starts = range(0, source.num_rows, _CHUNK)
    chunks = [source.slice(start, _CHUNK).to_pylist() for start in starts]
    parts = []
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        for part in pool.map(_lines_of_rows, chunks):
            parts.append(part)
            if progress:
                progress(min(len(parts) * _CHUNK, source.num_rows), source.num_rows)
    arrays = {
        "q": np.concatenate([p[0] for p in parts]),
        "intensity": np.concatenate([p[1] for p in parts]),
        "offsets": np.concatenate([[0], np.cumsum(np.concatenate([p[2] for p in parts]))]).astype(np.int64),
        "space_group": np.concatenate([p[3] for p in parts]).astype(np.int16),
        "formula": np.array([f for p in parts for f in p[4]]),
        "material_id": np.array([m for p in parts for m in p[5]]),
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array, allow_pickle=False)
    (partial / "refused.json").write_text(json.dumps([r for p in parts for r in p[6]], indent=1))
    partial.rename(folder)
    return LineCache.load(folder)


def _lines_of_rows(rows: list[dict]) -> tuple:
    q, intensity, counts, groups, formulas, ids, refused = [], [], [], [], [], [], []
    for row in rows:
        try:
            record = StructureRecord.from_row(row)
            lines = reflections(record.structure, REFERENCE_WAVELENGTH, (0.0, TWO_THETA_LIMIT))
        except StructureError as error:
            refused.append([row["material_id"], str(error)])
            continue
        kept = lines.intensity > WEAKEST
        q.append((1.0 / lines.d_spacing[kept] ** 2).astype(np.float32))
        intensity.append(lines.intensity[kept].astype(np.float32))
        counts.append(int(kept.sum()))
        groups.append(record.space_group_number)
        formulas.append(row["formula"])
        ids.append(record.material_id)
    empty = np.empty(0, np.float32)
    return (
        np.concatenate(q) if q else empty,
        np.concatenate(intensity) if intensity else empty,
        np.array(counts, np.int64),
        np.array(groups, np.int64),
        formulas,
        ids,
        refused,
    )
