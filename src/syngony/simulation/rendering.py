"""Structures of one shard to patterns: ideal ones, or as a laboratory would record them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from syngony.diffraction.laboratory import Phase, Scan, measure
from syngony.diffraction.packed import PackedStructures, packed_patterns, pattern_failures
from syngony.errors import InputError, PatternError
from syngony.pattern import check_scan
from syngony.simulation.settings import Settings

INTENSITY_STEP = 2.0**-20
"""Ideal intensities are stored as multiples of this (strongest = 1): a tenth of the weakest line that
`reflections` keeps, and two fifths of the bytes."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """Patterns of n structures, one after another.

    Attributes:
        rows: (n,) which row of the shard each pattern is of, increasing.
        two_theta, intensity: (m,) float32, degrees and counts or relative intensity.
        offsets: (n + 1,) int32; pattern i is offsets[i]:offsets[i + 1].
        wavelengths: (n,) Å.
        conditions: JSON of what the laboratory drew, one a pattern; None for ideal patterns.
        failures: (row of the shard, reason) of structures without a pattern.
    """

    rows: NDArray[np.int64]
    two_theta: NDArray[np.float32]
    intensity: NDArray[np.float32]
    offsets: NDArray[np.int32]
    wavelengths: NDArray[np.float64]
    conditions: list[str | None]
    failures: list[tuple[int, str]] = field(default_factory=list)


def ideal(packed: PackedStructures, settings: Settings) -> Rendered:
    """The paper's pattern of every structure, on one grid."""
    grid = settings.grid
    wavelength = settings.ideal_wavelength
    patterns = packed_patterns(packed, wavelength, grid)
    failures = packed.failures + pattern_failures(packed, patterns, wavelength, grid)
    failed = {row for row, _ in failures}
    kept = np.array([row not in failed for row in packed.rows], dtype=bool)
    intensity = patterns if kept.all() else patterns[kept]
    intensity *= 1.0 / INTENSITY_STEP
    np.rint(intensity, out=intensity)
    intensity *= INTENSITY_STEP
    n = len(intensity)
    return Rendered(
        rows=packed.rows[kept],
        two_theta=np.tile(grid.two_theta.astype(np.float32), n),
        intensity=intensity.ravel(),
        offsets=(np.arange(n + 1) * grid.size).astype(np.int32),
        wavelengths=np.full(n, wavelength),
        conditions=[None] * n,
        failures=failures,
    )


def lab(packed: PackedStructures, settings: Settings, first_row: int, names: list[str]) -> Rendered:
    """A scan of every structure on an instrument and a sample of its own.

    Args:
        packed: the structures of a shard.
        settings: wavelength and seed.
        first_row: of the shard, in the table.
        names: of the shard's rows, to name the impurity.
    """
    failures = list(packed.failures)
    phases: dict[int, Phase] = {}
    for index, row in enumerate(packed.rows):
        try:
            phases[int(row)] = Phase.from_structure(packed.structure(index))
        except InputError as error:
            failures.append((int(row), str(error)))
    scans, rows = [], []
    for row, scan, drawn in _scans(phases, settings, first_row, names):
        try:
            check_scan(scan.two_theta, scan.intensity)
        except PatternError as error:  # nothing but an empty range, say
            failures.append((row, str(error)))
            continue
        rows.append(row)
        scans.append((scan.two_theta.astype(np.float32), scan.intensity.astype(np.float32), scan.wavelength, drawn))
    empty = [np.empty(0, np.float32)]
    return Rendered(
        rows=np.array(rows, dtype=np.int64),
        two_theta=np.concatenate([scan[0] for scan in scans] or empty),
        intensity=np.concatenate([scan[1] for scan in scans] or empty),
        offsets=np.cumsum([0] + [len(scan[0]) for scan in scans]).astype(np.int32),
        wavelengths=np.array([scan[2] for scan in scans], dtype=np.float64),
        conditions=[scan[3] for scan in scans],
        failures=failures,
    )


def _scans(
    phases: dict[int, Phase], settings: Settings, first_row: int, names: list[str]
) -> Iterator[tuple[int, Scan, str]]:
    """Row, scan and conditions of each phase, in order; everything drawn hangs on (seed, row) alone."""
    laboratory = settings.laboratory
    rows = list(phases)
    for position, row in enumerate(rows):
        rng = np.random.default_rng((settings.seed, first_row + row))
        drawn = laboratory.draw(rng)
        partner = None
        if drawn.impurity > 0 and len(rows) > 1:  # any other structure of the shard
            partner = rows[(position + 1 + int(rng.integers(len(rows) - 1))) % len(rows)]
        scan = measure(phases[row], drawn, rng, impurity=None if partner is None else phases[partner])
        said = {**asdict(drawn), "impurity_phase": None if partner is None else names[partner]}
        yield row, scan, json.dumps(said)
