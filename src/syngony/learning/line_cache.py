"""The lines of a whole table of structures, computed once and memory-mapped by training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.phase import HIGHEST_TWO_THETA, Phase
from syngony.diffraction.reflections import lorentz_polarisation
from syngony.errors import StructureError
from syngony.parallel import in_order
from syngony.pattern import q_from_two_theta
from syngony.structure_table import StructureRecord, read_table
from syngony.views.profile import REFERENCE_WAVELENGTH
from syngony.whole_files import whole_folder

WEAKEST = 0.02
"""Lines weaker than this (strongest = 100, CuKa) are not kept: under the noise of any scan."""

_FORMAT = 2
_CHUNK = 2000


@dataclass(frozen=True, eq=False)
class LineCache:
    """Lines of n structures, one after another, up to one Q.

    Attributes:
        q: (m,) float32, 1/Å^2.
        strength: (m,) float32, sum of |F|^2: no Lorentz-polarisation, so any wavelength can be rendered.
        hkl: (m, 3) int16, one reflection of each line.
        offsets: (n + 1,) int64; structure i has lines offsets[i]:offsets[i + 1].
        reciprocal: (n, 3, 3) float64, rows a*, b*, c* in 1/Å.
        rotations: (r, 3, 3) int8, Laue groups one after another.
        rotation_offsets: (n + 1,) int64; structure i has rotation_offsets[i]:rotation_offsets[i + 1].
        space_group: (n,) int16.
        formula: (n,) formulas of the cells.
        material_id: (n,) identifiers.
        identity: of the table and rows, the same wherever they are read.
    """

    q: NDArray[np.float32]
    strength: NDArray[np.float32]
    hkl: NDArray[np.int16]
    offsets: NDArray[np.int64]
    reciprocal: NDArray[np.float64]
    rotations: NDArray[np.int8]
    rotation_offsets: NDArray[np.int64]
    space_group: NDArray[np.int16]
    formula: NDArray[np.str_]
    material_id: NDArray[np.str_]
    identity: str = ""

    def __len__(self) -> int:
        return len(self.space_group)

    def lines(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Q and intensity of one structure for CuKa, the strongest line at 100."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        q = self.q[span]
        intensity = self.strength[span] * lorentz_polarisation(q, REFERENCE_WAVELENGTH)
        return q, (intensity * (100.0 / intensity.max())).astype(np.float32)

    def phase(self, index: int) -> Phase:
        """One structure as the laboratory measures it."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        turns = slice(self.rotation_offsets[index], self.rotation_offsets[index + 1])
        return Phase(self.q[span], self.strength[span], self.hkl[span], self.reciprocal[index], self.rotations[turns])

    @classmethod
    def load(cls, folder: Path) -> LineCache:
        """Map a cache that `build_line_cache` wrote."""
        mapped = ("q", "strength", "hkl")

        def array(name: str) -> NDArray:
            return np.asarray(
                np.load(folder / f"{name}.npy", mmap_mode="r" if name in mapped else None, allow_pickle=False)
            )

        return cls(**{name: array(name) for name in _ARRAYS}, identity=folder.name)


class JoinedLines:
    """Several caches as one: the structures of the first, then those of the second.

    Attributes:
        parts: the caches.
        space_group, formula: as of a cache, of all structures.
    """

    def __init__(self, parts: Sequence[LineCache]) -> None:
        self.parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.space_group = np.concatenate([part.space_group for part in parts])
        self.formula = np.concatenate([part.formula for part in parts])
        self.identity = "+".join(part.identity for part in parts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def lines(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `LineCache.lines`."""
        part, place = self._place(index)
        return part.lines(place)

    def phase(self, index: int) -> Phase:
        """See `LineCache.phase`."""
        part, place = self._place(index)
        return part.phase(place)

    def _place(self, index: int) -> tuple[LineCache, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.parts[number], index - int(self._starts[number])


Lines = LineCache | JoinedLines
"""What patterns are rendered from."""

_ARRAYS = tuple(field.name for field in fields(LineCache) if field.name != "identity")


def build_line_cache(
    table: Path | str,
    root: Path | str,
    *,
    rows: NDArray[np.int64] | None = None,
    highest: float = HIGHEST_TWO_THETA,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LineCache:
    """Lines of every structure of a table, from the cache in `root` if they are there already.

    Structures that cannot be simulated are left out and listed in ``refused.json``.

    Args:
        table: Parquet structure table.
        root: folder of caches; the cache's own folder is named after the table's contents and rows.
        rows: only these rows of the table.
        highest: degrees of CuKa, where the lines end; no lower than `HIGHEST_TWO_THETA`, which any laboratory's scan
            needs.
        workers: processes, all cores when omitted.
        progress: called with structures done and in all.

    Raises:
        TableError: the table cannot be read.
    """
    read_table(table, ["material_id"])  # a missing or damaged table is an error of its own
    identity = hashlib.sha256(Path(table).read_bytes())
    if rows is not None:
        identity.update(np.asarray(rows, dtype=np.int64).tobytes())
    highest = max(highest, HIGHEST_TWO_THETA)
    if highest > HIGHEST_TWO_THETA:
        identity.update(f"{highest:.3f}".encode())
    digest = identity.hexdigest()[:16]
    folder = Path(root) / f"lines-{_FORMAT}-{digest}"
    if folder.is_dir():
        return LineCache.load(folder)
    source = read_table(table)
    if rows is not None:
        source = source.take(rows)
    starts = range(0, source.num_rows, _CHUNK)
    chunks = [source.slice(start, _CHUNK).to_pylist() for start in starts]
    parts = []
    lines_of = partial(_lines_of_rows, q_limit=float(q_from_two_theta(highest, REFERENCE_WAVELENGTH)))
    for part in in_order(lines_of, chunks, min(workers or os.cpu_count() or 1, len(chunks)), batch=1):
        parts.append(part)
        if progress:
            progress(min(len(parts) * _CHUNK, source.num_rows), source.num_rows)
    joined = [np.concatenate(column) for column in zip(*(part[:-1] for part in parts), strict=True)]
    arrays = dict(zip(_ARRAYS, joined, strict=True))
    for name in ("offsets", "rotation_offsets"):  # until here, how many of each structure
        arrays[name] = np.concatenate([[0], np.cumsum(arrays[name])]).astype(np.int64)
    with whole_folder(folder) as new:
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        (new / "refused.json").write_text(json.dumps([r for p in parts for r in p[-1]], indent=1))
    return LineCache.load(folder)


def _lines_of_rows(rows: list[dict], q_limit: float) -> tuple[Any, ...]:
    """Arrays of some rows in the order of `_ARRAYS`, offsets as counts; last, what was refused."""
    phases, records, refused = [], [], []
    for row in rows:
        try:
            record = StructureRecord.from_row(row)
            phase = Phase.from_structure(record.structure, q_limit)
        except StructureError as error:
            refused.append([row["material_id"], str(error)])
            continue
        intensity = phase.strength * lorentz_polarisation(phase.q, REFERENCE_WAVELENGTH)
        kept = intensity > WEAKEST / 100.0 * intensity.max()
        phases.append((phase, kept))
        records.append((row, record))
    return (
        np.concatenate([np.empty(0), *(p.q[kept] for p, kept in phases)]).astype(np.float32),
        np.concatenate([np.empty(0), *(p.strength[kept] for p, kept in phases)]).astype(np.float32),
        np.concatenate([np.empty((0, 3)), *(p.hkl[kept] for p, kept in phases)]).astype(np.int16),
        np.array([kept.sum() for _, kept in phases], np.int64),
        np.array([p.reciprocal for p, _ in phases]).reshape(-1, 3, 3),
        np.concatenate([np.empty((0, 3, 3), np.int8), *(p.rotations for p, _ in phases)]),
        np.array([len(p.rotations) for p, _ in phases], np.int64),
        np.array([record.space_group_number for _, record in records], np.int16),
        np.array([row["formula"] for row, _ in records], np.str_),
        np.array([record.material_id for _, record in records], np.str_),
        refused,
    )
