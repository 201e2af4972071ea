"""Exported graphs: layers over time get a height of 1, and answer as before."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from einthoven.bundling.layout import widen

DRAW = np.random.default_rng(0)


def graph_of(nodes, weights):
    put = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 40])
    sizes = ["batch", 6] if nodes[-1].op_type == "ReduceMean" else ["batch", "channels", "time"]
    got = helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    body = helper.make_graph(nodes, "g", [put], [got], stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answer(graph):
    onnx.checker.check_model(graph)
    session = ort.InferenceSession(graph.SerializeToString())
    return session.run(None, {"x": np.random.default_rng(1).standard_normal((3, 4, 40)).astype(np.float32)})[0]


def conv(x, w, y, **how):
    return helper.make_node("Conv", [x, w], [y], **how)


NODES = {
    "a skip that branches before and joins after": [
        conv("x", "w1", "a", pads=[2, 1], strides=[2], kernel_shape=[4]),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "w2", "c", pads=[1, 1], dilations=[1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[3], strides=[2], pads=[1, 0]),
        helper.make_node("ReduceMean", ["e", "last"], ["y"], keepdims=0),
    ],
    "a gate by channel, and the graph's own output from a layer": [
        conv("x", "w1", "a"),
        helper.make_node("BatchNormalization", ["a", "s", "s", "s", "s"], ["n"]),
        helper.make_node("ReduceMean", ["n", "last"], ["m"], keepdims=1),
        helper.make_node("Sigmoid", ["m"], ["g"]),
        helper.make_node("Mul", ["n", "g"], ["h"]),
        conv("h", "w2", "y"),
    ],
    "a normalisation between two layers": [
        conv("x", "w1", "a"),
        helper.make_node("Sub", ["a", "column"], ["b"]),
        conv("b", "w2", "y"),
    ],
}
WEIGHTS = {
    "w1": DRAW.standard_normal((6, 4, 4)),
    "w2": DRAW.standard_normal((6, 6, 3)),
    "s": DRAW.uniform(0.5, 1.5, 6),
    "column": DRAW.standard_normal((6, 1)),
}


@pytest.mark.parametrize("name", NODES)
def test_the_widened_graph_answers_as_before(name):
    used = {each for node in NODES[name] for each in node.input}
    graph = graph_of(NODES[name], {each: value for each, value in WEIGHTS.items() if each in used})
    graph.graph.initializer.extend([numpy_helper.from_array(np.array([-1]), "last")] if "last" in used else [])
    before = answer(graph)
    after = widen(graph)
    assert {len(each.dims) for each in after.graph.initializer if each.name.startswith("w")} == {4}
    np.testing.assert_allclose(answer(after), before, atol=1e-5)


def test_a_graph_whose_weights_serve_twice_is_left():
    nodes = [conv("x", "w", "a", pads=[1, 1]), conv("a", "w", "y", pads=[1, 1])]
    graph = graph_of(nodes, {"w": DRAW.standard_normal((4, 4, 3))})
    known = graph.SerializeToString()
    assert widen(graph).SerializeToString() == known
