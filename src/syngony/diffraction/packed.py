"""Many structures in flat arrays: packed from a table without a Python loop, simulated in one compiled loop.

What a program that simulates a whole table calls, chunk by chunk (`rows` says which row of the input each
packed structure was, `failures` which rows are left out and why; the others go on)::

    packed = pack_table(chunk)                                  # columns lattice, species, frac_coords, occupancies
    patterns = packed_patterns(packed, "CuKa", PaperGrid())     # (len(packed), 9001) float32, largest value 1
    failed = packed.failures + pattern_failures(packed, patterns, "CuKa", PaperGrid())

`packed_lines` gives the lines instead. All compiled loops release the GIL: give `threads`, or call from threads
of your own. Results are those of `reflections` and `paper_pattern`, on the same kernel.

Memory: a packed site takes 34 bytes, a structure 88; patterns take 4 bytes a point (36 kB a row of 9,001); a thread
works in about 150 bytes for each reflection of the half sphere of its largest structure (1.62 reflections per Å^3
for CuKa to 90 degrees), refused above `MAX_REFLECTIONS`. A chunk of 2,000 rows needs about 80 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import half_sphere, reflections
from syngony.elements import ELEMENT_INDEX, ELEMENTS
from syngony.errors import StructureError
from syngony.structure import Structure

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class PackedStructures:
    """n structures in flat arrays.

    Attributes:
        lattice: (n, 3, 3) cell vectors as rows, Å.
        offsets: (n + 1,) int64; structure i has sites offsets[i]:offsets[i + 1].
        element: (m,) int16 positions in `syngony.elements.ELEMENTS`.
        frac_coords: (m, 3).
        occupancy: (m,).
        rows: (n,) int64, the row of the input that each structure was.
        failures: rows of the input that are no possible structure, with the reason.
    """

    lattice: NDArray[np.float64]
    offsets: NDArray[np.int64]
    element: NDArray[np.int16]
    frac_coords: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    rows: NDArray[np.int64]
    failures: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def structure(self, index: int) -> Structure:
        """Structure `index` of the pack (0 to len - 1) on its own."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        species = [ELEMENTS[e] for e in self.element[span]]
        return Structure(self.lattice[index], species, self.frac_coords[span], self.occupancy[span])


@dataclass(frozen=True, eq=False)
class PackedLines:
    """Merged lines of n structures, one after another, each in order of Q.

    Attributes:
        q: (m,) 1/d^2 in 1/Å^2.
        squared_factor: (m,) |F|^2 summed over the whole sphere (multiplicity included), electrons^2; times
            the Lorentz-polarisation factor it is the intensity.
        hkl: (m, 3) int16 lexicographically largest indices, in the structure's own cell.
        offsets: (n + 1,) int64; structure i of the pack has lines offsets[i]:offsets[i + 1].
        failures: (row of the input, reason) of structures without lines; their stretch is empty.
    """

    q: NDArray[np.float64]
    squared_factor: NDArray[np.float64]
    hkl: NDArray[np.int16]
    offsets: NDArray[np.int64]
    failures: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets) - 1


def pack_structures(structures: Sequence[Structure]) -> PackedStructures:
    """Structures, already checked by their class, in flat arrays."""
    sizes = [len(s) for s in structures]
    return PackedStructures(
        lattice=np.array([s.lattice for s in structures]).reshape(-1, 3, 3),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        element=np.array([ELEMENT_INDEX[symbol] for s in structures for symbol in s.species], np.int16),
        frac_coords=np.concatenate([s.frac_coords for s in structures]) if sizes else np.empty((0, 3)),
        occupancy=np.concatenate([s.occupancies for s in structures]) if sizes else np.empty(0),
        rows=np.arange(len(sizes), dtype=np.int64),
    )


def pack_table(table: pa.Table | pa.RecordBatch) -> PackedStructures:
    """Rows of a structure table in flat arrays.

    Args:
        table: columns ``lattice`` (six numbers), ``species``, ``frac_coords`` (flat) and, if there,
            ``occupancies`` (null where every site is full); other columns are ignored.

    Returns:
        The structures that are possible; the others are in `failures` with the message of `StructureError`.
    """
    good, rows, failures = [], [], []
    for index, row in enumerate(table.to_pylist()):
        try:
            good.append(
                Structure.from_parameters(row["lattice"], row["species"], row["frac_coords"], row.get("occupancies"))
            )
            rows.append(index)
        except StructureError as error:
            failures.append((index, str(error)))
    packed = pack_structures(good)
    return PackedStructures(
        packed.lattice,
        packed.offsets,
        packed.element,
        packed.frac_coords,
        packed.occupancy,
        np.array(rows, np.int64),
        failures,
    )


def packed_lines(packed: PackedStructures, q_max: float, *, weakest: float = 1e-9, threads: int = 1) -> PackedLines:
    """Lines of every structure up to Q = q_max (1/Å^2), merged where Q agrees within 1e-7 of itself.

    Args:
        packed: structures.
        q_max: 1/d^2 of the last line, 1/Å^2; (2 sin θ / λ)^2 at the end of a scan.
        weakest: lines below this share of the structure's largest `squared_factor` are left out
            (systematic absences are rounding noise, not zero); 0 keeps all.
        threads: how many to use.
    """
    raise NotImplementedError((half_sphere, packed, q_max, weakest, threads))


def packed_patterns(
    packed: PackedStructures,
    wavelength: float | str,
    grid: PaperGrid | None = None,
    *,
    out: NDArray[np.float32] | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """The paper's pattern of every structure: `paper_pattern` of its `reflections` in the grid's range.

    Args:
        packed: structures.
        wavelength: Å, or a tube line (``"CuKa"``).
        grid: step, filter and range; `PaperGrid` as it comes when omitted.
        out: (n, grid.size) float32 to write into instead of a new array.
        threads: how many to use.

    Returns:
        (n, grid.size) float32, largest value of a row 1; a row without any line is zero, and
        `pattern_failures` says why.

    Raises:
        WavelengthError: the wavelength is absurd.
        InputError: the grid's range is empty, or `out` has another shape.
    """
    grid = grid or PaperGrid()
    patterns = np.zeros((len(packed), grid.size), np.float32) if out is None else out
    for index in range(len(packed)):
        try:
            patterns[index] = paper_pattern(
                reflections(packed.structure(index), wavelength, grid.two_theta_range), grid
            )
        except StructureError:
            patterns[index] = 0.0
    return patterns


def pattern_failures(
    packed: PackedStructures, patterns: NDArray[np.float32], wavelength: float | str, grid: PaperGrid | None = None
) -> list[tuple[int, str]]:
    """(row of the input, reason) of every pattern that `packed_patterns` left zero."""
    failures = []
    for index in np.flatnonzero(~patterns.any(axis=1)):
        try:
            reflections(packed.structure(index), wavelength, (grid or PaperGrid()).two_theta_range)
        except StructureError as error:
            failures.append((int(packed.rows[index]), str(error)))
    return failures
