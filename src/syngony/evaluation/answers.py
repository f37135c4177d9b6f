"""One answer a pattern, by as many processes as there are cores; an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from syngony.determination import Determiner, Witnesses
from syngony.determination.cells import constants
from syngony.determination.posterior import Posterior
from syngony.errors import InputError, PatternError, StructureError
from syngony.evaluation.labelled import LabelledPattern
from syngony.inference import Scores
from syngony.library.exclusion import Exclusion

Progress = Callable[[int, int], None]

_LISTED = 10
_CHUNK = 8


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
    kept: Path | None = None,
    identity: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Answer]:
    """Determine every pattern.

    Args:
        witnesses: who is asked.
        patterns: with their labels.
        workers: processes.
        kept: a file of answers, one JSON line each; those that are there already are not sought again.
        identity: of patterns and witnesses, the first line of `kept`.
        progress: called with patterns done and in all.

    Raises:
        InputError: `kept` is of another evaluation.
    """
    found = _read(kept, identity or {})
    todo = [place for place in range(len(patterns)) if place not in found]
    stream = kept.open("a") if kept is not None else None
    try:
        for answer in _answered(witnesses, patterns, todo, workers):
            found[answer.place] = answer
            if stream is not None:
                stream.write(json.dumps(answer.__dict__) + "\n")
                stream.flush()
            if progress:
                progress(len(found), len(patterns))
    finally:
        if stream is not None:
            stream.close()
    return [found[place] for place in sorted(found)]


def _answered(witnesses: Witnesses, patterns: Patterns, todo: Sequence[int], workers: int) -> Iterator[Answer]:
    determiner = witnesses.determiner()
    if determiner.kinds == ("network",):
        yield from _by_network_alone(determiner, patterns, todo)
    elif workers <= 1:
        for place in todo:
            yield _answer(determiner, patterns, place)
    else:
        # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (witnesses, patterns))
        with pool:
            yield from pool.map(_answer_of_worker, todo, chunksize=_CHUNK)


_worker: tuple[Determiner, Patterns] | None = None


def _start(witnesses: Witnesses, patterns: Patterns) -> None:
    global _worker
    _worker = witnesses.determiner(), patterns


def _answer_of_worker(place: int) -> Answer:
    assert _worker is not None
    return _answer(*_worker, place)


def _answer(determiner: Determiner, patterns: Patterns, place: int) -> Answer:
    try:
        item = patterns[place]
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


def _by_network_alone(determiner: Determiner, patterns: Patterns, todo: Sequence[int]) -> Iterator[Answer]:
    """In batches: some three hundred patterns a second."""
    assert determiner.network is not None
    view = determiner.network.view
    items: list[tuple[int, LabelledPattern]] = []
    skipped: list[Answer] = []

    def inputs() -> Iterator[np.ndarray]:
        for place in todo:
            try:
                item = patterns[place]
                seen = view(item.pattern)
            except (StructureError, PatternError) as error:
                skipped.append(Answer(place, "", skipped=str(error)))
                continue
            items.append((place, item))
            yield seen

    done = 0
    for scores in determiner.network.scores_in_batches(inputs()):
        for row in range(len(scores.systems)):
            place, item = items[done]
            done += 1
            yield _of_scores(place, item, scores, row)
    yield from skipped


def _of_scores(place: int, item: LabelledPattern, scores: Scores, row: int) -> Answer:
    systems = tuple(scores.systems[row].tolist())
    lists: tuple[Any, Any] = ((), ())
    if scores.space_groups is not None:
        lists = _listed(Posterior(scores.space_groups[row], np.empty(0), np.empty(0), {}))
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


def _read(kept: Path | None, identity: dict[str, Any]) -> dict[int, Answer]:
    """Answers of an earlier run; its last line is dropped if it was cut."""
    if kept is None:
        return {}
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(identity) + "\n")
        return {}
    lines = [line for line in kept.read_text().splitlines(keepends=True) if line.endswith("\n")]
    if not lines or json.loads(lines[0]) != identity:
        raise InputError(f"{kept} is of another evaluation: choose another -o, or delete it")
    kept.write_text("".join(lines))
    rows = [json.loads(line) for line in lines[1:]]
    return {row["place"]: Answer(**row) for row in rows}
