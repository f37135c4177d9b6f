"""Extinction groups: what systematic absences alone tell of a space group.

A powder pattern shows which reflections are missing, not which symmetry elements are there. Space groups
of one lattice system that forbid the same reflections are one extinction group; trigonal and hexagonal
ones share several. Table: ``tables/extinction_groups.json``, remade by ``benchmarks/extinction_groups.py``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system

AXIS_PERMUTATIONS: tuple[tuple[int, ...], ...] = tuple(permutations(range(3)))
"""Orders of three axes."""

VOLUME_EDGES = (32, 64, 128, 256, 512, 1024, 2048)
"""Å^3, of the primitive cell: columns of ``tables/space_group_counts.json`` end here."""


@dataclass(frozen=True)
class ExtinctionGroup:
    """Space groups that a powder pattern cannot tell apart by absences.

    Attributes:
        symbol: as in International Tables for Crystallography A (5th edition), table 3.1.4.1, in the standard setting
            of the space group `setting`; ``-`` stands for a direction without absences. Symbols are unique within
            a lattice system only: ``P - - -`` is orthorhombic, tetragonal, hexagonal and cubic.
        space_groups: their numbers, increasing.
        probability: 1 in the table, that of the group given a pattern in a ranking.
        lattice_system: ``triclinic`` to ``cubic``, with ``rhombohedral`` and ``hexagonal``, which takes the other
            trigonal groups as well.
        centring: ``P``, ``C``, ``I``, ``F`` or ``R`` (hexagonal axes) in that setting.
        also: further symbols of the same absences.
        setting: number of the space group whose standard setting the symbol is written in.
    """

    symbol: str
    space_groups: tuple[int, ...]
    probability: float = 1.0
    lattice_system: str = ""
    centring: str = ""
    also: tuple[str, ...] = ()
    setting: int = 0

    @property
    def crystal_systems(self) -> tuple[str, ...]:
        """Names of the crystal systems of its space groups, in the order of `CRYSTAL_SYSTEMS`."""
        found = {crystal_system(number) for number in self.space_groups}
        return tuple(system for system in CRYSTAL_SYSTEMS if system in found)


@cache
def extinction_groups() -> tuple[ExtinctionGroup, ...]:
    """All extinction groups, in the order of their first space group."""
    table = json.loads(files("syngony").joinpath("tables/extinction_groups.json").read_text())["groups"]
    return tuple(
        ExtinctionGroup(
            entry["symbol"],
            tuple(entry["space_groups"]),
            lattice_system=entry["lattice_system"],
            centring=entry["centring"],
            also=tuple(entry["also"]),
            setting=entry["setting"],
        )
        for entry in table
    )


@cache
def extinction_group_of(space_group_number: int) -> ExtinctionGroup:
    """The extinction group that a space group belongs to.

    Raises:
        ValueError: the number is not in 1..230.
    """
    for group in extinction_groups():
        if space_group_number in group.space_groups:
            return group
    raise ValueError(f"space group number {space_group_number} is not in 1..230")


@cache
def extinction_group_indices() -> NDArray[np.int64]:
    """(230,) position in `extinction_groups` of each space group's."""
    place = {number: i for i, group in enumerate(extinction_groups()) for number in group.space_groups}
    return np.array([place[number] for number in range(1, 231)])


@cache
def shares_within_extinction_groups() -> NDArray[np.float64]:
    """(230,) how frequent each space group is among known structures of its extinction group; sums of 1 each."""
    groups = extinction_group_indices()
    counts = _space_group_counts().sum(1) + 1.0 / 7.0  # none is impossible
    return counts / np.bincount(groups, counts)[groups]


@cache
def _space_group_counts() -> NDArray[np.float64]:
    """(230, 8) known structures by space group and volume; ``tables/space_group_counts.json``."""
    table = json.loads(files("syngony").joinpath("tables/space_group_counts.json").read_text())
    return np.array(table["counts"], dtype=float)


def space_group_frequencies(primitive_volume: float, smoothing: float = 20.0) -> NDArray[np.float64]:
    """How frequent the space groups 1 to 230 are among known structures of a volume; (230,), sum 1.

    Small cells hold few atoms, on positions of high symmetry: among hexagonal crystals P6/mmm is common at
    100 Å^3, P6_3/m at 500. Counted by volume in ``tables/space_group_counts.json``, interpolated in its
    logarithm; where a volume is rare, the counts of all volumes take over.

    Args:
        primitive_volume: Å^3.
        smoothing: structures' worth of the frequencies at all volumes, and of a seventh of a structure more
            in each space group, so that none is impossible.
    """
    counts = _space_group_counts()
    overall = counts.sum(1) + 1.0
    overall /= overall.sum()
    centres = np.log(VOLUME_EDGES[0]) + math.log(2.0) * (np.arange(counts.shape[1]) - 0.5)
    place = float(np.clip((math.log(max(primitive_volume, 1e-3)) - centres[0]) / math.log(2.0), 0, len(centres) - 1))
    low = min(int(place), len(centres) - 2)
    here = (1.0 - (place - low)) * counts[:, low] + (place - low) * counts[:, low + 1]
    found = here + smoothing * overall + 1.0 / 7.0
    return found / found.sum()


def absences(space_group_number: int, hkl: NDArray[np.integer]) -> NDArray[np.bool_]:
    """True (n,) for reflections (n, 3) that the operations of a space group forbid, centring included.

    A reflection is absent when an operation (W, w) leaves its indices as they are, h W = h, and shifts its
    phase, h w not an integer: International Tables A, section 2.1.3.13. Standard setting; rhombohedral groups on
    hexagonal axes, obverse.
    """
    import gemmi

    operations = gemmi.get_spacegroup_reference_setting(space_group_number).operations()
    return np.asarray(operations.systematic_absences(np.ascontiguousarray(hkl, dtype=np.int32)), dtype=bool)
