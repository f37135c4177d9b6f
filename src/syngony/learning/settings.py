"""Everything that decides a training run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from syngony.errors import ModelError
from syngony.learning.patterns import PatternKind
from syngony.views import ImageView
from syngony.whole_files import write_text


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run, written as ``settings.json`` beside its checkpoints.

    Attributes:
        network: one of `syngony.networks.names`.
        view: settings of the view, ``view.as_dict()``.
        head: ``system`` (7 logits, as the paper), ``extinction_group`` (99) or ``space_group`` (230; a system is the
            sum of its groups, and the network learns from all three labels).
        conditions: patterns seen in training: ``ideal``, ``lab``, ``mixed``, ``calculated`` or ``profiles`` (see
            `Renderer`).
        ideal_share: of ``mixed`` and ``calculated``.
        patterns: budget of the fine-tuning stage.
        transfer_patterns: budget of the transfer stage (frozen backbone), used only with
            pre-trained weights.
        epoch_patterns: patterns between two validations, which is also when checkpoints are written.
        learning_rate: highest of the fine-tuning stage.
        schedule: ``cycle``, one cosine (Smith & Topin 2017); ``steady``, constant and then down to zero over the last
            `decay_share` of the stage (Hägele et al. 2024, arXiv 2405.18392): its length can be changed on
            resuming.
        decay_share: of ``steady``.
        patience: validations without improvement before an early stop.
        also_share: of patterns that are drawn from further structures (synthetic crystals).
        balance: draw each crystal system equally often.
        threads: torch threads, 0 for the library's choice.
        structures: identity of the table trained on, so that a run is not resumed on another.
        start: hash of the exported network that the run started from; empty for random weights.
    """

    network: str = "mobilenetv2"
    view: dict[str, Any] = field(default_factory=lambda: ImageView().as_dict())
    network_options: dict[str, Any] = field(default_factory=dict)
    head: str = "system"
    conditions: PatternKind = "ideal"
    ideal_share: float = 0.5
    patterns: int = 100_000
    transfer_patterns: int = 0
    epoch_patterns: int = 20_000
    validation_patterns: int = 2_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    schedule: Literal["cycle", "steady"] = "cycle"
    decay_share: float = 0.2
    weight_decay: float = 0.02
    patience: int = 1000
    also_share: float = 0.0
    balance: bool = False
    seed: int = 0
    threads: int = 0
    structures: str = ""
    start: str = ""

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return self.transfer_epochs + max(1, round(self.patterns / self.epoch_patterns))

    @property
    def transfer_epochs(self) -> int:
        """Epochs with a frozen backbone."""
        return -(-self.transfer_patterns // self.epoch_patterns)

    @property
    def steady_epochs(self) -> int:
        """Epochs before the rate of a ``steady`` schedule goes down."""
        return self.epochs - max(1, round(self.decay_share * (self.epochs - self.transfer_epochs)))

    def write(self, folder: Path) -> None:
        """Write ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "settings.json", json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> TrainingSettings:
        """Read ``settings.json``.

        Raises:
            ModelError: the folder holds no run.
        """
        try:
            return cls(**json.loads((folder / "settings.json").read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(f"{folder}: no training run there ({error}): pass the -o of syngony train") from None
