"""Mixtures: what the first phase explains is taken off, and the rest is searched again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from syngony.library.agreement import profile_of
from syngony.library.chemistry import Elements
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library
from syngony.library.match import KnownPhase, Ranking, open_libraries, rank
from syngony.library.scan import Scan
from syngony.pattern import Pattern

WORTH_A_SECOND = 0.05
"""Share of the scan that must be left unexplained, in its square root, before a second phase is sought."""

_FIRST = 5  # phases of the first search that are listed


def recognise(
    pattern: Pattern,
    library: str | Path | Library | Sequence[str | Path | Library] | None = None,
    elements: str | Sequence[str] | Elements | None = None,
    without: Exclusion | None = None,
) -> list[KnownPhase]:
    """Known phases of one scan, likeliest first, second components among them (see `match`)."""
    libraries = open_libraries(library)
    scan = Scan.from_pattern(pattern)
    hint = elements if elements is None or isinstance(elements, Elements) else Elements.parse(elements)
    first = rank(scan, libraries, _allowed(libraries, hint, without))
    if first is None:
        return []
    phases = [first.phase(i) for i in range(len(first.order))]
    second = second_component(first, hint, without)
    if second is None:
        return phases
    further = [second.phase(i, component=2) for i in range(len(second.order))]
    # The first is the sample as far as the second is not: a weak impurity takes little from it, an equal half much.
    shared = phases[0].probability * (1.0 - further[0].probability * phases[0].unexplained)
    return _merged([replace(phases[0], probability=round(shared, 4)), *phases[1:]], further)


def second_component(first: Ranking, hint: Elements | None = None, without: Exclusion | None = None) -> Ranking | None:
    """A search in what the best phase of a ranking leaves; None where it leaves too little.

    The hint of what a sample contains is of the whole sample: the second phase need not have all of it.
    """
    best = int(first.order[0])
    if first.agreement.features[best, 3] < WORTH_A_SECOND:
        return None
    fitted = profile_of(first.candidates, first.refined, first.agreement, first.scan, best)
    rest: Scan = first.scan.without(fitted)
    looser = None if hint is None else replace(hint, contains=frozenset())
    return rank(rest, first.libraries, _allowed(first.libraries, looser, without))


def _allowed(
    libraries: Sequence[Library], hint: Elements | None, without: Exclusion | None
) -> list[NDArray[np.bool_] | None]:
    masks: list[NDArray[np.bool_] | None] = []
    for library in libraries:
        rules = [rule.allowed(library) for rule in (hint, without) if rule is not None]
        masks.append(np.logical_and.reduce(rules) if rules else None)
    return masks


def _merged(first: list[KnownPhase], second: list[KnownPhase]) -> list[KnownPhase]:
    """One list: the best phase, then both lists by probability; a phase that is in both counts once."""
    head, rest = first[:1], first[1:]
    known = {head[0].id, *head[0].relatives}
    further = [phase for phase in second if phase.id not in known]
    listed = sorted([*rest, *further], key=lambda phase: -phase.probability)
    seen: set[str] = set(known)
    unique = []
    for phase in listed:
        if phase.id not in seen:
            unique.append(phase)
            seen.add(phase.id)
    return head + unique
