"""Fit the constants of the joint posterior and of refusal; measure what each witness adds.

    python benchmarks/joint_evidence.py STRUCTURES -o runs/joint --kinds lab mixture --count 1700
    python benchmarks/joint_evidence.py STRUCTURES -o runs/joint-ideal --kinds ideal --count 3000
    python benchmarks/joint_evidence.py MINERALS -o runs/joint --side minerals --trained STRUCTURES --kinds lab ideal \
        --count 1400
    python benchmarks/joint_calibration.py -o runs/joint runs/joint-ideal \
        --write src/syngony/tables/joint_posterior.json

after each of the first three for the witnesses lattice, network, library (but of minerals; of 1,200 ideal patterns) and
shipped, as the head of `joint_evidence.py` says; and for the table with --side test.

Only simulated scans are used, of structures whose formulas the network was not trained on; the table is of other
formulas than the fit. No measured scan is read.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from joint_logistic import logistic
from joint_near import fit_near
from joint_phases import fit_library
from joint_powers import fit_powers
from joint_rows import Row, read_rows
from scipy.optimize import minimize

from syngony import metrics
from syngony.determination.cells import CELL_FEATURES, constants
from syngony.determination.evidence import KINDS
from syngony.determination.posterior import (
    EXTINCTION_OF_GROUP,
    LATTICE_OF_GROUP,
    POWER_FEATURES,
    TYPICAL_VOLUME,
    combine,
    kind_of_best,
    systems_of,
)
from syngony.determination.refusal import FEATURES as REFUSAL_FEATURES
from syngony.determination.refusal import refusal_features
from syngony.extinction_groups import space_group_frequencies
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP
from syngony.unit_cell import LATTICE_SYSTEMS

HARDLY_KNOWN = 0.8
"""Of structures of the Materials Project, those that the shipped library does not hold less those that it does."""

SINGLES_REFUSED = 0.05
"""Share of single-phase laboratory scans that the operating point of refusal gives up."""


def fit_cells(rows: list[Row], ridge: float = 2.0, towards: dict[str, float] | None = None) -> dict[str, float]:
    """Weights of the conditional logit: one of the cells is right, or none; held near those of `towards`, or zero."""
    centre = (
        np.array([towards[name] for name in [*CELL_FEATURES, "one"]]) if towards else np.zeros(len(CELL_FEATURES) + 1)
    )
    chosen = [row for row in rows if row.evidence.cells]
    features = [
        np.column_stack([np.stack([c.features for c in r.evidence.cells]), np.ones(len(r.right))]) for r in chosen
    ]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        away = weights - centre
        if towards is None:
            away[-1] = 0.0
        total, slope = ridge * float(away @ away), 2.0 * ridge * away
        for x, row in zip(features, chosen, strict=True):
            logit = x @ weights
            top = max(0.0, float(logit.max()))
            odds = np.exp(logit - top)
            below = np.exp(-top) + odds.sum()
            hit = np.flatnonzero(row.right)
            total += top + np.log(below) - (float(logit[hit[0]]) if len(hit) else 0.0)
            slope += (odds / below) @ x
            if len(hit):
                slope -= x[hit[0]]
        return total, slope

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return dict(zip([*CELL_FEATURES, "one"], np.round(found.x, 5).tolist(), strict=True))


def fit_blank(rows: list[Row], ridge: float = 5.0) -> list[list[float]]:
    """How much commoner each lattice system is, than among all structures, where no cell of the search is right.

    A row for each lattice system of the best cell and one for no cell, held near that of all together.
    """
    prior = np.bincount(LATTICE_OF_GROUP, space_group_frequencies(TYPICAL_VOLUME), len(LATTICE_SYSTEMS))
    wrong = [row for row in rows if not row.right.any()]
    counts = np.zeros((len(prior) + 1, len(prior)))
    for row in wrong:
        counts[kind_of_best(row.evidence.cells), LATTICE_OF_GROUP[row.truth - 1]] += 1
    whole = (counts.sum(0) + 10.0 * prior) / (counts.sum() + 10.0)
    shares = (counts + ridge * whole) / (counts.sum(1, keepdims=True) + ridge)
    return np.round(shares / prior, 4).tolist()


def fit_posterior(
    rows: list[Row],
    shipped: list[Row],
    table: dict[str, Any],
    towards: dict[str, float] | None = None,
    features: tuple[str, ...] = (),
) -> None:
    """All constants but those of refusal, on scans of one kind, which asked all libraries and the shipped one."""
    table["cells"] = fit_cells(rows, towards=towards)
    table["blank"] = fit_blank(rows)
    fit_powers(rows, table, features)
    if known := with_phases(rows + shipped):
        fit_library(known, table)


def fit_calculated(rows: list[Row], shipped: list[Row], table: dict[str, Any]) -> None:
    """The constants that calculated scans have of their own, near those of the others.

    What the best cell leaves unexplained is a defect of the cell there. In a measured scan it may as well be another
    phase, noise, or a line that was missed: powers that depend on it are no better on laboratory scans.
    """
    own = copy.deepcopy(table)
    bare = [
        [replace(row, evidence=replace(row.evidence, calculated=False)) for row in some] for some in (rows, shipped)
    ]
    own["near"] = fit_near(rows)
    fit_posterior(*bare, own, towards=table["cells"], features=POWER_FEATURES)
    table["calculated"] = {name: own[name] for name in ("near", "cells", "blank", "powers", "library")}


def fit_refusal(rows: list[Row], table: dict[str, Any]) -> None:
    """Logistic weights of mixtures against single phases, with and without libraries; the operating point."""
    scans = [row for row in rows if row.kind != "ideal"]
    mixed = np.array([row.kind == "mixture" for row in scans])
    for name, kinds in (("without library", ("network", "lattice")), ("with library", KINDS)):
        bare = [_without_library(r.evidence) if "library" not in kinds else r.evidence for r in scans]
        x = np.stack([refusal_features(e, combine(e, kinds, table)) for e in bare])
        weights = logistic(x, mixed)
        table["refusal"][name] = dict(zip([*REFUSAL_FEATURES, "one"], np.round(weights, 5).tolist(), strict=True))
        score = 1.0 / (1.0 + np.exp(-(x @ weights[:-1] + weights[-1])))
        if name == "with library":
            table["refusal"]["most"] = round(float(np.quantile(score[~mixed], 1.0 - SINGLES_REFUSED)), 4)
        print(f"refusal {name}: area under ROC {area(score, mixed):.3f}, on the scans of the fit", flush=True)


def area(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative."""
    ranks = np.argsort(np.argsort(score)) + 1.0
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def _without_library(evidence: Any) -> Any:
    return replace(evidence, phases=None)


def print_table(rows: list[Row], table: dict[str, Any], title: str) -> None:
    """Markdown: each witness alone, each pair, all."""
    print(f"\n| {title}, n = {len(rows)} | system | extinction group | space group | ECE | at half coverage |")
    print("|---|---|---|---|---|---|")
    there = [kind for kind in KINDS if kind != "library" or any(r.evidence.phases is not None for r in rows)]
    truth = np.array([row.truth - 1 for row in rows])
    for size in range(1, len(there) + 1):
        for kinds in combinations(there, size):
            groups = np.stack([combine(row.evidence, kinds, table).space_groups for row in rows])
            systems = np.stack([systems_of(g) for g in groups])
            classes = np.stack([np.bincount(EXTINCTION_OF_GROUP, g) for g in groups])
            report = metrics.crystal_system_report(systems, SYSTEM_OF_GROUP[truth])
            half = next(c["accuracy"] for c in report["coverage"] if c["fraction"] == 0.5)
            print(
                f"| {' + '.join(kinds)} | {100 * report['accuracy']:.1f} "
                f"| {100 * np.mean(classes.argmax(1) == EXTINCTION_OF_GROUP[truth]):.1f} "
                f"| {100 * np.mean(groups.argmax(1) == truth):.1f} | {report['ece']:.3f} | {100 * half:.1f} |",
                flush=True,
            )


def print_cells(rows: list[Row]) -> None:
    """How often the lattice search by itself has the right cell first, and in five."""
    print("\n| right cell, % | " + " | ".join(CRYSTAL_SYSTEMS[::-1]) + " |\n|---" + "|---" * len(CRYSTAL_SYSTEMS) + "|")
    for kind in ("lab", "ideal"):
        of = [[row for row in rows if row.kind == kind and SYSTEM_OF_GROUP[row.truth - 1] == i] for i in range(7)][::-1]
        print(f"| {kind}, n | " + " | ".join(str(len(some)) for some in of) + " |")
        for most, name in ((1, "right first"), (5, "in five")):
            shares = [np.mean([row.right[:most].any() for row in some]) if some else float("nan") for some in of]
            print(f"| {name} | " + " | ".join(f"{100 * share:.0f}" for share in shares) + " |")


def read_all(folders: list[Path], side: str, library: str = "library") -> list[Row]:
    """The rows of several folders."""
    return [row for folder in folders for row in read_rows(folder, side, library)]


def balanced(minerals: list[Row], others: list[Row]) -> list[Row]:
    """Minerals, so often that the shipped library, too, holds the phase for half of the scans of each kind."""
    many = []
    for kind in ("lab", "ideal"):
        known = [row for row in minerals if row.kind == kind]
        wanted = HARDLY_KNOWN * sum(row.kind == kind for row in others)
        many += round(wanted / max(len(known), 1)) * known
    return many


def with_phases(rows: list[Row]) -> list[Row]:
    """Scans of which libraries were asked."""
    return [row for row in rows if row.evidence.phases is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "-o", "--output", type=Path, nargs="+", default=[Path("runs/joint")], help="folders of evidence"
    )
    parser.add_argument("--write", type=Path, help="the table of constants; nothing is written if omitted")
    parser.add_argument(
        "--tested", default="library", choices=("library", "shipped"), help="libraries of the test side"
    )
    parser.add_argument("--measure", action="store_true", help="do not fit: the shipped constants")
    arguments = parser.parse_args()
    table = copy.deepcopy(constants())
    if not arguments.measure:
        rows, shipped = (read_all(arguments.output, "validation", name) for name in ("library", "shipped"))
        shipped += balanced(read_all(arguments.output, "minerals", "shipped"), shipped)
        single, alone = ([row for row in some if row.kind != "mixture"] for some in (rows, shipped))
        table.pop("calculated", None)
        scattered, calculated = (
            [[row for row in some if row.evidence.calculated is wanted] for some in (single, alone)]
            for wanted in (False, True)
        )
        fit_posterior(*scattered, table)
        if asked := with_phases(rows):
            fit_refusal(asked, table)
        fit_calculated(*calculated, table)
        table["source"] = (
            f"benchmarks/joint_calibration.py on {len(rows)} simulated scans of structures of the Materials Project, "
            f"validation formulas; {time.strftime('%Y-%m-%d')}"
        )
        if arguments.write:
            arguments.write.write_text(json.dumps(table, indent=1) + "\n")
        print_cells(single)
        print_table(with_phases(single), table, "scans of the fit itself")
        print_table(with_phases(alone), table, "the same, the shipped library alone")
    tested = with_phases(read_all(arguments.output, "test", arguments.tested))
    for kind in ("lab", "ideal"):
        for unknown, name in ((True, "compound not in the libraries"), (False, "compound in the libraries")):
            chosen = [row for row in tested if row.kind == kind and row.unknown == unknown]
            if chosen:
                print_table(chosen, table, f"{kind}, {name}")
    print(f"\n{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
