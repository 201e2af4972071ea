"""DeepLIFT with Captum, for networks that were not written for it.

Captum follows modules, one for each activation, and sees no function. So the network is traced and every ReLU function
and every maximum over time becomes modules of its own. Whether that was enough is asked of the result: its sum.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
from captum.attr import DeepLift
from torch import Tensor, fx, nn
from torch.nn import functional as F

from einthoven.errors import BundleError
from einthoven.explain.subject import AT_ONCE, Model, RecordScore, log_odds
from einthoven.models.scaling import Classifier

__all__ = ["deeplift", "follow"]

_PATH_STEPS = 64  # of the aggregation's own path integral, which costs next to nothing


class _Maximum(nn.Module):
    """Maximum along the last axis as a knockout of ReLUs, max(a, b) = b + relu(a - b), for which the rule is exact.

    Captum's own rule for pooling layers loses what two records have at different places.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(nn.ReLU() for _ in range(math.ceil(math.log2(n))))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) to (...)."""
        for relu in self.rounds:
            if x.shape[-1] % 2:
                x = torch.cat([x, x[..., -1:]], dim=-1)
            a, b = x[..., ::2], x[..., 1::2]
            x = b + relu(a - b)
        return x.squeeze(-1)


class _MaximumPool(nn.Module):
    """``nn.MaxPool1d`` as such a knockout; at the ends the last sample stands for what is outside."""

    def __init__(self, pool: nn.MaxPool1d) -> None:
        super().__init__()
        self.size, self.stride, self.padding = (
            _single(value) for value in (pool.kernel_size, pool.stride, pool.padding)
        )
        self.maximum = _Maximum(self.size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to (batch, channel, windows)."""
        x = F.pad(x, (self.padding, self.padding), mode="replicate")
        out: Tensor = self.maximum(x.unfold(-1, self.size, self.stride))
        return out


def _single(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def follow(model: Model, example: Tensor, facts: Tensor | None) -> nn.Module:
    """Return the network as a graph in which every activation is a module of its own, with the same answers.

    Args:
        model: one network; an ensemble has no single graph of layers.
        example: of its input, shape (windows, leads, samples).
        facts: of its second input, where it has one.

    Raises:
        BundleError: it cannot be traced.
    """
    if not isinstance(model, Classifier):
        raise BundleError(
            "DeepLIFT follows the layers of one network, and this bundle is an ensemble, whose mean of probabilities "
            "multiplies what members say; use method eg, which gives SHAP values of any network"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = fx.symbolic_trace(
                copy.deepcopy(model), concrete_args=None if facts is not None else {"facts": None}
            )
            shapes = _shapes(graph, example, facts)
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError) as error:
        raise BundleError(
            f"DeepLIFT cannot follow this network's layers ({str(error).splitlines()[0]}); use method eg, which gives "
            "SHAP values of any network"
        ) from None
    _one_module_each(graph, shapes)
    graph.graph.lint()
    graph.recompile()
    return graph


def _shapes(graph: fx.GraphModule, example: Tensor, facts: Tensor | None) -> dict[str, Any]:
    """Shape of what every step gives."""
    shapes: dict[str, Any] = {}

    class Watcher(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            out = super().run_node(n)
            if isinstance(out, Tensor):
                shapes[n.name] = out.shape
            return out

    with torch.no_grad():
        Watcher(graph).run(example, facts)
    return shapes


def _one_module_each(graph: fx.GraphModule, shapes: dict[str, Any]) -> None:
    seen: set[str] = set()
    for k, node in enumerate(list(graph.graph.nodes)):
        module = _module_for(graph, node, shapes, seen)
        if node.op == "call_module":
            seen.add(str(node.target))
        if module is not None:
            shapes[_replace(graph, node, f"follow_{k}", module)] = shapes[node.name]
    for part in graph.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False


def _module_for(graph: fx.GraphModule, node: fx.Node, shapes: dict[str, Any], seen: set[str]) -> nn.Module | None:
    """What stands for a step that Captum cannot follow; None where it can."""
    if node.target in (F.relu, torch.relu, "relu"):
        return nn.ReLU()
    if node.op == "call_method" and node.target == "amax" and node.kwargs == {"dim": -1}:
        return _Maximum(shapes[str(node.args[0])][-1])
    if node.op != "call_module":
        return None
    part = _part(graph, node)
    if isinstance(part, nn.MaxPool1d) and not part.ceil_mode:
        return _MaximumPool(part)
    return copy.deepcopy(part) if str(node.target) in seen else None


def _part(graph: fx.GraphModule, node: fx.Node) -> nn.Module:
    return graph.get_submodule(str(node.target))


def _replace(graph: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> str:
    graph.add_submodule(name, module.eval())
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, args=node.args[:1])
    node.replace_all_uses_with(new)
    graph.graph.erase_node(node)
    return str(new.name)


class _Signal(nn.Module):
    """The network as a function of the signal alone: Captum hands further arguments as it finds them."""

    def __init__(self, graph: nn.Module, facts: Tensor | None) -> None:
        super().__init__()
        self.graph, self.facts = graph, facts

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.graph(x, None if self.facts is None else self.facts.expand(len(x), -1))
        return logits


def deeplift(score: RecordScore, x: Tensor, baselines: Tensor, k: int) -> Tensor:
    """DeepLIFT-SHAP: DeepLIFT's rescale rule (Shrikumar et al. 2017), mean over backgrounds (Lundberg and Lee 2017).

    DeepLIFT gives each window's logits; how windows make the record's score is a small smooth function, whose own path
    integral (Aumann and Shapley) weights them. So the sum over all is what the record's score gained.

    Args:
        score: of records.
        x: the record, shape (leads, samples).
        baselines: shape (n, leads, samples).
        k: the class.

    Returns:
        Shape (leads, samples).

    Raises:
        BundleError: the network's layers cannot be followed.
    """
    windows = score.cut(x[None])
    facts = None if score.facts is None else score.facts.expand(len(windows), -1)
    lift = DeepLift(_Signal(follow(score.model, windows, facts), score.facts))
    total = torch.zeros_like(windows)
    for some in torch.split(baselines, max(1, AT_ONCE // score.n_windows)):
        own, other = windows.repeat(len(some), 1, 1), score.cut(some)
        weights = _path_weights(score, own, other, k)  # (windows, classes)
        for j in torch.nonzero(weights.abs().amax(dim=0)).flatten().tolist():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it sets hooks
                found = weights[:, j, None, None] * lift.attribute(own, other, target=j).detach()
            total += found.reshape(len(some), *windows.shape).sum(dim=0)
    return _overlap_add(score, total, x) / len(baselines)


def _path_weights(score: RecordScore, windows: Tensor, other: Tensor, k: int) -> Tensor:
    """Mean gradient of the record's log-odds for each window's logits, from one record's to the other's."""
    with torch.no_grad():
        z, z0 = (
            score.logits(some).reshape(len(windows) // score.n_windows, score.n_windows, -1)
            for some in (windows, other)
        )
    share = ((torch.arange(_PATH_STEPS) + 0.5) / _PATH_STEPS)[:, None, None, None]
    path = (z0 + share * (z - z0)).flatten(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(log_odds(path, score.how, score.kind)[:, k].sum(), path)
    return gradient.reshape(_PATH_STEPS, len(windows), -1).mean(dim=0)


def _overlap_add(score: RecordScore, parts: Tensor, x: Tensor) -> Tensor:
    """Add windows up where they overlap; what was padded is dropped."""
    out = x.new_zeros(x.shape[0], x.shape[1] + score.missing)
    for window, index in zip(parts, score.index, strict=True):
        out[:, index] += window
    return out[:, : x.shape[1]]
