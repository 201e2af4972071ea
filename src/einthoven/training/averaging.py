"""Averages of the weights over a training: what is validated and shipped when a recipe asks for one."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["MovingAverage", "WeightMean", "refresh_batch_norm"]


class MovingAverage:
    """A shadow of a module whose parameters and floating-point buffers follow it slowly.

    The decay starts low, at (1 + step) / (10 + step), so that the random start is forgotten; as in Tarvainen and
    Valpola 2017, "Mean teachers are better role models", and TensorFlow's ``ExponentialMovingAverage``.

    Args:
        module: what to follow.
        decay: per step, close to 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module).eval().requires_grad_(False), decay
        self._shadow = [*self.module.parameters(), *self.module.buffers()]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards ``module`` after optimiser step number ``step``, counted from 1."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self._shadow, [*module.parameters(), *module.buffers()], strict=True))
        moving = [(a, b) for a, b in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in moving], [b for _, b in moving], weight)
        for a, b in pairs:
            if not a.is_floating_point():  # counters of batch norm
                a.copy_(b)


class WeightMean:
    """The mean of the weights at the end of several epochs.

    Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization". Its batch norms have the
    statistics of no network yet: see ``refresh_batch_norm``.

    Args:
        module: whose weights are averaged.

    Attributes:
        n: epochs that the mean is of.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.n = copy.deepcopy(module).eval().requires_grad_(False), 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights of one more epoch."""
        self.n += 1
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 / self.n)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)


@torch.no_grad()
def refresh_batch_norm(module: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Set the statistics of every batch norm to their mean over batches, which the module is called with.

    Nothing is computed for a module without batch norm. It is in evaluation mode afterwards.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not norms:
        return
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over batches
    module.train()
    for batch in batches:
        module(*batch)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    module.eval()
