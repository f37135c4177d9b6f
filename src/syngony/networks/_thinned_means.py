"""Rectification, dropout and mean pooling of long profiles in one pass.

After a first convolution a profile is 80 channels of thousands of points, and PyTorch goes through them half a dozen
times: two fifths of a training step of Park's network. Here they are read once and their means written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

_LEVELS = 1 << 16  # of a random number: four of them a draw of 64 bits


class ThinnedMeans(nn.Module):
    """``AvgPool1d(width, stride)`` of ``Dropout(rate)`` of ``ReLU``.

    In training as `torch.nn` defines them, but for the rate, which is a multiple of 1 / 65,536, and for which points
    are dropped; they follow from torch's seed. Otherwise, and on other devices than the processor, torch's own.
    """

    def __init__(self, rate: float, width: int, stride: int) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a dropout rate is from 0 to below 1, not {rate}")
        self.rate, self.width, self.stride = rate, width, stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, points) to (batch, channels, (points - width) // stride + 1)."""
        if self.training and x.requires_grad and x.device.type == "cpu" and x.dtype == torch.float32:
            dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
            seed = int(torch.randint(1, 2**62, ()))
            return _ThinnedMeans.apply(x, dropped, self.width, self.stride, seed)
        thinned = nn.functional.dropout(nn.functional.relu(x), self.rate, self.training)
        return nn.functional.avg_pool1d(thinned, self.width, self.stride)


class _ThinnedMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int, width: int, stride: int, seed: int) -> Tensor:
        rows = x.detach().contiguous().flatten(0, 1).numpy()
        factor = _LEVELS / (_LEVELS - dropped) / width
        means, kept = _means(rows, np.uint16(dropped), width, stride, np.float32(factor), np.uint64(seed))
        ctx.kept, ctx.pooling, ctx.shape = kept, (width, stride, np.float32(factor)), x.shape
        return torch.from_numpy(means).unflatten(0, x.shape[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows = gradients[0].contiguous().flatten(0, 1).numpy()
        return torch.from_numpy(_backward(rows, ctx.kept, *ctx.pooling)).view(ctx.shape), None, None, None, None


@njit(cache=True, nogil=True, error_model="numpy")
def _means(
    rows: NDArray[np.float32], dropped: np.uint16, width: int, stride: int, factor: np.float32, seed: np.uint64
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, means) of rows (n, points), and which points (n, points) are above 0 and were not dropped."""
    count, points = rows.shape
    length = (points - width) // stride + 1
    means = np.empty((count, length), np.float32)
    kept = np.empty((count, points), np.bool_)
    thinned = np.empty(points, np.float32)
    draws = np.empty(-(-points // 4), np.uint64)
    levels = draws.view(np.uint16)
    state = seed
    for row in range(count):
        for place in range(len(draws)):  # xorshift64*: Vigna 2016, ACM Trans. Math. Softw. 42, 30
            state ^= state >> np.uint64(12)
            state ^= state << np.uint64(25)
            state ^= state >> np.uint64(27)
            draws[place] = state * np.uint64(2685821657736338717)
        for point in range(points):
            value = rows[row, point]
            keep = (value > 0) & (levels[point] >= dropped)
            kept[row, point] = keep
            thinned[point] = value if keep else np.float32(0)
        for place in range(length):
            total = np.float32(0)
            for point in range(place * stride, place * stride + width):
                total += thinned[point]
            means[row, place] = factor * total
    return means, kept


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    gradients: NDArray[np.float32], kept: NDArray[np.bool_], width: int, stride: int, factor: np.float32
) -> NDArray[np.float32]:
    """Gradient (n, points) of the rows from that (n, means) of their means."""
    count, points = kept.shape
    length = gradients.shape[1]
    result = np.zeros((count, points), np.float32)
    for row in range(count):
        for place in range(length):
            gradient = factor * gradients[row, place]
            for point in range(place * stride, place * stride + width):
                result[row, point] += gradient
        for point in range(points):
            if not kept[row, point]:
                result[row, point] = np.float32(0)
    return result
