"""Training a network: the paper's two stages, checkpoints, resume, early stopping, curves."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from syngony import networks
from syngony.errors import ModelError
from syngony.learning.curves import CurveWriter
from syngony.learning.line_cache import LineCache
from syngony.learning.patterns import PatternKind, RenderedPatterns, Renderer
from syngony.symmetry import CRYSTAL_SYSTEMS, crystal_system_index
from syngony.views import ImageView, ProfileView, view_from_dict

log = logging.getLogger(__name__)

N_SPACE_GROUPS = 230
_SYSTEM_OF_GROUP = [crystal_system_index(n) for n in range(1, N_SPACE_GROUPS + 1)]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run, written as ``settings.json`` beside its checkpoints.

    Attributes:
        network: name in `syngony.networks.NAMES`.
        view: settings of the view, ``view.as_dict()``.
        head: ``system`` (7 logits, as the paper) or ``space_group`` (230; a system is the sum of its
            groups, and the network learns from the finer label too).
        conditions: patterns seen in training: ``ideal``, ``lab`` or ``mixed``.
        patterns: budget of the fine-tuning stage.
        transfer_patterns: budget of the transfer stage (frozen backbone), used only with
            pre-trained weights.
        epoch_patterns: patterns between two validations, which is also when checkpoints are written.
        learning_rate: peak of the one-cycle schedule (Smith & Topin 2017) of the fine-tuning stage.
        patience: validations without improvement before an early stop.
        balance: draw each crystal system equally often.
        threads: torch threads, 0 for the library's choice.
        structures: identity of the table trained on, so that a run is not resumed on another.
    """

    network: str = "mobilenetv2"
    view: dict[str, Any] = field(default_factory=lambda: ImageView().as_dict())
    network_options: dict[str, Any] = field(default_factory=dict)
    head: str = "system"
    conditions: PatternKind = "ideal"
    patterns: int = 100_000
    transfer_patterns: int = 0
    epoch_patterns: int = 20_000
    validation_patterns: int = 2_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    patience: int = 1000
    balance: bool = False
    seed: int = 0
    threads: int = 0
    structures: str = ""

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return self.transfer_epochs + max(1, round(self.patterns / self.epoch_patterns))

    @property
    def transfer_epochs(self) -> int:
        """Epochs with a frozen backbone."""
        return -(-self.transfer_patterns // self.epoch_patterns)

    def write(self, folder: Path) -> None:
        """Write ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

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


class Classifier(pl.LightningModule):
    """A network, its loss and its schedule."""

    def __init__(self, settings: TrainingSettings, view: ProfileView | ImageView, steps: int) -> None:
        super().__init__()
        self.settings = settings
        outputs = N_SPACE_GROUPS if settings.head == "space_group" else len(CRYSTAL_SYSTEMS)
        self.network = networks.build(settings.network, view.shape, outputs, **settings.network_options)
        self.steps = steps
        membership = nn.functional.one_hot(torch.tensor(_SYSTEM_OF_GROUP), len(CRYSTAL_SYSTEMS)).bool()
        self.membership: Tensor
        self.register_buffer("membership", membership, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs to raw logits, 7 or 230 wide."""
        return self.network(inputs)

    def system_logits(self, logits: Tensor) -> Tensor:
        """(batch, 7) logits of the crystal systems: space groups summed where the head has them."""
        if self.settings.head == "system":
            return logits
        spread = logits[:, :, None].masked_fill(~self.membership, float("-inf"))
        return torch.logsumexp(spread, dim=1)

    def loss(self, logits: Tensor, system: Tensor, group: Tensor) -> Tensor:
        """Cross-entropy of the system; with 230 outputs, half that of the space group is added."""
        loss = nn.functional.cross_entropy(self.system_logits(logits), system)
        if self.settings.head == "space_group":
            loss = loss + 0.5 * nn.functional.cross_entropy(logits, group)
        return loss

    def on_train_epoch_start(self) -> None:
        """Freeze or free the backbone: a function of the epoch alone, so a resumed run agrees."""
        frozen = self.current_epoch < self.settings.transfer_epochs
        if hasattr(self.network, "backbone"):
            self.network.backbone().requires_grad_(not frozen).train(not frozen)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """One step; logs the loss and the accuracy. Dropout is a function of the step alone, for resuming."""
        torch.manual_seed(self.settings.seed * 10_000_019 + self.global_step)
        inputs, system, group = batch
        logits = self(inputs)
        loss = self.loss(logits, system, group)
        accuracy = (self.system_logits(logits).argmax(1) == system).float().mean()
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        self.log("train_accuracy", accuracy, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Loss and accuracy on held-out formulas."""
        inputs, system, group = batch
        logits = self(inputs)
        size = len(inputs)
        self.log("val_loss", self.loss(logits, system, group), prog_bar=True, batch_size=size)
        accuracy = (self.system_logits(logits).argmax(1) == system).float().mean()
        self.log("val_accuracy", accuracy, prog_bar=True, batch_size=size)

    def configure_optimizers(self) -> Any:
        """AdamW; a constant rate for the transfer stage, then one cycle for the fine-tuning."""
        settings = self.settings
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        share = settings.transfer_epochs / settings.epochs
        first = round(self.steps * share)
        warm_up = max(1, round((self.steps - first) * 0.15))

        def factor(step: int) -> float:
            if step < first:
                return 0.3
            done = step - first
            if done < warm_up:
                return 0.04 + 0.96 * done / warm_up
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm_up) / max(1, self.steps - first - warm_up))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class PatternData(pl.LightningDataModule):
    """Fresh training patterns each epoch; the same validation patterns always."""

    def __init__(
        self,
        settings: TrainingSettings,
        renderer: Renderer,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        labels: NDArray[np.integer] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.renderer, self.labels = settings, renderer, labels
        self.train_indices, self.validation_indices = train, validation

    def train_dataloader(self) -> DataLoader:
        """Patterns of the current epoch."""
        s = self.settings
        epoch = self.trainer.current_epoch if self.trainer else 0
        patterns = RenderedPatterns(
            self.renderer,
            self.train_indices,
            s.epoch_patterns,
            batch_size=s.batch_size,
            seed=s.seed,
            epoch=epoch,
            balance=s.balance,
            labels=self.labels,
        )
        return DataLoader(patterns, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """The validation patterns."""
        patterns = RenderedPatterns(
            self.renderer,
            self.validation_indices[: self.settings.validation_patterns],
            batch_size=128,
            seed=987_654,
            shuffle=False,
            labels=self.labels,
        )
        return DataLoader(patterns, batch_size=None)


def train(
    settings: TrainingSettings,
    cache: LineCache,
    folder: Path | str,
    train_indices: Sequence[int] | NDArray[np.int64],
    validation_indices: Sequence[int] | NDArray[np.int64],
    *,
    resume: bool = False,
    progress: bool = True,
    labels: NDArray[np.integer] | None = None,
    renderer: Renderer | None = None,
) -> Classifier:
    """Train a network, or go on with a run that was interrupted.

    Writes ``settings.json``, ``checkpoints/last.ckpt`` and ``best.ckpt``, and ``curves.csv`` in
    `folder`. A resumed run renders the same patterns in the same order.

    Args:
        settings: of the run; with `resume` those of the folder are used.
        cache: lines of the structures.
        folder: of the run.
        train_indices, validation_indices: rows of the cache; the caller splits by reduced formula.
        resume: go on from ``last.ckpt`` when it is there.
        progress: show a progress bar.
        labels: space groups in place of the cache's own.
        renderer: in place of the one that the settings describe.

    Returns:
        The network with the weights of the best validation loss.

    Raises:
        ModelError: the folder holds another run and `resume` is not given.
    """
    folder = Path(folder)
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file() and not resume:
        raise ModelError(f"{folder} holds a run already: pass --resume to go on, or another -o")
    if resume and (folder / "settings.json").is_file():
        begun = TrainingSettings.read(folder)
        if begun.structures and settings.structures and begun.structures != settings.structures:
            raise ModelError(
                f"{folder}: the run was begun on another table of structures; give that one, or another -o"
            )
        settings = begun
    settings.write(folder)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and advertisements
    pl.seed_everything(settings.seed, verbose=False)
    renderer = renderer or Renderer(cache, view_from_dict(settings.view), settings.conditions)
    data = PatternData(settings, renderer, np.asarray(train_indices), np.asarray(validation_indices), labels)
    steps = settings.epochs * (settings.epoch_patterns // settings.batch_size)
    model = Classifier(settings, renderer.view, steps)
    if settings.transfer_epochs and not model.network.pretrained:
        log.warning("No pre-trained weights: the transfer stage trains a head on a random backbone.")
    place: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor="val_loss", **place)
    # Not save_last: that follows the best, and an interruption would lose every epoch since it.
    latest = ModelCheckpoint(filename="last", monitor=None, **place)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=settings.epochs,
        callbacks=[
            best,
            latest,
            EarlyStopping("val_loss", patience=settings.patience),
            CurveWriter(folder / "curves.csv"),
        ],
        logger=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=1.0,
    )
    torch.set_flush_denormal(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*IterableDataset.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
            path = str(last) if resume and last.is_file() else None
            trainer.fit(model, data, ckpt_path=path, weights_only=True)
    finally:
        torch.set_flush_denormal(False)  # a setting of the whole process, others' arithmetic included
    return load_run(folder)


def save_weights(model: Classifier, folder: Path | str, name: str) -> None:
    """Keep weights in a run's checkpoints under a name that `load_run` takes."""
    path = Path(folder) / "checkpoints" / f"{name}.ckpt"
    partial = path.with_name(f".{path.name}.partial")
    torch.save({"state_dict": model.state_dict()}, partial)
    partial.replace(path)


def load_run(folder: Path | str, which: str = "best") -> Classifier:
    """The network of a run, in evaluation mode.

    Args:
        folder: the -o of `syngony train`.
        which: ``best``, ``last``, or ``settled`` (what `syngony train` ends with).

    Raises:
        ModelError: no run or no checkpoint there.
    """
    folder = Path(folder)
    settings = TrainingSettings.read(folder)
    path = folder / "checkpoints" / f"{which}.ckpt"
    if not path.is_file():
        raise ModelError(f"{folder}: no checkpoint yet: train longer, or with --resume")
    # Weights come from the checkpoint: nothing is fetched.
    options = {k: v for k, v in settings.network_options.items() if k != "weights"}
    view = view_from_dict(settings.view)
    model = Classifier(TrainingSettings(**{**asdict(settings), "network_options": options}), view, 1)
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict(state)
    return model.eval()
