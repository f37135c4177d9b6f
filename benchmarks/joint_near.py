"""The fit of how likely a crystal is of the symmetry that its cell is nearly of."""

from __future__ import annotations

import numpy as np
from joint_logistic import logistic
from joint_rows import Row, lattice_systems

from syngony.determination.posterior import LATTICE_OF_GROUP, near_features
from syngony.unit_cell import LATTICE_SYSTEMS


def fit_near(rows: list[Row]) -> dict[str, float]:
    """Weights of `near_features`, on right cells whose label is of their own lattice or of one that is near.

    A lattice that is farther stands for the nearer ones too: they are judged where the label is not of it.
    """
    seen: list[float] = []
    meant: list[bool] = []
    for row in rows:
        label = LATTICE_SYSTEMS[LATTICE_OF_GROUP[row.truth - 1]]
        for one, right in zip(row.evidence.cells, row.right, strict=True):
            names = lattice_systems(one)
            if not right or label not in names:
                continue
            place = names.index(label)
            for i, near in enumerate(one.near, start=1):
                if i >= place:
                    seen.append(near_features(near)["deviation"])
                    meant.append(i == place)
            break  # the first right cell
    weights = logistic(np.array(seen)[:, None], np.array(meant, dtype=bool))
    rule = dict(zip(("deviation", "one"), np.round(weights, 4).tolist(), strict=True))
    print(f"near lattices: {rule}, {len(seen)} of them, {sum(meant)} meant", flush=True)
    return rule
