"""The all-convolutional network of Oviedo et al. 2019, npj Comput. Mater. 5, 60, and its class activation maps.

Three convolutions whose stride is their kernel, a mean over the axis and one linear layer: 1,200 points from 10
degrees on in steps of 0.04, as in the authors' public code. Because the mean comes last, the logit of a class is a
mean over the axis of what each stretch speaks for it (Zhou et al. 2016, arXiv 1512.04150): its class activation map.
``benchmarks/oviedo.py`` repeats their protocol on thin films; here the network is one among others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from syngony.networks._same_padding import same_padded
from syngony.views import ProfileView

PUBLISHED = "88 thin films with simulated patterns, five folds: dimensionality 93, space group (of seven) 89"

STAGES = (8, 5, 3)
"""Kernel of each convolution, and its stride."""


class Stretches(nn.Conv1d):
    """A convolution whose stride is its kernel: one linear layer of each stretch, in a third of the time."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, channels, ceil(points / kernel)); odd padding goes to the right."""
        kernel = self.kernel_size[0]
        points = same_padded(x, kernel, kernel).transpose(1, 2)
        stretches = points.unflatten(1, (-1, kernel)).flatten(2)
        return nn.functional.linear(stretches, self.weight.transpose(1, 2).flatten(1), self.bias).transpose(1, 2)


class Oviedo2019(nn.Module):
    """Convolutions, mean over the axis, one linear layer."""

    pretrained = False

    def __init__(self, channels: int, outputs: int, width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for kernel in STAGES:
            stages += [Stretches(channels, width, kernel, kernel), nn.ReLU()]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):  # as the authors' library starts them
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, outputs) logits."""
        return self.head(self.stages(profiles).mean(-1))

    def class_activation(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, outputs, stretches): their mean over the stretches, and the bias, is
        the logit. A stretch is 120 points."""
        return torch.einsum("nws,cw->ncs", self.stages(profiles), self.head.weight)


def build(shape: tuple[int, ...], outputs: int, width: int = 32) -> Oviedo2019:
    """The network for profiles of `shape` (channels, points); the publication's is (1, 1200).

    Args:
        shape: of one input.
        outputs: logits.
        width: channels of each convolution.
    """
    if len(shape) != 2:
        raise ValueError(f"oviedo2019 reads a profile (channels, points), not {shape}")
    return Oviedo2019(shape[0], outputs, width)


def recipe(name: str) -> dict[str, Any]:
    """10 to 58 degrees in 1,200 points without background, as the authors prepare their films; Adam at 0.001."""
    view = ProfileView("two_theta", 1_200, (10.0, 58.0), "linear", background=True)
    changes: dict[str, Any] = {"view": view.as_dict(), "learning_rate": 1e-3, "schedule": "steady"}
    return changes | ({"weight_decay": 0.0} if name == "paper" else {})
