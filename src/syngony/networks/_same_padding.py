"""Zeros at both ends of profiles, so that a strided convolution gives one point for each stride begun."""

from __future__ import annotations

from torch import Tensor, nn


def same_padded(profiles: Tensor, kernel: int, stride: int) -> Tensor:
    """(..., points) to (..., points and zeros), of which a convolution makes ceil(points / stride); what is odd of the
    zeros goes to the right.

    The number of zeros is settled before anything is traced: ONNX rounds a negative quotient up, Python down.
    """
    points = int(profiles.shape[-1])
    missing = max((-(-points // stride) - 1) * stride + kernel - points, 0)
    return nn.functional.pad(profiles, (missing // 2, missing - missing // 2))
