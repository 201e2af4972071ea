"""How large is each step? The learning rate over a training, and the constant one while weights are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from einthoven.training.recipe import Training

__all__ = ["Schedule", "averages_from"]

_SWA_SHARE = 1 / 20  # of training.lr, where the recipe names no rate for the averaged epochs


class Schedule:
    """The rate of every step, and the count of steps.

    Args:
        optimizer: whose rates it sets.
        options: ``schedule``, ``lr``, ``warmup``, ``decay``, ``decay_epochs``, ``epochs`` and ``swa`` count.
        n_steps: optimiser steps of an epoch.

    Attributes:
        n: steps that were made.
    """

    def __init__(self, optimizer: Optimizer, options: Training, n_steps: int) -> None:
        self.n = 0
        self._optimizer, self._swa = optimizer, options.swa
        self._lr_averaged = (options.swa.lr if options.swa else None) or options.lr * _SWA_SHARE
        self._constant_from = averages_from(options) * n_steps
        self._inner = _make(optimizer, options, n_steps)
        self._hold()

    @property
    def rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """Set the rate of the next step; called after every step."""
        self.n += 1
        if not self._hold() and isinstance(self._inner, LRScheduler) and not isinstance(self._inner, ReduceLROnPlateau):
            self._inner.step()

    def end_epoch(self, loss: float) -> None:
        """Tell the validation loss of an epoch."""
        if isinstance(self._inner, ReduceLROnPlateau) and not self._hold():
            self._inner.step(loss)

    def _hold(self) -> bool:
        if self._swa is None or self.n < self._constant_from:
            return False
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr_averaged
        return True

    def state_dict(self) -> dict[str, Any]:
        """Everything that later rates depend on, but what the optimiser's state has."""
        return {"n": self.n, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned."""
        self.n = state["n"]
        self._inner.load_state_dict(state["inner"])


def averages_from(options: Training) -> int:
    """The first epoch, from 0, whose weights are averaged; the first of all only where there is no other."""
    if options.swa is None:
        return options.epochs
    return min(options.epochs - 1, max(1, round(options.swa.start * options.epochs)))


def _make(optimizer: Optimizer, options: Training, n_steps: int) -> LRScheduler:
    total = options.epochs * n_steps
    if options.schedule == "one_cycle":
        # A warm-up of one step has no length in torch's schedule, which then divides by zero.
        warmup = options.warmup if total * options.warmup > 1.5 else min(0.9, 2.5 / total)
        cycled = options.optimizer in ("adam", "adamw")  # sgd and muon have the recipe's momentum, lion its own
        return OneCycleLR(optimizer, options.lr, total_steps=total, pct_start=warmup, cycle_momentum=cycled)
    if options.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=options.decay, patience=options.decay_epochs)
    return LambdaLR(optimizer, _FACTORS[options.schedule](options, n_steps, total))


Factor = Callable[[int], float]


def _cosine(options: Training, n_steps: int, total: int) -> Factor:
    """Linear warm-up, then half a cosine to zero: Loshchilov and Hutter 2017, "SGDR", without restarts."""
    warm = round(options.warmup * total)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return (1 + math.cos(math.pi * (step - warm) / max(1, total - warm))) / 2

    return factor


def _noam(options: Training, n_steps: int, total: int) -> Factor:
    """Linear warm-up, then the inverse square root: Vaswani et al. 2017, scaled so that its peak is ``training.lr``."""
    warm = max(1, round(options.warmup * total))
    return lambda step: min((step + 1) / warm, math.sqrt(warm / (step + 1)))


def _step(options: Training, n_steps: int, total: int) -> Factor:
    return lambda step: options.decay ** (step // n_steps // options.decay_epochs)


def _exponential(options: Training, n_steps: int, total: int) -> Factor:
    return lambda step: options.decay ** (step // n_steps)


def _constant(options: Training, n_steps: int, total: int) -> Factor:
    return lambda step: 1.0


# Factor of training.lr by the number of the step, from 0.
_FACTORS: dict[str, Callable[[Training, int, int], Factor]] = {
    "cosine": _cosine,
    "noam": _noam,
    "step": _step,
    "exponential": _exponential,
    "constant": _constant,
}
