"""The fit of what known phases weigh beside the other witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joint_rows import Row
from numpy.typing import NDArray
from scipy.optimize import minimize

from syngony.determination.posterior import (
    EXTINCTION_OF_GROUP,
    PHASE_FEATURES,
    TYPICAL_VOLUME,
    combine,
    log_odds_given,
    log_support,
    phase_features,
    size_of_libraries,
)
from syngony.extinction_groups import space_group_frequencies
from syngony.symmetry import SYSTEM_OF_GROUP

RIDGE = 0.3
"""On each weight of `PHASE_FEATURES`, beside a surprise that is summed over scans."""

_NAMES = ("slope", "power", "size", *PHASE_FEATURES, "offset", "slip")
_START = (1.0, 0.5, 0.3, *np.zeros(len(PHASE_FEATURES)), 0.0, -1.5)  # slip as its logit
_MOST = 5  # phases of a scan


@dataclass(frozen=True, eq=False)
class Known:
    """Known phases of n scans, and what the others say.

    Attributes:
        about: (n, 5, len(_NAMES) - 1) what the weights multiply.
        there: (n, 5) 1.0 where there is such a phase.
        others, at_truth: (n, 3) what the other witnesses give to system, extinction group and space group of the
            truth; (n, 5, 3) whether a phase is of them.
    """

    about: NDArray[np.float64]
    there: NDArray[np.float64]
    others: NDArray[np.float64]
    at_truth: NDArray[np.float64]


def gathered(rows: list[Row], table: dict[str, Any]) -> Known:
    """What the fit needs of scans."""
    prior = space_group_frequencies(TYPICAL_VOLUME)
    prior = prior / prior.sum()
    about, there = np.zeros((len(rows), _MOST, len(_NAMES) - 1)), np.zeros((len(rows), _MOST))
    others, at_truth = np.zeros((len(rows), 3)), np.zeros((len(rows), _MOST, 3))
    for i, row in enumerate(rows):
        groups = combine(row.evidence, ("network", "lattice"), table).space_groups
        truth = row.truth - 1
        classes = (SYSTEM_OF_GROUP, EXTINCTION_OF_GROUP, np.arange(len(groups)))
        others[i] = [groups[of == of[truth]].sum() for of in classes]
        first = [p for p in row.evidence.phases or () if p.component == 1][:_MOST]
        if not first:
            continue
        numbers, given = np.array([p.space_group - 1 for p in first]), np.array([p.probability for p in first])
        many = slice(0, len(first))
        there[i, many] = 1.0
        about[i, many, 0] = log_odds_given(given)
        about[i, many, 1] = log_support(groups, numbers, prior)
        about[i, many, 2] = size_of_libraries(row.evidence.entries)
        about[i, many, 3:-1] = phase_features(first, row.evidence.cells)
        about[i, many, -1] = 1.0
        at_truth[i, many] = np.array([of[numbers] == of[truth] for of in classes]).T
    return Known(about, there, others, at_truth)


def loss(x: NDArray[np.float64], known: Known) -> float:
    """Surprise, as in `joint_calibration.surprise`, and the ridge."""
    odds = np.exp(np.clip(known.about @ x[:-1], -30.0, 30.0)) * known.there
    found = odds / (1.0 + odds.sum(1, keepdims=True))
    slip = 1.0 / (1.0 + np.exp(-x[-1]))
    total = found.sum(1)
    said = (1.0 - total + slip * total)[:, None] * known.others
    said += (1.0 - slip) * (found[:, :, None] * known.at_truth).sum(1)
    logs = np.log(np.maximum(said, 1e-6)).mean(0)
    return float(-(logs @ [1.0, 0.5, 0.5]) + RIDGE * (x[3:-2] ** 2).sum() / len(said))


def fit_library(rows: list[Row], table: dict[str, Any]) -> None:
    """The rule of known phases, beside powers that are fitted already."""
    found = minimize(loss, np.array(_START), args=(gathered(rows, table),), method="L-BFGS-B").x
    found[-1] = 1.0 / (1.0 + np.exp(-found[-1]))
    table["library"] = dict(zip(_NAMES, np.round(found, 4).tolist(), strict=True))
    print(f"library: {table['library']}", flush=True)
