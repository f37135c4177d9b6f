"""How likely each cell of a lattice search is right: a conditional logit (McFadden 1974) over what is known of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.indexing import Indexing
from syngony.unit_cell import LATTICE_SYSTEMS

TABLE = "joint_posterior.json"

MOST_CELLS = 5
"""Cells that are weighed against each other."""

CELL_FEATURES = (
    "score",
    "behind the best",
    "ahead of the next",
    "first",
    "unexplained",
    "unindexed",
    "predicted",
    "M20",
    "lines",
    "volume",
    *LATTICE_SYSTEMS,
)


@cache
def constants() -> dict[str, Any]:
    """The fitted constants of the joint posterior; the table says on what they were fitted."""
    return json.loads(files("syngony").joinpath(f"tables/{TABLE}").read_text())


def constants_for(calculated: bool, table: dict[str, Any] | None = None) -> dict[str, Any]:
    """The constants for one kind of scan: calculated ones, which have no scatter, have some of their own.

    Args:
        calculated: as `syngony.lines.lines.Lines.calculated`.
        table: in place of `constants()`.
    """
    table = table or constants()
    return {**table, **table.get("calculated", {})} if calculated else table


def cell_features(indexing: Indexing, place: int) -> NDArray[np.float64]:
    """What is known of the cell at a place of the ranking, in numbers near 1 or below; (len(CELL_FEATURES),)."""
    cell = indexing.cells[place]
    scores = [other.score for other in indexing.cells[:MOST_CELLS]]
    following = scores[place + 1] if place + 1 < len(scores) else 0.0
    return np.array(
        [
            min(cell.score, 60.0) / 10.0,
            max(cell.score - max(scores), -20.0) / 10.0,
            min(cell.score - following, 20.0) / 10.0,
            float(place == 0),
            math.log(1.02 - cell.intensity_explained) / 4.0,
            math.log(1.02 - cell.lines_indexed / cell.lines_total) / 4.0,
            math.log(max(cell.lines_predicted, 1) / cell.lines_total),
            math.log1p(min(max(cell.m20, 0.0), 1e4)) / 4.0,
            math.log(len(indexing.lines)) / 4.0,
            math.log(cell.cell.primitive_volume) / 5.0,
            *(float(cell.cell.lattice_system == system) for system in LATTICE_SYSTEMS),
        ]
    )


def cell_shares(
    features: Sequence[NDArray[np.float64]], table: dict[str, Any] | None = None
) -> tuple[NDArray[np.float64], float]:
    """(k,) probabilities of the cells being right, and that of none; `table` in place of `constants()`."""
    if not features:
        return np.empty(0), 1.0
    weights = (table or constants())["cells"]
    logit = np.stack(features) @ np.array([weights[name] for name in CELL_FEATURES]) + weights["one"]
    odds = np.exp(np.clip(logit, -30.0, 30.0))
    return odds / (1.0 + odds.sum()), 1.0 / (1.0 + float(odds.sum()))
