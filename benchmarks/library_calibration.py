"""Fit the judgement of `syngony match` on simulated laboratory scans, and write its table.

    python benchmarks/library_calibration.py collect runs/judgement --number 1500 --amcsd runs/amcsd.parquet \
        --computed ../shared/data/materials_project.parquet runs/mp.lib
    python benchmarks/library_calibration.py fit runs/judgement -o src/syngony/tables/match_judgement.json

Structures of training formulas only (`syngony data split`). Half of the cells are strained by up to 2 % along each
axis, half by less. Libraries are searched alone and together; as they are in 55 % of the searches, else without the
phase, its compound or its structure type. Three quarters of the AMCSD scans are judged without the very entry they were
simulated from, so that what is left are other determinations of the mineral. No measured scan is looked at.

`collect` writes one file a scan and goes on where it was stopped; ``runs/amcsd.parquet`` is made by `syngony data
fetch amcsd -o runs/amcsd.parquet`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from library_patterns import Sample, copper, right, sticks
from numpy.typing import NDArray
from scipy.optimize import minimize

from syngony.diffraction.laboratory import Laboratory, measure
from syngony.diffraction.phase import Phase
from syngony.diffraction.texture import strained_q
from syngony.errors import SyngonyError
from syngony.learning.split import sides_of
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library, load_library
from syngony.library.judgement import COMPUTED_PRIOR, NAMES, terms
from syngony.library.match import FITTED, Ranking, alike, is_measured, rank
from syngony.library.scan import Scan
from syngony.metrics import expected_calibration_error
from syngony.pattern import Pattern
from syngony.structure_table import StructureRecord, read_table

COMPUTED_SHARE = 0.6  # of scans
STRONG, WEAK = 0.02, 0.001  # largest strain of an axis: half at STRONG, half between (evenly in the logarithm)
CASES = (("present", 0.55), ("id", 0.75), ("compound", 0.88), ("type", 1.0))  # cumulative shares of what is left out
OTHER_DETERMINATION = 0.75  # of the AMCSD's scans: judged without their own entry in any case

UNITS = 6  # hyperbolic tangents
DECAY = 5.0  # of squared weights, all terms standardised
STEPS, ROUNDS, FOLDS = 200, 2, 4
ABSENT = -1e4  # logit of no candidate


@dataclass(frozen=True, eq=False)
class Source:
    """A table of structures, which of its rows may be drawn, and the library made of it."""

    table: Path
    library: Library

    def drawer(self) -> Callable[[np.random.Generator], tuple[Phase, str, str, int]]:
        """A function that draws a structure: phase, identifier, formula, space group."""
        rows = read_table(self.table)
        side = np.flatnonzero(sides_of(rows["formula"].to_pylist()) == "train")

        def draw(rng: np.random.Generator) -> tuple[Phase, str, str, int]:
            record = rows.slice(int(rng.choice(side)), 1).to_pylist()[0]
            entry = StructureRecord.from_row(record)
            group = record.get("published_space_group") or entry.space_group_number
            return Phase.from_structure(entry.structure), entry.material_id, record["formula"], group

        return draw


def collect(folder: Path, number: int, measured: Source, computed: Source) -> None:
    """One file for each scan: terms and groups of its candidates; an empty one where there is nothing to judge."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = {"measured": measured.drawer(), "computed": computed.drawer()}
    for n in range(number):
        path = folder / f"{n:05d}.npz"
        if path.exists():
            continue
        try:
            columns = one_scan(n, draw, measured.library, computed.library)
        except SyngonyError:
            columns = {}
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **columns)
        partial.replace(path)


def one_scan(n: int, draw: dict, measured: Library, computed: Library) -> dict[str, NDArray]:
    """Simulate the n-th scan, search for it, and say what the candidates are."""
    rng = np.random.default_rng((900, n))
    kind = "computed" if rng.random() < COMPUTED_SHARE else "measured"
    phase, identifier, formula, group = draw[kind](rng)
    impurity = draw[kind](rng)[0]
    size = STRONG if rng.random() < 0.5 else float(np.exp(rng.uniform(np.log(WEAK), np.log(STRONG))))
    strain = (*rng.uniform(-size, size, 3).tolist(), 0.0, 0.0, 0.0)
    pattern = Pattern(*measure(phase, replace(Laboratory().draw(rng), lattice_strain=strain), rng, impurity))
    lines = sticks(strained_q(phase, strain), np.sqrt(copper(phase)))
    alone = rng.random() < (0.5 if kind == "measured" else 0.6)
    libraries = [measured if kind == "measured" else computed] if alone else [measured, computed]
    chance = rng.random()
    case = next(name for name, most in CASES if chance < most)
    own = case != "present" or (kind == "measured" and rng.random() < OTHER_DETERMINATION)
    without = Exclusion(
        ids=[identifier] if own else [],
        formulas=[formula] if case == "compound" else [],
        types=[(group, formula)] if case == "type" else [],
    )
    scan = Scan.from_pattern(pattern)
    ranking = rank(scan, libraries, [without.allowed(library) for library in libraries])
    return {} if ranking is None else columns_of(ranking, Sample(pattern, identifier, formula, group, lines))


def columns_of(ranking: Ranking, sample: Sample) -> dict[str, NDArray]:
    """What the fit needs of a ranking."""
    every = np.arange(len(ranking.candidates))
    return {
        "terms": terms(ranking.agreement, ranking.scan.noise, ranking.candidates.space_group),
        "measured": is_measured(ranking.libraries, ranking.candidates),
        "right": right(ranking, sample, every),
        "alike": alike(ranking.candidates, ranking.refined),
        "logit": ranking.logit,
    }


@dataclass(frozen=True, eq=False)
class Rows:
    """n scans of at most `FITTED` candidates: terms (n, c, t), standardised, and (n, c) what is known of each."""

    terms: torch.Tensor
    prior: torch.Tensor
    right: NDArray[np.bool_]
    there: NDArray[np.bool_]
    alike: list[NDArray[np.bool_]]
    logit: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> Rows:
        """Some of the scans."""
        some = torch.from_numpy(chosen)
        kept = [one for one, good in zip(self.alike, chosen, strict=True) if good]
        return Rows(
            self.terms[some], self.prior[some], self.right[chosen], self.there[chosen], kept, self.logit[chosen]
        )  # fmt: skip

    def leaders(self, logit: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n, c) the likeliest of each group of relatives, as `match.relatives` finds them."""
        out = np.zeros(logit.shape, bool)
        for i, relatives in enumerate(self.alike):
            free = np.ones(len(relatives), bool)
            for j in np.argsort(-logit[i, : len(relatives)], kind="stable"):
                if free[j]:
                    out[i, j] = True
                    free &= ~relatives[j]
                    free[j] = False
        return out


def load(folder: Path) -> tuple[Rows, NDArray[np.float64], NDArray[np.float64]]:
    """All scans of a folder, and by what their terms were standardised."""
    files = [np.load(path) for path in sorted(folder.glob("?????.npz"))]
    scans = [{name: one[name] for name in one.files} for one in files if one.files]
    every = np.concatenate([one["terms"] for one in scans])
    centre, spread = every.mean(0), np.where(every.std(0) > 1e-9, every.std(0), 1.0)
    shape = (len(scans), FITTED)
    x, prior = np.zeros((*shape, len(NAMES)), np.float32), np.zeros(shape, np.float32)
    good, there, logit = np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, ABSENT)
    for i, one in enumerate(scans):
        k = len(one["right"])
        x[i, :k] = (one["terms"] - centre) / spread
        prior[i, :k] = np.where(one["measured"], 0.0, COMPUTED_PRIOR) if one["measured"].any() else 0.0
        good[i, :k], there[i, :k], logit[i, :k] = one["right"], True, one["logit"]
    rows = Rows(torch.from_numpy(x), torch.from_numpy(prior), good, there, [one["alike"] for one in scans], logit)
    return rows, centre, spread


class Utility(torch.nn.Module):
    """A straight line and a few tangents of the terms (..., t): (...,) logits."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.line, self.hidden = torch.nn.Linear(size, 1), torch.nn.Linear(size, UNITS)
        self.heights = torch.nn.Linear(UNITS, 1, bias=False)
        for weights in (self.line.weight, self.line.bias, self.heights.weight):
            torch.nn.init.zeros_(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.line(x) + self.heights(torch.tanh(self.hidden(x))))[..., 0]

    def logits(self, rows: Rows) -> NDArray[np.float64]:
        """(n, c), `ABSENT` where there is no candidate."""
        with torch.no_grad():
            return np.where(rows.there, (self(rows.terms) + rows.prior).numpy().astype(float), ABSENT)


def train(rows: Rows) -> Utility:
    """Fit by the likelihood of the conditional logit over the leaders; who leads follows the weights in rounds."""
    torch.manual_seed(0)
    model, logit, n = Utility(rows.terms.shape[2]), rows.logit, len(rows.right)
    none, good = torch.zeros(n, 1), torch.from_numpy(rows.right)
    for turn in range(ROUNDS):
        leads = rows.leaders(logit)
        others, any_right = torch.from_numpy(~leads), torch.from_numpy((leads & rows.right).any(1))
        optimiser, fastest = torch.optim.Adam(model.parameters()), (0.03, 0.015)[min(turn, 1)]
        for step in range(STEPS):
            for group in optimiser.param_groups:
                group["lr"] = fastest * (1.0 - step / STEPS) + 1e-4
            u = (model(rows.terms) + rows.prior).masked_fill(others, ABSENT)
            whole = torch.logsumexp(torch.cat([none, u], 1), 1)
            won = torch.where(any_right, torch.logsumexp(u.masked_fill(~good, ABSENT), 1), none[:, 0])
            weights = sum((p**2).sum() for name, p in model.named_parameters() if name != "line.bias")
            loss = (whole - won).mean() + DECAY * weights / n
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        logit = model.logits(rows)
    return model


def first_answers(rows: Rows, logit: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) logit of the share of the first answer, and whether it is right."""
    led = np.where(rows.leaders(logit), logit, ABSENT)
    top = led.argmax(1)
    others = np.concatenate([np.zeros((len(led), 1)), led], 1)
    np.put_along_axis(others, top[:, None] + 1, -np.inf, axis=1)
    return led.max(1) - np.logaddexp.reduce(others, axis=1), rows.right[np.arange(len(led)), top]


def calibrate(rows: Rows) -> tuple[float, float]:
    """Offset and slope of a straight line in the logit of the first answer's share (J. C. Platt, 1999).

    Shares are those of folds that did not fit the weights.
    """
    n = len(rows.right)
    x, good = np.zeros(n), np.zeros(n, bool)
    for fold in range(FOLDS):
        held = np.arange(n) % FOLDS == fold
        model = train(rows.take(~held))
        x[held], good[held] = first_answers(rows.take(held), model.logits(rows.take(held)))

    def loss(line: NDArray[np.float64]) -> float:
        return float(np.mean(np.logaddexp(0.0, line[0] + line[1] * x) - good * (line[0] + line[1] * x)))

    offset, slope = minimize(loss, [0.0, 1.0]).x
    p = 1.0 / (1.0 + np.exp(-offset - slope * x))
    known = rows.right.any(1)
    print(f"{n} scans; right first {good.mean():.3f}, of those with a right candidate {good[known].mean():.3f}")
    print(f"log loss {loss([0.0, 1.0]):.4f} before, {loss([offset, slope]):.4f} after the straight line")
    print(f"calibration error {expected_calibration_error(p, good, 10):.3f}, all on folds not fitted")
    return float(offset), float(slope)


def fit(folder: Path, output: Path) -> None:
    """Fit, calibrate, and write the table."""
    rows, centre, spread = load(folder)
    offset, slope = calibrate(rows)
    model = train(rows)

    def named(values: NDArray | torch.Tensor) -> dict[str, float]:
        return {name: round(float(value), 5) for name, value in zip(NAMES, values, strict=True)}

    content = {
        "source": "benchmarks/library_calibration.py: simulated laboratory scans of structures of training formulas of "
        "the AMCSD and the Materials Project; phase, compound or structure type left out in about half of them",
        "scans": len(rows.right),
        "offset": round(offset, 5),
        "slope": round(slope, 5),
        "one": round(float(model.line.bias.detach()[0]), 5),
        "centre": named(centre),
        "spread": named(spread),
        "weights": named(model.line.weight.detach()[0]),
        "tangents": [
            {
                "height": round(float(model.heights.weight.detach()[0, i]), 5),
                "threshold": round(float(model.hidden.bias.detach()[i]), 5),
                "weights": named(model.hidden.weight.detach()[i]),
            }
            for i in range(UNITS)
        ],
    }
    output.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "fit"))
    parser.add_argument("folder", type=Path, help="of what was collected")
    parser.add_argument("--number", type=int, default=1500, help="scans")
    parser.add_argument("--amcsd", type=Path, help="the table of which the shipped library was made")
    parser.add_argument("--computed", type=Path, nargs=2, metavar=("TABLE", "LIBRARY"))
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "fit":
        if arguments.output is None:
            parser.error("fit needs -o TABLE.json")
        fit(arguments.folder, arguments.output)
        return
    if arguments.amcsd is None or arguments.computed is None:
        parser.error("collect needs --amcsd and --computed")
    measured = Source(arguments.amcsd, load_library("amcsd"))
    collect(
        arguments.folder, arguments.number, measured, Source(arguments.computed[0], load_library(arguments.computed[1]))
    )


if __name__ == "__main__":
    main()
