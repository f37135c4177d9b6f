"""Columns of numbers that would pass for a scan and are none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError

COARSEST_STEP = 0.5  # degrees of 2θ: wider than any line
_HOLE = 1.0  # degrees of 2θ
_HOLE_STEPS = 20.0  # a hole is at least so many steps wide
_SLIDING = 3.0  # ratio of mean steps, from one end to the other


def refuse_disguises(values: NDArray[np.float64]) -> None:
    """Refuse rows that are a list of peaks, several scans side by side, or on another axis than 2θ.

    Args:
        values: (n, k) rows, the first column increasing or decreasing.

    Raises:
        PatternError: what the rows seem to be, and what to do.
    """
    angles, second = values[:, 0], values[:, 1]
    steps = np.abs(np.diff(angles))
    if values.shape[1] >= 3:
        _refuse_neighbours(angles, values[:, 2])
    if np.array_equal(second, 2 * angles) or _evenly_stepped(second):
        raise PatternError("the second column rises in even steps like an angle: give 2θ first, intensity second")
    if np.median(steps) > COARSEST_STEP:
        raise PatternError(
            f"the points lie {np.median(steps):.3g} degrees apart: a list of peaks? give the scan itself, "
            f"with steps below {COARSEST_STEP:g} degrees"
        )
    _refuse_sliding_steps(steps)


def hole_in(angles: NDArray[np.float64]) -> tuple[float, float] | None:
    """The widest hole of an increasing axis, if one is far wider than its steps.

    Raises:
        PatternError: the hole parts the first or the last point from all others.
    """
    steps = np.diff(angles)
    widest = int(steps.argmax())
    if steps[widest] < max(_HOLE, _HOLE_STEPS * float(np.median(steps))):
        return None
    if widest in (0, len(steps) - 1):
        lone = angles[0] if widest == 0 else angles[-1]
        raise PatternError(f"the point at {lone:g} lies {steps[widest]:.3g} degrees from the others: remove that line")
    return float(angles[widest]), float(angles[widest + 1])


def _refuse_sliding_steps(steps: NDArray[np.float64]) -> None:
    """Even steps of 2θ are steps in d that grow steadily; joined ranges and curved detectors differ less."""
    means = np.array([part.mean() for part in np.array_split(steps, 10)])
    small, large = means.min(), means.max()
    change = np.diff(means)
    if large > _SLIDING * small and ((change > 0).all() or (change < 0).all()):
        raise PatternError(
            f"the steps slide from {means[0]:.2g} to {means[-1]:.2g}: is the first column d? give even steps of 2θ"
        )


def _refuse_neighbours(angles: NDArray[np.float64], third: NDArray[np.float64]) -> None:
    rising = angles[0] < angles[-1]
    first, last = (angles, third) if rising else (third, angles)
    interleaved = (first[:-1] < last[:-1]).all() and (last[:-1] < first[1:]).all()
    if np.array_equal(angles, third) or (interleaved and len(angles) > 2):
        raise PatternError("the third column is an angle too: several points or scans side by side; give one a line")


def _evenly_stepped(column: NDArray[np.float64]) -> bool:
    steps = np.diff(column)
    return bool(abs(steps.mean()) > 0 and np.ptp(steps) < 1e-3 * abs(steps.mean()))
