"""Convolutions along a line, written as convolutions of a plane that is one point high.

ONNX Runtime has its fast kernels and layouts for planes alone: the same sums take two thirds of the time.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

_AXES = "height/axes"
_ON_PLANES = {"Conv", "Relu", "Add"}
"""What is done to planes as it is to lines; `Add` where both are."""


def as_planes(model: Any) -> None:
    """Change the one-dimensional convolutions of an ONNX model to two-dimensional ones, in place; nothing else.

    The file says the same to the last digits that a float has. Only convolutions with weights of their own are
    changed; where what they say goes elsewhere it is made a line again.

    Args:
        model: an ``onnx.ModelProto`` of opset 13 or later.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = _line_weights(graph)
    nodes: list[Any] = []
    plane: dict[str, str] = {}  # name of a line: name of the same as a plane
    made: set[str] = set()  # lines that are there as planes alone so far

    def to_plane(name: str) -> str:
        if name not in plane:
            plane[name] = f"{name}/plane"
            nodes.append(helper.make_node("Unsqueeze", [name, _AXES], [plane[name]]))
        return plane[name]

    def to_line(name: str) -> None:
        if name in made:
            made.discard(name)
            nodes.append(helper.make_node("Squeeze", [plane[name], _AXES], [name]))

    for node in list(graph.node):
        if not _along_a_line(node, weights, plane):
            for name in node.input:
                to_line(name)
            nodes.append(node)
            continue
        changed = 1 if node.op_type == "Conv" else len(node.input)
        for i in range(changed):
            node.input[i] = to_plane(node.input[i])
        if node.op_type == "Conv":
            _raise(node, weights[node.input[1]])
        line = node.output[0]
        plane[line] = node.output[0] = f"{line}/plane"
        made.add(line)
        nodes.append(node)
    for end in graph.output:
        to_line(end.name)
    if not plane:
        return
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.array([2]), _AXES))


def _line_weights(graph: Any) -> dict[str, Any]:
    """Weights of convolutions along a line by their names there; in the file they may be of half precision."""
    given = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in given:
            given[node.output[0]] = given[node.input[0]]
    users = Counter(name for node in graph.node for name in node.input)
    names = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    return {name: given[name] for name in names if users[name] == 1 and name in given and len(given[name].dims) == 3}


def _along_a_line(node: Any, weights: dict[str, Any], plane: dict[str, str]) -> bool:
    """Whether a node is a convolution along a line, or passes on what one says."""
    if node.op_type == "Conv":
        return node.input[1] in weights
    return node.op_type in _ON_PLANES and all(name in plane for name in node.input)


def _raise(node: Any, weight: Any) -> None:
    """Give a convolution and its weights, once, a second axis of one point."""
    *channels, kernel = weight.dims
    del weight.dims[:]
    weight.dims.extend([*channels, 1, kernel])
    for attribute in node.attribute:
        values = list(attribute.ints)
        new = {"kernel_shape": [1, *values], "strides": [1, *values], "dilations": [1, *values]}
        if attribute.name == "pads":
            new["pads"] = [0, values[0], 0, values[1]]
        if attribute.name in new:
            del attribute.ints[:]
            attribute.ints.extend(new[attribute.name])
