"""Figures about accuracy: what `syngony evaluate` reports."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.symmetry import CRYSTAL_SYSTEMS

N_SYSTEMS = len(CRYSTAL_SYSTEMS)
COVERAGES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def wilson_interval(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 209, 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion_matrix(true: NDArray[np.integer], predicted: NDArray[np.integer]) -> NDArray[np.int64]:
    """(7, 7) counts: rows are the true system, columns the predicted one."""
    matrix = np.zeros((N_SYSTEMS, N_SYSTEMS), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def per_class(matrix: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each crystal system; 0 where undefined."""
    rows: dict[str, dict[str, float]] = {}
    for i, name in enumerate(CRYSTAL_SYSTEMS):
        hit, predicted, support = int(matrix[i, i]), int(matrix[:, i].sum()), int(matrix[i].sum())
        precision = hit / predicted if predicted else 0.0
        recall = hit / support if support else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        rows[name] = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return rows


def expected_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence (Guo et al. 2017)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            gap += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return float(gap)


def coverage_curve(confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Accuracy of the most confident fraction of the answers."""
    order = np.argsort(-confidence, kind="stable")
    curve = []
    for fraction in COVERAGES:
        kept = order[: max(1, round(fraction * len(order)))]
        curve.append({"fraction": fraction, "accuracy": float(correct[kept].mean())})
    return curve


def crystal_system_report(systems: NDArray[np.floating], true: NDArray[np.integer]) -> dict[str, Any]:
    """All figures about the crystal system.

    Args:
        systems: (n, 7) probabilities.
        true: (n,) indices in `CRYSTAL_SYSTEMS`.
    """
    predicted = systems.argmax(axis=1)
    correct = predicted == true
    confidence = systems.max(axis=1)
    matrix = confusion_matrix(true, predicted)
    classes = per_class(matrix)
    present = [row["f1"] for row in classes.values() if row["support"]]
    return {
        "accuracy": float(correct.mean()),
        "interval": list(wilson_interval(int(correct.sum()), len(true))),
        "macro_f1": float(np.mean(present)),
        "per_class": classes,
        "confusion_matrix": matrix.tolist(),
        "ece": expected_calibration_error(confidence, correct),
        "coverage": coverage_curve(confidence, correct),
    }


def ranked_report(ranked: Sequence[Sequence[tuple[int, float]]], true: Sequence[Collection[int]]) -> dict[str, Any]:
    """First and first-five accuracy, the calibration error of the first.

    Args:
        ranked: for each pattern what was named, with probabilities, best first; empty where nothing can be.
        true: for each pattern the names that count as right (more than one where a powder pattern cannot tell
            them apart).
    """
    if not all(ranked):
        return {"accuracy": None, "interval": None, "top5": None, "ece": None}
    first = np.array([row[0][0] in right for row, right in zip(ranked, true, strict=True)])
    five = [any(name in right for name, _ in row[:5]) for row, right in zip(ranked, true, strict=True)]
    confidence = np.array([row[0][1] for row in ranked])
    return {
        "accuracy": float(first.mean()),
        "interval": list(wilson_interval(int(first.sum()), len(first))),
        "top5": float(np.mean(five)),
        "ece": expected_calibration_error(confidence, first),
        "coverage": coverage_curve(confidence, first),
    }


def majority_baseline(true: NDArray[np.integer]) -> dict[str, Any]:
    """Always naming the commonest system of the set itself: the best that no look at a pattern can do."""
    counts = np.bincount(true, minlength=N_SYSTEMS)
    best = int(counts.argmax())
    return {
        "accuracy": float(counts[best] / len(true)),
        "interval": list(wilson_interval(int(counts[best]), len(true))),
        "answer": CRYSTAL_SYSTEMS[best],
    }


def nearest_neighbour_baseline(
    profiles: NDArray[np.float32], true: NDArray[np.integer], kin: Sequence[str] | None = None
) -> dict[str, Any]:
    """Leave-one-out: the system of the most similar other pattern (correlation of the profiles).

    Args:
        profiles: (n, points).
        true: (n,) system indices.
        kin: (n,) names, patterns of the same non-empty name are not each other's neighbours.
    """
    n = len(true)
    unit = profiles - profiles.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True) + 1e-12
    family = np.arange(n) if kin is None else _families(kin)
    predicted = np.empty(n, np.int64)
    for start in range(0, n, 512):
        rows = slice(start, min(start + 512, n))
        likeness = unit[rows] @ unit.T
        likeness[family[rows, None] == family[None, :]] = -np.inf
        predicted[rows] = true[likeness.argmax(axis=1)]
    correct = int((predicted == true).sum())
    return {"accuracy": correct / n, "interval": list(wilson_interval(correct, n))}


def _families(kin: Sequence[str]) -> NDArray[np.int64]:
    """An integer for each name; nameless patterns are alone."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(name or f"\0{i}", len(seen)) for i, name in enumerate(kin)])
