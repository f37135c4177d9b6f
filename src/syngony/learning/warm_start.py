"""Training that starts from an exported network instead of from random weights.

An export folds each batch normalisation into the convolution before it. Here the fold is undone: the network
says what the file says, and every normalisation again has the statistics of its inputs, so that training can go on.
Where there is none, every weight is found by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from syngony.errors import ModelError
from syngony.learning.classifier import Classifier

WEIGHT_SIZE = 0.15
"""Root mean square of a normalised convolution's weights, about what it is late in a long run. The size of
such weights changes nothing but how far a step of the optimiser goes."""

_MEMBER = "member"

HALF = "/half"
"""What the name of a weight ends with that is kept in half precision and cast."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


def member_prefix(number: int) -> str:
    """What the names of a network's parts begin with where several are joined in one file."""
    return f"{_MEMBER}{number}/"


def start_from(model: Classifier, path: Path, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Give a network the weights of an exported one of the same shape.

    Args:
        model: whose weights are replaced, in place.
        path: ``.onnx`` file that `syngony.learning.export.export_run` wrote, or several joined: the last of them.
        batches: patterns of which the statistics are taken; some thousand are enough.

    Raises:
        ModelError: the file holds another network, or one whose layers cannot be told from their order.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    members = [one.name.partition("/")[0] for one in graph.initializer if one.name.startswith(_MEMBER)]
    prefix = member_prefix(max(int(name.removeprefix(_MEMBER)) for name in members)) if members else ""
    chosen = [one for one in graph.initializer if one.name.startswith(prefix)]
    arrays = {one.name.removeprefix(prefix).removesuffix(HALF): _weight(numpy_helper.to_array(one)) for one in chosen}
    folded = [node for node in graph.node if node.op_type == "Conv" and node.input[1].startswith(prefix)]
    layers = [m for m in model.network.modules() if isinstance(m, _CONVOLUTIONS)]
    norms = [m for m in model.network.modules() if isinstance(m, _NORMALISATIONS)]
    if norms and not len(folded) == len(layers) == len(norms):
        raise ModelError(
            f"{path.name}: {len(folded)} convolutions where this network has {len(layers)} and {len(norms)} "
            "normalisations: start from an export of the same network"
        )
    state: dict[str, Any] = {name.removeprefix("network."): arrays[name] for name in arrays if "::" not in name}
    for name, parameter in model.network.named_parameters():
        owner = model.network.get_submodule(name.rpartition(".")[0])
        if not norms or not isinstance(owner, _CONVOLUTIONS + _NORMALISATIONS):
            _fill(parameter, state.get(name), name, path)
    if norms:
        for node, layer, norm in zip(folded, layers, norms, strict=True):
            weight, bias = (arrays[name.removeprefix(prefix)] for name in node.input[1:3])
            _fill(layer.weight, weight, "a convolution", path)
            _pass_through(norm, bias, path)
        _take_statistics(model, norms, batches)
        for layer, norm in zip(layers, norms, strict=True):
            _resize(layer, norm)
    model.train()  # lightning trains layers in the mode that it finds them in


def _weight(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _fill(parameter: Tensor, value: NDArray[np.float32] | None, name: str, path: Path) -> None:
    if value is not None and (value.ndim, parameter.dim()) == (4, 3):
        value = value[:, :, 0]  # `as_planes`
    if value is None or tuple(value.shape) != tuple(parameter.shape):
        there = "nothing" if value is None else f"shape {tuple(value.shape)}"
        raise ModelError(
            f"{path.name}: {there} for {name}, which has shape {tuple(parameter.shape)}: start from an export of "
            "the same network"
        )
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value)))


def _pass_through(norm: Any, bias: NDArray[np.float32], path: Path) -> None:
    """Make a normalisation that only adds the bias."""
    _fill(norm.bias, bias, "a normalisation", path)
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)


def _take_statistics(model: Classifier, norms: list[Any], batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Give each normalisation the mean and variance of its inputs, and weights under which it says the same."""
    sums = [torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms]

    def watch(total: Tensor) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double().transpose(0, 1).flatten(1)  # (features, batch * places)
            total[0] += x.shape[1]
            total[1] += x.sum(1)
            total[2] += (x * x).sum(1)

        return hook

    hooks = [norm.register_forward_pre_hook(watch(total)) for norm, total in zip(norms, sums, strict=True)]
    model.eval()
    with torch.no_grad():
        for inputs, _, _ in batches:
            model(inputs)
        for hook in hooks:
            hook.remove()
        for norm, (n, first, second) in zip(norms, sums, strict=True):
            mean = first / n
            variance = (second / n - mean**2).clamp_min(0.0)
            norm.bias += mean.float()
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)


def _resize(layer: Any, norm: Any) -> None:
    """Give each channel of a convolution the usual size; its normalisation undoes it."""
    with torch.no_grad():
        size = layer.weight.square().flatten(1).mean(1).sqrt()
        # Channels that say nothing stay as they are: they cannot be told from noise.
        factor = torch.where(size > 1e-6, WEIGHT_SIZE / size.clamp_min(1e-6), 1.0)
        old = (norm.running_var + norm.eps).sqrt()
        layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.dim() - 1)))
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor**2)
        norm.weight.mul_((norm.running_var + norm.eps).sqrt() / (factor * old))
