"""Fit the judgement of `syngony match` on simulated laboratory scans, and write its table.

    python benchmarks/library_calibration.py runs/amcsd.parquet runs/amcsd.lib \
        ../shared/data/materials_project.parquet runs/mp.lib -o src/syngony/tables/match_judgement.json

Structures of training formulas only (`syngony data split`). Scans of AMCSD structures are judged without the very
entry they were simulated from, so that what is left are other determinations of the mineral and its relatives;
of Materials Project structures 35 % are without theirs. No measured scan is looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from library_patterns import right, samples
from scipy.optimize import minimize
from scipy.special import logsumexp

from syngony.errors import PatternError
from syngony.library.file import Library
from syngony.library.judgement import NAMES, prior, terms
from syngony.library.match import rank, relatives
from syngony.library.scan import Scan
from syngony.metrics import expected_calibration_error

REMOVED = 0.35
PENALTY = 0.5  # of squared weights, all terms standardised


def collect(table: Path, own: Library, others: list[Library], number: int, seed: int, removed: float) -> list[dict]:
    """What the fit needs of each scan: terms, priors, groups of relatives, and which candidates are right."""
    rng = np.random.default_rng(seed + 1)
    places = {identifier: i for i, identifier in enumerate(own.ids())}
    found = []
    for sample in samples(table, number, seed, ("train",)):
        libraries = [own, *(others if others and rng.random() < 0.5 else [])]
        allowed: list = [None] * len(libraries)
        if rng.random() < removed and sample.id in places:
            allowed[0] = np.ones(len(own), bool)
            allowed[0][places[sample.id]] = False
        try:
            ranking = rank(Scan.from_pattern(sample.pattern), libraries, allowed)
        except PatternError:
            continue
        if ranking is None:
            continue
        every = np.arange(len(ranking.candidates))
        kinds = np.array([libraries[n].header["sources"][0]["kind"] == "measured" for n in ranking.candidates.library])
        found.append(
            {
                "x": terms(ranking.agreement.features, ranking.candidates.space_group),
                "prior": prior(kinds),
                "right": right(ranking, sample, every),
                "ranking": ranking,
            }
        )
    return found


def fit(found: list[dict]) -> np.ndarray:
    """Weights of the conditional logit, from groups of relatives by their best member."""
    every = np.concatenate([one["x"] for one in found])
    spread = np.where(every.std(axis=0) > 1e-9, every.std(axis=0), 1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.5 * PENALTY * float(weights[:-1] @ weights[:-1]), PENALTY * weights
        slope[-1] = 0.0
        for one in found:
            scaled = one["x"] / spread
            logit = scaled @ weights + one["prior"]
            best = np.array([g[np.argmax(logit[g])] for g in one["groups"]])
            good = one["right"][best]
            whole = logsumexp([0.0, *logit[best]])
            won = logsumexp(logit[best[good]]) if good.any() else 0.0
            total += whole - won
            slope += scaled[best].T @ np.exp(logit[best] - whole)
            if good.any():
                slope -= scaled[best[good]].T @ np.exp(logit[best[good]] - won)
        return total / len(found), slope / len(found)

    weights = minimize(loss, np.zeros(every.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    print(f"log loss {loss(weights)[0]:.4f}")
    return weights / spread


def calibrate(found: list[dict], folds: int = 5) -> tuple[float, float]:
    """Offset and slope of a straight line in the logit of the first answer's probability (J. C. Platt, 1999).

    Probabilities are those of folds that did not fit the weights.
    """
    logit, good = [], []
    for fold in range(folds):
        weights = fit([one for i, one in enumerate(found) if i % folds != fold])
        for one in found[fold::folds]:
            score = one["x"] @ weights + one["prior"]
            best = np.array([g[np.argmax(score[g])] for g in one["groups"]])
            share = np.exp(score.max() - logsumexp([0.0, *score[best]]))
            logit.append(np.log(share / (1.0 - share + 1e-12) + 1e-12))
            good.append(one["right"][np.argmax(score)])
    x, y = np.array(logit), np.array(good, float)

    def loss(line: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0.0, line[0] + line[1] * x) - y * (line[0] + line[1] * x)))

    offset, slope = minimize(loss, [0.0, 1.0]).x
    p = 1.0 / (1.0 + np.exp(-offset - slope * x))
    before = expected_calibration_error(1.0 / (1.0 + np.exp(-x)), y > 0, 10)
    print(f"calibration error {before:.3f} before, {expected_calibration_error(p, y > 0, 10):.3f} after")
    return float(offset), float(slope)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs=4, type=Path, metavar="TABLE LIBRARY", help="measured, then computed")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--number", type=int, default=600, help="scans of each library")
    arguments = parser.parse_args()
    measured, computed = Library.load(arguments.tables[1]), Library.load(arguments.tables[3])
    found = collect(arguments.tables[0], measured, [computed], arguments.number, 11, 1.0)
    found += collect(arguments.tables[2], computed, [], arguments.number, 12, REMOVED)
    weights = np.zeros(len(NAMES))
    for _ in range(3):  # groups of relatives follow their leaders, and these the weights
        for one in found:
            ranking = one["ranking"]
            logit = one["x"] @ weights + one["prior"] if weights.any() else ranking.logit
            one["groups"] = relatives(ranking.candidates, ranking.refined, logit)[1]
        weights = fit(found)
    offset, slope = calibrate(found)
    first = [one["right"][np.argmax(one["x"] @ weights + one["prior"])] for one in found]
    print(f"right first {np.mean(first):.3f} of {len(found)}")
    content = {
        "source": "benchmarks/library_calibration.py: conditional logit on simulated laboratory scans of structures of "
        "the AMCSD (without the entry itself) and of the Materials Project (35 % without), training formulas",
        "scans": len(found),
        "offset": round(offset, 5),
        "slope": round(slope, 5),
        "weights": {name: round(float(w), 5) for name, w in zip(NAMES, weights, strict=True)},
    }
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["weights"]))


if __name__ == "__main__":
    main()
