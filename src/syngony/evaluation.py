"""A network against labelled structures or measured patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from syngony import metrics
from syngony.diffraction.laboratory import Laboratory, Phase, Scan, measure
from syngony.diffraction.profile import PaperGrid, paper_pattern
from syngony.diffraction.reflections import reflections
from syngony.errors import InputError, PatternError, StructureError, TableError
from syngony.inference import Network, Scores
from syngony.pattern import Pattern
from syngony.structure import reduced_formula
from syngony.structure_table import StructureRecord, read_table
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import ProfileView
from syngony.wavelengths import TUBE_LINES

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
    chosen = read_labelled_patterns(table, limit)
    return {**_evaluate(network, iter(chosen), len(chosen), progress), "conditions": None}


def read_labelled_patterns(path: Path | str, limit: int | None = None) -> list[LabelledPattern]:
    """The patterns of a Parquet table; ``space_group`` is a number or ``n|m`` where powder cannot tell.

    Args:
        path: a Parquet file, or a folder of them (what ``syngony simulate`` writes).
        limit: only the first so many.

    Raises:
        TableError: missing file, no Parquet, or no such columns.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    needed = ["two_theta", "intensity", "wavelength", "space_group"]
    patterns: list[LabelledPattern] = []
    try:
        dataset = ds.dataset(path, format="parquet")
        names = dataset.schema.names
        missing = [name for name in needed if name not in names]
        if missing:
            raise TableError(f"{path}: no column {', '.join(missing)}; patterns have {', '.join(needed)}")
        extra = [name for name in ("pattern_id", "material", "material_id", "formula") if name in names]
        for batch in dataset.to_batches(
            columns=needed + extra, batch_size=256, batch_readahead=2, fragment_readahead=1
        ):
            scans = [batch[name] for name in ("two_theta", "intensity")]
            for index, row in enumerate(batch.select(needed[2:] + extra).to_pylist()):
                if limit is not None and len(patterns) == limit:
                    return patterns
                two_theta, intensity = (scan[index].values for scan in scans)
                patterns.append(_labelled(path, row, two_theta, intensity, len(patterns)))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
    return patterns


def _labelled(path: Path | str, row: dict[str, Any], two_theta: Any, intensity: Any, number: int) -> LabelledPattern:
    """One row of a pattern table; the scan as Arrow arrays."""
    name = str(row.get("pattern_id") or row.get("material_id") or number)
    groups = tuple(int(part) for part in str(row["space_group"]).split("|"))
    try:
        pattern = Pattern(
            two_theta.to_numpy(zero_copy_only=False), intensity.to_numpy(zero_copy_only=False), row["wavelength"], name
        )
    except (PatternError, AttributeError) as error:
        raise TableError(f"{path}: pattern {name}: {error}") from None
    formula = row.get("formula")
    return LabelledPattern(pattern, groups, row.get("material") or (reduced_formula(formula) if formula else ""))


def _simulated(source: Any, conditions: str, seed: int, skipped: list[str]) -> Iterator[LabelledPattern]:
    """Patterns of a table's rows, in order; impossible structures are named in `skipped`."""
    if conditions not in ("ideal", "lab"):
        raise InputError(f"conditions are ideal or lab, not {conditions!r}")
    grid, laboratory = PaperGrid(), Laboratory()
    previous: Phase | None = None
    number = 0
    for batch in source.to_batches(max_chunksize=2000):
        for row in batch.to_pylist():
            try:
                record = StructureRecord.from_row(row)
                if conditions == "ideal":
                    lines = reflections(record.structure, _WAVELENGTH, (0.0, 90.0))
                    scan = Scan(grid.two_theta, paper_pattern(lines, grid), TUBE_LINES[_WAVELENGTH])
                else:
                    rng = np.random.default_rng((seed, number))
                    phase = Phase.from_structure(record.structure)
                    scan = measure(phase, laboratory.draw(rng), rng, impurity=previous)
                    previous = phase
                pattern = Pattern(*scan, name=record.material_id)
            except (StructureError, PatternError) as error:
                skipped.append(f"{row['material_id']}: {error}")
                continue
            number += 1
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
