"""From the posterior to what is said: on what it rests, what powder data cannot tell, where witnesses disagree."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from syngony.determination.evidence import CellEvidence, Evidence
from syngony.determination.posterior import LATTICE_OF_GROUP, Posterior
from syngony.determination.refusal import reasons, suspicion
from syngony.determination.result import Determination, SpaceGroup
from syngony.extinction_groups import extinction_groups
from syngony.pattern import Pattern
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP, space_group_symbol
from syngony.unit_cell import LATTICE_SYSTEMS

_LISTED = 10
_SURE = 0.5  # of a phase, or of cells of one lattice, for the answer to rest on it
_EXPLAINED = 0.8  # of the intensity, by a cell that proves
_DISAGREE = 0.7  # both witnesses this sure of different systems
_EITHER = 0.1  # share of the less likely of trigonal and hexagonal that is worth a remark


def determination_of(
    pattern: Pattern, evidence: Evidence, posterior: Posterior, model: str | None, asked_lattice: bool
) -> Determination:
    """The determination that evidence and posterior stand for."""
    systems = posterior.systems
    best = int(systems.argmax())
    suspected = suspicion(evidence, posterior)
    why = reasons(evidence, posterior, suspected, asked_lattice)
    kind, basis = rests_on(evidence, posterior, best)
    found: dict[str, Any] = {"cells": [], "lines": []}
    warnings = [*pattern.warnings, *evidence.notes]
    if evidence.indexing is not None:
        found = evidence.indexing.as_dict()
        if evidence.indexing.reason:
            warnings.append(evidence.indexing.reason)
    return Determination(
        file=pattern.name,
        wavelength=pattern.wavelength,
        warnings=tuple(warnings),
        crystal_system=CRYSTAL_SYSTEMS[best],
        probabilities=_named(systems),
        abstained=bool(why),
        reasons=why,
        rests_on=kind,
        basis=basis,
        remarks=remarks(posterior),
        suspicion=None if suspected is None else round(suspected, 4),
        space_groups=_space_groups(posterior),
        extinction_groups=_extinction_groups(posterior),
        known_phases=_phases(evidence, posterior),
        cells=_cells(found["cells"], posterior),
        witnesses={name: _named(p) for name, p in posterior.witnesses.items()},
        lines=tuple(found["lines"]),
        model=model,
    )


def rests_on(evidence: Evidence, posterior: Posterior, system: int) -> tuple[str, str]:
    """The strongest kind of evidence for a crystal system (its index), and what it is in words."""
    for phase, chance in zip(evidence.phases or (), posterior.phases, strict=False):
        if chance > _SURE and CRYSTAL_SYSTEMS.index(phase.crystal_system) == system:
            return "recognised", f"recognised: {phase.name or phase.formula}"
    lattices = {LATTICE_SYSTEMS[i] for i in np.unique(LATTICE_OF_GROUP[system == SYSTEM_OF_GROUP])}
    fitting = [
        (share, one.cell, words)
        for one, share in zip(evidence.cells, posterior.cells, strict=False)
        if (words := _as_one_of(one, lattices)) is not None
    ]
    if sum(share for share, _, _ in fitting) > _SURE:
        _, cell, words = max(fitting, key=lambda found: found[0])
        if cell.intensity_explained > _EXPLAINED:
            return "proved", f"proved: {words} explains {cell.lines_indexed} of {cell.lines_total} lines"
    return "impression", "impression only: no known phase and no cell that proves it"


def _as_one_of(one: CellEvidence, lattices: set[str]) -> str | None:
    """A cell as one of some lattice systems, in words; None where it neither is nor nearly is."""
    system = one.cell.cell.lattice_system
    words = f"{'an' if system[0] in 'aeiou' else 'a'} {system} cell"
    if system in lattices:
        return words
    for near in one.near:
        if near.cell.lattice_system in lattices:
            return f"{words}, {near.cell.lattice_system} to {near.deviation:.2g} Å,"
    return None


def remarks(posterior: Posterior) -> tuple[str, ...]:
    """What cannot be told, and where witnesses disagree."""
    said = []
    systems = posterior.systems
    trigonal, hexagonal = (float(systems[CRYSTAL_SYSTEMS.index(name)]) for name in ("trigonal", "hexagonal"))
    if trigonal + hexagonal > _SURE and min(trigonal, hexagonal) > _EITHER:
        said.append("trigonal and hexagonal share one lattice: only intensities tell them apart here")
    sure = {name: int(p.argmax()) for name, p in posterior.witnesses.items() if p.max() > _DISAGREE}
    if len(set(sure.values())) > 1:
        told = ", ".join(f"{name} {CRYSTAL_SYSTEMS[system]}" for name, system in sure.items())
        said.append(f"the evidence disagrees: {told}")
    return tuple(said)


def _named(systems: np.ndarray) -> dict[str, float]:
    return {name: round(float(p), 6) for name, p in zip(CRYSTAL_SYSTEMS, systems, strict=True)}


def _space_groups(posterior: Posterior) -> tuple[SpaceGroup, ...]:
    order = np.argsort(-posterior.space_groups, kind="stable")[:_LISTED]
    return tuple(
        SpaceGroup(int(i) + 1, space_group_symbol(int(i) + 1), round(float(posterior.space_groups[i]), 6))
        for i in order
    )


def _extinction_groups(posterior: Posterior) -> tuple[dict[str, Any], ...]:
    chances = posterior.extinction_groups
    groups = extinction_groups()
    return tuple(
        {
            "symbol": groups[i].symbol,
            "space_groups": list(groups[i].space_groups),
            "probability": round(float(chances[i]), 6),
        }
        for i in np.argsort(-chances, kind="stable")[:_LISTED]
    )


def _phases(evidence: Evidence, posterior: Posterior) -> tuple[dict[str, Any], ...]:
    """Known phases with their probabilities after all evidence; the library's own is ``match_probability``."""
    found = []
    for phase, chance in zip(evidence.phases or (), posterior.phases, strict=False):
        after = phase.probability if phase.component > 1 else round(float(chance), 4)
        found.append({**asdict(phase), "probability": after, "match_probability": phase.probability})
    return tuple(sorted(found, key=lambda entry: (entry["component"], -entry["probability"])))


def _cells(found: list[dict[str, Any]], posterior: Posterior) -> tuple[dict[str, Any], ...]:
    """Cells as the search lists them; those that were not weighed have no probability."""
    chances = [*posterior.cells, *[0.0] * len(found)]
    return tuple({**cell, "probability": round(float(p), 4)} for cell, p in zip(found, chances, strict=False))
