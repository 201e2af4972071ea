"""From a bundle to the graph that edge converters take: traced for one window, batch norms folded into their layers.

A norm after a convolution is a scale and a shift of each channel, so it goes into weights and bias. Left as layers of
their own, norms keep converters from one memory layout and cost an 8-bit network two roundings each.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.utils.fusion import fuse_conv_bn_weights

from einthoven.bundle import Bundle
from einthoven.errors import BundleError
from einthoven.models.weights import build_classifier, load_weights

__all__ = ["Traced", "cannot", "layer_of", "trace"]

_LAYERS = (torch.ops.aten.conv1d.default, torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
_NORM = torch.ops.aten.batch_norm.default
_OPERATOR = re.compile(r"aten[.:]+(\w+)")


@dataclass(frozen=True, slots=True)
class Traced:
    """A network as a graph of operators for one window, and inputs of that shape."""

    module: fx.GraphModule
    example: tuple[Tensor, ...]


def trace(bundle: Bundle) -> Traced:
    """Trace a bundle's network for a batch of one.

    Raises:
        BundleError: PyTorch cannot trace it.
    """
    model = build_classifier(bundle.about["network"])
    load_weights(bundle.path / "model.safetensors", model)
    signals = torch.zeros(1, len(bundle.spec.leads), bundle.window)
    example = (signals, torch.zeros(1, len(bundle.facts))) if bundle.facts else (signals,)
    try:
        exported = torch.export.export(model.eval(), example)
    except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
        raise BundleError(f"{bundle.name}: PyTorch cannot trace this network: {_first_line(error)}") from None
    return Traced(fold_norms(exported.module()), example)


def fold_norms(module: fx.GraphModule) -> fx.GraphModule:
    """Fold every batch norm that follows a convolution or linear layer, and nothing else, into that layer."""
    for norm in [node for node in module.graph.nodes if node.target == _NORM]:
        layer = norm.args[0]
        if layer.target in _LAYERS and len(layer.users) == 1:
            _fold(module, layer, norm)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _fold(module: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> None:
    weight, bias = _value(module, layer.args[1]), _value(module, layer.args[2] if len(layer.args) > 2 else None)
    gain, shift, mean, variance = (_value(module, each) for each in norm.args[1:5])
    assert weight is not None
    assert mean is not None
    assert variance is not None
    epsilon = norm.args[7]
    assert isinstance(epsilon, float)
    fused = fuse_conv_bn_weights(weight, bias, mean, variance, epsilon, gain, shift)
    nodes = []
    with module.graph.inserting_before(layer):
        for what, values in zip(("weight", "bias"), fused, strict=True):
            name = f"folded_{layer.name}_{what}"
            module.register_buffer(name, values.detach())
            nodes.append(module.graph.get_attr(name))
    layer.args = (layer.args[0], *nodes, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    module.graph.erase_node(norm)


def _value(module: fx.GraphModule, node: Any) -> Tensor | None:
    if node is None:
        return None
    found: Any = module
    for part in node.target.split("."):
        found = getattr(found, part)
    return found


def cannot(bundle: Bundle, traced: Traced, what: str, error: Exception) -> BundleError:
    """Say that a converter failed, and on which operator of which layer where its error names one.

    Args:
        bundle: whose network it is.
        traced: that network.
        what: the converter's format.
        error: what it raised.
    """
    named = [name for name in _OPERATOR.findall(str(error)) if layer_of(traced, name)]
    if not named:
        return BundleError(f"{bundle.name} cannot be exported as {what}: {_first_line(error)}")
    layer = layer_of(traced, named[0])
    return BundleError(
        f"{bundle.name} cannot be exported as {what}: it has nothing for the operator {named[0]} of the layer {layer}; "
        "export it as onnx, or train an architecture without that operator"
    )


def layer_of(traced: Traced, operator: str) -> str | None:
    """Name the layer whose operator this is, as ``network.body.0``; None where the graph has no such operator."""
    nodes = list(traced.module.graph.nodes)
    with suppress(RuntimeError, ValueError):  # converters speak of the operators that others are made of
        nodes += torch.export.export(traced.module, traced.example).run_decompositions().graph.nodes
    for node in nodes:
        if node.op == "call_function" and _OPERATOR.findall(str(node.target)) == [operator]:
            stack = list(node.meta.get("nn_module_stack", {}).values())
            return str(stack[-1][0]) if stack else node.name
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
