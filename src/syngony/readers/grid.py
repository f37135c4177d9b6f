"""Counts without angles under a line "start step stop".

FullProf's free format (INSTRM = 0), and that of the Paul Scherrer Institute's DMC and HRPT, where as many
standard uncertainties and some text follow.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from syngony.readers.scan import stepped

_NUMBER = r"([-+]?(?:\d+(?:\.\d*)?|\.\d+))(?![\d.])"
_GRID = re.compile(rf"\s*{_NUMBER}[\s,]+{_NUMBER}[\s,]+{_NUMBER}(?:\s|,|$)")
_HEADER_LINES = 8
_ROWS = 4  # so many angles in a row are no accident
_LONGEST = 60  # characters that a count and its uncertainty may take, with room
_SMALLEST_STEP, _LARGEST_STEP = 1e-4, 1.0  # degrees


def read_grid(lines: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]] | None:
    """Angles, counts and header of a text that holds start, step, stop and exactly that many counts.

    Returns:
        (n,) degrees of 2θ, (n,) counts and the lines around them; None when the text is something else.
    """
    for place, line in enumerate(lines[:_HEADER_LINES]):
        match = _GRID.match(line)
        if match is None:
            continue
        start, step, stop = (float(text) for text in match.groups())
        if not (-1 <= start < stop <= 180 and _SMALLEST_STEP <= step <= _LARGEST_STEP):
            continue
        points = round((stop - start) / step) + 1
        found = _counts(lines[place + 1 :], points)
        if found is not None and not _has_angles(lines[place + 1 :], start, step):
            counts, footer = found
            header = [text.strip() for text in lines[: place + 1]]
            return stepped(start, step, points), counts, header + footer
    return None


def _counts(lines: list[str], points: int) -> tuple[NDArray[np.float64], list[str]] | None:
    """Just `points` counts, or these and as many uncertainties, and the lines after them."""
    if not lines or sum(map(len, lines)) > _LONGEST * points + 10_000:
        return None
    sizes = (points, 2 * points)
    values: list[float] = []
    for place, line in enumerate(lines):
        if len(values) in sizes and not _is_numbers(line):
            footer = [text.strip() for text in lines[place:] if text.strip("\x1a\x00 ")]
            break
        try:
            values += [float(word) for word in line.replace(",", " ").strip("\x1a\x00 ").split()]
        except ValueError:
            return None
    else:
        footer = []
    if len(values) not in sizes or not np.isfinite(values).all():
        return None
    return np.array(values[:points], dtype=np.float64), footer


def _has_angles(lines: list[str], start: float, step: float) -> bool:
    """Whether the lines begin with the angles of the grid: rows of angle and count, not counts alone."""
    words = [line.replace(",", " ").split() for line in lines[:_ROWS] if _is_numbers(line)]
    firsts = [float(row[0]) for row in words if len(row) > 1]
    return len(firsts) == len(words) > 0 and np.allclose(firsts, stepped(start, step, len(firsts)), atol=step / 2)


def _is_numbers(line: str) -> bool:
    try:
        return bool([float(word) for word in line.replace(",", " ").split()])
    except ValueError:
        return False
