"""Shipped networks: ONNX files with a JSON card, run by ONNX Runtime; no torch, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syngony.errors import ModelError, SyngonyError
from syngony.extinction_groups import extinction_group_indices, extinction_groups, shares_within_extinction_groups
from syngony.pattern import Pattern
from syngony.scatter import is_calculated
from syngony.shipped import is_as_shipped
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP
from syngony.views import View, view_from_dict

DEFAULT_MODEL = "syngony"
CARD_FORMAT = 1

CALCULATED = "calculated"
"""Key of a card: the shipped network that is asked instead about a scan that was calculated, not measured."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What a network says of n patterns.

    Attributes:
        systems: (n, 7) probabilities, in the order of `CRYSTAL_SYSTEMS`.
        space_groups: (n, 230) probabilities, or None when the network only tells systems.
    """

    systems: NDArray[np.float64]
    space_groups: NDArray[np.float64] | None


class Network:
    """A network loaded from an ONNX file and its card.

    Attributes:
        name: of the model.
        card: what the JSON card says.
        view: what the network sees of a pattern.
    """

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path = path
        self.card = card
        self.name = str(card["name"])
        try:
            self.temperature = float(card.get("temperature", 1.0))
            if not 0.01 < self.temperature < 100:
                raise ValueError(f"a temperature of {self.temperature:g}")
            self.view: View = view_from_dict(card["view"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SyngonyError) as error:
            raise ModelError(f"{path.name}: its card describes no view that this version knows ({error})") from None

    @classmethod
    def load(cls, name: str | Path = DEFAULT_MODEL) -> Network:
        """A shipped network by name, or one of your own by the path of its ``.onnx`` file.

        Raises:
            ModelError: no such network, no card beside it, its hash differs from the card's, or it is of those shipped
            and it or its card is not what was shipped.
        """
        path = _locate(name)
        card = read_card(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != card["sha256"]:
            raise ModelError(f"{path.name}: its sha256 differs from its card's: damaged; install or export it again")
        if name in shipped_models():
            for file in (path, path.with_suffix(".json")):
                if not is_as_shipped(file):
                    raise ModelError(
                        f"{file.name} is not as it was shipped: install Syngony again, or pass your own .onnx"
                    )
        return cls(path, card)

    @cached_property
    def for_calculated(self) -> Network:
        """The shipped network that the card names for scans without scatter, or this one where it names none."""
        name = self.card.get(CALCULATED)
        return self if name is None else Network.load(str(name))

    def suited_to(self, pattern: Pattern) -> Network:
        """This network, or `for_calculated`."""
        return self.for_calculated if CALCULATED in self.card and is_calculated(pattern) else self

    def scores_of(self, pattern: Pattern) -> Scores:
        """`scores` of one scan, by the network that is suited to it.

        Raises:
            PatternError: that network sees nothing of the scan.
        """
        suited = self.suited_to(pattern)
        return suited.scores(suited.view(pattern)[None])

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # a pattern is too small to share: processes share the patterns
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises kinds of its own, with no common base
            reason = str(error).splitlines()[0][:120]
            raise ModelError(f"{self.path.name}: ONNX Runtime cannot load it ({reason}); export it again") from None

    def scores(self, inputs: NDArray[np.float32]) -> Scores:
        """Probabilities for (n, *view.shape) inputs, calibrated by the card's temperature.

        Of an input the same to the last digit, whatever others it is asked with.
        """
        name = self._session.get_inputs()[0].name
        asked = np.ascontiguousarray(inputs, dtype=np.float32)
        if len(asked) == 1:
            asked = asked.repeat(2, axis=0)  # ONNX Runtime adds up one alone in another order than it does several
        try:
            logits = self._session.run(None, {name: asked})[0][: len(inputs)]
        except Exception as error:  # as above
            reason = str(error).splitlines()[0][:120]
            raise ModelError(f"{self.path.name} does not take what its card says ({reason}); export it again") from None
        return scores_from_logits(logits, self.temperature)

    def scores_of_each(self, inputs: NDArray[np.float32]) -> list[Scores]:
        """`scores`, apart: n of one row."""
        together = self.scores(inputs)
        groups = together.space_groups
        return [
            Scores(together.systems[i : i + 1], None if groups is None else groups[i : i + 1])
            for i in range(len(inputs))
        ]

    def scores_in_batches(self, inputs: Iterable[NDArray[np.float32]], size: int = 64) -> Iterator[Scores]:
        """`scores` of a stream of single inputs, some at a time."""
        batch: list[NDArray[np.float32]] = []
        for item in inputs:
            batch.append(item)
            if len(batch) == size:
                yield self.scores(np.stack(batch))
                batch = []
        if batch:
            yield self.scores(np.stack(batch))


def scores_from_logits(logits: NDArray[np.floating], temperature: float = 1.0) -> Scores:
    """Softmax at a temperature; of 230 space groups, the systems are the sums.

    Outputs for extinction groups are shared out to their space groups by how frequent these are.
    """
    scaled = np.asarray(logits, dtype=float) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    if probabilities.shape[1] == len(CRYSTAL_SYSTEMS):
        return Scores(probabilities, None)
    if probabilities.shape[1] == len(extinction_groups()):
        probabilities = probabilities[:, extinction_group_indices()] * shares_within_extinction_groups()
    systems = np.zeros((len(probabilities), len(CRYSTAL_SYSTEMS)))
    for system in range(len(CRYSTAL_SYSTEMS)):
        systems[:, system] = probabilities[:, system == SYSTEM_OF_GROUP].sum(axis=1)
    return Scores(systems, probabilities)


def shipped_models() -> list[str]:
    """Names of the networks in the package."""
    folder = Path(str(files("syngony").joinpath("models")))
    return sorted(path.stem for path in folder.glob("*.onnx"))


def read_card(path: Path) -> dict[str, Any]:
    """The card beside an ONNX file.

    Raises:
        ModelError: missing, not JSON, or of another format.
    """
    place = path.with_suffix(".json")
    try:
        card = json.loads(place.read_text())
    except OSError:
        raise ModelError(f"{path}: no card {place.name} beside it; make both with syngony export") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{place}: not JSON ({error}); make it again with syngony export") from None
    if (
        not isinstance(card, dict)
        or not {"name", "view", "sha256", "format"} <= set(card)
        or card["format"] != CARD_FORMAT
    ):
        raise ModelError(f"{place}: not a card of format {CARD_FORMAT}; make it again with syngony export")
    return card


def _locate(name: str | Path) -> Path:
    text = str(name)
    if text.endswith(".onnx"):
        path = Path(text)
        if not path.is_file():
            raise ModelError(f"{text}: no such file")
        return path
    path = Path(str(files("syngony").joinpath(f"models/{text}.onnx")))
    if text not in shipped_models():
        raise ModelError(f"no model {text!r}: choose one of {', '.join(shipped_models()) or 'none'} or pass an .onnx")
    return path
