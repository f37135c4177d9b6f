"""Training a network: the paper's two stages, checkpoints, resume, early stopping, curves."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from syngony.errors import ModelError
from syngony.learning.checkpoints import WholeCheckpoints, write_checkpoint
from syngony.learning.classifier import Classifier
from syngony.learning.curves import CurveWriter
from syngony.learning.distributed import require_shares, shared_out
from syngony.learning.line_cache import Lines
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.learning.settings import TrainingSettings
from syngony.learning.warm_start import start_from
from syngony.views import view_from_dict
from syngony.whole_files import whole_file

log = logging.getLogger(__name__)

STEADY = "steady"
"""Name of the checkpoint before the rate of a steady schedule goes down."""


_START_PATTERNS = 6_400


class PatternData(pl.LightningDataModule):
    """Fresh training patterns each epoch; the same validation patterns always."""

    def __init__(
        self,
        settings: TrainingSettings,
        renderer: Renderer,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        labels: NDArray[np.integer] | None = None,
        also: Sequence[int] | NDArray[np.int64] = (),
    ) -> None:
        super().__init__()
        self.settings, self.renderer, self.labels, self.also = settings, renderer, labels, also
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
            also=self.also,
            also_share=s.also_share,
            share=self._share,
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
            share=self._share,
        )
        return DataLoader(patterns, batch_size=None)

    @property
    def _share(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def train(
    settings: TrainingSettings,
    cache: Lines,
    folder: Path | str,
    train_indices: Sequence[int] | NDArray[np.int64],
    validation_indices: Sequence[int] | NDArray[np.int64],
    *,
    resume: bool = False,
    progress: bool = True,
    labels: NDArray[np.integer] | None = None,
    renderer: Renderer | None = None,
    also: Sequence[int] | NDArray[np.int64] = (),
    start: Path | None = None,
    processes: int = 1,
    machines: int = 1,
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
        also: rows of the cache of which the settings' `also_share` is drawn.
        start: exported network whose weights are the first ones.
        processes, machines: see `syngony.learning.distributed`; each process takes its share of every batch.

    Returns:
        The network with the weights of the best validation loss.

    Raises:
        ModelError: the folder holds another run and `resume` is not given.
        InputError: a batch cannot be shared out evenly.
        OutputError: a checkpoint or a curve cannot be written; those before stay.
    """
    require_shares(settings.batch_size, processes * machines)
    folder = Path(folder)
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file() and not resume:
        raise ModelError(f"{folder} holds a run already: pass --resume to go on, or another -o")
    if resume and (folder / "settings.json").is_file():
        begun = TrainingSettings.read(folder)
        first, given = (one.structures.partition("+")[0] for one in (begun, settings))
        if first and given and first != given:
            raise ModelError(
                f"{folder}: the run was begun on another table of structures; give that one, or another -o"
            )
        changed = replace(
            begun, patterns=settings.patterns, also_share=settings.also_share, structures=settings.structures
        )
        if begun.schedule == "steady" and changed != begun:
            last = _resized(folder, begun, changed)
            begun = changed
        settings = begun
    if settings.threads:
        torch.set_num_threads(settings.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # tips and advertisements
    pl.seed_everything(settings.seed, verbose=False)
    renderer = renderer or renderer_of(settings, cache)
    data = PatternData(settings, renderer, np.asarray(train_indices), np.asarray(validation_indices), labels, also)
    steps = settings.epochs * (settings.epoch_patterns // settings.batch_size)
    model = Classifier(settings, renderer.view, steps)
    going_on = resume and last.is_file()
    if start is not None and not going_on:
        start_from(model, start, _statistics(settings, renderer, data.train_indices))
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
            _KeepSteady(folder / "checkpoints" / f"{STEADY}.ckpt", settings),
            CurveWriter(folder / "curves.csv"),
            _KeepSettings(folder, settings, at_once=last.stem != STEADY),
        ],
        plugins=[WholeCheckpoints()],
        use_distributed_sampler=False,
        **shared_out(processes, machines, bool(settings.transfer_epochs)),
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
            path = str(last) if going_on else None
            trainer.fit(model, data, ckpt_path=path, weights_only=True)
    finally:
        torch.set_flush_denormal(False)  # a setting of the whole process, others' arithmetic included
    return load_run(folder)


def _statistics(settings: TrainingSettings, renderer: Renderer, rows: NDArray[np.int64]) -> RenderedPatterns:
    return RenderedPatterns(renderer, rows, _START_PATTERNS, batch_size=settings.batch_size, seed=settings.seed)


def renderer_of(settings: TrainingSettings, cache: Lines) -> Renderer:
    """What makes the patterns of a run."""
    return Renderer(cache, view_from_dict(settings.view), settings.conditions, ideal_share=settings.ideal_share)


class _KeepSettings(pl.Callback):
    """Writes the settings when every process of the run has read those of an earlier part.

    Where the run goes on from an earlier place than its last checkpoint, they wait until there is a new one: killed
    before, it is to begin at that place again.
    """

    def __init__(self, folder: Path, settings: TrainingSettings, at_once: bool) -> None:
        self.folder, self.settings, self.at_once = folder, settings, at_once
        self.first: int | None = None

    def on_fit_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        trainer.strategy.barrier()
        if self.at_once:
            self._write(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if self.first is None:
            self.first = trainer.current_epoch
        elif not self.at_once and trainer.current_epoch == self.first + 1:
            self._write(trainer)

    def on_fit_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.settings.write(self.folder)


class _KeepSteady(pl.Callback):
    """Keeps the checkpoint from which a ``steady`` run can be made longer."""

    def __init__(self, path: Path, settings: TrainingSettings) -> None:
        self.path, self.settings = path, settings

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if self.settings.schedule == "steady" and trainer.current_epoch == self.settings.steady_epochs:
            last = self.path.with_name("last.ckpt")
            if last.is_file() and trainer.is_global_zero:
                with whole_file(self.path) as partial:
                    shutil.copyfile(last, partial)


def _resized(folder: Path, begun: TrainingSettings, changed: TrainingSettings) -> Path:
    """The checkpoint to go on from when the budget of a steady run changes.

    Raises:
        ModelError: the run is longer already than asked.
    """
    last, steady = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", STEADY))
    if not last.is_file():
        return last
    path = steady if steady.is_file() else last
    done = int(torch.load(path, map_location="cpu", weights_only=True)["epoch"]) + 1
    if done > changed.steady_epochs:
        raise ModelError(
            f"{folder}: {done * begun.epoch_patterns:,} patterns were trained at the full rate already: "
            f"{changed.patterns:,} in all is too few"
        )
    log.warning(
        "The run changes from %s patterns on, to %s in all.",
        f"{done * begun.epoch_patterns:,}",
        f"{changed.patterns:,}",
    )
    return path


def save_weights(model: Classifier, folder: Path | str, name: str) -> None:
    """Keep weights in a run's checkpoints under a name that `load_run` takes."""
    path = Path(folder) / "checkpoints" / f"{name}.ckpt"
    write_checkpoint({"state_dict": model.state_dict()}, path)


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
