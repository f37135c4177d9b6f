"""Networks, one file each. A network is a function from settings to a `torch.nn.Module`.

Every module maps a batch of views to logits: 7 crystal systems, or 230 space groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAMES = ("syngony", "line_attention", "mobilenetv2", "residual_1d")


def build(name: str, shape: tuple[int, ...], outputs: int, **options: Any) -> Any:
    """A new network.

    Args:
        name: one of `NAMES`.
        shape: of one input, without the batch axis.
        outputs: logits.
        options: of the network's own ``build``.

    Raises:
        ValueError: no network has this name.
    """
    from syngony.networks import line_attention, mobilenet_v2, residual_1d, syngony_1d

    builders: dict[str, Callable[..., Any]] = {
        "syngony": syngony_1d.build,
        "line_attention": line_attention.build,
        "mobilenetv2": mobilenet_v2.build,
        "residual_1d": residual_1d.build,
    }
    if name not in builders:
        raise ValueError(f"no network {name!r}: choose one of {', '.join(NAMES)}")
    return builders[name](shape, outputs, **options)
