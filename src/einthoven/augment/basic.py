"""The first augmentations: gain, noise, shift in time, lost leads. All in millivolts, before the network scales."""

from __future__ import annotations

import torch
from torch import Tensor

from einthoven.augment._chain import register_augmentation

__all__ = ["lead_dropout", "noise", "scale", "shift"]


@register_augmentation
def scale(x: Tensor, generator: torch.Generator, sigma: float = 0.1) -> Tensor:
    """Multiply the whole record by exp(N(0, sigma)): another body build, another gain."""
    factor = torch.randn(len(x), 1, 1, generator=generator, device=x.device)
    return x * torch.exp(sigma * factor)


@register_augmentation
def noise(x: Tensor, generator: torch.Generator, sigma_mv: float = 0.02) -> Tensor:
    """Add white Gaussian noise of a deviation drawn per record from U(0, sigma_mv)."""
    level = sigma_mv * torch.rand(len(x), 1, 1, generator=generator, device=x.device)
    return x + level * torch.randn(x.shape, generator=generator, device=x.device)


@register_augmentation
def shift(x: Tensor, generator: torch.Generator, max_fraction: float = 0.1) -> Tensor:
    """Shift in time by up to a fraction of the window either way; what leaves on one side is replaced by the edge."""
    n = x.shape[-1]
    most = int(max_fraction * n)
    by = torch.randint(-most, most + 1, (len(x), 1, 1), generator=generator, device=x.device)
    source = (torch.arange(n, device=x.device) - by).clamp(0, n - 1)
    return torch.gather(x, -1, source.expand(x.shape))


@register_augmentation
def lead_dropout(x: Tensor, generator: torch.Generator, p_lead: float = 0.1) -> Tensor:
    """Set each lead to zero with probability ``p_lead``: an electrode that lost contact."""
    keep = torch.rand(x.shape[0], x.shape[1], 1, generator=generator, device=x.device) >= p_lead
    return x * keep
