"""Many structures in flat arrays: packed from a table without a Python loop, simulated in one compiled loop.

What a program that simulates a whole table calls, chunk by chunk (`rows` says which row of the input each
packed structure was, `failures` which rows are left out and why; the others go on)::

    packed = pack_table(chunk)                                  # columns lattice, species, frac_coords, occupancies
    patterns = packed_patterns(packed, "CuKa", PaperGrid())     # (len(packed), 9001) float32, largest value 1
    failed = packed.failures + pattern_failures(packed, patterns, "CuKa", PaperGrid())

`packed_lines` gives the lines instead. All compiled loops release the GIL: give `threads`, or call from threads
of your own; BLAS starts none, since each matrix product is kept below the size at which it would. Results are
those of `reflections` and `paper_pattern`, on the same kernel.

Memory: a packed site takes 34 bytes, a structure 88; patterns take 4 bytes a point (36 kB a row of 9,001); a thread
works in about 200 bytes for each reflection of the half sphere of its largest structure (1.62 reflections per Å^3
for CuKa to 90 degrees; cells of more than `MAX_REFLECTIONS` are refused), and lines take 22 bytes each. A chunk of
2,000 rows needs about 80 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from syngony.diffraction import kernel
from syngony.diffraction.merging import merge, powder_lines
from syngony.diffraction.profile import PaperGrid, add_sticks, filter_weights
from syngony.diffraction.reflections import (
    MAX_REFLECTIONS,
    SCATTERING_TABLE,
    displacement_parameters,
    half_sphere,
    no_line,
    polarisation_of,
    shell,
)
from syngony.elements import ELEMENT_INDEX, ELEMENTS
from syngony.errors import InputError, StructureError
from syngony.structure import Structure
from syngony.wavelengths import parse_wavelength

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 2_000_000  # reflections whose lines are held before they are copied to their final place


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

    Raises:
        TableError: a column is missing or of another type.
    """
    from syngony.diffraction.arrow_columns import pack_columns

    return PackedStructures(*pack_columns(table))


def packed_lines(
    packed: PackedStructures,
    q_max: float,
    *,
    weakest: float = 1e-9,
    b_iso: Mapping[str, float] | None = None,
    b_overall: float = 0.0,
    threads: int = 1,
) -> PackedLines:
    """Lines of every structure up to Q = q_max, merged where Q agrees within 1e-7 of itself.

    Args:
        packed: structures.
        q_max: 1/d^2 of the last line, 1/Å^2; (2 sin θ / λ)^2 at the end of a scan.
        weakest: lines below this share of the structure's largest `squared_factor` are left out
            (systematic absences are rounding noise, not zero); 0 keeps all.
        b_iso, b_overall: displacement parameters, as in `reflections`.
        threads: how many to use.

    Raises:
        InputError: q_max is not a positive number, or a displacement parameter is impossible.
    """
    if not 0 < q_max < np.inf:
        raise InputError(f"q_max = {q_max:g}: give 1/d^2 of the last line in 1/Å^2, above zero")
    thermal = displacement_parameters(b_iso, b_overall)
    sizes = _sizes(packed.lattice, q_max)
    allowed = np.where(sizes > MAX_REFLECTIONS, 0.0, sizes)
    blocks = np.unique(np.searchsorted(np.cumsum(allowed), np.arange(0, allowed.sum() + _BLOCK, _BLOCK)))
    blocks = np.unique(np.concatenate([[0], blocks, [len(packed)]]))

    def work(begin: int, end: int) -> tuple:
        return _lines(*_arrays(packed), thermal, float(q_max), weakest, float(MAX_REFLECTIONS), begin, end)

    parts = _in_threads(work, list(zip(blocks[:-1].tolist(), blocks[1:].tolist(), strict=True)), threads)
    counts = np.concatenate([p[3] for p in parts]) if parts else np.empty(0, np.int64)
    lines = PackedLines(
        q=np.concatenate([p[0] for p in parts]) if parts else np.empty(0),
        squared_factor=np.concatenate([p[1] for p in parts]) if parts else np.empty(0),
        hkl=np.concatenate([p[2] for p in parts]) if parts else np.empty((0, 3), np.int16),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )
    for index in np.flatnonzero(counts == 0):
        lines.failures.append((int(packed.rows[index]), _no_lines(packed.structure(int(index)), q_max)))
    return lines


def packed_patterns(
    packed: PackedStructures,
    wavelength: float | str,
    grid: PaperGrid | None = None,
    *,
    b_iso: Mapping[str, float] | None = None,
    b_overall: float = 0.0,
    monochromator: float | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """The paper's pattern of every structure: `paper_pattern` of its `reflections` in the grid's range.

    Args:
        packed: structures.
        wavelength: Å, or a tube line (``"CuKa"``).
        grid: step, filter and range; `PaperGrid` as it comes when omitted.
        b_iso, b_overall, monochromator: as in `reflections`.
        out: (n, grid.size) float32 to write into instead of a new array.
        threads: how many to use.

    Returns:
        (n, grid.size) float32, largest value of a row 1; a row without any line is zero, and
        `pattern_failures` says why.

    Raises:
        WavelengthError: the wavelength is absurd.
        InputError: the grid's range is empty or shorter than its filter, or `out` has another shape.
    """
    grid = grid or PaperGrid()
    wavelength = parse_wavelength(wavelength)
    q_min, q_max = shell(wavelength, grid.two_theta_range)
    thermal, polarisation = displacement_parameters(b_iso, b_overall), polarisation_of(monochromator)
    weights = filter_weights(grid)
    if len(weights) // 2 >= grid.size:
        raise InputError(f"a grid of {grid.size} points is shorter than its filter: use a finer step or a wider range")
    patterns = np.empty((len(packed), grid.size), np.float32) if out is None else out
    if patterns.shape != (len(packed), grid.size) or patterns.dtype != np.float32 or not patterns.flags.c_contiguous:
        raise InputError(f"out must be a C-ordered float32 array of shape {(len(packed), grid.size)}")
    axis = np.array([*grid.two_theta_range, grid.step])

    def work(begin: int, end: int) -> None:
        physics = (thermal, wavelength, polarisation, q_min, q_max)
        _patterns(*_arrays(packed), *physics, axis, weights, float(MAX_REFLECTIONS), begin, end, patterns)

    steps = np.linspace(0, len(packed), max(1, min(8 * threads if threads > 1 else 1, len(packed))) + 1).astype(int)
    _in_threads(work, list(zip(steps[:-1].tolist(), steps[1:].tolist(), strict=True)), threads)
    return patterns


def pattern_failures(
    packed: PackedStructures, patterns: NDArray[np.float32], wavelength: float | str, grid: PaperGrid | None = None
) -> list[tuple[int, str]]:
    """(row of the input, reason) of every pattern that `packed_patterns` left zero."""
    wavelength, span = parse_wavelength(wavelength), (grid or PaperGrid()).two_theta_range
    failures = []
    for index in np.flatnonzero(patterns.max(axis=1, initial=0.0) == 0.0):
        structure = packed.structure(int(index))
        try:
            half_sphere(structure, shell(wavelength, span)[1])
            reason = str(no_line(structure, wavelength, span))
        except StructureError as error:
            reason = str(error)
        failures.append((int(packed.rows[index]), reason))
    return failures


def _arrays(packed: PackedStructures) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]:
    return (packed.lattice, packed.offsets, packed.element, packed.frac_coords, packed.occupancy, SCATTERING_TABLE)


def _in_threads(work: Callable, spans: list[tuple[int, int]], threads: int) -> list:
    if threads <= 1 or len(spans) <= 1:
        return [work(*span) for span in spans]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda span: work(*span), spans))


def _no_lines(structure: Structure, q_max: float) -> str:
    try:
        half_sphere(structure, q_max)
    except StructureError as error:
        return str(error)
    return f"{structure.formula}: no reflection up to Q = {q_max:g} 1/Å^2"


@njit(cache=True, nogil=True, error_model="numpy")
def _sizes(lattice, q_max):
    """(n,) about how many reflections the half sphere of each cell holds."""
    sizes = np.empty(lattice.shape[0])
    for i in range(lattice.shape[0]):
        sizes[i] = kernel.expected_size(lattice[i], q_max)
    return sizes


@njit(cache=True, nogil=True, error_model="numpy")
def _patterns(
    lattice, offsets, element, frac_coords, occupancy, table, thermal, wavelength, polarisation, q_min, q_max, axis,
    weights, most, begin, end, out,
):  # fmt: skip
    """Patterns of structures begin..end - 1 into their rows of `out`; zeros where there is no line."""
    size, radius = out.shape[1], weights.shape[0] // 2
    values = np.empty(size + 2 * radius)
    for i in range(begin, end):
        out[i] = 0.0
        if not kernel.expected_size(lattice[i], q_max) <= most:
            continue
        a, b = offsets[i], offsets[i + 1]
        q, squared, hkl = kernel.half_sphere(
            lattice[i], element[a:b], frac_coords[a:b], occupancy[a:b], table, thermal, q_min, q_max
        )
        two_theta, _, intensity, _, _ = powder_lines(q, squared, hkl, wavelength, polarisation)
        top = add_sticks(two_theta, intensity, axis[0], axis[1], axis[2], weights, values)
        if top > 0.0:
            for j in range(size):
                out[i, j] = values[radius + j] / top


@njit(cache=True, nogil=True, error_model="numpy")
def _lines(lattice, offsets, element, frac_coords, occupancy, table, thermal, q_max, weakest, most, begin, end):
    """Lines of structures begin..end - 1, one after another: Q, squared factor, hkl, and how many each."""
    counts = np.zeros(end - begin, np.int64)
    capacity, n = 1 << 14, 0
    q_out, squared_out, hkl_out = np.empty(capacity), np.empty(capacity), np.empty((capacity, 3), np.int16)
    for i in range(begin, end):
        if not kernel.expected_size(lattice[i], q_max) <= most:
            continue
        a, b = offsets[i], offsets[i + 1]
        q, squared, hkl = kernel.half_sphere(
            lattice[i], element[a:b], frac_coords[a:b], occupancy[a:b], table, thermal, 0.0, q_max
        )
        if q.shape[0] == 0:
            continue
        q, squared, _, hkl = merge(q, squared, hkl, 0.0)
        floor = weakest * squared.max()
        if n + q.shape[0] > capacity:
            capacity = 2 * (n + q.shape[0])
            q_new, squared_new, hkl_new = np.empty(capacity), np.empty(capacity), np.empty((capacity, 3), np.int16)
            q_new[:n], squared_new[:n], hkl_new[:n] = q_out[:n], squared_out[:n], hkl_out[:n]
            q_out, squared_out, hkl_out = q_new, squared_new, hkl_new
        for t in range(q.shape[0]):
            if squared[t] > floor or weakest == 0.0:
                q_out[n], squared_out[n] = q[t], squared[t]
                for x in range(3):
                    hkl_out[n, x] = hkl[t, x]
                n += 1
                counts[i - begin] += 1
    return q_out[:n].copy(), squared_out[:n].copy(), hkl_out[:n].copy(), counts
