"""Simulated laboratory scans for the library's benchmarks, and what counts as recognising their phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.texture import strained_q
from syngony.errors import SyngonyError
from syngony.learning.split import side_of
from syngony.library.axis import BINS, Q_FIRST, Q_LAST, place
from syngony.library.exclusion import Exclusion
from syngony.library.match import MIRROR_TWINS, Ranking
from syngony.pattern import Pattern
from syngony.structure_table import StructureRecord, read_table

LARGEST_STRAIN = 0.02
ALIKE = 0.7


@dataclass(frozen=True, eq=False)
class Sample:
    """A simulated scan and its truth: the structure, and where its lines lie after the strain."""

    pattern: Pattern
    id: str
    formula: str
    space_group: int
    lines: NDArray[np.float64]


def samples(table: Path, number: int, seed: int, sides: tuple[str, ...] = ("validation", "test")) -> Iterator[Sample]:
    """Lab scans of drawn structures, each axis strained by up to 2 % as its symmetry allows."""
    rows = read_table(table)
    rng = np.random.default_rng(seed)
    formulas = rows["formula"].to_pylist()
    order = [i for i in rng.permutation(len(formulas)) if side_of(formulas[i]) in sides]
    previous: Phase | None = None
    made = 0
    for row in order:
        record = rows.slice(int(row), 1).to_pylist()[0]
        try:
            structure = StructureRecord.from_row(record)
            phase = Phase.from_structure(structure.structure)
            sample = simulate(phase, np.random.default_rng((seed, int(row))), previous)
        except SyngonyError:
            continue
        group = record.get("published_space_group") or structure.space_group_number
        yield Sample(sample[0], structure.material_id, record["formula"], group, sample[1])
        previous = phase
        made += 1
        if made == number:
            return


def pairs(
    table: Path, number: int, seed: int, sides: tuple[str, ...] = ("validation", "test")
) -> Iterator[tuple[Pattern, str, str]]:
    """Lab scans of equal mixtures (their strongest lines alike) of two drawn structures, and the identifiers."""
    rows = read_table(table)
    formulas = rows["formula"].to_pylist()
    rng = np.random.default_rng(seed)
    waiting: tuple[str, Phase] | None = None
    made = 0
    for row in (i for i in rng.permutation(len(formulas)) if side_of(formulas[i]) in sides):
        try:
            structure = StructureRecord.from_row(rows.slice(int(row), 1).to_pylist()[0])
            phase = Phase.from_structure(structure.structure)
            if waiting is None:
                waiting = structure.material_id, phase
                continue
            own = np.random.default_rng((seed, int(row)))
            scan = measure(waiting[1], replace(Laboratory().draw(own), impurity=1.0), own, phase)
            yield Pattern(*scan), waiting[0], structure.material_id
        except SyngonyError:
            continue
        waiting = None
        made += 1
        if made == number:
            return


def simulate(phase: Phase, rng: np.random.Generator, impurity: Phase | None) -> tuple[Pattern, NDArray[np.float64]]:
    """A scan, and the sticks of its phase on the library's axis."""
    strain = (*rng.uniform(-LARGEST_STRAIN, LARGEST_STRAIN, 3).tolist(), 0.0, 0.0, 0.0)
    conditions = replace(Laboratory().draw(rng), lattice_strain=strain)
    scan = measure(phase, conditions, rng, impurity)
    return Pattern(*scan), sticks(strained_q(phase, strain), np.sqrt(copper(phase)))


def sticks(q: NDArray[np.float64], amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """(BINS,) lines on the axis, three bins wide, of length 1."""
    inside = (q > Q_FIRST) & (q < Q_LAST)
    out = np.bincount(np.clip(place(q[inside]).astype(int), 0, BINS - 1), amplitude[inside] ** 2, BINS)
    out = np.sqrt(gaussian_filter1d(out, 1.5))
    return out / max(float(np.linalg.norm(out)), 1e-12)


def right(ranking: Ranking, sample: Sample, candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which candidates are the sample's phase, or a relative: space group (or its mirror image) and lines agree."""
    found = ranking.candidates
    out = np.zeros(len(candidates), bool)
    wanted = MIRROR_TWINS.get(sample.space_group, sample.space_group)
    for n, i in enumerate(candidates):
        entry = ranking.libraries[found.library[i]].entry(int(found.index[i]))
        same = entry.id == sample.id
        group = int(found.space_group[i])
        out[n] = same or (MIRROR_TWINS.get(group, group) == wanted and overlap(ranking, sample, int(i)) > ALIKE)
    return out


def same_type(ranking: Ranking, sample: Sample, i: int) -> bool:
    """Whether a candidate is of the sample's structure type: its space group and proportions, whatever its lines."""
    library, own = ranking.libraries[ranking.candidates.library[i]], sample.space_group
    groups = {own, MIRROR_TWINS.get(own, own), *(a for a, b in MIRROR_TWINS.items() if b == own)}
    kinds = Exclusion(types=[(group, sample.formula) for group in groups])
    return not kinds.allowed(library)[ranking.candidates.index[i]]


def overlap(ranking: Ranking, sample: Sample, i: int) -> float:
    """Correlation of a candidate's lines in its refined cell with the sample's true lines."""
    found, span = ranking.candidates, slice(ranking.candidates.offsets[i], ranking.candidates.offsets[i + 1])
    h, k, l = found.hkl[span].T.astype(float)  # noqa: E741
    forms = np.stack([h * h, k * k, l * l, 2 * k * l, 2 * h * l, 2 * h * k])
    return float(sticks(ranking.refined.metric[i] @ forms, found.amplitude[span]) @ sample.lines)


def copper(phase: Phase) -> NDArray[np.float64]:
    """(m,) intensities of a phase's lines for CuKa, the strongest in the range of libraries 1."""
    from syngony.diffraction.reflections import lorentz_polarisation
    from syngony.library.axis import REFERENCE

    intensity = phase.strength * lorentz_polarisation(phase.q, REFERENCE) * np.exp(-0.5 * phase.q)
    return intensity / intensity[(phase.q > Q_FIRST)].max()
