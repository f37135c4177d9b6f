"""When lines cannot be indexed, and why: the reasons that are given instead of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from syngony.lattice.predicted import CUBIC, HEXAGONAL, MONOCLINIC, ORTHORHOMBIC, PARAMETERS, TETRAGONAL, TRICLINIC
from syngony.lines.lines import Lines

if TYPE_CHECKING:
    from syngony.lattice.indexing import IndexedCell

FEWEST_LINES = 5
_LINES_BEYOND_PARAMETERS = 4
_NAMES = {
    CUBIC: "cubic", TETRAGONAL: "tetragonal or hexagonal", HEXAGONAL: "tetragonal or hexagonal",
    ORTHORHOMBIC: "orthorhombic", MONOCLINIC: "monoclinic", TRICLINIC: "triclinic",
}  # fmt: skip
_ALL = (CUBIC, TETRAGONAL, HEXAGONAL, ORTHORHOMBIC, MONOCLINIC, TRICLINIC)
_EXPLAINED, _LEFT = 0.6, 0.15
_SURE = 4.0  # decimal log of odds above which few lines need no word of caution


def symmetries_within_reach(lines: int) -> tuple[int, ...]:
    """Metric symmetries that a number of lines can prove: four lines more than free parameters."""
    return tuple(s for s in _ALL if lines >= PARAMETERS[s] + _LINES_BEYOND_PARAMETERS)


def too_few(lines: Lines) -> str | None:
    """The reason where there are too few lines for any cell."""
    if len(lines) >= FEWEST_LINES:
        return None
    if len(lines) == 0:
        return "no lines: amorphous, or too noisy"
    return f"{len(lines)} line{'s' if len(lines) > 1 else ''}: too few for any cell; measure a longer range, or longer"


def orders_of_one_spacing(lines: Lines) -> str | None:
    """The reason where all lines are orders of one spacing, as of layers lying flat: they hold one axis, not a cell."""
    root = np.sqrt(lines.q)
    uncertainty = np.maximum(lines.q_uncertainty / (2.0 * root), 1e-4 * root)
    for divisor in (1, 2, 3):
        unit = root[0] / divisor
        orders = np.round(root / unit)
        unit = float((orders * root).sum() / (orders**2).sum())
        far = np.abs(root - orders * unit) > np.maximum(4.0 * uncertainty, 0.002 * root)
        # Orders of a large spacing lie so densely that any line is near one.
        if not far.any() and orders[-1] <= 2 * len(lines) and len(np.unique(orders)) == len(lines):
            spacing = f"{1.0 / unit:.3f} Å"
            return f"every line is an order of one spacing, {spacing}: one axis, not a cell; is the sample textured?"
    return None


def why_none(lines: Lines, cells: Sequence[IndexedCell]) -> str | None:
    """What to say where there is no cell, or where the first one leaves much unexplained."""
    reach = symmetries_within_reach(len(lines))
    lacking = [s for s in _ALL if s not in reach]
    few = f"{len(lines)} lines: too few for less than {_NAMES[reach[-1]]}" if lacking else None
    if not cells:
        return few or (
            "no cell explains the lines better than accident: more than one phase, another wavelength, or "
            "a cell too large for these lines?"
        )
    best = max(cell.intensity_explained for cell in cells)
    if best < _EXPLAINED:
        return f"no cell explains more than {best:.0%} of the intensity: more than one phase, or another wavelength?"
    left = 1.0 - cells[0].intensity_explained
    if left > _LEFT:
        return f"the first cell leaves {left:.0%} of the intensity unexplained: a second phase?"
    return few if cells[0].score < _SURE else None
