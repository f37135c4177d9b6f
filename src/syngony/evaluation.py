"""A network against labelled structures or measured patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from syngony import metrics
from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, PatternError, StructureError, TableError
from syngony.inference import Network, Scores
from syngony.pattern import Pattern
from syngony.structure import reduced_formula
from syngony.structure_table import StructureRecord, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import ProfileView

Conditions = Literal["ideal", "lab"]
Progress = Callable[[int, int], None]

_WAVELENGTH = "CuKa"
_NEIGHBOUR_VIEW = ProfileView(points=2048)


@dataclass(frozen=True, eq=False)
class LabelledPattern:
    """A pattern whose space group is known.

    Attributes:
        pattern: the scan.
        space_groups: numbers that count as right.
        kin: a name shared by patterns of one compound, or empty.
    """

    pattern: Pattern
    space_groups: tuple[int, ...]
    kin: str = ""


def evaluate_structures(
    network: Network,
    table: Path | str,
    conditions: Conditions = "ideal",
    *,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Accuracy on patterns simulated from a structure table.

    Args:
        network: to be measured.
        table: Parquet structure table.
        conditions: ``ideal``, the paper's pattern; ``lab``, a drawn instrument and sample for each.
        limit: a random sample of this many rows.
        seed: of the sample and the laboratory.

    Returns:
        The object of ``syngony evaluate --json``; ``skipped`` names structures that cannot be simulated.

    Raises:
        TableError: the table cannot be read or is empty.
    """
    source = read_table(table)
    if source.num_rows == 0:
        raise TableError(f"{table}: no structures in it")
    rows = np.arange(source.num_rows)
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), limit, replace=False))
    skipped: list[str] = []
    patterns = _simulated(source.take(rows), conditions, seed, skipped)
    report = _evaluate(network, patterns, len(rows), progress)
    return {**report, "conditions": conditions, "skipped": skipped}


def evaluate_patterns(
    network: Network, table: Path | str, *, limit: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Accuracy on patterns that carry a label: Parquet with two_theta, intensity, wavelength, space_group.

    Raises:
        TableError: the table cannot be read or lacks columns.
    """
    labelled = read_labelled_patterns(table)
    chosen = labelled[:limit]
    return {**_evaluate(network, iter(chosen), len(chosen), progress), "conditions": None}


def read_labelled_patterns(path: Path | str) -> list[LabelledPattern]:
    """The patterns of a Parquet table; ``space_group`` is a number or ``n|m`` where powder cannot tell.

    Raises:
        TableError: missing file, no Parquet, or no such columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    needed = ["two_theta", "intensity", "wavelength", "space_group"]
    try:
        names = pq.read_schema(path).names
        missing = [name for name in needed if name not in names]
        if missing:
            raise TableError(f"{path}: no column {', '.join(missing)}; patterns have {', '.join(needed)}")
        extra = [name for name in ("pattern_id", "material") if name in names]
        rows = pq.read_table(path, columns=needed + extra).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
    patterns = []
    for number, row in enumerate(rows):
        groups = tuple(int(part) for part in str(row["space_group"]).split("|"))
        name = str(row.get("pattern_id") or number)
        try:
            pattern = Pattern(row["two_theta"], row["intensity"], row["wavelength"], name=name)
        except PatternError as error:
            raise TableError(f"{path}: pattern {name}: {error}") from None
        patterns.append(LabelledPattern(pattern, groups, row.get("material") or ""))
    return patterns


def _simulated(source: Any, conditions: str, seed: int, skipped: list[str]) -> Iterator[LabelledPattern]:
    """Patterns of a table's rows, in order; impossible structures are named in `skipped`."""
    if conditions not in ("ideal", "lab"):
        raise InputError(f"conditions are ideal or lab, not {conditions!r}")
    grid, laboratory, previous = PaperGrid(), Laboratory(), None
    number = 0
    for batch in source.to_batches(max_chunksize=2000):
        for row in batch.to_pylist():
            try:
                record = StructureRecord.from_row(row)
                lines = reflections(record.structure, _WAVELENGTH, (0.0, 94.0 if conditions == "lab" else 90.0))
            except StructureError as error:
                skipped.append(f"{row['material_id']}: {error}")
                continue
            if conditions == "ideal":
                two_theta, intensity = grid.two_theta, paper_pattern(lines, grid)
            else:
                rng = np.random.default_rng((seed, number))
                q = 1.0 / lines.d_spacing**2
                two_theta, intensity = measure(q, lines.intensity, laboratory.draw(rng), rng, impurity=previous)
                previous = (q, lines.intensity)
            number += 1
            pattern = Pattern(two_theta, intensity, _WAVELENGTH, name=record.material_id)
            yield LabelledPattern(pattern, (record.space_group_number,), reduced_formula(row["formula"]))


def _evaluate(
    network: Network, patterns: Iterator[LabelledPattern], total: int, progress: Progress | None
) -> dict[str, Any]:
    truth: list[tuple[int, ...]] = []
    kin: list[str] = []
    neighbours: list[NDArray[np.float32]] = []

    def inputs() -> Iterator[NDArray[np.float32]]:
        for item in patterns:
            truth.append(item.space_groups)
            kin.append(item.kin)
            neighbours.append(_NEIGHBOUR_VIEW(item.pattern)[0].astype(np.float16))
            if progress:
                progress(len(truth), total)
            yield network.view(item.pattern)

    scores = list(network.scores_in_batches(inputs()))
    if not scores:
        raise TableError("no pattern could be made of the table: nothing to evaluate")
    systems = np.concatenate([s.systems for s in scores])
    groups = _joined_groups(scores)
    true = np.array([crystal_system_index(numbers[0]) for numbers in truth])
    return {
        "model": network.name,
        "n": len(true),
        "crystal_system": metrics.crystal_system_report(systems, true),
        "extinction_group": {"accuracy": None, "top5": None},
        "space_group": metrics.space_group_report(groups, truth),
        "baselines": {
            "majority": metrics.majority_baseline(true),
            "nearest neighbour, leave one out": metrics.nearest_neighbour_baseline(
                np.array(neighbours, dtype=np.float32), true, kin
            ),
        },
        "labels": list(CRYSTAL_SYSTEMS),
    }


def _joined_groups(scores: list[Scores]) -> NDArray[np.float64] | None:
    parts = [s.space_groups for s in scores if s.space_groups is not None]
    return np.concatenate(parts) if parts else None
