"""What is covered: stretches of time without a signal."""

from __future__ import annotations

import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Count, Fraction
from einthoven.augment._tensors import uniform

__all__ = ["cutout"]


@register_augmentation
def cutout(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    max_fraction: Fraction = 0.2,
    holes: Count = 1,
    per_lead: bool = False,
) -> Tensor:
    """Set random stretches of time to zero, each ~ U(0, max_fraction) of the window, in all leads or in each its own.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017, in one dimension;
    holes lie wholly within the window.
    """
    rows, n = (x.shape[1] if per_lead else 1), x.shape[-1]
    width = (uniform(x, generator, len(x), rows, holes, high=max_fraction) * (n + 1)).floor_()
    start = (uniform(x, generator, len(x), rows, holes) * (n + 1 - width)).floor_()
    t = torch.arange(n, device=x.device, dtype=x.dtype)
    keep = torch.ones((), dtype=torch.bool, device=x.device)
    for begin, end in zip(start.unbind(2), (start + width).unbind(2), strict=True):
        keep = keep & ((t < begin[:, :, None]) | (t >= end[:, :, None]))
    return x * keep
