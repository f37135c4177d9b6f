"""Where a known phase has its lines in a scan, and how strong: sticks to draw over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.errors import PatternError
from syngony.library.agreement import agreement, line_heights
from syngony.library.candidates import gather
from syngony.library.file import Library
from syngony.library.refine import FINE_LEVELS, refine
from syngony.library.scan import Scan
from syngony.library.search import Found, fingerprint
from syngony.pattern import Pattern, two_theta_from_q

_WEAKEST = 0.002  # of the phase's strongest line: below it a stick is not seen


@dataclass(frozen=True, eq=False)
class PhaseSticks:
    """The lines of a known phase, its cell refined on the scan.

    Attributes:
        two_theta: (n,) degrees at the scan's wavelength, zero shift included, increasing.
        height: (n,) of each line above the background, 1 being the scan's strongest.
        hkl: (n, 3) indices in the cell of the library.
    """

    two_theta: NDArray[np.float64]
    height: NDArray[np.float64]
    hkl: NDArray[np.int64]


def phase_sticks(pattern: Pattern, phase: dict[str, Any], libraries: Sequence[Library]) -> PhaseSticks | None:
    """Lay a phase that was recognised on its scan once more, for its single lines.

    Args:
        pattern: the scan.
        phase: an entry of `Determination.known_phases`.
        libraries: those that were searched.

    Returns:
        None where its library is not among them, or no line lies in the scan.
    """
    library = next((one for one in libraries if one.name == phase["library"]), None)
    if library is None or phase["id"] not in (ids := library.ids()):
        return None
    try:
        scan = Scan.from_pattern(pattern)
    except PatternError:
        return None
    found = Found(
        np.array([ids.index(phase["id"])]), np.array([-2.0 * math.log(phase["scale"])]), np.zeros(1, bool), np.ones(1)
    )
    candidates = gather([library], [found])
    start = np.zeros((1, 7))
    start[0, 0] = 0.5 * math.sqrt(3.0) * (1.0 - math.exp(found.shift[0]))
    start[0, 6] = phase["zero_shift"]
    refined = refine(candidates, scan, fingerprint(scan), FINE_LEVELS, start)
    agreed = agreement(candidates, refined, scan)
    height = line_heights(candidates, refined, agreed, 0, pattern.wavelength)
    angles = two_theta_from_q(refined.q, pattern.wavelength)
    first, last = pattern.two_theta[0], pattern.two_theta[-1]
    shown = np.isfinite(angles) & (angles >= first) & (angles <= last) & (height > _WEAKEST * height.max(initial=0.0))
    if not shown.any():
        return None
    order = np.flatnonzero(shown)[np.argsort(angles[shown])]
    return PhaseSticks(angles[order], height[order], candidates.hkl[order].astype(np.int64))
