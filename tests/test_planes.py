"""Convolutions along a line, written as convolutions of a plane."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="changing networks needs the 'train' extra")

import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from syngony.learning.planes import as_planes  # noqa: E402


def convolution(source: str, to: str, weight: str, stride: int = 1):
    return helper.make_node("Conv", [source, weight], [to], kernel_shape=[2], pads=[1, 0], strides=[stride])


def model(*nodes, outputs=("end",), shapes=((4, 4, 2),), half=False):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float16 if half else np.float32) for shape in shapes]
    named = [numpy_helper.from_array(w, f"w{i}" + "/half" * half) for i, w in enumerate(weights)]
    casts = [helper.make_node("Cast", [f"w{i}/half"], [f"w{i}"], to=TensorProto.FLOAT) for i in range(len(shapes))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("start", *outputs)]
    ends[0] = helper.make_tensor_value_info("start", TensorProto.FLOAT, ["n", 4, 20])
    graph = helper.make_graph([*(casts if half else []), *nodes], "g", ends[:1], ends[1:], named)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def said(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    start = np.random.default_rng(1).normal(size=(3, 4, 20)).astype(np.float32)
    return session.run(None, {"start": start})


def operations(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("half", [False, True])
def test_it_says_the_same(half):
    """A residual block, and a line that is used as such beside."""
    nodes = (
        convolution("start", "a", "w0"),
        helper.make_node("Relu", ["a"], ["b"]),
        convolution("b", "c", "w1"),
        helper.make_node("Add", ["a", "c"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["end"], perm=[0, 2, 1]),
        helper.make_node("ReduceMax", ["b"], ["largest"], axes=[2], keepdims=0),
    )
    given = {"outputs": ("end", "largest", "c"), "shapes": ((4, 4, 2), (4, 4, 2)), "half": half}
    before, after = model(*nodes, **given), model(*nodes, **given)
    as_planes(after)
    assert operations(after).count("Unsqueeze") == 1 and operations(after).count("Squeeze") == 3
    for expected, actual in zip(said(before), said(after), strict=True):
        assert expected.shape == actual.shape and np.allclose(expected, actual, atol=1e-5)
    once = after.SerializeToString()
    as_planes(after)
    assert after.SerializeToString() == once


def test_strides_and_the_graphs_own_output():
    nodes = (convolution("start", "end", "w0", stride=2),)
    before, after = model(*nodes), model(*nodes)
    as_planes(after)
    assert np.allclose(said(before)[0], said(after)[0], atol=1e-5)


def test_weights_of_two_convolutions_stay_as_they_are():
    """Changed once they would suit neither."""
    nodes = (convolution("start", "a", "w0"), convolution("a", "end", "w0"))
    same = model(*nodes)
    as_planes(same)
    assert operations(same) == ["Conv", "Conv"]


def test_a_sum_of_a_plane_and_a_line():
    nodes = (convolution("start", "a", "w0"), helper.make_node("Neg", ["a"], ["b"]),
             helper.make_node("Add", ["a", "b"], ["end"]))  # fmt: skip
    after = model(*nodes)
    as_planes(after)
    assert np.allclose(said(after)[0], 0.0)
