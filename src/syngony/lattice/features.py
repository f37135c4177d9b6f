"""What the lattice search found, as a vector of fixed length: for models that weigh it with other evidence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from syngony.lattice.indexing import Indexing
from syngony.unit_cell import LATTICE_SYSTEMS

_LOWEST = -30.0

FEATURES = (
    *(f"score {system}" for system in LATTICE_SYSTEMS),
    "lines",
    "cells",
    "margin",
    *(f"first is {system}" for system in LATTICE_SYSTEMS),
    "primitive volume",
    "indexed",
    "intensity unexplained",
    "predicted a line",
    "M20",
    "zero shift",
)
"""Names of the values that `lattice_features` gives."""


def lattice_features(found: Indexing) -> NDArray[np.float64]:
    """The search as numbers, finite whatever was found.

    Returns:
        (len(FEATURES),) the best score of each lattice system (decimal log of odds, -30 where none or worse), logarithm
        of the number of lines, number of cells, difference of the two best scores, which system comes first,
        and of the first cell: logarithm of the primitive volume (Å^3), share of lines indexed, share of
        the intensity left, logarithm of predicted lines to lines, of M20, and the zero shift (degrees).
    """
    scores = [max(found.scores.get(system, _LOWEST), _LOWEST) for system in LATTICE_SYSTEMS]
    general = [math.log1p(len(found.lines)), float(len(found.cells))]
    if not found.cells:
        return np.array([*scores, *general, 0.0, *[0.0] * len(LATTICE_SYSTEMS), 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    first = found.cells[0]
    second = found.cells[1].score if len(found.cells) > 1 else 0.0
    return np.array(
        [
            *scores,
            *general,
            first.score - second,
            *(float(first.cell.lattice_system == system) for system in LATTICE_SYSTEMS),
            math.log(first.cell.primitive_volume),
            first.lines_indexed / first.lines_total,
            1.0 - first.intensity_explained,
            math.log(max(first.lines_predicted, 1) / first.lines_total),
            math.log1p(min(first.m20, 1e6)),
            first.zero_shift,
        ]
    )
