"""inception1d: InceptionTime with the PTB-XL benchmark's head.

Ismail Fawaz et al. 2020, "InceptionTime: finding AlexNet for time series classification"; as configured by Strodthoff
et al. 2021: depth 6, 32 filters per branch, kernels 39, 19 and 9, a shortcut around every three modules.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import Network, conv1d, pooled_head
from einthoven.models._registry import register_model

__all__ = ["inception1d"]

_KERNELS = (39, 19, 9)


class InceptionModule(nn.Module):
    """Three convolutions of a bottlenecked input beside a pooled branch, concatenated."""

    def __init__(self, n_in: int, n_filters: int, bottleneck: int = 32) -> None:
        super().__init__()
        self.bottleneck = conv1d(n_in, bottleneck, 1)
        self.convs = nn.ModuleList(conv1d(bottleneck, n_filters, kernel) for kernel in _KERNELS)
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), conv1d(n_in, n_filters, 1))
        self.norm = nn.BatchNorm1d((len(_KERNELS) + 1) * n_filters)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, 4 * n_filters, time)."""
        narrow = self.bottleneck(x)
        branches = [conv(narrow) for conv in self.convs] + [self.pooled(x)]
        return F.relu(self.norm(torch.cat(branches, dim=1)))


class ResidualInception(nn.Module):
    """Three inception modules and a shortcut."""

    def __init__(self, n_in: int, n_filters: int) -> None:
        super().__init__()
        n_out = (len(_KERNELS) + 1) * n_filters
        self.inner = nn.Sequential(*(InceptionModule(n_in if k == 0 else n_out, n_filters) for k in range(3)))
        self.shortcut = nn.Sequential(conv1d(n_in, n_out, 1), nn.BatchNorm1d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, 4 * n_filters, time)."""
        return F.relu(self.inner(x) + self.shortcut(x))


@register_model
def inception1d(n_leads: int, n_classes: int, n_filters: int = 32, depth: int = 6) -> Network:
    """0.51 M parameters at 12 leads and 5 classes; ``depth`` counts modules, three to a shortcut."""
    n_out = (len(_KERNELS) + 1) * n_filters
    blocks = [ResidualInception(n_leads if k == 0 else n_out, n_filters) for k in range(depth // 3)]
    return Network(nn.Sequential(*blocks), pooled_head(n_out, n_classes), n_features=n_out)
