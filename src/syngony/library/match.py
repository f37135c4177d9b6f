"""Recognising a phase: the libraries' best explanations of a scan, and how likely each is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from syngony.errors import InputError, LibraryError
from syngony.library.agreement import Agreement, agreement
from syngony.library.axis import BINS, place
from syngony.library.candidates import Candidates, gather
from syngony.library.chemistry import Elements
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library, load_library, shipped_libraries
from syngony.library.judgement import Judgement, judgement
from syngony.library.profile_fit import fit_profiles
from syngony.library.refine import FINE_LEVELS, LEVELS, ROUGH, Refined, refine
from syngony.library.scan import Scan
from syngony.library.search import Found, fingerprint, search
from syngony.pattern import Pattern
from syngony.symmetry import crystal_system

SHARP, BLURRED = 400, 2000
"""Candidates taken from each library by each fingerprint."""

REFINED = 600
"""Candidates, of all libraries together, that are refined with all their lines."""

COMPARED = 240
"""Candidates, of all libraries together, whose whole profile is compared with the scan."""

FITTED = 60
"""Of those, whose cells are refined once more on the whole profile; the answer is among them."""

_FEW_LINES = 40  # of each candidate, in the first refinement
_ALIKE = 0.7  # correlation of lines above which structures of one space group are relatives


MIRROR_TWINS = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212}
"""Space groups whose crystals are mirror images of each other's: no powder pattern tells them apart."""


@dataclass(frozen=True)
class KnownPhase:
    """A phase of a library that may be the sample.

    Attributes:
        name: mineral or common name, or empty.
        formula: of the cell in the library.
        id: identifier in its source.
        library: name of the library.
        space_group: number.
        score: correlation of the fitted profile with the scan, at most 1.
        probability: that this phase, or an isostructural relative (same space group, same kind of lines, other
            composition), is the sample.
        scale: lattice ratio, the sample's lengths over those in the library.
        distortion: root mean square of the cell's strain beyond the scale.
        zero_shift: degrees of 2θ that the scan seems to be off.
        missing: share of the phase's lines that should stand out of the noise and are not there.
        unexplained: what the phase does not explain of the scan's square root (squares, over all).
        relatives: identifiers of further structures in the libraries that are the same phase or isostructural.
        component: 1, or 2 for a phase found in what the first leaves.
        measured: True for a structure determined by experiment.
    """

    name: str
    formula: str
    id: str
    library: str
    space_group: int
    score: float
    probability: float
    scale: float
    distortion: float = 0.0
    zero_shift: float = 0.0
    missing: float = 0.0
    unexplained: float = 0.0
    relatives: tuple[str, ...] = field(default=(), repr=False)
    component: int = 1
    measured: bool = True

    @property
    def crystal_system(self) -> str:
        """Of the space group."""
        return crystal_system(self.space_group)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Everything one search found: candidates best first, with their groups.

    Attributes:
        libraries: those searched.
        scan: what was searched for.
        candidates, refined, agreement: k of them, not in order.
        logit: (k,) of being right, against nothing in the libraries being right at 0.
        order: candidates that lead a group of relatives, likeliest first.
        members: for each of those, all candidates of its group.
        probability: of each group.
    """

    libraries: Sequence[Library]
    scan: Scan
    candidates: Candidates
    refined: Refined
    agreement: Agreement
    logit: NDArray[np.float64]
    order: NDArray[np.int64]
    members: list[NDArray[np.int64]]
    probability: NDArray[np.float64]

    def phase(self, place: int, component: int = 1) -> KnownPhase:
        """The phase at a place (0 is best) of the ranking."""
        i = int(self.order[place])
        library = self.libraries[self.candidates.library[i]]
        entry = library.entry(int(self.candidates.index[i]))
        figures = self.agreement.features[i]
        others = [j for j in self.members[place].tolist() if j != i]
        relatives = tuple(
            self.libraries[self.candidates.library[j]].entry(int(self.candidates.index[j])).id for j in others
        )
        return KnownPhase(
            name=entry.name,
            formula=entry.formula,
            id=entry.id,
            library=library.name,
            space_group=entry.space_group,
            score=round(float(figures[1]), 4),
            probability=round(float(self.probability[place]), 4),
            scale=round(float(self.refined.scale[i]), 5),
            distortion=round(float(self.refined.distortion[i]), 5),
            zero_shift=round(float(self.refined.zero[i]), 4),
            missing=round(float(figures[2]), 4),
            unexplained=round(float(figures[3]), 4),
            relatives=relatives,
            component=component,
            measured=entry.measured,
        )


def match(
    pattern: Pattern,
    library: str | Path | Library | Sequence[str | Path | Library] | None = None,
    top: int = 5,
    elements: str | Sequence[str] | Elements | None = None,
    without: Exclusion | None = None,
) -> list[KnownPhase]:
    """Known phases that explain a pattern, likeliest first.

    Args:
        pattern: the scan.
        library: one or several, loaded, by path or by name; all that are shipped when omitted.
        top: at most so many.
        elements: what is known of the sample: ``"Ti,O"`` (contains), ``"only Ti,O"``, ``"not Fe"``, or a list.
        without: entries of the libraries to pass over, as if they were not there.

    Raises:
        LibraryError: a library cannot be used.
        PatternError: the scan lies outside what libraries hold, or shows no line.
        InputError: an impossible hint, or `top` below 1.
    """
    from syngony.library.mixture import recognise

    if top < 1:
        raise InputError(f"top = {top}: ask for at least one phase")
    return recognise(pattern, library, elements, without)[:top]


def open_libraries(
    library: str | Path | Library | Sequence[str | Path | Library] | None = None,
) -> list[Library]:
    """Libraries as `match` takes them.

    Raises:
        LibraryError: none at hand, or one cannot be used.
    """
    asked = [library] if isinstance(library, str | Path | Library) else library
    if asked is None:
        asked = list(shipped_libraries())
    if not asked:
        raise LibraryError("no library to search: build one with syngony library build TABLE -o NAME.lib")
    opened = [item if isinstance(item, Library) else _opened(str(item)) for item in asked]
    for item in opened:
        if len(item) == 0:
            raise LibraryError(f"{item.path}: the library is empty: build it of a table that has structures")
    return opened


@lru_cache(maxsize=8)
def _opened(name: str) -> Library:
    return load_library(name)


def rank(
    scan: Scan, libraries: Sequence[Library], allowed: Sequence[NDArray[np.bool_] | None] | None = None
) -> Ranking | None:
    """Search, refine, compare and judge; None when no structure correlates with the scan at all.

    Args:
        scan: prepared.
        libraries: not empty.
        allowed: which structures of each library to look at; None for all.
    """
    allowed = allowed or [None] * len(libraries)
    found = [search(lib, scan, SHARP, BLURRED, one) for lib, one in zip(libraries, allowed, strict=True)]
    candidates = gather(libraries, found, _FEW_LINES)
    if len(candidates) == 0:
        return None
    refined = refine(candidates, scan, fingerprint(scan, LEVELS[ROUGH[1] - 1]), ROUGH)
    candidates, refined = _with_all_lines(libraries, found, refined, scan)
    best = np.argsort(-refined.score, kind="stable")[:COMPARED]
    lines = candidates.lines_of(best)
    candidates, refined = candidates.take(best), refined.take(best, lines)
    agreed = agreement(candidates, refined, scan)
    measured = is_measured(libraries, candidates)
    rule: Judgement = judgement()
    logit = rule.logits(agreed, scan.noise, candidates.space_group, measured)
    best = np.argsort(-logit, kind="stable")[:FITTED]
    lines = candidates.lines_of(best)
    candidates, refined, measured = candidates.take(best), refined.take(best, lines), measured[best]
    refined = fit_profiles(candidates, refined, agreed.take(best, lines), scan)
    agreed = agreement(candidates, refined, scan, agreed.width)
    logit = rule.logits(agreed, scan.noise, candidates.space_group, measured)
    order, members = relatives(candidates, refined, logit)
    probability = rule.probabilities(logit[order])
    return Ranking(libraries, scan, candidates, refined, agreed, logit, order, members, probability)


def _with_all_lines(
    libraries: Sequence[Library], found: Sequence[Found], rough: Refined, scan: Scan
) -> tuple[Candidates, Refined]:
    """The best of a rough refinement, refined on with all their lines."""
    kept = np.sort(np.argsort(-rough.score, kind="stable")[:REFINED])
    ends = np.cumsum([0, *(len(one.index) for one in found)])
    chosen = [kept[(kept >= a) & (kept < b)] - a for a, b in pairwise(ends)]
    fewer = [
        Found(one.index[own], one.shift[own], one.blurred[own], one.score[own])
        for one, own in zip(found, chosen, strict=True)
    ]
    candidates = gather(libraries, fewer)
    start = np.column_stack([rough.values, rough.zero])[kept]
    return candidates, refine(candidates, scan, fingerprint(scan), FINE_LEVELS, start)


def is_measured(libraries: Sequence[Library], candidates: Candidates) -> NDArray[np.bool_]:
    """(k,) whether each candidate's structure was determined by experiment."""
    kinds = [np.array([one["kind"] == "measured" for one in library.header["sources"]]) for library in libraries]
    pairs = zip(candidates.library, candidates.index, strict=True)
    return np.array([kinds[number][libraries[number].source[index]] for number, index in pairs])


def relatives(
    candidates: Candidates, refined: Refined, logit: NDArray[np.float64]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Candidates that lead a group of relatives, likeliest first, and the members of each group."""
    left = np.argsort(-logit, kind="stable")
    same = alike(candidates, refined)[np.ix_(left, left)]
    order, members, free = [], [], np.ones(len(left), bool)
    for i in range(len(left)):
        if free[i]:
            own = free & same[i]
            own[i] = True
            free &= ~own
            order.append(left[i])
            members.append(left[own])
    return np.array(order), members


def alike(candidates: Candidates, refined: Refined) -> NDArray[np.bool_]:
    """(k, k) which candidates are relatives: of one space group or its mirror image, their refined lines alike."""
    kinds = np.array([MIRROR_TWINS.get(int(n), int(n)) for n in candidates.space_group])
    shapes = np.stack([_sticks(candidates, refined, i) for i in range(len(candidates))])
    return (shapes @ shapes.T > _ALIKE) & (kinds[:, None] == kinds)


def _sticks(candidates: Candidates, refined: Refined, number: int) -> NDArray[np.float64]:
    """(BINS,) the refined lines on the axis, two bins wide, of length 1."""
    span = slice(candidates.offsets[number], candidates.offsets[number + 1])
    out = np.zeros(BINS + 4)
    at = np.clip(place(refined.q[span]).astype(int), 0, BINS - 1) + 2
    for step, weight in ((-2, 0.1), (-1, 0.6), (0, 1.0), (1, 0.6), (2, 0.1)):
        np.add.at(out, at + step, weight * candidates.amplitude[span])
    return out / np.linalg.norm(out)
