"""An exponential moving average of the weights: what is validated and shipped when a recipe asks for it."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["MovingAverage"]


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
