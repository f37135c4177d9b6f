"""A small one-dimensional residual network: what the paper's two-dimensional one is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from syngony.views import ProfileView


class Block(nn.Module):
    """Two convolutions and a shortcut; halves the length when `stride` is 2."""

    def __init__(self, channels_in: int, channels: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(inplace=True),
            nn.Conv1d(channels, channels, kernel, 1, kernel // 2, bias=False),
            nn.BatchNorm1d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm1d(channels)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, length) to (batch, channels, length / stride)."""
        return self.activation(self.body(x) + self.shortcut(x))


class Residual1d(nn.Module):
    """Stem, one block at each width, mean and maximum over the axis, one linear layer."""

    pretrained = False

    def __init__(self, channels: int, outputs: int, widths: tuple[int, ...], kernel: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(channels, widths[0], 15, 2, 7, bias=False), nn.BatchNorm1d(widths[0]), nn.ReLU(inplace=True)
        )
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.blocks = nn.Sequential(*[Block(a, b, 2, kernel) for a, b in pairs])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * widths[-1], outputs))

    def forward(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) in [0, 1] to (batch, outputs) logits."""
        x = self.blocks(self.stem(profiles))  # (batch, width, points / 2^(blocks + 1))
        return self.head(torch.cat([x.mean(-1), x.amax(-1)], dim=1))


def build(
    shape: tuple[int, ...],
    outputs: int,
    widths: tuple[int, ...] = (32, 48, 64, 96, 128, 192),
    kernel: int = 7,
    dropout: float = 0.2,
) -> Residual1d:
    """A residual network for profiles of `shape` (channels, points)."""
    if len(shape) != 2:
        raise ValueError(f"residual_1d reads a profile (channels, points), not {shape}")
    return Residual1d(shape[0], outputs, tuple(widths), kernel, dropout)


def recipe(name: str) -> dict[str, Any]:
    """``paper``: the points that the paper's image folds. ``robust``: 4,096 points of ln Q."""
    view = ProfileView("two_theta", 4096, (0.0, 90.0), "linear", False) if name == "paper" else ProfileView()
    return {"view": view.as_dict()}
