"""The convolutional networks of Park et al. 2017, IUCrJ 4, 486, on patterns of 10,001 points.

The publication trains three networks, one for each label: 7 crystal systems, 101 extinction groups, 230 space groups.
Each has three stages of convolution and pooling, three dense layers and dropout; they differ in the dense layers.
Numbers of channels, kernels, strides and dropout rates are those of the rebuild that Schopmans et al. 2023
(Digital Discovery 2, 1414) compare with. Where publication and rebuild are silent: pooling takes means, as the
rebuild does; the weights start as torch starts them; our table has 99 extinction groups in place of 101, since it joins
groups that the absences of a powder pattern alone cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from syngony.networks._same_padding import same_padded
from syngony.networks._thinned_means import ThinnedMeans
from syngony.views import ProfileView

HEADS = ("system", "extinction_group", "space_group")

PUBLISHED = "ICSD 150,000, simulated, random split: system 94.99, extinction group 83.83, space group 81.14"

CHANNELS = 80
STAGES = ((100, 5, 3, 2), (50, 5, 3, 3), (25, 2, 3, 3))
"""Kernel and stride of each convolution, width and stride of the pooling after it."""

DENSE = {7: (700, 70), 99: (4040, 202), 230: (2300, 1150)}
"""Widths of the first two dense layers, by the number of classes."""


class SameConvolution(nn.Conv1d):
    """A convolution whose output has ceil(points / stride) points; what is odd of the padding goes to the right."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, channels, ceil(points / stride))."""
        (kernel,), (stride,) = self.kernel_size, self.stride
        return super().forward(same_padded(x, kernel, stride))


class Park2017(nn.Module):
    """Three stages of convolution, dropout and pooling, then three dense layers."""

    pretrained = False

    def __init__(self, shape: tuple[int, ...], outputs: int, dense: Sequence[int], dropout: Sequence[float]) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = shape[0]
        for kernel, stride, pool, step in STAGES:
            stages += [SameConvolution(channels, CHANNELS, kernel, stride), ThinnedMeans(dropout[0], pool, step)]
            channels = CHANNELS
        self.stages = nn.Sequential(*stages, nn.Flatten())
        with torch.no_grad():
            width = self.stages(torch.zeros(1, *shape)).shape[1]
        layers: list[nn.Module] = []
        for units in dense:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout[1])]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, outputs) logits."""
        return self.head(self.stages(profiles))


def build(
    shape: tuple[int, ...],
    outputs: int,
    dense: Sequence[int] | None = None,
    dropout: Sequence[float] = (0.3, 0.5),
) -> Park2017:
    """The network for profiles of `shape` (channels, points).

    Args:
        shape: of one input; the publication's is (1, 10001).
        outputs: logits.
        dense: widths of the first two dense layers; those of the publication for 7, 99 or 230 outputs, and of its
            crystal systems for others.
        dropout: after convolutions, after dense layers.
    """
    if len(shape) != 2:
        raise ValueError(f"park2017 reads a profile (channels, points), not {shape}")
    return Park2017(shape, outputs, dense or DENSE.get(outputs, DENSE[7]), dropout)


def recipe(name: str) -> dict[str, Any]:
    """10 to 110 degrees in 10,001 points; ``paper``: their varied profiles.

    The publication trains 5,000 epochs in batches of 1,000, as the rebuild notes. Budget and batch are the caller's
    here; Adam begins at its usual 0.001, and the rate falls in the second half so that a short budget ends well.
    """
    view = ProfileView("two_theta", 10_001, (10.0, 110.0), "linear", background=name == "robust")
    changes: dict[str, Any] = {"view": view.as_dict(), "learning_rate": 1e-3, "weight_decay": 0.0}
    changes |= {"schedule": "steady", "decay_share": 0.5}
    return changes | ({"conditions": "profiles"} if name == "paper" else {})
