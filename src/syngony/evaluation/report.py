"""From answers to the object of ``syngony evaluate --json``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony import metrics
from syngony.determination import Witnesses
from syngony.errors import PatternError, StructureError, TableError
from syngony.evaluation.answers import Answer, Patterns, Progress, answers
from syngony.evaluation.baselines import (
    NEIGHBOUR_VIEW,
    TrainingSet,
    features_of,
    trained_baselines,
    training_features,
)
from syngony.evaluation.labelled import Conditions, SimulatedPatterns, read_labelled_patterns
from syngony.extinction_groups import extinction_group_indices
from syngony.inference import Network
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import ideal_grid

_LINES = (10, 20, 30, 50)
_SITES = (4, 10, 20, 50)

FILE = "answers.jsonl"
"""Answers kept in the folder of a report."""


def evaluate_structures(
    witnesses: Witnesses,
    table: Path | str,
    conditions: Conditions = "ideal",
    *,
    limit: int | None = None,
    seed: int = 0,
    known: bool = False,
    training: TrainingSet | None = None,
    workers: int = 1,
    address: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Accuracy on patterns simulated from a structure table.

    Args:
        witnesses: who is asked.
        table: Parquet structure table.
        conditions: ``ideal``, the paper's pattern; ``lab``, a drawn instrument and sample for each.
        limit: a random sample of this many rows.
        seed: of the sample and the laboratory.
        known: False to search the libraries as if they did not hold the structure's compound.
        training: where baselines learn from; without it there are only those that need nothing but the patterns.
        workers: processes.
        address: of a dask scheduler; its workers are used instead.
        folder: answers are kept in it, so that an interrupted run goes on.
        progress: called with patterns done and in all.

    Returns:
        The object of ``syngony evaluate --json``; ``skipped`` names structures that cannot be simulated.

    Raises:
        TableError: the table cannot be read or is empty.
        InputError: the folder is of another evaluation.
    """
    # A network that looks beyond the end of the paper's grid is shown what lies there.
    grid = ideal_grid(Network.load(witnesses.model).view)
    patterns = SimulatedPatterns(table, conditions, limit, seed, known, grid)
    identity = _identity(witnesses, table, limit) | {"conditions": conditions, "seed": seed, "known": known}
    where = {"workers": workers, "address": address}
    report = _evaluate(witnesses, patterns, identity, where, folder, progress, training, conditions)
    return {**report, "conditions": conditions}


def evaluate_patterns(
    witnesses: Witnesses,
    table: Path | str,
    *,
    limit: int | None = None,
    training: TrainingSet | None = None,
    workers: int = 1,
    address: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Accuracy on patterns that carry a label: Parquet with two_theta, intensity, wavelength, space_group.

    Args:
        witnesses, workers, address, folder, progress: see `evaluate_structures`.
        training: see there; its structures are seen in laboratory conditions.
        table: Parquet file of patterns, or a folder of them.
        limit: only the first so many.

    Raises:
        TableError: the table cannot be read or lacks columns.
        InputError: the folder is of another evaluation.
    """
    patterns = read_labelled_patterns(table, limit)
    where = {"workers": workers, "address": address}
    report = _evaluate(witnesses, patterns, _identity(witnesses, table, limit), where, folder, progress, training)
    return {**report, "conditions": None}


def _identity(witnesses: Witnesses, table: Path | str, limit: int | None) -> dict[str, Any]:
    """What an evaluation is of, in plain values."""
    path = Path(table)
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return {**witnesses.identity(), "table": digest.hexdigest(), "limit": limit}


def _evaluate(
    witnesses: Witnesses,
    patterns: Patterns,
    identity: dict[str, Any],
    where: dict[str, Any],
    folder: Path | None,
    progress: Progress | None,
    training: TrainingSet | None = None,
    conditions: Conditions = "lab",
) -> dict[str, Any]:
    kept = folder / FILE if folder is not None else None
    found = answers(witnesses, patterns, **where, kept=kept, identity=identity, progress=progress)
    good = [answer for answer in found if answer.skipped is None]
    if not good:
        raise TableError("no pattern could be made of the table: nothing to evaluate")
    report = figures(good)
    determiner = witnesses.determiner()
    return {
        "model": determiner.model,
        "evidence": list(determiner.kinds),
        "libraries": [library.name for library in determiner.libraries or ()],
        "n": len(good),
        **report,
        "baselines": {
            "majority": metrics.majority_baseline(_true_systems(good)),
            "nearest neighbour, leave one out": _neighbours(good, patterns),
            **(_trained(good, patterns, training, conditions) if training is not None else {}),
        },
        "labels": list(CRYSTAL_SYSTEMS),
        "skipped": [answer.skipped for answer in found if answer.skipped is not None],
    }


def _trained(
    good: Sequence[Answer], patterns: Patterns, training: TrainingSet, conditions: Conditions
) -> dict[str, Any]:
    """Baselines that learned from structures."""
    learned = training_features(training, conditions)
    asked = features_of(patterns[answer.place] for answer in good)
    return trained_baselines(learned, asked, [tuple(answer.truth) for answer in good], training.seed)


def figures(good: Sequence[Answer]) -> dict[str, Any]:
    """Accuracy of answers: systems, extinction groups, space groups, what was refused, and by kind of pattern."""
    truth = [tuple(answer.truth) for answer in good]
    systems = np.array([answer.systems for answer in good])
    true = _true_systems(good)
    extinction = [{int(extinction_group_indices()[n - 1]) for n in numbers} for numbers in truth]
    right = systems.argmax(1) == true
    answered = np.array([not answer.abstained for answer in good])
    return {
        "crystal_system": metrics.crystal_system_report(systems, true),
        "extinction_group": metrics.ranked_report([a.extinction_groups for a in good], extinction),
        "space_group": metrics.ranked_report([a.space_groups for a in good], truth),
        "answered": {
            "fraction": float(answered.mean()),
            "accuracy": float(right[answered].mean()) if answered.any() else None,
        },
        "by": {
            "rests on": _by(good, right, lambda a: a.rests_on or "nothing"),
            "lines": _by(good, right, lambda a: _bin(a.lines, _LINES)),
            "sites": _by(good, right, lambda a: _bin(a.sites, _SITES)),
        },
    }


def _by(good: Sequence[Answer], right: NDArray[np.bool_], kind: Callable[[Answer], str]) -> dict[str, dict[str, Any]]:
    """Accuracy of the system for each kind of pattern, with 95 % intervals."""
    kinds = np.array([kind(answer) for answer in good])
    found = {}
    for name in sorted(set(kinds), key=lambda text: (len(text), text)):
        inside = right[kinds == name]
        interval = metrics.wilson_interval(int(inside.sum()), len(inside))
        found[str(name)] = {"n": len(inside), "accuracy": float(inside.mean()), "interval": list(interval)}
    return found


def _bin(count: int, edges: Sequence[int]) -> str:
    if count == 0:
        return "unknown"
    for low, high in zip((0, *edges), edges, strict=False):
        if count <= high:
            return f"{low + 1}-{high}"
    return f"over {edges[-1]}"


def _true_systems(good: Sequence[Answer]) -> NDArray[np.int64]:
    return np.array([crystal_system_index(answer.truth[0]) for answer in good])


def _neighbours(good: Sequence[Answer], patterns: Patterns) -> dict[str, Any]:
    profiles = []
    for answer in good:
        try:
            profiles.append(NEIGHBOUR_VIEW(patterns[answer.place].pattern)[0].astype(np.float16))
        except (StructureError, PatternError):
            profiles.append(np.zeros(NEIGHBOUR_VIEW.points, np.float16))
    return metrics.nearest_neighbour_baseline(
        np.array(profiles, dtype=np.float32), _true_systems(good), [answer.kin for answer in good]
    )
