"""Several exported networks as one: the mean of their logits.

Networks that were trained apart err apart, so their mean errs less (L. Hansen & P. Salamon, IEEE Trans. Pattern Anal.
Mach. Intell. 12, 993, 1990), at the cost of asking each. Their weights are kept in half precision, which halves the
file and changes a logit by a thousandth; what is computed with them is computed in single precision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syngony.errors import ModelError
from syngony.inference import Network
from syngony.learning.calibration import collect_logits, fit_temperature
from syngony.learning.patterns import RenderedPatterns, Renderer
from syngony.learning.planes import as_planes
from syngony.learning.recipes import CALIBRATION_SEED, lines_seen
from syngony.learning.split import sides_of
from syngony.learning.warm_start import HALF, member_prefix
from syngony.whole_files import whole_file, write_text

_MANY = 256  # weights that are worth halving


def join(networks: Sequence[Network], output: Path, structures: Path, cache: Path) -> Network:
    """Write one network that says the mean of the logits of several, calibrated anew.

    Args:
        networks: of one view and head; some may be joined themselves and count as one each.
        output: ends in ``.onnx``; the card, which is the first one's with what is common to all, beside it.
        structures: table they were trained on, of whose validation side simulated patterns calibrate.
        cache: folder for computed lines.

    Raises:
        ModelError: their views or heads differ.
        TableError: see `build_line_cache`.
    """
    import onnx
    from onnx import TensorProto, compose, helper

    first = networks[0]
    for other in networks[1:]:
        if any(other.card.get(key) != first.card.get(key) for key in ("view", "head")):
            raise ModelError(f"{other.name} sees or says something else than {first.name}: they have no mean")
    parts = [compose.add_prefix(onnx.load(str(one.path)), member_prefix(i)) for i, one in enumerate(networks)]
    graph = parts[0].graph
    nodes, initial = [], []
    for part in parts:
        inside = part.graph
        nodes.append(helper.make_node("Identity", ["pattern"], [inside.input[0].name]))
        kept, casts = _halved(inside.initializer)
        nodes += [*casts, *inside.node]
        initial += kept
    outputs = [part.graph.output[0].name for part in parts]
    nodes.append(helper.make_node("Mean", outputs, ["logits"]))
    shapes = [[d.dim_value or "n" for d in one.type.tensor_type.shape.dim] for one in (graph.input[0], graph.output[0])]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("pattern", "logits"), shapes, strict=True)
    ]
    whole = helper.make_graph(nodes, "ensemble", ends[:1], ends[1:], initial)
    model = helper.make_model(whole, opset_imports=parts[0].opset_import, ir_version=parts[0].ir_version)
    as_planes(model)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    with whole_file(output) as partial:
        partial.write_bytes(content)
    entries = _card(networks, output.stem, hashlib.sha256(content).hexdigest())
    place = output.with_suffix(".json")
    for temperature in (lambda: 1.0, lambda: _temperature(Network.load(output), structures, cache)):
        entries["temperature"] = temperature()
        write_text(place, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    return Network.load(output)


def _halved(weights: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Weights in half precision, those that are few as they were, and the nodes that give them their names."""
    from onnx import TensorProto, helper, numpy_helper

    kept, casts = [], []
    for weight in weights:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _MANY or np.abs(values).max() > np.finfo(np.float16).max:
            kept.append(weight)
            continue
        kept.append(numpy_helper.from_array(values.astype(np.float16), weight.name + HALF))
        casts.append(helper.make_node("Cast", [weight.name + HALF], [weight.name], to=TensorProto.FLOAT))
    return kept, casts


def _card(networks: Sequence[Network], name: str, digest: str) -> dict[str, Any]:
    first = networks[0].card
    members = [
        {key: card.get(key) for key in ("sha256", "training", "created", "core_seconds")}
        for one in networks
        for card in one.card.get("members", [one.card])
    ]
    total = sum(int(one.card["parameters"]) for one in networks)
    spent = [member["core_seconds"] for member in members]
    common = {"name": name, "sha256": digest, "parameters": total, "members": members, "training": None}
    return {**first, **common, "core_seconds": None if None in spent else sum(spent)}


def _temperature(network: Network, structures: Path, cache: Path) -> float:
    """Fitted on simulated patterns of the validation side, as that of the last one's run was."""
    training = network.card["members"][-1]["training"]
    table = lines_seen(network.view, structures, cache)
    rows = np.flatnonzero(sides_of(table.formula) == "validation")
    renderer = Renderer(table, network.view, training["conditions"], ideal_share=training["ideal_share"])
    batches = RenderedPatterns(renderer, rows, batch_size=128, seed=CALIBRATION_SEED, shuffle=False)

    def logits(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(network._session.run(None, {"pattern": inputs.numpy()})[0])

    return fit_temperature(*collect_logits(logits, batches))
