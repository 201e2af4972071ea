"""Structured pruning: channels go, with everything in the network that belongs to them.

Which layers share a channel (through residual sums, concatenations, gates and depthwise convolutions) is what
torch-pruning's dependency graph says; Fang et al. 2023, "DepGraph: towards any structural pruning". Before a group of
channels goes, all that reads them is set to zero: the answers before and after must agree then, or the graph was wrong
about this network, and it is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from einthoven.errors import MissingExtraError, RecipeError
from einthoven.models._network import Network
from einthoven.models.fusion import FusedNetwork
from einthoven.models.widths import PRUNABLE

__all__ = ["CRITERIA", "count_channels", "count_macs", "prune_network"]

Inputs = tuple[Tensor, ...]

# Criteria by whether they need losses of training records.
CRITERIA = {"l1": False, "l2": False, "lamp": False, "taylor": True, "hessian": True}

_NEAR = 1e-3  # largest difference of two answers of the same function, of their largest size


class _Part(NamedTuple):
    """Channels of one layer that are of equal standing: every layer beside it has all of them or none.

    Attributes:
        root: number of the layer whose channels they are.
        channels: which of its channels, shape (channel,).
        importance: of each, shape (channel,).
    """

    root: int
    channels: Tensor
    importance: Tensor


class _Root(NamedTuple):
    """A layer from which channels are taken, in all that shares them too.

    Attributes:
        name: in the network.
        layer: itself.
        trigger: what torch-pruning does to it.
    """

    name: str
    layer: nn.Module
    trigger: Any


def prune_network(
    network: Network,
    inputs: Inputs,
    ratio: float,
    *,
    criterion: str = "l1",
    scope: str = "global",
    round_to: int = 8,
    losses: Callable[[], Iterable[Tensor]] | None = None,
) -> None:
    """Take the least important channels out of a network, in place; inputs, facts and classes stay.

    Args:
        network: with trained weights, on the CPU; in evaluation mode afterwards.
        inputs: what it is called with, two samples or more.
        ratio: share of the channels that go, above 0 and below 1; parameters go about as the square of what stays.
        criterion: one of ``CRITERIA``; each is a mean over all layers that a channel belongs to, relative to the mean
            of its group, so that layers compare.

            * ``l1``, ``l2``: size of the weights (Li et al. 2017, "Pruning filters for efficient ConvNets"),
            * ``lamp``: squares relative to those of the larger ones (Lee et al. 2021, "Layer-adaptive sparsity for the
              magnitude-based pruning"),
            * ``taylor``: first order of the change of the loss (Molchanov et al. 2019, "Importance estimation for
              neural network pruning"),
            * ``hessian``: second order of it by squared gradients (LeCun et al. 1989, "Optimal brain damage").
        scope: ``"layer"`` takes the share of every layer, ``"global"`` the least important ones wherever they are.
        round_to: what stays of a layer is a multiple of it, and at least it, where the layer was as wide.
        losses: gives losses one at a time, so that gradients can be taken of each: of batches of training records for
            ``taylor``, of single ones for ``hessian``.

    Raises:
        MissingExtraError: torch-pruning is not there.
        RecipeError: an architecture that cannot be pruned, with the layer and the reason; or nothing to take.
    """
    try:
        import torch_pruning as tp
    except ImportError:
        raise MissingExtraError("model.prune", "prune") from None
    network.eval()
    _check_layers(network, inputs)
    graph = _trace(network, inputs)
    roots, parts = _find_parts(network, graph, _measure(tp.importance, network, criterion, losses))
    before = count_channels(network)
    gone: list[list[int]] = [[] for _ in roots]
    for part, keep in zip(parts, _share_out(parts, ratio, scope, round_to), strict=True):
        least = torch.argsort(part.importance, stable=True)[: len(part.importance) - keep]
        gone[part.root] += part.channels[least].tolist()
    for root, channels in zip(roots, gone, strict=True):
        if channels:
            _remove(network, inputs, graph, root, sorted(channels))
    network.zero_grad(set_to_none=True)
    if count_channels(network) == before:
        raise RecipeError(
            f"model.prune: no channel of {before:,} can go at ratio {ratio:g} with round_to {round_to}; raise the "
            "ratio or lower round_to"
        )
    with torch.inference_mode():
        network.n_features = network.forward_features(inputs[0]).shape[1]


def count_channels(network: Network) -> int:
    """Outputs of all convolutions and linear layers but the classifier."""
    layers = [
        m for m in network.modules() if isinstance(m, nn.Conv1d | nn.Linear) and m is not network.get_classifier()
    ]
    return sum(layer.weight.shape[0] for layer in layers)


def count_macs(network: nn.Module, inputs: Inputs) -> int:
    """Multiplications with addition in the convolutions and linear layers of one pass."""
    counts: list[int] = []

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        counts.append(output.numel() * layer.weight[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def _check_layers(network: Network, inputs: Inputs) -> None:
    """Refuse by name what pruning cannot follow, or not within hours."""
    for name, layer in network.named_modules():
        own = [p for p in layer.parameters(recurse=False) if p.ndim > 1 or isinstance(layer, nn.RNNBase)]
        if isinstance(layer, nn.MultiheadAttention) or (own and not isinstance(layer, PRUNABLE)):
            raise _refusal(name, layer, "is no convolution, linear layer or norm")
        if isinstance(layer, nn.Conv1d) and layer.groups > 1 and layer.groups != layer.out_channels:
            raise _refusal(name, layer, f"is a convolution of {layer.groups} groups of channels")
    for name, layer, x in _flattened(network, inputs):
        if x.ndim > 2 and x.shape[-1] > 1:
            raise _refusal(name, layer, f"lays {x.shape[-1]} positions of a channel side by side")


def _flattened(network: Network, inputs: Inputs) -> list[tuple[str, nn.Module, Tensor]]:
    """Layers that flatten, and what they are given."""
    seen: list[tuple[str, nn.Module, Tensor]] = []
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Flatten)]
    hooks = [layer.register_forward_hook(lambda m, x, _, n=name: seen.append((n, m, x[0]))) for name, layer in layers]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def _refusal(name: str, layer: object, reason: str) -> RecipeError:
    what = f"{name} ({type(layer).__name__})" if name else f"this {type(layer).__name__}"
    return RecipeError(f"model.prune: {what} {reason}, so this architecture cannot be pruned; choose another")


def _trace(network: Network, inputs: Inputs) -> Any:
    import torch_pruning as tp

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it narrates parameters without a layer
            return tp.DependencyGraph().build_dependency(network, example_inputs=list(inputs), verbose=False)
    except Exception as error:  # whatever torch-pruning meets in a network that it does not know
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        raise RecipeError(f"model.prune: this architecture cannot be followed ({reason}); choose another") from error


def _measure(
    importance: Any, network: Network, criterion: str, losses: Callable[[], Iterable[Tensor]] | None
) -> Callable[[Any], Tensor | None]:
    """Return what gives the importance of each channel of a group."""
    plain = {
        "l1": lambda: importance.GroupMagnitudeImportance(p=1),
        "l2": lambda: importance.GroupMagnitudeImportance(p=2),
        "lamp": importance.LAMPImportance,
        "taylor": importance.GroupTaylorImportance,
        "hessian": importance.GroupHessianImportance,
    }
    if CRITERIA[criterion]:
        assert losses is not None, f"{criterion} needs losses"
        _keep_gradients(network, losses(), squared=criterion == "hessian")
    return plain[criterion]()


def _keep_gradients(network: Network, losses: Iterable[Tensor], *, squared: bool) -> None:
    """Leave the sum of the losses' gradients, or of their squares, where the criterion looks for it.

    torch-pruning 1.6.1's own sum of squares is of the last record only.
    """
    parameters = list(network.requires_grad_(True).parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    for loss in losses:
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for total, p in zip(sums, parameters, strict=True):
            if p.grad is not None:
                total += p.grad**2 if squared else p.grad
    for total, p in zip(sums, parameters, strict=True):
        p.grad = total


def _find_parts(
    network: Network, graph: Any, measure: Callable[[Any], Tensor | None]
) -> tuple[list[_Root], list[_Part]]:
    """All channels that may go."""
    names = {layer: name for name, layer in network.named_modules()}
    stay: list[nn.Module] = [network.get_classifier()]
    if isinstance(network, FusedNetwork):
        stay += network.branch.modules()  # facts are few, and each is meant
    roots: list[_Root] = []
    parts: list[_Part] = []
    for group in graph.get_all_groups(ignored_layers=stay):
        dependency = group[0].dep
        if (values := measure(group)) is None:
            continue
        importance = torch.nan_to_num(values.detach())
        parts += [_Part(len(roots), part, importance[part]) for part in _partition(graph, group, len(importance))]
        roots.append(_Root(names[dependency.target.module], dependency.target.module, dependency.handler))
    return roots, parts


def _partition(graph: Any, group: Any, width: int) -> list[Tensor]:
    """Channels of a layer by which layers share them: those that meet a concatenation are in several parts."""
    labels: list[tuple[int, ...]] = [()] * width
    for k, item in enumerate(group):
        if graph.is_out_channel_pruning_fn(item.dep.handler) and isinstance(item.dep.target.module, PRUNABLE):
            for channel in {root for root in item.root_idxs if root is not None}:
                labels[channel] = (*labels[channel], k)
    return [torch.tensor([c for c, own in enumerate(labels) if own == label]) for label in dict.fromkeys(labels)]


def _share_out(parts: Sequence[_Part], ratio: float, scope: str, round_to: int) -> list[int]:
    """How many channels of each part stay."""
    if scope == "layer":
        wanted = [len(part.importance) * (1 - ratio) for part in parts]
    else:
        every = torch.cat([part.importance for part in parts]).sort().values
        bound = every[min(round(ratio * len(every)), len(every) - 1)]
        wanted = [float((part.importance >= bound).sum()) for part in parts]
    return [_rounded(n, len(part.importance), round_to) for n, part in zip(wanted, parts, strict=True)]


def _rounded(wanted: float, width: int, round_to: int) -> int:
    """The multiple that is nearest, from one up to the width, which need be none.

    >>> [_rounded(n, 60, 8) for n in (0, 3, 21, 59)], _rounded(2, 6, 8)
    ([8, 8, 24, 56], 6)
    """
    return min(width, max(1, round(wanted / round_to)) * round_to)


def _remove(network: Network, inputs: Inputs, graph: Any, root: _Root, gone: list[int]) -> None:
    """Take channels out, and prove that nothing else changed."""
    found = graph.get_pruning_group(root.layer, root.trigger, gone)
    if not graph.check_pruning_group(found):
        raise _refusal(root.name, root.layer, "would lose all channels that another layer shares with it")
    for dependency, indices in found:
        if not graph.is_out_channel_pruning_fn(dependency.handler):
            _ignore(dependency.target.module, indices)
    try:
        with torch.no_grad(), _without_norms(network):
            before = network(*inputs)
            found.prune()
            after = network(*inputs)
    except (RuntimeError, ValueError, IndexError) as error:
        raise _refusal(root.name, root.layer, f"cannot lose channels ({str(error).splitlines()[0]})") from error
    if not torch.allclose(before, after, rtol=_NEAR, atol=_NEAR * float(before.abs().max())):
        raise _refusal(root.name, root.layer, "has channels that the network reads where they cannot be followed")


def _ignore(layer: nn.Module, indices: Sequence[int]) -> None:
    """Let a layer read zero in place of some of its inputs."""
    if isinstance(layer, nn.Linear | nn.Conv1d):
        with torch.no_grad():
            layer.weight[:, list(indices)] = 0


@contextmanager
def _without_norms(network: nn.Module) -> Iterator[None]:
    """Layer norms do nothing: their statistics are of all channels, so every answer changes where a channel goes."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.LayerNorm)]
    hooks = [layer.register_forward_hook(lambda _, inputs, __: inputs[0]) for layer in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
