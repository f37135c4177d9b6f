"""A network in training: its loss, its schedule, what is logged."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from syngony import networks
from syngony.errors import InputError
from syngony.extinction_groups import extinction_group_indices, extinction_groups, shares_within_extinction_groups
from syngony.learning.settings import TrainingSettings
from syngony.symmetry import CRYSTAL_SYSTEMS, SYSTEM_OF_GROUP
from syngony.views import View

N_SPACE_GROUPS = 230
OUTPUTS = {
    "system": len(CRYSTAL_SYSTEMS),
    "extinction_group": len(extinction_groups()),
    "space_group": N_SPACE_GROUPS,
}
"""Logits of each head."""

_WARM_UP = 500  # steps of a steady schedule: its length is open


class Classifier(pl.LightningModule):
    """A network, its loss and its schedule."""

    def __init__(self, settings: TrainingSettings, view: View, steps: int) -> None:
        super().__init__()
        self.settings = settings
        if settings.head not in OUTPUTS:
            raise InputError(f"no head {settings.head!r}: choose one of {', '.join(OUTPUTS)}")
        outputs = OUTPUTS[settings.head]
        self.network = networks.build(settings.network, view.shape, outputs, **settings.network_options)
        self.steps = steps
        self.membership: Tensor
        self.extinction: Tensor
        for name, classes in (("membership", SYSTEM_OF_GROUP), ("extinction", extinction_group_indices())):
            self.register_buffer(name, nn.functional.one_hot(torch.tensor(classes)).bool(), persistent=False)
        self.log_shares: Tensor
        shares = torch.tensor(shares_within_extinction_groups(), dtype=torch.float32)
        self.register_buffer("log_shares", shares.log(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs to raw logits, as wide as the head."""
        return self.network(inputs)

    def system_logits(self, logits: Tensor) -> Tensor:
        """(batch, 7) logits of the crystal systems: sums over the classes of a finer head."""
        if self.settings.head == "system":
            return logits
        if self.settings.head == "extinction_group":  # two systems share some: each space group takes its part
            logits = logits[:, self.extinction.int().argmax(1)] + self.log_shares
        return _summed(logits, self.membership)

    def loss(self, logits: Tensor, system: Tensor, group: Tensor) -> Tensor:
        """Cross-entropy of the head's own label; with 230 outputs, of the system, and half of the two finer ones."""
        entropy = nn.functional.cross_entropy
        if self.settings.head == "system":
            return entropy(logits, system)
        extinction = self.extinction[group].int().argmax(1)
        if self.settings.head == "extinction_group":
            return entropy(logits, extinction)
        fine = entropy(logits, group) + entropy(_summed(logits, self.extinction), extinction)
        return entropy(self.system_logits(logits), system) + 0.5 * fine

    def on_train_epoch_start(self) -> None:
        """Freeze or free the backbone: a function of the epoch alone, so a resumed run agrees."""
        frozen = self.current_epoch < self.settings.transfer_epochs
        if hasattr(self.network, "backbone"):
            self.network.backbone().requires_grad_(not frozen).train(not frozen)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """One step; logs the loss and the accuracy. Dropout is a function of step and process, for resuming."""
        torch.manual_seed(self.settings.seed * 10_000_019 + self.global_step + self.global_rank * 1_000_003)
        inputs, system, group = batch
        logits = self(inputs)
        loss = self.loss(logits, system, group)
        accuracy = (self.system_logits(logits).argmax(1) == system).float().mean()
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, sync_dist=True)
        self.log("train_accuracy", accuracy, prog_bar=True, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Loss and accuracy on held-out formulas."""
        inputs, system, group = batch
        logits = self(inputs)
        size = len(inputs)
        self.log("val_loss", self.loss(logits, system, group), prog_bar=True, batch_size=size, sync_dist=True)
        accuracy = (self.system_logits(logits).argmax(1) == system).float().mean()
        self.log("val_accuracy", accuracy, prog_bar=True, batch_size=size, sync_dist=True)
        if logits.shape[1] == N_SPACE_GROUPS:
            right = (logits.argmax(1) == group).float().mean()
            self.log("val_space_group", right, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW; a constant rate for the transfer stage, then the schedule of the fine-tuning."""
        settings = self.settings
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        share = settings.transfer_epochs / settings.epochs
        first = round(self.steps * share)
        steady = settings.schedule == "steady"
        warm_up = _WARM_UP if steady else max(1, round((self.steps - first) * 0.15))
        decay = round(self.steps * settings.steady_epochs / settings.epochs)

        def factor(step: int) -> float:
            if step < first:
                return 0.3
            done = step - first
            rise = min(1.0, 0.04 + 0.96 * done / warm_up)
            if steady:
                return rise * min(1.0, (self.steps - step) / max(1, self.steps - decay))
            if done < warm_up:
                return rise
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm_up) / max(1, self.steps - first - warm_up))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _summed(logits: Tensor, membership: Tensor) -> Tensor:
    """(batch, classes) logits of classes that are sums of space groups; membership is (230, classes)."""
    spread = logits[:, :, None].masked_fill(~membership, float("-inf"))
    return torch.logsumexp(spread, dim=1)
