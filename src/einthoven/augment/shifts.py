"""What moves a signal in time as a whole: shifts, turns, and its reverse."""

from __future__ import annotations

import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Fraction
from einthoven.augment._tensors import whole

__all__ = ["roll", "shift", "time_flip"]


@register_augmentation
def shift(x: Tensor, generator: torch.Generator, context: Context, max_fraction: Fraction = 0.1) -> Tensor:
    """Shift in time by up to a fraction of the window either way; what leaves on one side is replaced by the edge.

    ``x(t - s)`` with s a whole number of samples, all leads together.
    """
    return x.gather(-1, _moved(x, generator, max_fraction).clamp_(0, x.shape[-1] - 1).expand_as(x))


@register_augmentation
def roll(x: Tensor, generator: torch.Generator, context: Context, max_fraction: Fraction = 1.0) -> Tensor:
    """Turn in time by up to a fraction of the window either way; what leaves on one side enters on the other.

    ``x((t - s) mod T)`` with s a whole number of samples: Roll of dl-ecg-classifier, where the most is 250 samples
    whatever the rate.
    """
    return x.gather(-1, _moved(x, generator, max_fraction).remainder_(x.shape[-1]).expand_as(x))


@register_augmentation
def time_flip(x: Tensor, generator: torch.Generator, context: Context) -> Tensor:
    """Play the record backwards: ``x(T - t)`` (Flipx of dl-ecg-classifier)."""
    return x.flip(-1)


def _moved(x: Tensor, generator: torch.Generator, max_fraction: float) -> Tensor:
    """From which sample each one comes, all leads alike, shape (batch, 1, time)."""
    most = int(max_fraction * x.shape[-1])
    return torch.arange(x.shape[-1], device=x.device) - whole(x, generator, len(x), 1, 1, low=-most, high=most)
