"""Extinction groups in every setting that the axes of a cell leave open."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from syngony.absences.lattice_lines import centred
from syngony.errors import InputError
from syngony.extinction_groups import AXIS_PERMUTATIONS, ExtinctionGroup, absences, extinction_groups

# An axis transformation M gives the indices in the standard setting, hkl_standard = hkl @ M.
_MONOCLINIC = [
    np.array(m)
    for m in (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
        [[1, 0, 1], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [1, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 0]],
    )
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Setting:
    """An extinction group with the axes of the cell at hand.

    Attributes:
        group: of the table.
        axes: (3, 3), indices of the cell times this are those of the standard setting.
    """

    group: ExtinctionGroup
    axes: NDArray[np.int64]

    def absent(self, hkl: NDArray[np.integer]) -> NDArray[np.bool_]:
        """True (n,) for the reflections (n, 3) of the cell that are forbidden."""
        return absences(self.group.setting, hkl @ self.axes)


@cache
def settings_of(lattice_system: str, centring: str) -> tuple[Setting, ...]:
    """Every extinction group of a Bravais lattice in every distinct setting of the cell's axes.

    Orthorhombic axes may come in any order, monoclinic ones (b unique) in any choice of a and c.

    Raises:
        InputError: there is no such Bravais lattice.
    """
    box = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    allowed = centred(box, centring)
    choices = {
        "orthorhombic": [np.eye(3, dtype=int)[list(order)] for order in AXIS_PERMUTATIONS],
        "monoclinic": _MONOCLINIC,
    }.get(lattice_system, [np.eye(3, dtype=int)])
    found: dict[bytes, Setting] = {}
    for group in extinction_groups():
        if group.lattice_system != lattice_system:
            continue
        for axes in choices:
            if not (centred(box @ axes, group.centring) == allowed).all():
                continue
            setting = Setting(group, axes)
            found.setdefault(setting.absent(box).tobytes(), setting)
    if not found:
        raise InputError(
            f"no conventional {lattice_system} cell has centring {centring}: reduce it to a Bravais lattice"
        )
    return tuple(found.values())
