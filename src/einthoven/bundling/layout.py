"""Convolutions over time in the form that ONNX Runtime computes fastest.

It computes those over (batch, channel, 1, time) in blocks of channels; those over (batch, channel, time) go through a
copy that is several times as large and take up to twice as long. So runs of layers get an axis of height 1.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["widen"]

_LAYERS = ("Conv", "MaxPool", "AveragePool", "BatchNormalization")  # over their first input
_BY_ELEMENT = ("Relu", "Add", "Sub", "Mul", "Div", "Sigmoid", "Clip", "LeakyRelu", "Elu", "Identity")


def widen(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Give runs of one-dimensional layers a height of 1, and take it away after them; answers stay the same.

    Args:
        graph: is changed. One without such convolutions, or with weights or branches of another kind, is left as it is.
    """
    body = graph.graph
    weights = _flat_weights(body)
    if not weights or any(each.HasField("g") for node in body.node for each in node.attribute):
        return graph
    for weight in weights:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :, None], weight.name))
    rewriting = _Rewriting(body)
    for node in list(body.node):
        rewriting.take(node)
    rewriting.finish()
    return graph


def _flat_weights(body: onnx.GraphProto) -> list[onnx.TensorProto]:
    """The weights of all convolutions; none where one is not stored, not over time alone, or used elsewhere too."""
    stored = {each.name: each for each in body.initializer}
    uses = Counter(name for node in body.node for name in node.input)
    names = {node.input[1] for node in body.node if node.op_type == "Conv"}
    whole = all(name in stored and len(stored[name].dims) == 3 and uses[name] == 1 for name in names)
    return [stored[name] for name in names] if whole else []


class _Rewriting:
    """The nodes of the new graph: a tensor that both kinds of nodes read is there with and without the axis."""

    def __init__(self, body: onnx.GraphProto) -> None:
        self._body, self._nodes = body, list[onnx.NodeProto]()
        self._wide = dict[str, str]()  # names of tensors' forms with the axis
        self._only_wide = set[str]()
        self._axis = numpy_helper.from_array(np.array([2], np.int64), "height_axis")

    def take(self, node: onnx.NodeProto) -> None:
        """Add a node, widened where it is a layer, or works by element on what is wide already."""
        layer = node.op_type in _LAYERS
        if layer or (node.op_type in _BY_ELEMENT and all(name in self._wide for name in node.input)):
            for k in range(1 if layer else len(node.input)):
                node.input[k] = self._widened(node.input[k])
            _widen_attributes(node)
            node.output[0] = self._born_wide(node.output[0])
        else:
            for name in node.input:
                self._narrow(name)
        self._nodes.append(node)

    def finish(self) -> None:
        """Put the new nodes in place of the old ones."""
        for output in self._body.output:
            self._narrow(output.name)
        self._body.initializer.append(self._axis)
        del self._body.node[:], self._body.value_info[:]
        self._body.node.extend(self._nodes)

    def _widened(self, name: str) -> str:
        if name not in self._wide:
            self._wide[name] = f"{name}.wide"
            self._nodes.append(helper.make_node("Unsqueeze", [name, self._axis.name], [self._wide[name]]))
        return self._wide[name]

    def _born_wide(self, name: str) -> str:
        self._only_wide.add(name)
        self._wide[name] = f"{name}.wide"
        return self._wide[name]

    def _narrow(self, name: str) -> None:
        if name in self._only_wide:
            self._only_wide.discard(name)
            self._nodes.append(helper.make_node("Squeeze", [self._wide[name], self._axis.name], [name]))


def _widen_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        values = list(attribute.ints)
        if attribute.name in ("kernel_shape", "strides", "dilations"):
            attribute.ints[:] = [1, *values]
        elif attribute.name == "pads":
            attribute.ints[:] = [0, values[0], 0, values[1]]
