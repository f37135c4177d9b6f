"""What any network must beat, learned from training structures: majority, one nearest neighbour, trees on lines.

They see patterns in the conditions of those they are asked about, of structures on the training side of the split; a
compound that is asked about is never learned from. Patterns cost some milliseconds each to simulate, so a sample of
the table is taken and what is kept of it is cached; every figure says how many structures stand behind it.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import syngony
from syngony.errors import MissingExtraError, PatternError, StructureError, TableError
from syngony.evaluation.labelled import Conditions, LabelledPattern, SimulatedPatterns
from syngony.metrics import wilson_interval
from syngony.pattern import Pattern, two_theta_from_q
from syngony.symmetry import SYSTEM_OF_GROUP, space_group_symbol
from syngony.views import LineListView, ProfileView
from syngony.views.profile import REFERENCE_WAVELENGTH
from syngony.whole_files import whole_file

NEIGHBOUR_VIEW = ProfileView(points=2048)
"""Profiles that neighbours are sought by."""

FIRST_LINES = 10
TREES = 200

_LINES = LineListView()
_NO_LINE = 180.0  # degrees: after every line there is
_CHUNK = 512


@dataclass(frozen=True)
class TrainingSet:
    """Where baselines learn from.

    Attributes:
        table: Parquet structure table; its training side is taken.
        limit: structures, a random sample.
        seed: of the sample, the laboratory and the trees.
        folder: what is kept of the patterns is cached there; not at all when None.
    """

    table: Path
    limit: int = 20_000
    seed: int = 0
    folder: Path | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """What baselines keep of n patterns.

    Attributes:
        profiles: (n, 2048) float16, mean 0 and length 1.
        lines: (n, 11) float32, 2θ (CuKa) of the first ten lines, and how many lines there are.
        space_group: (n,) numbers.
        kin: (n,) reduced formulas.
        seconds: of processor time that they took.
    """

    profiles: NDArray[np.float16]
    lines: NDArray[np.float32]
    space_group: NDArray[np.int64]
    kin: NDArray[np.str_]
    seconds: float = 0.0


class Patterns(Protocol):
    """Labelled patterns by place."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> LabelledPattern: ...


def features_of(patterns: Iterator[LabelledPattern]) -> Features:
    """What baselines keep of patterns."""
    began = time.process_time()
    profiles, lines, groups, kin = [], [], [], []
    with warnings.catch_warnings():
        # An ideal pattern has flat stretches, of which scipy tells for each pattern anew.
        warnings.filterwarnings("ignore", message=".*prominence of 0.*")
        for item in patterns:
            profiles.append(_profile(item.pattern))
            lines.append(_first_lines(item.pattern))
            groups.append(item.space_groups[0])
            kin.append(item.kin)
    return Features(
        np.array(profiles, np.float16).reshape(-1, NEIGHBOUR_VIEW.points),
        np.array(lines, np.float32).reshape(-1, FIRST_LINES + 1),
        np.array(groups, np.int64),
        np.array(kin, np.str_),
        time.process_time() - began,
    )


def training_features(training: TrainingSet, conditions: Conditions) -> Features:
    """Those of the training structures, from the cache if they are there.

    Raises:
        TableError: the table cannot be read, or has no structure on the training side.
    """
    cached = None
    if training.folder is not None:
        digest = hashlib.sha256(Path(training.table).read_bytes() if Path(training.table).is_file() else b"")
        digest.update(repr((conditions, training.limit, training.seed, syngony.__version__)).encode())
        cached = training.folder / f"baselines-{digest.hexdigest()[:16]}.npz"
        if cached.is_file():
            with np.load(cached, allow_pickle=False) as kept:
                seconds = float(kept["seconds"])
                return Features(kept["profiles"], kept["lines"], kept["space_group"], kept["kin"], seconds)
    patterns = SimulatedPatterns(training.table, conditions, training.limit, training.seed, side="train")
    found = features_of(_those_that_can_be(patterns))
    if len(found.kin) == 0:
        raise TableError(f"{training.table}: no structure on the training side of the split: give a larger table")
    if cached is not None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(cached) as partial, partial.open("wb") as stream:
            np.savez(stream, **found.__dict__)
    return found


def trained_baselines(
    training: Features, asked: Features, truth: list[tuple[int, ...]], seed: int = 0
) -> dict[str, Any]:
    """Accuracy of the three.

    Args:
        training: to learn from; compounds of `asked` are left out.
        asked: patterns to answer for.
        truth: for each of them the space groups that count as right.
        seed: of the trees.

    Returns:
        For each baseline accuracy and interval of the crystal system, the same of the space group, how many
        structures it learned from, and seconds of processor time, those of the patterns included.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        TableError: nothing is left to learn from.
    """
    known = ~np.isin(training.kin, asked.kin[asked.kin != ""])
    if not known.any():
        raise TableError("every training structure is of a compound that is asked about: give another table")
    groups = training.space_group[known]
    common = {"trained_on": int(known.sum())}
    report: dict[str, Any] = {}
    systems = np.bincount(SYSTEM_OF_GROUP[groups - 1]).argmax()
    likeliest = int(np.bincount(groups).argmax())
    report["majority of the training structures"] = {
        **_figures(np.full(len(truth), systems), np.full(len(truth), likeliest), truth),
        **common,
        "answer": space_group_symbol(likeliest),
        "seconds": 0.0,
    }
    began = time.process_time()
    nearest = groups[_nearest(training.profiles[known], asked.profiles)]
    report["nearest training structure"] = {
        **_figures(SYSTEM_OF_GROUP[nearest - 1], nearest, truth),
        **common,
        "seconds": round(training.seconds + time.process_time() - began, 1),
    }
    began = time.process_time()
    said = [
        _trees(training.lines[known], labels, asked.lines, seed) for labels in (SYSTEM_OF_GROUP[groups - 1], groups)
    ]
    report["trees on line positions"] = {
        **_figures(said[0], said[1], truth),
        **common,
        "seconds": round(training.seconds + time.process_time() - began, 1),
    }
    return report


def _figures(systems: NDArray[np.integer], groups: NDArray[np.integer], truth: list[tuple[int, ...]]) -> dict[str, Any]:
    right = int(sum(s == SYSTEM_OF_GROUP[t[0] - 1] for s, t in zip(systems.tolist(), truth, strict=True)))
    exact = int(sum(g in t for g, t in zip(groups.tolist(), truth, strict=True)))
    n = len(truth)
    return {
        "accuracy": right / n,
        "interval": list(wilson_interval(right, n)),
        "space_group": {"accuracy": exact / n, "interval": list(wilson_interval(exact, n))},
    }


def _nearest(known: NDArray[np.float16], asked: NDArray[np.float16]) -> NDArray[np.int64]:
    """(n,) places of the most similar known profile (correlation)."""
    best = np.full(len(asked), -np.inf, np.float32)
    place = np.zeros(len(asked), np.int64)
    questions = asked.astype(np.float32)
    for start in range(0, len(known), _CHUNK):
        likeness = questions @ known[start : start + _CHUNK].astype(np.float32).T
        first = likeness.argmax(1)
        top = likeness[np.arange(len(asked)), first]
        better = top > best
        best[better], place[better] = top[better], start + first[better]
    return place


def _trees(
    known: NDArray[np.float32], labels: NDArray[np.integer], asked: NDArray[np.float32], seed: int
) -> NDArray[np.int64]:
    """(n,) labels by extremely randomised trees (Geurts et al., Mach. Learn. 63, 3, 2006), as Suzuki et al. 2020
    (Sci. Rep. 10, 21790) use them on line positions. Tree after tree: a forest of 230 classes takes gigabytes."""
    try:
        from sklearn.tree import ExtraTreeClassifier
    except ImportError:
        raise MissingExtraError("The baseline of trees on line positions", "baselines") from None
    classes, numbers = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(asked), len(classes)))
    for number in range(TREES):
        tree = ExtraTreeClassifier(random_state=seed * TREES + number)
        votes += tree.fit(known, numbers).predict_proba(asked)
    return classes[votes.argmax(1)].astype(np.int64)


def _profile(pattern: Pattern) -> NDArray[np.float32]:
    try:
        profile = NEIGHBOUR_VIEW(pattern)[0]
    except PatternError:  # a scan outside the view is like no other
        return np.zeros(NEIGHBOUR_VIEW.points, np.float32)
    profile = profile - profile.mean()
    return profile / max(float(np.linalg.norm(profile)), 1e-12)


def _first_lines(pattern: Pattern) -> NDArray[np.float32]:
    found = np.full(FIRST_LINES + 1, _NO_LINE, np.float32)
    try:
        seen = _LINES(pattern)
    except PatternError:
        found[-1] = 0
        return found
    angles = two_theta_from_q(np.exp(seen[0, seen[4] == 1.0].astype(float)), REFERENCE_WAVELENGTH)
    found[: min(FIRST_LINES, len(angles))] = angles[:FIRST_LINES]
    found[-1] = len(angles)
    return found


def _those_that_can_be(patterns: Patterns) -> Iterator[LabelledPattern]:
    for place in range(len(patterns)):
        try:
            yield patterns[place]
        except (StructureError, PatternError):
            continue
