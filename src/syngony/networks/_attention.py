"""What our two networks with attention share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionLayer(nn.Module):
    """Attention between the places of a sequence, then two dense layers for each, both beside a shortcut (pre-norm).

    Args:
        width: of the vector of a place.
        heads: of attention.
        dense: width of the first dense layer.
        dropout: between the dense layers.
    """

    def __init__(self, width: int, heads: int, dense: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, dense),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(dense, width),
        )

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None = None, seen: Tensor | None = None) -> Tensor:
        """(batch, places, width) to the same.

        Args:
            x: the places.
            turn: cosines and sines (batch, 1, places, width / heads / 2) that queries and keys are turned by.
            seen: (batch, 1, 1, places), added to the logits of attention.
        """
        n, length, width = x.shape
        parts = self.ask(self.before(x)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # (batch, heads, places, width / heads)
        if turn is not None:
            query, key = _turned(query, *turn), _turned(key, *turn)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, seen)
        x = x + self.answer(mixed.transpose(1, 2).reshape(n, length, width))
        return x + self.dense(x)


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
