"""What several operations share: draws on the device, time axes, reading a signal between its samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["at", "log_uniform", "normal", "seconds", "uniform", "whole"]


def uniform(x: Tensor, generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers from U(low, high) on the device of ``x``."""
    drawn = torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)
    return drawn.mul_(high - low).add_(low)


def log_uniform(x: Tensor, generator: torch.Generator, *shape: int, scale: float) -> Tensor:
    """Numbers between 1 / scale and scale whose logarithm is uniform: halving is as likely as doubling."""
    return uniform(x, generator, *shape, low=-math.log(scale), high=math.log(scale)).exp_()


def normal(x: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    """Numbers from N(0, 1) on the device of ``x``."""
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)


def whole(x: Tensor, generator: torch.Generator, *shape: int, low: int, high: int) -> Tensor:
    """Whole numbers from ``low`` to ``high``, both included."""
    return torch.randint(low, high + 1, shape, generator=generator, device=x.device)


def seconds(x: Tensor, fs: float) -> Tensor:
    """Time of every sample in seconds, shape (time,)."""
    return torch.arange(x.shape[-1], device=x.device, dtype=x.dtype) / fs


def at(x: Tensor, position: Tensor) -> Tensor:
    """Read signals between their samples by linear interpolation, all leads at the same moments.

    Args:
        x: shape (batch, lead, time).
        position: in samples, shape (batch, moments); before the first and after the last sample the edge holds.

    Returns:
        Shape (batch, lead, moments).
    """
    last = x.shape[-1] - 1
    position = position.clamp(0, last)
    left = position.long().clamp_(max=max(last - 1, 0))
    weight = (position - left)[:, None]
    left = left[:, None].expand(-1, x.shape[1], -1)
    return torch.lerp(x.gather(-1, left), x.gather(-1, (left + 1).clamp_(max=last)), weight)
