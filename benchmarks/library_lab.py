"""Strained laboratory scans against the library: as it is, with the elements known, without the phase or its type."""

from __future__ import annotations

import argparse
import re
from collections import Counter

import numpy as np
from library_figures import Kept, calibration, share
from library_patterns import ALIKE, Sample, overlap, right, same_type, samples

from syngony.errors import SyngonyError
from syngony.library.chemistry import Elements
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library
from syngony.library.match import open_libraries, rank
from syngony.library.scan import Scan
from syngony.symmetry import crystal_system

REMOVED = (0, 3, 6)
"""Of ten scans, those that are judged again without the phase, without its type, and with its elements known: 30 %."""

CASES = ("present", "elements", "removed", "type")


def lab(arguments: argparse.Namespace) -> None:
    """First answers on simulated scans, each search kept."""
    libraries = open_libraries(arguments.library)
    own = set(libraries[-1].ids())
    sides = ("validation", "test") if arguments.held_out else ("train", "validation", "test")
    kept = Kept(arguments.rows)
    found: dict[str, list[dict]] = {case: [] for case in CASES}
    for place, sample in enumerate(samples(arguments.table, arguments.number, arguments.seed, sides)):
        again = place % 10 in REMOVED and sample.id in own and not arguments.present_only
        for case in CASES if again else CASES[:1]:
            one = kept.get(f"{sample.id} {case}", lambda case=case, sample=sample: judged(sample, case, libraries))
            found[case].append({**one, "place": place, "system": crystal_system(sample.space_group)})
    print(f"{len(found['present'])} scans")
    report(found)


def judged(sample: Sample, case: str, libraries: list[Library]) -> dict:
    """The first answer to a sample, and what became of the right one."""
    elements = frozenset(re.findall("[A-Z][a-z]?", sample.formula))
    without = {
        "present": Exclusion(),
        "elements": Elements(elements, only=elements),
        "removed": Exclusion(ids=[sample.id]),
        "type": Exclusion(ids=[sample.id], types=[(sample.space_group, sample.formula)]),
    }[case]
    allowed = None if case == "present" else [without.allowed(library) for library in libraries]
    try:
        ranking = rank(Scan.from_pattern(sample.pattern), libraries, allowed)
    except SyngonyError as error:
        return {"error": str(error)[:40]}
    if ranking is None:
        return {}
    first = int(ranking.order[0])
    good = bool(right(ranking, sample, ranking.order[:1])[0])
    sums = [np.logaddexp.reduce(ranking.logit[members]) for members in ranking.members]
    summed = ranking.order[[int(np.argmax(sums))]]
    return {
        "p": float(ranking.probability[0]),
        "right": good,
        "type": good or same_type(ranking, sample, first),
        "summed": bool(right(ranking, sample, summed)[0]),
        "known": bool(good or right(ranking, sample, np.arange(len(ranking.logit))).any()),
        "group": int(ranking.candidates.space_group[first]),
        "overlap": overlap(ranking, sample, first),
    }


def report(found: dict[str, list[dict]]) -> None:
    """Every figure of the kept searches."""
    present, taken = found["present"], {one["place"]: one for one in found["removed"]}
    share("phase in the library: right phase or relative first", column(present, "right"))
    share("  same structure type first, lines alike or not", column(present, "type"))
    share("  the same, were the shares of relatives added up", column(present, "summed"))
    share("  crystal system of the first", same_system(present))
    share("  right phase or relative among the candidates", column(present, "known"))
    share("  lines of the first are the sample's, any group", alike(present))
    for name in dict.fromkeys(one["system"] for one in present):
        share(f"  {name}: right first", column([one for one in present if one["system"] == name], "right"))
    share("its elements known: right phase or relative first", column(found["elements"], "right"))
    share("  crystal system of the first", same_system(found["elements"]))
    for case, title in (("removed", "phase removed"), ("type", "structure type removed")):
        share(f"{title}: relative first", column(found[case], "right"))
        share("  crystal system of the first", same_system(found[case]))
        share("  lines of the first are the sample's, any group", alike(found[case]))
        share("  where p > 0.5: crystal system", same_system([one for one in found[case] if one.get("p", 0.0) > 0.5]))
    mixed = [taken.get(one["place"], one) for one in present]
    p, good = np.array([one.get("p", 0.0) for one in mixed]), column(mixed, "right")
    print(f"{len(taken)} of {len(mixed)} phases removed:")
    share("right phase or relative first", good)
    share("  crystal system of the first", same_system(mixed))
    half = np.argsort(-p, kind="stable")[: len(p) // 2]
    share("  right, likeliest half", good[half])
    calibration(p, good)
    for reason, count in Counter(one["error"] for one in present if "error" in one).items():
        print(f"{count} scans refused: {reason}")


def column(rows: list[dict], name: str) -> np.ndarray:
    """(n,) a yes or no of each search; no where it found nothing."""
    return np.array([bool(one.get(name, False)) for one in rows])


def same_system(rows: list[dict]) -> np.ndarray:
    """(n,) whether the first answer is of the sample's crystal system."""
    return np.array([bool(one.get("group")) and crystal_system(one["group"]) == one["system"] for one in rows])


def alike(rows: list[dict]) -> np.ndarray:
    """(n,) whether the first answer's lines are the sample's, whichever its space group."""
    return np.array([one.get("overlap", 0.0) > ALIKE for one in rows])
