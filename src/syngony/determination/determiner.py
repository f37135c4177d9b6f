"""Everything a determination needs, loaded once, for any number of patterns."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import syngony
from syngony.determination.cells import constants
from syngony.determination.evidence import KINDS, Evidence, gather
from syngony.determination.posterior import Posterior, combine
from syngony.determination.result import Determination
from syngony.determination.verdict import determination_of
from syngony.errors import InputError, PatternError
from syngony.inference import CALCULATED, DEFAULT_MODEL, Network, Scores
from syngony.lattice.search import Clock
from syngony.library.exclusion import Exclusion
from syngony.library.file import Library
from syngony.library.match import open_libraries
from syngony.pattern import Pattern

DEFAULT_BUDGET = 1.0
"""Seconds of the lattice search, so that an answer takes no more than two in all."""


class Determiner:
    """Network and libraries, ready to determine.

    Args:
        model: name of a shipped network, path of an ``.onnx`` file, or a loaded `Network`.
        libraries: by name or path, or loaded; those that are shipped when None, none when empty.
        time_budget: seconds of the lattice search a pattern; None is no limit.
        evidence: which of ``network``, ``lattice``, ``library`` to ask; by default all, or the network alone if its
            card says so (the paper's system is measured as it stands).
        clock: of the budget: see `syngony.lattice.search.SearchSettings`.

    Raises:
        ModelError, LibraryError: one of them cannot be used.
        InputError: no such evidence.
    """

    def __init__(
        self,
        model: str | Network = DEFAULT_MODEL,
        libraries: Sequence[str | Path | Library] | None = None,
        time_budget: float | None = DEFAULT_BUDGET,
        evidence: Sequence[str] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        network = model if isinstance(model, Network) else load_network(model)
        kinds = tuple(evidence if evidence is not None else network.card.get("evidence", KINDS))
        if not kinds or not set(kinds) <= set(KINDS):
            raise InputError(f"evidence is of {', '.join(KINDS)}, not {', '.join(kinds) or 'nothing'}")
        self.model = network.name
        self.kinds = kinds
        self.network = network if "network" in kinds else None
        self.time_budget = time_budget
        self.clock = clock
        self.libraries: list[Library] | None = None
        if "library" in kinds and (libraries is None or len(libraries) > 0):
            self.libraries = open_libraries(libraries)

    def __call__(self, pattern: Pattern) -> Determination:
        """Determine a pattern.

        Raises:
            PatternError: the scan shows nothing in the range that the network sees.
        """
        return self.verdict(pattern, *self.weigh(pattern))

    def verdict(self, pattern: Pattern, evidence: Evidence, posterior: Posterior) -> Determination:
        """What is said of a pattern whose evidence was weighed."""
        return determination_of(pattern, evidence, posterior, self.model, "lattice" in self.kinds)

    def asked(self, patterns: Sequence[Pattern]) -> list[Scores | PatternError | None]:
        """What the network says of each, which is faster of some at once than one by one.

        Returns:
            For each its scores, of one row, or why the network sees nothing of it; None where none is asked.
        """
        network = self.network
        if network is None:
            return [None] * len(patterns)
        inputs: dict[Network, dict[int, NDArray[np.float32]]] = {}
        answers: dict[int, Scores | PatternError] = {}
        for place, pattern in enumerate(patterns):
            suited = network.suited_to(pattern)
            try:
                seen = suited.view(pattern)
            except PatternError as error:
                answers[place] = error
            else:
                inputs.setdefault(suited, {})[place] = seen
        for suited, some in inputs.items():
            answers.update(zip(some, suited.scores_of_each(np.stack(list(some.values()))), strict=True))
        return [answers[place] for place in range(len(patterns))]

    def weigh(
        self, pattern: Pattern, without: Exclusion | None = None, scores: Scores | None = None
    ) -> tuple[Evidence, Posterior]:
        """The evidence of a pattern and what it adds up to.

        Args:
            pattern: the scan.
            without: the libraries are asked as if they had no such entry.
            scores: of the network, where it was `asked` already.

        Raises:
            PatternError: the network sees nothing of the scan.
        """
        if scores is None and self.network is not None:
            scores = self.network.scores_of(pattern)
        evidence = gather(
            pattern, scores, self.libraries, self.time_budget, "lattice" in self.kinds, without, self.clock
        )
        return evidence, combine(evidence)


@dataclass(frozen=True)
class Witnesses:
    """Who is asked: arguments of a `Determiner`, to be built in each process that determines.

    Attributes:
        model: name or path.
        libraries: names or paths; None for those shipped.
        time_budget: seconds of the lattice search.
        evidence: kinds; None for the model's own.
        clock: of the budget: see `syngony.lattice.search.SearchSettings`.
    """

    model: str
    libraries: tuple[str, ...] | None = None
    time_budget: float | None = DEFAULT_BUDGET
    evidence: tuple[str, ...] | None = None
    clock: Clock = time.perf_counter

    def determiner(self) -> Determiner:
        """Load them."""
        return Determiner(self.model, self.libraries, self.time_budget, self.evidence, self.clock)

    def loaded(self) -> Determiner:
        """`determiner`, kept in this process for the next call."""
        return _loaded(self)

    def anywhere(self) -> Witnesses:
        """The same, with files named so that they are found from any folder."""

        def full(name: str, ending: str) -> str:
            return str(Path(name).absolute()) if name.endswith(ending) or "/" in name else name

        libraries = None if self.libraries is None else tuple(full(name, ".lib") for name in self.libraries)
        return replace(self, model=full(self.model, ".onnx"), libraries=libraries)

    def identity(self) -> dict[str, Any]:
        """All that decides what they say of a pattern, as plain values."""
        determiner = self.loaded()
        network = Network.load(self.model)
        libraries = {library.name: library.header["sha256"] for library in determiner.libraries or ()}
        return {
            "model": determiner.model,
            "network": network.card["sha256"],
            CALCULATED: network.for_calculated.card["sha256"],
            "evidence": list(determiner.kinds),
            "libraries": libraries,
            "budget": self.time_budget,
            "clock": self.clock.__name__,
            "posterior": hashlib.sha256(json.dumps(constants(), sort_keys=True).encode()).hexdigest(),
            "syngony": syngony.__version__,
        }


@lru_cache(maxsize=2)
def _loaded(witnesses: Witnesses) -> Determiner:
    return witnesses.determiner()


def determine(
    pattern: Pattern,
    model: str | Network = DEFAULT_MODEL,
    libraries: Sequence[str | Path | Library] | None = None,
    time_budget: float | None = DEFAULT_BUDGET,
    evidence: Sequence[str] | None = None,
) -> Determination:
    """Determine the crystal system of a pattern, with cell, extinction group and space group.

    Args:
        pattern: the scan.
        model: name of a shipped network, path of an ``.onnx`` file, or a loaded `Network`.
        libraries: as in `Determiner`, which is for many patterns.
        time_budget: seconds of the lattice search; None is no limit.
        evidence: as in `Determiner`.

    Raises:
        ModelError, LibraryError, InputError: see `Determiner`.
        PatternError: the scan shows nothing in the range that the network sees.
    """
    return Determiner(model, libraries, time_budget, evidence)(pattern)


@lru_cache(maxsize=4)
def load_network(name: str) -> Network:
    """`Network.load`, kept for the next call."""
    return Network.load(name)
