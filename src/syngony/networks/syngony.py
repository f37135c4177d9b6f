"""Our network: convolutions that find lines on ln Q, then attention that relates lines to each other.

On ln Q a change of the lattice's scale is a translation, which convolutions follow. What tells a lattice is how
far lines lie from one another, near or distant: each of the last layers lets every stretch of the axis look at
every other (Vaswani et al. 2017, arXiv 1706.03762, in the pre-norm form of Xiong et al. 2020, arXiv 2002.04745).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from syngony.networks._attention import AttentionLayer
from syngony.networks.residual_1d import Block
from syngony.views import ProfileView

_DIVISION = 2  # of a stem or a block


class Syngony1d(nn.Module):
    """Stem and residual blocks, each halving the axis; attention; mean and maximum over the axis; one linear layer."""

    pretrained = False

    def __init__(
        self,
        channels: int,
        points: int,
        outputs: int,
        widths: tuple[int, ...],
        kernel: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(channels, widths[0], 15, _DIVISION, 7, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.ReLU(inplace=True),
        )
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.blocks = nn.Sequential(*[Block(a, b, _DIVISION, kernel) for a, b in pairs])
        stretches = -(-points // _DIVISION ** (len(widths) + 1))
        self.place = nn.Parameter(0.02 * torch.randn(1, stretches, widths[-1]))
        self.attention = nn.Sequential(
            *[AttentionLayer(widths[-1], heads, 2 * widths[-1], dropout) for _ in range(layers)]
        )
        self.last = nn.LayerNorm(widths[-1])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * widths[-1], outputs))

    def forward(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, outputs) logits."""
        x = self.blocks(self.stem(profiles)).transpose(1, 2)  # (batch, stretches, width)
        x = self.last(self.attention(x + self.place))
        return self.head(torch.cat([x.mean(1), x.amax(1)], dim=1))


def build(
    shape: tuple[int, ...],
    outputs: int,
    widths: tuple[int, ...] = (32, 56, 80, 112, 160, 224),
    kernel: int = 7,
    layers: int = 0,
    heads: int = 4,
    dropout: float = 0.1,
) -> Syngony1d:
    """The network for profiles of `shape` (channels, points).

    Args:
        shape: of one input.
        outputs: logits.
        widths: channels of the residual blocks; the first is the stem's too.
        kernel: points of their convolutions.
        layers, heads: of attention.
        dropout: in the dense layers.
    """
    if len(shape) != 2:
        raise ValueError(f"syngony reads a profile (channels, points), not {shape}")
    return Syngony1d(*shape, outputs, tuple(widths), kernel, layers, heads, dropout)


def recipe(name: str) -> dict[str, Any]:
    """Three rows of 2,048 points of ln Q; a quarter of the patterns ideal where some are; of calculated ones, half."""
    view = ProfileView(points=2048, intensity="sqrt+fourth root", measured=True)
    share = 0.5 if name == "calculated" else 0.25
    return {"view": view.as_dict(), "schedule": "steady", "ideal_share": share, "learning_rate": 2e-3}
