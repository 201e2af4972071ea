"""fcn_wang: three convolutions at full length, the smallest convolutional network of the PTB-XL benchmark.

Wang, Yan and Oates 2017, "Time series classification from scratch with deep neural networks"; as configured by
Strodthoff et al. 2021: 128, 256 and 128 channels, kernels 8, 5 and 3, and the benchmark's head.
"""

from __future__ import annotations

from torch import nn

from einthoven.models._network import Network, conv1d, pooled_head
from einthoven.models._registry import register_model

__all__ = ["fcn_wang"]


@register_model
def fcn_wang(n_leads: int, n_classes: int, width: int = 128) -> Network:
    """0.31 M parameters at 12 leads and 5 classes; nothing is strided or pooled before the head."""
    layers: list[nn.Module] = []
    n_in = n_leads
    for n_out, kernel in ((width, 8), (2 * width, 5), (width, 3)):
        layers += [conv1d(n_in, n_out, kernel), nn.BatchNorm1d(n_out), nn.ReLU()]
        n_in = n_out
    return Network(nn.Sequential(*layers), pooled_head(width, n_classes), n_features=width)
