"""resnet1d_wang: a shallow wide residual network, the PTB-XL benchmark's best on the superdiagnostic task.

Wang, Yan and Oates 2017, "Time series classification from scratch with deep neural networks"; as configured by
Strodthoff et al. 2021: three blocks of 128 channels, kernels 5 and 3, no pooling before the head.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import Network, conv1d, pooled_head
from einthoven.models._registry import register_model

__all__ = ["resnet1d_wang"]


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which is a convolution where the length changes."""

    def __init__(self, width: int, kernels: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv1d(width, width, kernels[0], stride), nn.BatchNorm1d(width)
        self.conv2, self.bn2 = conv1d(width, width, kernels[1]), nn.BatchNorm1d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(conv1d(width, width, 1, stride), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, time) to (batch, width, time / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.bn2(self.conv2(y)))


@register_model
def resnet1d_wang(n_leads: int, n_classes: int, width: int = 128, stem_stride: int = 1) -> Network:
    """0.47 M parameters at 12 leads and 5 classes; a ``stem_stride`` of 2 halves the work (the benchmark's is 1)."""
    stem = [conv1d(n_leads, width, 7, stem_stride), nn.BatchNorm1d(width), nn.ReLU()]
    blocks = [BasicBlock(width, (5, 3), stride) for stride in (1, 2, 2)]
    return Network(nn.Sequential(*stem, *blocks), pooled_head(width, n_classes), n_features=width)
