"""The fit of how likely a crystal is of the symmetry that its cell is nearly of."""

from __future__ import annotations

import numpy as np
from joint_rows import Row
from scipy.optimize import minimize

from syngony.determination.posterior import LATTICE_OF_GROUP, near_features
from syngony.unit_cell import LATTICE_SYSTEMS

RIDGE = 0.5


def fit_near(rows: list[Row]) -> dict[str, float]:
    """Weights of `near_features`, on right cells whose label is of their own lattice or of one that is near.

    A lattice that is farther stands for the nearer ones too: they are judged where the label is not of it.
    """
    seen: list[dict[str, float]] = []
    meant: list[bool] = []
    for row in rows:
        label = LATTICE_SYSTEMS[LATTICE_OF_GROUP[row.truth - 1]]
        for one, right in zip(row.evidence.cells, row.right, strict=True):
            names = [one.cell.cell.lattice_system, *(near.cell.lattice_system for near in one.near)]
            if not right or label not in names:
                continue
            place = names.index(label)
            for i, near in enumerate(one.near, start=1):
                if i >= place:
                    seen.append(near_features(near))
                    meant.append(i == place)
            break  # the first right cell
    names = list(seen[0]) if seen else ["one"]
    x = np.array([[about[name] for name in names] for about in seen]).reshape(-1, len(names))
    sign = np.where(meant, 1.0, -1.0)

    def loss(weights: np.ndarray) -> float:
        return float(np.logaddexp(0.0, -sign * (x @ weights)).sum() + RIDGE * (weights[1:] ** 2).sum())

    weights = minimize(loss, np.zeros(len(names)), method="L-BFGS-B").x
    rule = dict(zip(names, np.round(weights, 4).tolist(), strict=True))
    print(f"near lattices: {rule}, {len(seen)} of them, {sum(meant)} meant", flush=True)
    return rule
