"""Scans that should not be answered: mixtures, no lines, too few of them, another wavelength than is stated.

A logistic model of the share of scans that are equal mixtures of two phases, over what the three witnesses make of
them. Fitted by ``benchmarks/joint_calibration.py`` on simulated laboratory scans.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from syngony.determination.cells import constants
from syngony.determination.evidence import Evidence
from syngony.determination.posterior import Posterior

FEATURES = (
    "no cell",
    "cell score",
    "score of a line",
    "cell unexplained",
    "cell share",
    "lines",
    "no phase",
    "phase",
    "phase unexplained",
    "second phase",
    "network doubt",
    "doubt",
)

FEWEST_LINES = 4
"""With fewer a pattern says nothing of a lattice."""


def refusal_features(evidence: Evidence, posterior: Posterior) -> NDArray[np.float64]:
    """(len(FEATURES),) numbers near 1 or below."""
    found = evidence.indexing.cells if evidence.indexing is not None else ()
    lines = len(evidence.indexing.lines) if evidence.indexing is not None else 0
    cell = [1.0, 0.0, 0.0, 0.0]
    if found:
        first = found[0]
        score = min(first.score, 60.0)
        cell = [0.0, score / 10.0, score / first.lines_total, math.log(1.02 - first.intensity_explained) / 4.0]
    phases = evidence.phases or ()
    first_phases = [p for p in phases if p.component == 1]
    phase = [1.0, 0.0, 0.0]
    if first_phases:
        phase = [0.0, first_phases[0].probability, math.log(0.02 + first_phases[0].unexplained) / 4.0]
    second = max((p.probability for p in phases if p.component == 2), default=0.0)
    network = posterior.witnesses.get("network")
    return np.array(
        [
            *cell,
            float(posterior.cell_shares.max(initial=0.0)),
            math.log1p(lines) / 4.0,
            *phase,
            second,
            0.0 if network is None else 1.0 - float(network.max()),
            1.0 - float(posterior.systems.max()),
        ]
    )


def suspicion(evidence: Evidence, posterior: Posterior) -> float | None:
    """Probability that a scan is not of one crystalline phase; None where lattice or network were not asked."""
    if evidence.indexing is None or evidence.scores is None:
        return None
    rule = constants()["refusal"]
    weights = rule["with library" if evidence.phases is not None else "without library"]
    logit = (
        float(refusal_features(evidence, posterior) @ np.array([weights[name] for name in FEATURES])) + weights["one"]
    )
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))


def reasons(evidence: Evidence, posterior: Posterior, suspected: float | None, asked_lattice: bool) -> tuple[str, ...]:
    """Why a scan is not answered; empty where it is."""
    rule = constants()["refusal"]
    said: list[str] = []
    found = 0 if evidence.indexing is None else len(evidence.indexing.lines)
    if asked_lattice and found == 0:
        said.append("no lines stand out of the background: amorphous, or measured too shortly")
    elif asked_lattice and found < FEWEST_LINES:
        said.append(f"{found} {'line' if found == 1 else 'lines'}: too few to tell a lattice")
    if evidence.wrong_wavelength is not None:
        said.append(evidence.wrong_wavelength)
    if suspected is not None and suspected > rule["most"]:
        second = [p for p in evidence.phases or () if p.component == 2 and p.probability > 0.5]
        also = f" ({second[0].name or second[0].formula} seems to be in it)" if second else ""
        said.append(f"probably not one phase{also}: {suspected:.0%}")
    best = float(posterior.systems.max())
    if best < rule["least"]:
        said.append(f"no crystal system reaches {rule['least']:.0%}")
    return tuple(said)
