"""What the library's benchmarks share: answers kept on disk, proportions with intervals, calibration with few scans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from syngony.metrics import expected_calibration_error, wilson_interval

BINS = 15


class Kept:
    """Results by key, in a file of JSON lines if there is one: those that are there are not computed again."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.known: dict[str, dict] = dict(json.loads(line) for line in lines if line.endswith("]"))

    def get(self, key: str, compute: Callable[[], dict]) -> dict:
        """What is known under the key, or else what `compute` finds."""
        if key not in self.known:
            self.known[key] = compute()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a") as file:
                    file.write("\n" + json.dumps([key, self.known[key]]))
        return self.known[key]


def share(name: str, good: NDArray[np.bool_] | list[bool]) -> None:
    """One line: a proportion with its interval."""
    if len(good):
        low, high = wilson_interval(int(np.sum(good)), len(good))
        print(f"{name:<52} {np.mean(good):6.1%}  ({low:.1%} to {high:.1%}; n = {len(good)})", flush=True)


def calibration(p: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
    """How far probabilities are off, and how far right ones would seem to be with so few scans."""
    rng = np.random.default_rng(0)
    chance = [expected_calibration_error(p, rng.random(len(p)) < p, BINS) for _ in range(1000)]
    found = expected_calibration_error(p, good, BINS)
    print(
        f"calibration error {found:.3f}; right probabilities would show {np.mean(chance):.3f}, and "
        f"{np.quantile(chance, 0.95):.3f} or more in one of twenty runs; mean p {p.mean():.3f}, right {good.mean():.3f}"
    )
    print(f"calibration error, root mean square, chance taken off: {without_chance(p, good):.3f}")
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (p >= low) & (p < low + 0.2 + (low > 0.7))
        share(f"  p {low:.1f} to {low + 0.2:.1f}, mean {p[inside].mean() if inside.any() else 0.0:.2f}", good[inside])


def without_chance(p: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Root mean square gap in bins of probability, less what chance adds (A. Kumar et al., NeurIPS 2019)."""
    which, total = np.minimum((p * BINS).astype(int), BINS - 1), 0.0
    for b in range(BINS):
        n = np.count_nonzero(which == b)
        if n > 1:
            rate = good[which == b].mean()
            total += n / len(p) * ((rate - p[which == b].mean()) ** 2 - rate * (1.0 - rate) / (n - 1))
    return float(np.sqrt(max(total, 0.0)))
