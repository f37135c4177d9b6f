"""Random crystals with exact labels.

After Schopmans et al. (Digital Discovery 2, 1414-1424, 2023), who showed that a network that sees them recognises
the symmetry of structure types that no database has: a space group, occupied Wyckoff positions, elements,
a volume and a cell are drawn from what real structures are like, free coordinates evenly. Unlike theirs, atoms
keep their distances, and spglib has to find the drawn space group again, else the crystal is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count as count_from

import numpy as np
from numpy.typing import NDArray

from syngony.parallel import in_order
from syngony.sources.harvest import Harvest, Outcome, Refusal, useful_workers
from syngony.sources.synthetic.crystal import Rejection, draw_crystal
from syngony.sources.synthetic.statistics import group_statistics, pick, space_group_weights, volume_factor
from syngony.structure_table import StructureRecord, TableInfo
from syngony.symmetry import LABEL_TOLERANCE

SOURCE = (
    "Synthetic crystals of Syngony, drawn from statistics of the Materials Project (Jain et al., APL Materials 1, "
    "011002, 2013; CC BY 4.0), after Schopmans et al., Digital Discovery 2, 1414 (2023)"
)
LICENCE = "CC BY 4.0"

FLATTEN = 0.5
"""Between space groups as frequent as in the database (0) and all alike (1)."""

_ATTEMPTS = 20  # with one number of orbits and one density, so that few and loose ones are not preferred
_ROUNDS = 15  # of these before a space group is given up


@dataclass(frozen=True)
class Drawn:
    """What came of one number of the series: a crystal or a refusal, and the attempts that failed by kind."""

    outcome: Outcome
    rejected: Counter[str]


def harvest(
    count: int,
    seed: int = 0,
    flatten: float = FLATTEN,
    tolerance: float = LABEL_TOLERANCE,
    workers: int = 1,
) -> Harvest:
    """So many random crystals; the same ones for the same seed, whatever the number of workers.

    Args:
        count: structures wanted.
        seed: crystal n has a generator of its own, seeded with (seed, n).
        flatten: see `space_group_weights`.
        tolerance: symprec of the labels, Å.
        workers: processes that draw.
    """
    remarks: list[str] = []

    def entries(first: int, structures: int) -> Iterator[list[Outcome]]:
        rejected: Counter[str] = Counter()
        wanted = here = count - structures
        if not wanted:
            return
        draw = partial(draw_number, seed=seed, flatten=flatten, tolerance=tolerance)
        for drawn in in_order(draw, count_from(first), useful_workers(workers, wanted)):
            rejected.update(drawn.rejected)
            wanted -= isinstance(drawn.outcome, StructureRecord)
            yield [drawn.outcome]
            if not wanted:
                break
        total = here + sum(rejected.values())
        shares = "".join(f"; {kind}: {number / total:.1%}" for kind, number in rejected.most_common())
        remarks.append(f"{total:,} crystals drawn for {here:,}{shares}")

    notes = {"seed": str(seed), "flatten": f"{flatten:g}"}
    identity = {"synthetic": notes, "tolerance": tolerance, "count": count}
    info = TableInfo(SOURCE, LICENCE, tolerance, notes)
    return Harvest(info, entries, identity, total=count, remarks=remarks)


def draw_number(number: int, seed: int, flatten: float = FLATTEN, tolerance: float = LABEL_TOLERANCE) -> Drawn:
    """Crystal ``number`` of the series of a seed, drawn until its space group is the one that was asked for."""
    rng = np.random.default_rng((seed, number))
    space_group_number = pick(rng, _cumulative(flatten)) + 1
    identifier = f"syn-{seed}-{number}"
    rejected: Counter[str] = Counter()
    for _ in range(_ROUNDS):
        orbits, factor = pick(rng, group_statistics(space_group_number).orbits) + 1, volume_factor(rng)
        for _ in range(_ATTEMPTS):
            try:
                structure = draw_crystal(rng, space_group_number, orbits, factor, tolerance)
            except Rejection as rejection:
                rejected[str(rejection)] += 1
                continue
            return Drawn(StructureRecord(identifier, space_group_number, structure), rejected)
    return Drawn(Refusal(identifier, f"no crystal found: space group {space_group_number}"), rejected)


@lru_cache(maxsize=4)
def _cumulative(flatten: float) -> NDArray[np.float64]:
    return np.cumsum(space_group_weights(flatten))
