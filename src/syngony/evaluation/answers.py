"""One answer a pattern, by many processes or machines; an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from syngony.determination import Determiner, Witnesses
from syngony.determination.cells import constants
from syngony.determination.posterior import Posterior
from syngony.errors import PatternError, StructureError
from syngony.evaluation.labelled import LabelledPattern
from syngony.inference import Scores
from syngony.journal import Journal
from syngony.library.exclusion import Exclusion
from syngony.parallel import each

Progress = Callable[[int, int], None]

_LISTED = 10
_CHUNK = 8  # patterns that a process is given at a time: some seconds of work
_BATCH = 64  # patterns that a network is asked together


class Patterns(Protocol):
    """Labelled patterns by place."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> LabelledPattern: ...


@dataclass(frozen=True)
class Answer:
    """What was said of one pattern, and what is true.

    Attributes:
        place: among the patterns.
        name: of the pattern.
        truth: space groups that count as right.
        kin: compound.
        sites: of the structure, 0 where unknown.
        lines: found, 0 where they were not sought.
        systems: (7,) probabilities.
        space_groups: the likeliest ten, number and probability; empty for networks that tell systems alone.
        extinction_groups: the likeliest ten, index and probability.
        abstained: as `Determination.abstained`.
        rests_on: as `Determination.rests_on`.
        suspicion: as `Determination.suspicion`.
        skipped: why there is no answer, else None.
    """

    place: int
    name: str
    truth: tuple[int, ...] = ()
    kin: str = ""
    sites: int = 0
    lines: int = 0
    systems: tuple[float, ...] = ()
    space_groups: tuple[tuple[int, float], ...] = ()
    extinction_groups: tuple[tuple[int, float], ...] = ()
    abstained: bool = False
    rests_on: str | None = None
    suspicion: float | None = None
    skipped: str | None = None


def answers(
    witnesses: Witnesses,
    patterns: Patterns,
    *,
    workers: int = 1,
    address: str | None = None,
    kept: Path | None = None,
    identity: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Answer]:
    """Determine every pattern.

    Args:
        witnesses: who is asked.
        patterns: with their labels; made here, also where others determine them.
        workers: processes.
        address: of a dask scheduler; its workers are used instead.
        kept: a file of answers, one JSON line each; those that are there already are not sought again.
        identity: of patterns and witnesses, the first line of `kept`.
        progress: called with patterns done and in all.

    Raises:
        InputError: `kept` is of another evaluation.
        OutputError: `kept` cannot be written; what is in it stays.
        ParallelError: see `syngony.parallel.each`.
    """
    size = _BATCH if witnesses.loaded().kinds == ("network",) else _CHUNK
    journal = Journal(kept, identity or {}, "evaluation")
    try:
        found = {row["place"]: Answer(**row) for row in journal}
        shared = address is not None or workers > 1
        work = partial(_answer_chunk, witnesses=witnesses.anywhere() if shared else witnesses)
        chunks = _chunks(patterns, found, size)
        made = each(work, chunks, workers=workers if workers > 1 else 0, address=address)
        with closing(made):
            for _, some in made:
                for answer in some:
                    if answer.place not in found:
                        journal.add(asdict(answer))
                        found[answer.place] = answer
                        if progress:
                            progress(len(found), len(patterns))
    finally:
        journal.close()
    return [found[place] for place in sorted(found)]


@dataclass(frozen=True)
class _Chunk:
    """Some patterns to determine together.

    Attributes:
        places: of the patterns.
        items: the patterns, or why there is none.
    """

    places: tuple[int, ...]
    items: tuple[LabelledPattern | str, ...]


def _chunks(patterns: Patterns, found: Mapping[int, Answer], size: int) -> Iterator[_Chunk]:
    """What is to do.

    A network that is asked in batches may give another last digit in another batch: where a batch was broken off, all
    of it is asked again, so that batches are the same in every run.
    """
    for first in range(0, len(patterns), size):
        places = range(first, min(first + size, len(patterns)))
        missing = [place for place in places if place not in found]
        if missing:
            wanted = list(places) if size == _BATCH else missing
            yield _Chunk(tuple(wanted), tuple(_item(patterns, place) for place in wanted))


def _item(patterns: Patterns, place: int) -> LabelledPattern | str:
    try:
        return patterns[place]
    except (StructureError, PatternError) as error:
        return str(error)


def _answer_chunk(chunk: _Chunk, witnesses: Witnesses) -> list[Answer]:
    determiner = witnesses.loaded()
    if determiner.kinds == ("network",):
        return list(_by_network_alone(determiner, chunk))
    return [_answer(determiner, place, item) for place, item in zip(chunk.places, chunk.items, strict=True)]


def _answer(determiner: Determiner, place: int, item: LabelledPattern | str) -> Answer:
    if isinstance(item, str):
        return Answer(place, "", skipped=item)
    try:
        without = Exclusion(formulas=[item.kin]) if item.unknown and item.kin else None
        evidence, posterior = determiner.weigh(item.pattern, without)
    except (StructureError, PatternError) as error:
        return Answer(place, "", skipped=str(error))
    said = determiner.verdict(item.pattern, evidence, posterior)
    lines = len(evidence.indexing.lines) if evidence.indexing is not None else 0
    return Answer(
        place,
        item.pattern.name,
        item.space_groups,
        item.kin,
        item.sites,
        lines,
        tuple(posterior.systems.tolist()),
        *_listed(posterior),
        said.abstained,
        said.rests_on,
        said.suspicion,
    )


def _by_network_alone(determiner: Determiner, chunk: _Chunk) -> Iterator[Answer]:
    """In one batch: some three hundred patterns a second."""
    asked = iter(determiner.asked([item.pattern for item in chunk.items if not isinstance(item, str)]))
    for place, item in zip(chunk.places, chunk.items, strict=True):
        if isinstance(item, str):
            yield Answer(place, "", skipped=item)
            continue
        scores = next(asked)
        yield _of_scores(place, item, scores) if isinstance(scores, Scores) else Answer(place, "", skipped=str(scores))


def _of_scores(place: int, item: LabelledPattern, scores: Scores) -> Answer:
    systems = tuple(scores.systems[0].tolist())
    lists: tuple[Any, Any] = ((), ())
    if scores.space_groups is not None:
        lists = _listed(Posterior(scores.space_groups[0], np.empty(0), np.empty(0), {}))
    sure = max(systems) >= constants()["refusal"]["least"]
    return Answer(
        place, item.pattern.name, item.space_groups, item.kin, item.sites, 0, systems, *lists, not sure, "impression"
    )


def _listed(posterior: Posterior) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
    groups, extinction = posterior.space_groups, posterior.extinction_groups
    best = np.argsort(-groups, kind="stable")[:_LISTED]
    classes = np.argsort(-extinction, kind="stable")[:_LISTED]
    return (
        tuple((int(i) + 1, round(float(groups[i]), 6)) for i in best),
        tuple((int(i), round(float(extinction[i]), 6)) for i in classes),
    )
