"""From what is known of the candidates to the probability that one is right."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from syngony.library.agreement import FEATURES, Agreement
from syngony.library.strain import free_parameters

TABLE = "match_judgement.json"

COMPUTED_PRIOR = math.log(1.0 / 3.0)
"""Of a computed structure against a measured one: two thirds of the Materials Project have never been made."""

_NEAR = 0.2  # of ln(1 - correlation): candidates that fit about as well as the best


@dataclass(frozen=True, eq=False)
class Judgement:
    """A conditional logit (D. McFadden, 1974): one candidate is right, or none of those in the libraries is.

    The utility of a candidate is a straight line and a few hyperbolic tangents of its terms.

    Attributes:
        centre, spread: (t,) by which `terms` are standardised.
        weights: (t,); one: the constant.
        hidden: (h, t) weights of the tangents; threshold: (h,); heights: (h,).
        offset, slope: of a straight line between logits, fitted last, for calibration.
    """

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    one: float
    hidden: NDArray[np.float64]
    threshold: NDArray[np.float64]
    heights: NDArray[np.float64]
    offset: float
    slope: float

    def logits(
        self,
        found: Agreement,
        noise: float,
        space_group: NDArray[np.integer],
        measured: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """(k,) logit of each candidate against none being right.

        Args:
            found: figures of k candidates, which are judged beside each other.
            noise: of the scan (`Scan.noise`).
            space_group: (k,) numbers: a cell with more parameters fits more by chance.
            measured: (k,) whether the structure was determined by experiment.
        """
        x = (terms(found, noise, space_group) - self.centre) / self.spread
        bent = np.tanh(x @ self.hidden.T + self.threshold) @ self.heights
        return x @ self.weights + bent + self.one + prior(measured)

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


NAMES = (
    "missing", "texture", "lines", "inside", "distortion", "scale", "zero", "strict misfit", "tolerant misfit",
    "unexplained", "free", "distortion^2", "scale^2", "strict, beyond best", "tolerant, beyond best",
    "unexplained, beyond best", "missing, beyond best", "strict, beyond best x noise", "tolerant, beyond best x noise",
    "unexplained, beyond best x noise", "lines x unexplained", "lines x strict misfit", "noise", "best strict misfit",
    "best tolerant misfit", "best unexplained", "width", "near the best", "free x strict, beyond best",
    "free x unexplained, beyond best", "ln free", "texture^2", "lines x unexplained, beyond best",
    "lines x strict, beyond best", "missing^1/2",
)  # fmt: skip
"""Of `terms`. Misfits are ln(1 - correlation), unexplained is a logarithm too: noise and wrong
line shapes are in the misfit of all candidates of a scan, so that differences from the best of them count; what such a
difference is worth depends on the noise."""


def terms(found: Agreement, noise: float, space_group: NDArray[np.integer]) -> NDArray[np.float64]:
    """(k, len(NAMES)) what is judged, of k candidates beside each other."""
    c = dict(zip(FEATURES, found.features.T, strict=True))
    k = len(found.features)
    if k == 0:
        return np.empty((0, len(NAMES)))
    free = np.array([float(free_parameters(int(number))) for number in space_group])
    strict, tolerant = (np.log(1.005 - np.clip(c[name], -1.0, 1.0)) for name in ("strict", "tolerant"))
    unexplained = np.log(0.003 + c["unexplained"])
    strict_more, tolerant_more, unexplained_more = (x - x.min() for x in (strict, tolerant, unexplained))
    loud = math.log(noise + 1e-4) + 5.5
    near = min(float(np.count_nonzero(tolerant_more < _NEAR)), 60.0) / 20.0
    one = np.ones(k)
    return np.column_stack([
        c["missing"], c["texture"], c["lines"], c["inside"], c["distortion"], c["scale"], c["zero"], strict, tolerant,
        unexplained, free, c["distortion"] ** 2, c["scale"] ** 2, strict_more, tolerant_more,
        unexplained_more, c["missing"] - c["missing"].min(), strict_more * loud, tolerant_more * loud,
        unexplained_more * loud, c["lines"] * unexplained, c["lines"] * strict, loud * one, strict.min() * one,
        tolerant.min() * one, unexplained.min() * one, math.log(found.width.least) * one, near * one,
        free * strict_more, free * unexplained_more, np.log(free), c["texture"] ** 2, c["lines"] * unexplained_more,
        c["lines"] * strict_more, c["missing"] ** 0.5,
    ])  # fmt: skip


@cache
def judgement() -> Judgement:
    """The shipped one; its table says on what it was fitted."""
    content = json.loads(files("syngony").joinpath(f"tables/{TABLE}").read_text())

    def of_terms(values: dict[str, float]) -> NDArray[np.float64]:
        return np.array([values[name] for name in NAMES])

    bent = content["tangents"]
    return Judgement(
        of_terms(content["centre"]),
        of_terms(content["spread"]),
        of_terms(content["weights"]),
        float(content["one"]),
        np.array([of_terms(unit["weights"]) for unit in bent]).reshape(len(bent), len(NAMES)),
        np.array([unit["threshold"] for unit in bent]),
        np.array([unit["height"] for unit in bent]),
        float(content["offset"]),
        float(content["slope"]),
    )
