"""How wide is each layer? Read from a pruned network, given to a fresh one; no pruning library is needed for either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from einthoven.errors import RecipeError
from einthoven.models._network import Network

__all__ = ["PRUNABLE", "narrow_network", "read_widths"]

# Layers whose sizes follow from the shape of their weight.
PRUNABLE = (nn.Conv1d, nn.Linear, nn.BatchNorm1d, nn.LayerNorm)

Widths = dict[str, list[int]]


def read_widths(pruned: Network, fresh: Network) -> Widths:
    """Shapes that a pruned network does not share with a fresh one of its architecture.

    Returns:
        The shape of the weight of each layer, by the layer's name, and of parameters that belong to no layer of the
        kinds in ``PRUNABLE``, by their own; empty where nothing was pruned.

    Raises:
        RecipeError: a layer of another kind was changed, which ``narrow_network`` could not repeat.
    """
    whole = dict(fresh.named_modules())
    found: Widths = {}
    for name, layer in pruned.named_modules():
        for key, parameter in layer.named_parameters(recurse=False):
            if parameter.shape == getattr(whole[name], key).shape:
                continue
            if isinstance(layer, PRUNABLE):
                found[name] = list(layer.weight.shape)
            elif parameter.ndim == 1:
                found[f"{name}.{key}"] = list(parameter.shape)
            else:
                raise RecipeError(
                    f"model.prune: {name} ({type(layer).__name__}) cannot be rebuilt without its channels; prune "
                    "another architecture"
                )
    return found


def narrow_network(network: Network, widths: Mapping[str, Sequence[int]], n_features: int) -> None:
    """Give a fresh network the widths of a pruned one, as ``read_widths`` found them; weights are still to be loaded.

    Args:
        network: as its architecture builds it.
        widths: shapes by name.
        n_features: channels that the pruned body gives.

    Raises:
        KeyError: no such layer.
        ValueError: it is narrower than that.
    """
    layers = dict(network.named_modules())
    for name, shape in widths.items():
        if name in layers:
            _narrow_layer(layers[name], shape)
        else:
            owner, _, key = name.rpartition(".")
            _cut(layers[owner], key, shape)
    network.n_features = n_features


def _narrow_layer(layer: nn.Module, shape: Sequence[int]) -> None:
    sizes: dict[str, Any] = {}
    if isinstance(layer, nn.Conv1d):
        depthwise = layer.groups == layer.out_channels > 1
        groups = shape[0] if depthwise else layer.groups
        sizes = {"out_channels": shape[0], "in_channels": shape[1] * groups, "groups": groups}
    elif isinstance(layer, nn.Linear):
        sizes = {"out_features": shape[0], "in_features": shape[1]}
    elif isinstance(layer, nn.BatchNorm1d):
        sizes = {"num_features": shape[0]}
    elif isinstance(layer, nn.LayerNorm):
        sizes = {"normalized_shape": tuple(shape)}
    for key, value in sizes.items():
        setattr(layer, key, value)
    _cut(layer, "weight", shape)
    for key in ("bias", "running_mean", "running_var"):
        if isinstance(getattr(layer, key, None), torch.Tensor):
            _cut(layer, key, shape[:1])


def _cut(layer: nn.Module, key: str, shape: Sequence[int]) -> None:
    """Keep the beginning of a tensor along each of its axes."""
    whole = getattr(layer, key)
    if len(shape) != whole.ndim or any(n > m for n, m in zip(shape, whole.shape, strict=True)):
        raise ValueError(f"{key} of shape {tuple(whole.shape)} has no part of shape {tuple(shape)}")
    part = whole.detach()[tuple(slice(n) for n in shape)].clone()
    setattr(layer, key, nn.Parameter(part) if isinstance(whole, nn.Parameter) else part)
