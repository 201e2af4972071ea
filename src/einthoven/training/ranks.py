"""What the processes that share each batch say to each other; for a process that is alone, nothing.

Gradients are averaged by ``DistributedDataParallel``; batch norms follow the first process, which validates.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from einthoven.training.device import Engine

__all__ = ["from_first", "mean_over_ranks", "shared", "syncing"]


def shared(model: nn.Module, engine: Engine) -> nn.Module:
    """The module whose backward pass averages gradients over all processes; the model itself where there is one."""
    if engine.n_ranks == 1:
        return model
    return DistributedDataParallel(model, [engine.device] if engine.device.type == "cuda" else None)


def syncing(model: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Context of a forward and backward pass; gradients are averaged in the ``last`` of those that make one step."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def mean_over_ranks(value: Tensor, engine: Engine) -> Tensor:
    """The mean of a tensor over all processes."""
    if engine.n_ranks == 1:
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / engine.n_ranks


def from_first(values: Mapping[str, float], engine: Engine) -> dict[str, float]:
    """The numbers of the first process; the others give any under the same names."""
    if engine.n_ranks == 1:
        return dict(values)
    told = torch.tensor(list(values.values()), dtype=torch.float64, device=engine.device)
    distributed.broadcast(told, 0)
    return dict(zip(values, told.tolist(), strict=True))
