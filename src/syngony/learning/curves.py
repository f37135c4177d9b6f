"""Learning curves: one row an epoch in ``curves.csv``, kept across interruptions."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from syngony.whole_files import whole_file

COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "core_seconds")


class CurveWriter(Callback):
    """Writes the file anew after each epoch, with what an earlier part of the run left in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.process_time()

    def on_train_epoch_start(self, *_: object) -> None:
        """Processor time counts from here."""
        self._began = time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add this epoch's row; validation has run by now."""
        row = {"epoch": str(trainer.current_epoch + 1)}
        row |= {name: f"{float(value):.6f}" for name, value in trainer.callback_metrics.items() if name in COLUMNS}
        row["learning_rate"] = f"{pl_module.optimizers().param_groups[0]['lr']:.3e}"  # type: ignore[union-attr]
        row["core_seconds"] = f"{time.process_time() - self._began:.2f}"
        if not trainer.is_global_zero:
            return
        # A run that goes on repeats the epoch that was broken off: its old row, if any, gives way.
        rows = [old for old in read_curves(self._path) if int(old["epoch"]) <= trainer.current_epoch] + [row]
        with whole_file(self._path) as partial, partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def read_curves(path: Path) -> list[dict[str, str]]:
    """Rows of a ``curves.csv``; none when it is not there yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
