"""A small fully convolutional network, after Lee et al. 2022, Adv. Intell. Syst. 4, 2200042.

Thirteen convolutions of five points, each followed by pooling that halves the axis and by dropout, until one point is
left of 8,192; then a convolution of one point in place of dense layers. Widths, kernels and the 2,786,615 parameters
(7 outputs) are those of the small network that the group's public notebook prints (Lee et al. 2023, Adv. Intell.
Syst. 5, 2300140). Where it is silent: the activation, which is a leaky ReLU here, and the dropout rate.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from syngony.views import ProfileView

PUBLISHED = "Materials Project 139,207, simulated, random split: system 82.17, space group 69.01 (ICSD: 92.12, 79.67)"

WIDTHS = (16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512, 64)


class Lee2022(nn.Module):
    """Convolutions and pooling down to one point."""

    pretrained = False

    def __init__(self, channels: int, outputs: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for width in widths:
            stages += [nn.Conv1d(channels, width, 5, padding=2), nn.LeakyReLU(), nn.MaxPool1d(2), nn.Dropout(dropout)]
            channels = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Conv1d(channels, outputs, 1)

    def forward(self, profiles: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, outputs) logits."""
        return self.head(self.stages(profiles)).mean(-1)  # one point is left of 8,192


def build(shape: tuple[int, ...], outputs: int, widths: tuple[int, ...] = WIDTHS, dropout: float = 0.1) -> Lee2022:
    """The network for profiles of `shape` (channels, points); the publication's is (1, 8192).

    Args:
        shape: of one input; two to the number of `widths` points at least.
        outputs: logits.
        widths: channels of each convolution.
        dropout: after each pooling.
    """
    if len(shape) != 2 or shape[1] < 2 ** len(widths):
        raise ValueError(f"lee2022 reads a profile (channels, {2 ** len(widths)} points or more), not {shape}")
    return Lee2022(shape[0], outputs, tuple(widths), dropout)


def recipe(name: str) -> dict[str, Any]:
    """5 to 86.92 degrees in 8,192 points. ``paper``: ideal patterns; Adam at 0.001, as no rate is published."""
    view = ProfileView("two_theta", 8_192, (5.0, 86.92), "linear", background=name == "robust")
    changes: dict[str, Any] = {"view": view.as_dict(), "learning_rate": 1e-3, "schedule": "steady"}
    if name == "paper":
        changes |= {"head": "space_group", "weight_decay": 0.0}
    return changes
