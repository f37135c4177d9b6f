"""From what is known of a candidate to the probability that it is right."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from syngony.library.agreement import FEATURES
from syngony.library.strain import free_parameters

TABLE = "match_judgement.json"

COMPUTED_PRIOR = math.log(1.0 / 3.0)
"""Of a computed structure against a measured one: two thirds of the Materials Project have never been made."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """A conditional logit (D. McFadden, 1974): one candidate is right, or none of those in the libraries is.

    Attributes:
        weights: one for each of `features_of`.
        offset, slope: of a straight line between logits, fitted last, for calibration.
    """

    weights: NDArray[np.float64]
    offset: float
    slope: float

    def logits(
        self,
        features: NDArray[np.float64],
        space_group: NDArray[np.integer],
        measured: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """(k,) logit of each candidate against none being right.

        Args:
            features: (k, len(FEATURES)).
            space_group: (k,) numbers: a cell with more parameters fits more by chance.
            measured: (k,) whether the structure was determined by experiment.
        """
        return terms(features, space_group) @ self.weights + prior(measured)

    def probabilities(self, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of candidates that exclude each other, likeliest first: with none being right they sum to one."""
        top = max(float(logit.max(initial=0.0)), 0.0)
        weights = np.exp(logit - top)
        share = np.clip(weights / (math.exp(-top) + weights.sum()), 1e-9, 1.0 - 1e-9)
        share = 1.0 / (1.0 + (1.0 / share - 1.0) ** self.slope * math.exp(-self.offset))
        # The first answer is what was calibrated; the others share what it leaves.
        left, others = 1.0 - share[:1].sum(), share[1:].sum()
        share[1:] *= min(1.0, left / max(others, 1e-12))
        return np.minimum(share, share[:1]) if len(share) else share


def prior(measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(k,) what is added to the logits where computed structures stand against measured ones."""
    return np.where(measured, 0.0, COMPUTED_PRIOR) if measured.any() else np.zeros(len(measured))


NAMES = (*FEATURES, "strict^2", "tolerant^2", "tolerant x lines", "free", "one")


def terms(features: NDArray[np.float64], space_group: NDArray[np.integer]) -> NDArray[np.float64]:
    """(k, len(NAMES)) what the weights multiply."""
    column = dict(zip(FEATURES, features.T, strict=True))
    more = [
        column["strict"] ** 2,
        column["tolerant"] ** 2,
        column["tolerant"] * column["lines"],
        np.array([float(free_parameters(int(number))) for number in space_group]),
        np.ones(len(features)),
    ]
    return np.column_stack([features, *more])


@cache
def judgement() -> Judgement:
    """The shipped one; its table says on what it was fitted."""
    content = json.loads(files("syngony").joinpath(f"tables/{TABLE}").read_text())
    return Judgement(
        np.array([content["weights"][name] for name in NAMES]), float(content["offset"]), float(content["slope"])
    )
