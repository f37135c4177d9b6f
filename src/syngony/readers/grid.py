"""Counts without angles under a line "start step stop", as FullProf reads them (INSTRM = 0)."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+))"
_GRID = re.compile(rf"\s*{_NUMBER}[\s,]+{_NUMBER}[\s,]+{_NUMBER}(?:\s|,|$)")
_HEADER_LINES = 8
_SMALLEST_STEP, _LARGEST_STEP = 1e-4, 1.0  # degrees


def read_grid(lines: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]] | None:
    """Angles, counts and header of a text that holds start, step, stop and exactly that many counts.

    Returns:
        (n,) degrees of 2θ, (n,) counts and the lines up to the grid; None when the text is something else.
    """
    for place, line in enumerate(lines[:_HEADER_LINES]):
        match = _GRID.match(line)
        if match is None:
            continue
        start, step, stop = (float(text) for text in match.groups())
        if not (-1 <= start < stop <= 180 and _SMALLEST_STEP <= step <= _LARGEST_STEP):
            continue
        points = round((stop - start) / step) + 1
        counts = _numbers(lines[place + 1 :], points)
        if counts is not None:
            return (
                np.asarray(start + step * np.arange(points), dtype=np.float64),
                counts,
                [text.strip() for text in lines[: place + 1]],
            )
    return None


def _numbers(lines: list[str], points: int) -> NDArray[np.float64] | None:
    """All numbers of the lines when there are just `points` of them and nothing else."""
    words = " ".join(lines).replace(",", " ").strip("\x1a\x00 ").split()
    if len(words) != points:
        return None
    try:
        counts = np.array([float(word) for word in words], dtype=np.float64)
    except ValueError:
        return None
    return counts if np.isfinite(counts).all() else None
