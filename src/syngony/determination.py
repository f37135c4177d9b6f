"""The main job: a pattern in, a determination out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from syngony.inference import DEFAULT_MODEL, Network, Scores
from syngony.pattern import Pattern
from syngony.symmetry import CRYSTAL_SYSTEMS, space_group_symbol

ABSTAIN_BELOW = 0.5
"""Below this probability the crystal system is named as the likeliest, and the answer abstains."""

_LISTED_SPACE_GROUPS = 10


@dataclass(frozen=True)
class SpaceGroup:
    """A space group and how likely it is.

    Attributes:
        number: 1..230.
        symbol: Hermann-Mauguin, standard setting.
        probability: 0..1.
    """

    number: int
    symbol: str
    probability: float


@dataclass(frozen=True)
class Determination:
    """What Syngony says of one pattern.

    Attributes:
        file: name of the scan.
        wavelength: Å, None when the scan could not be read.
        error: why there is no answer, else None.
        warnings: what the user should know.
        crystal_system: the likeliest, None with an error.
        probabilities: of the seven systems, summing to 1.
        abstained: True when no system is likely enough to be claimed.
        rests_on: the kind of evidence: ``impression`` (a network alone).
        space_groups: the likeliest first.
        extinction_groups, known_phases, cells: lists, empty where that evidence was not sought.
        model: name of the network.
    """

    file: str
    wavelength: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    crystal_system: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    abstained: bool = True
    rests_on: str | None = None
    space_groups: tuple[SpaceGroup, ...] = ()
    extinction_groups: tuple[Any, ...] = ()
    known_phases: tuple[Any, ...] = ()
    cells: tuple[Any, ...] = ()
    model: str | None = None

    @property
    def probability(self) -> float:
        """Of the crystal system named; 0 with an error."""
        return max(self.probabilities.values(), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def determine(pattern: Pattern, model: str | Network = DEFAULT_MODEL) -> Determination:
    """Determine the crystal system of a pattern.

    Args:
        pattern: the scan.
        model: name of a shipped network, path of an ``.onnx`` file, or a loaded `Network`.

    Raises:
        ModelError: no such network.
        PatternError: the scan shows nothing in the range that the network sees.
    """
    network = model if isinstance(model, Network) else load_network(model)
    scores = network.scores(network.view(pattern)[None])
    return determination_of(pattern, scores, network)


def determination_of(pattern: Pattern, scores: Scores, network: Network, row: int = 0) -> Determination:
    """The determination that a network's scores (row `row`) stand for."""
    systems = scores.systems[row]
    best = int(systems.argmax())
    groups: tuple[SpaceGroup, ...] = ()
    if scores.space_groups is not None:
        order = np.argsort(scores.space_groups[row])[::-1][:_LISTED_SPACE_GROUPS]
        groups = tuple(
            SpaceGroup(int(i) + 1, space_group_symbol(int(i) + 1), round(float(scores.space_groups[row, i]), 6))
            for i in order
        )
    return Determination(
        file=pattern.name,
        wavelength=pattern.wavelength,
        warnings=pattern.warnings,
        crystal_system=CRYSTAL_SYSTEMS[best],
        probabilities={name: round(float(p), 6) for name, p in zip(CRYSTAL_SYSTEMS, systems, strict=True)},
        abstained=bool(systems[best] < ABSTAIN_BELOW),
        rests_on="impression",
        space_groups=groups,
        model=network.name,
    )


@lru_cache(maxsize=4)
def load_network(name: str) -> Network:
    """`Network.load`, kept for the next call."""
    return Network.load(name)
