"""Attention between the lines of a pattern, by how far they lie from each other on ln Q.

A lattice is a set of ratios between the Q of its lines. Queries and keys are turned by angles proportional to ln Q
(rotary positions, Su et al. 2021, arXiv 2104.09864, at the lines' own real positions), so what two lines mean to
each other depends on the ratio of their Q, to a resolution finer than any grid.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from syngony.networks._attention import AttentionLayer
from syngony.views import LineListView

_COARSEST, _FINEST = 1.0, 2000.0  # radians in a unit of ln Q


class LineAttention(nn.Module):
    """Embedding of each line, layers of attention, mean and maximum over lines, one linear layer."""

    pretrained = False

    def __init__(self, features: int, outputs: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.rotary: Tensor
        self.absolute: Tensor
        self.register_buffer("rotary", _frequencies(width // heads // 2), persistent=False)
        self.register_buffer("absolute", _frequencies(32), persistent=False)
        self.embed = nn.Sequential(nn.Linear(features + 64, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.layers = nn.ModuleList([AttentionLayer(width, heads, 3 * width, dropout) for _ in range(layers)])
        self.last = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, outputs))

    def forward(self, lines: Tensor) -> Tensor:
        """(batch, features, lines) of `LineListView` to (batch, outputs) logits."""
        x = lines.transpose(1, 2)  # (batch, lines, features)
        ln_q, present = x[..., :1], x[..., -1:] != 0
        angle = ln_q[:, None] * self.rotary  # (batch, 1, lines, frequencies)
        place = ln_q * self.absolute
        seen = torch.where(present.transpose(1, 2)[:, None], 0.0, -1e4)
        turn = (angle.cos(), angle.sin())
        x = self.embed(torch.cat([x, place.cos(), place.sin()], dim=-1))
        for layer in self.layers:
            x = layer(x, turn, seen)
        x = self.last(x)
        mean = (x * present).sum(1) / present.sum(1)
        return self.head(torch.cat([mean, torch.where(present, x, -1e4).amax(1)], dim=1))


def _frequencies(count: int) -> Tensor:
    return torch.exp(torch.linspace(math.log(_COARSEST), math.log(_FINEST), count))


def build(
    shape: tuple[int, ...], outputs: int, width: int = 128, layers: int = 4, heads: int = 4, dropout: float = 0.1
) -> LineAttention:
    """The network for lists of lines of `shape` (features, lines).

    Args:
        shape: of one input.
        outputs: logits.
        width: of the vector that stands for a line.
        layers, heads: of attention.
        dropout: in the dense layers.
    """
    if len(shape) != 2:
        raise ValueError(f"line_attention reads a list of lines (features, lines), not {shape}")
    return LineAttention(shape[0], outputs, width, layers, heads, dropout)


def recipe(_: str) -> dict[str, Any]:
    """At most 62 lines; a quarter of the patterns ideal where some are."""
    view = LineListView()
    return {"view": view.as_dict(), "schedule": "steady", "ideal_share": 0.25, "learning_rate": 2e-3}
