"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) on images of patterns: the paper's network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from syngony.errors import ModelError
from syngony.views import ImageView

IMAGENET = "google/mobilenet_v2_1.0_224"
"""Weights trained on ImageNet, on the Hugging Face hub."""

BATCH_NORM_MOMENTUM = 0.1

PUBLISHED = "Materials Project 87,989, simulated, random split: system 54"

log = logging.getLogger(__name__)


class MobileNetV2(nn.Module):
    """The library's MobileNetV2 with a new classification layer.

    ``pretrained`` tells whether the backbone holds ImageNet weights, so that transfer learning
    (a new head on a frozen backbone) makes sense.
    """

    def __init__(self, network: Any, pretrained: bool) -> None:
        super().__init__()
        self.network = network
        self.pretrained = pretrained

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, size, size) in [0, 1] to (batch, outputs) logits."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.network(2.0 * images - 1.0).logits

    def backbone(self) -> nn.Module:
        """All but the classification layer: what transfer learning freezes."""
        return self.network.mobilenet_v2


def build(shape: tuple[int, ...], outputs: int, weights: str | None = None, dropout: float = 0.2) -> MobileNetV2:
    """MobileNetV2 for images of `shape` (3, size, size).

    Args:
        shape: of one image.
        outputs: logits.
        weights: None for random ones; ``imagenet`` for those of the hub, with a plain warning and
            random ones when the hub cannot be reached; else a folder that holds them.
        dropout: before the last layer.

    Raises:
        ModelError: the folder of weights cannot be read.
    """
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    settings: dict[str, Any] = {"num_labels": outputs, "classifier_dropout_prob": dropout}
    network: Any = None
    pretrained = False
    if weights is not None:
        source = IMAGENET if weights == "imagenet" else weights
        try:
            if weights != "imagenet" and not Path(weights).is_dir():
                raise OSError("no such folder")
            network = MobileNetV2ForImageClassification.from_pretrained(
                source,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                **settings,
            )
            pretrained = True
        except Exception as error:
            # The hub's client raises many kinds of error for "offline"; none of them is worth a stop.
            if weights != "imagenet":
                raise ModelError(f"{weights}: no MobileNetV2 weights there ({error})") from None
            log.warning("ImageNet weights could not be fetched (%s): starting from random ones.", _first(error))
    if network is None:
        network = MobileNetV2ForImageClassification(MobileNetV2Config(image_size=shape[-1], **settings))
        _begin_with_identities(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # The library's 0.997 is TensorFlow's decay; torch reads it as "keep the last batch only".
            module.momentum = BATCH_NORM_MOMENTUM
    return MobileNetV2(network.to(memory_format=torch.channels_last), pretrained)


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _begin_with_identities(network: Any) -> None:
    """Set the last scale of each residual block to zero, so that the deep network starts as a shallow one.

    He et al. 2019, arXiv 1812.01187, section 3.1: a random start then learns sooner.
    """
    for block in network.modules():
        if getattr(block, "use_residual", False):
            nn.init.zeros_(block.reduce_1x1.normalization.weight)


def recipe(name: str) -> dict[str, Any]:
    """``paper``: the folded square coloured by viridis. ``robust``: the image of the shipped network, 6,912 points of
    ln Q in 48 rows."""
    robust = ImageView(
        size=48,
        colour_map="planes",
        axis="ln_q",
        two_theta_range=(5.06, 90.0),
        intensity="sqrt",
        background=True,
    )
    return {"view": (ImageView() if name == "paper" else robust).as_dict()}
