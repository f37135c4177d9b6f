"""The network's and the libraries' evidence of a scan, as `joint_evidence.py` keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from syngony.determination.evidence import PHASES
from syngony.errors import PatternError
from syngony.inference import Network
from syngony.library.exclusion import Exclusion
from syngony.library.match import match, open_libraries

TAKEN_OUT = ("none", "half", "all")


def network_witness(model: str) -> Callable[[Any], dict[str, Any]]:
    """Systems and space groups by a network."""
    network = Network.load(model)

    def ask(scan: Any) -> dict[str, Any]:
        scores = network.scores_of(scan.pattern)
        groups = scores.space_groups
        return {
            "systems": [round(float(p), 7) for p in scores.systems[0]],
            "space_groups": None if groups is None else [round(float(p), 9) for p in groups[0]],
        }

    return ask


def library_witness(names: list[str], taken_out: str = "half") -> Callable[[Any], dict[str, Any]]:
    """Known phases; none, half (every second place) or all have their own formula taken out of the libraries."""
    libraries = open_libraries(names or None)
    entries = sum(len(library) for library in libraries)

    def ask(scan: Any) -> dict[str, Any]:
        unknown = taken_out == "all" or (taken_out == "half" and scan.place % 2 == 1)
        try:
            phases = match(
                scan.pattern, libraries, PHASES, without=Exclusion(formulas=[scan.formula]) if unknown else None
            )
        except PatternError as error:
            return {"unknown": unknown, "entries": entries, "reason": str(error), "phases": []}
        return {
            "unknown": unknown,
            "entries": entries,
            "phases": [asdict(phase) | {"relatives": []} for phase in phases],
        }

    return ask
