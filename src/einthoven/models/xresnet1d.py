"""xresnet1d18 to 152: He et al. 2019's "bag of tricks" residual networks in one dimension.

As configured by the PTB-XL benchmark (Strodthoff et al. 2021): kernel 5, widths 64 in every stage of basic blocks and
an expansion of 4 in bottlenecks (50, 101, 152), a stem of three convolutions, average pooling before 1x1 shortcuts.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import Network, conv1d, pooled_head
from einthoven.models._registry import register_model

__all__ = ["xresnet1d18", "xresnet1d34", "xresnet1d50", "xresnet1d101", "xresnet1d152"]

_KERNEL = 5
_STEM = (32, 32, 64)
_WIDTH = 64


def _conv_norm(n_in: int, n_out: int, kernel: int, stride: int = 1, zero: bool = False) -> nn.Sequential:
    """Convolution and batch norm; ``zero`` lets a residual branch start as nothing."""
    norm = nn.BatchNorm1d(n_out)
    if zero:
        nn.init.zeros_(norm.weight)
    return nn.Sequential(conv1d(n_in, n_out, kernel, stride), norm)


class ResidualBlock(nn.Module):
    """Basic block (``expansion`` 1) or bottleneck (``expansion`` 4) with an average-pooled shortcut."""

    def __init__(self, n_in: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        n_out = width * expansion
        if expansion == 1:
            convs = [_conv_norm(n_in, width, _KERNEL, stride), nn.ReLU(), _conv_norm(width, n_out, _KERNEL, zero=True)]
        else:
            convs = [_conv_norm(n_in, width, 1), nn.ReLU(), _conv_norm(width, width, _KERNEL, stride), nn.ReLU()]
            convs += [_conv_norm(width, n_out, 1, zero=True)]
        self.convs = nn.Sequential(*convs)
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool1d(stride, ceil_mode=True))
        if n_in != n_out:
            shortcut.append(_conv_norm(n_in, n_out, 1))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, width * expansion, time / stride)."""
        return F.relu(self.convs(x) + self.shortcut(x))


def _xresnet1d(n_leads: int, n_classes: int, depths: tuple[int, ...], expansion: int) -> Network:
    sizes = (n_leads, *_STEM)
    layers: list[nn.Module] = []
    for k in range(3):
        layers += [_conv_norm(sizes[k], sizes[k + 1], _KERNEL, stride=2 if k == 0 else 1), nn.ReLU()]
    layers.append(nn.MaxPool1d(3, stride=2, padding=1))
    n_in = _STEM[-1]
    for stage, depth in enumerate(depths):
        for k in range(depth):
            layers.append(ResidualBlock(n_in, _WIDTH, expansion, stride=2 if stage > 0 and k == 0 else 1))
            n_in = _WIDTH * expansion
    network = Network(nn.Sequential(*layers), pooled_head(n_in, n_classes), n_features=n_in)
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


@register_model
def xresnet1d18(n_leads: int, n_classes: int) -> Network:
    """Basic blocks, 2-2-2-2."""
    return _xresnet1d(n_leads, n_classes, (2, 2, 2, 2), expansion=1)


@register_model
def xresnet1d34(n_leads: int, n_classes: int) -> Network:
    """Basic blocks, 3-4-6-3."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 6, 3), expansion=1)


@register_model
def xresnet1d50(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-4-6-3; 0.95 M parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 6, 3), expansion=4)


@register_model
def xresnet1d101(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-4-23-3; 1.87 M parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 23, 3), expansion=4)


@register_model
def xresnet1d152(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-8-36-3."""
    return _xresnet1d(n_leads, n_classes, (3, 8, 36, 3), expansion=4)
