"""What must not be answered, and what must: mixtures, humps, wrong wavelengths; single phases, beamlines. Resumable.

    python benchmarks/refusal.py ../shared/data/materials_project.parquet -o runs/refusal [--library none]

Scans of formulas of the test side of the split, on which nothing was trained or fitted, by the simulated laboratory:
of one phase; equal mixtures of two; the same single phases read with a wavelength 8 % too long or too short; those of
beamlines, read rightly; and humps without lines. Each is determined by all witnesses. Prints how many are answered,
how many with confidence, and the area under the ROC curve of `suspicion`, mixtures against single phases.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from joint_calibration import area
from joint_evidence import scans

import syngony
from syngony.determination import Witnesses
from syngony.diffraction.laboratory import Laboratory
from syngony.journal import Journal
from syngony.pattern import Pattern
from syngony.symmetry import crystal_system
from syngony.wavelengths import TUBE_LINES

KINDS = ("single", "mixture", "wavelength", "beamline", "hump")
CONFIDENT = 0.9
"""Probability of the crystal system from which an answer counts as confident."""

_OFF = 1.08


def hump(place: int) -> Pattern:
    """One to three humps, as of glass, polymer and holder, on a background; no line."""
    rng = np.random.default_rng((7, place))
    angles = np.arange(5.0, 90.0, 0.02)
    counts = np.full(len(angles), 1.0) + 3.0 * np.exp(-angles / rng.uniform(5.0, 20.0))
    for _ in range(int(rng.integers(1, 4))):
        centre, width = rng.uniform(12.0, 55.0), rng.uniform(4.0, 12.0)
        counts += rng.uniform(0.5, 8.0) * np.exp(-4.0 * np.log(2.0) * ((angles - centre) / width) ** 2)
    level = np.exp(rng.uniform(np.log(50.0), np.log(50_000.0)))
    return Pattern(angles, rng.poisson(level * counts / counts.max()).astype(float), TUBE_LINES["CuKa"])


def patterns(table: Path, kind: str, number: int) -> Iterator[tuple[int, int | None, Pattern]]:
    """(place, space group, scan) of one kind."""
    if kind == "hump":
        yield from ((place, None, hump(place)) for place in range(number))
        return
    laboratory = Laboratory(synchrotron_share=1.0) if kind == "beamline" else Laboratory()
    drawn = "mixture" if kind == "mixture" else "lab"
    for scan in scans(table, "test", [drawn], 1, range(number), set(), laboratory):
        pattern = scan.pattern
        if kind == "wavelength":
            factor = _OFF if scan.place % 2 else 1.0 / _OFF
            pattern = replace(pattern, wavelength=factor * pattern.wavelength)
        yield scan.place, scan.space_group, pattern


def answers(kind: str, arguments: argparse.Namespace, witnesses: Witnesses) -> list[dict[str, Any]]:
    """What was said of each scan, from the folder as far as it is there."""
    name = f"{kind}-{arguments.library}"
    asked = {**witnesses.identity(), "kind": kind, "number": arguments.number}
    journal = Journal(arguments.output / f"{name}.jsonl", asked)
    done = {entry["place"]: entry for entry in journal}
    for place, truth, pattern in patterns(arguments.structures, kind, arguments.number):
        if place in done:
            continue
        said = witnesses.loaded()(pattern)
        done[place] = {
            "place": place,
            "right": truth is not None and said.crystal_system == crystal_system(truth),
            "answered": not said.abstained,
            "confident": not said.abstained and said.probability >= CONFIDENT,
            "suspicion": said.suspicion,
            "wavelength": any("wavelength" in reason for reason in said.reasons),
        }
        journal.add(done[place])
    return [done[place] for place in sorted(done)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/refusal"))
    parser.add_argument("--number", type=int, default=200, help="scans of each kind")
    parser.add_argument("--library", default="amcsd", help="name or file; none")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    libraries = () if arguments.library == "none" else (arguments.library,)
    witnesses = Witnesses("syngony", libraries, clock=time.thread_time)
    print(
        "| scans | n | answered, % | with confidence, % | of those right, % | wavelength doubted, % |\n"
        "|---|---|---|---|---|---|"
    )
    told = {}
    for kind in arguments.kinds:
        told[kind] = some = answers(kind, arguments, witnesses)
        sure = [one["right"] for one in some if one["confident"]]
        shares = [100 * np.mean([one[what] for one in some]) for what in ("answered", "confident", "wavelength")]
        right = f"{100 * np.mean(sure):.0f}" if sure and kind != "hump" else ""
        print(f"| {kind} | {len(some)} | {shares[0]:.0f} | {shares[1]:.1f} | {right} | {shares[2]:.0f} |", flush=True)
    if {"single", "mixture"} <= set(told):
        both = [*told["single"], *told["mixture"]]
        score = np.array([one["suspicion"] for one in both], dtype=float)
        mixed = np.arange(len(both)) >= len(told["single"])
        print(f"\nArea under the ROC curve of suspicion, mixtures against single phases: {area(score, mixed):.3f}")
    print(f"\n{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, syngony {syngony.__version__}")


if __name__ == "__main__":
    main()
