"""net1d: Hong et al.'s residual network with grouped convolutions and channel gates.

Hong et al. 2020, "HOLMES: Health OnLine Model Ensemble Serving for deep learning models in intensive care units"; the
backbone of ECGFounder (Li et al. 2025, "An electrocardiogram foundation model built on over 10 million recordings"),
whose published network leaves its norms and dropouts unused: https://github.com/PKUDigitalHealth/ECGFounder.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import Network
from einthoven.models._registry import register_model

__all__ = ["ecgfounder_net1d", "net1d"]

_KERNEL = 16
_GROUP = 16  # channels that a wide convolution mixes


class SameConv(nn.Conv1d):
    """Convolution whose output has the input's length over the stride, rounded up; the odd zero is padded last."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, n_out, time / stride)."""
        n, (kernel,), (stride,) = x.shape[-1], self.kernel_size, self.stride
        missing = max(0, ((n + stride - 1) // stride - 1) * stride + kernel - n)
        return super().forward(F.pad(x, (missing // 2, missing - missing // 2)))


class Gate(nn.Module):
    """Squeeze and excitation: every channel is weighted by what all channels' means say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, width // 2), nn.Linear(width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, time) to the same."""
        weight = torch.sigmoid(self.excite(F.silu(self.squeeze(x.mean(dim=-1)))))
        return x * weight[..., None]


class Bottleneck(nn.Module):
    """Narrow, wide grouped and narrow convolution, each after its activation; gate; a shortcut without weights.

    Where the rate halves the shortcut takes the larger of two samples (0 follows an odd last one), and where channels
    are added it has zeros on both sides of its own.

    Args:
        n_in: channels.
        n_out: channels.
        stride: of the wide convolution, 1 or 2.
        first: nothing before the first convolution, because the stem has just done it.
        batch_norm: before each activation.
        dropout: after each activation.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, first: bool, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        self.before1 = nn.Sequential() if first else _activation(n_in, batch_norm, dropout)
        self.conv1 = SameConv(n_in, n_out, 1)
        self.before2 = _activation(n_out, batch_norm, dropout)
        self.conv2 = SameConv(n_out, n_out, _KERNEL, stride, groups=max(1, n_out // _GROUP))
        self.before3 = _activation(n_out, batch_norm, dropout)
        self.conv3 = SameConv(n_out, n_out, 1)
        self.gate, self.stride, self.more = Gate(n_out), stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, n_out, time / stride)."""
        y = self.conv1(self.before1(x))
        y = self.conv3(self.before3(self.conv2(self.before2(y))))
        if self.stride == 2:
            # Not a padded max_pool1d: ONNX Runtime fuses the two and then pads with minus infinity instead of 0.
            x = torch.maximum(x[..., ::2], F.pad(x[..., 1::2], (0, x.shape[-1] % 2)))
        return self.gate(y) + F.pad(x, (0, 0, self.more // 2, self.more - self.more // 2))


def _activation(width: int, batch_norm: bool, dropout: float) -> nn.Sequential:
    norm = [nn.BatchNorm1d(width)] if batch_norm else []
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*norm, nn.SiLU(), *drop)


def _net1d(
    n_leads: int,
    n_classes: int,
    stem: int,
    widths: Sequence[int],
    depths: Sequence[int],
    batch_norm: bool,
    dropout: float,
) -> Network:
    stages, n_in = nn.Sequential(), stem
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = [Bottleneck(n_in, width, 2, stage == 0, batch_norm, dropout)]
        blocks += [Bottleneck(width, width, 1, False, batch_norm, dropout) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        n_in = width
    parts = {
        "stem": SameConv(n_leads, stem, _KERNEL, 2),
        "activation": _activation(stem, batch_norm, 0),
        "stages": stages,
    }
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(n_in, n_classes))
    return Network(nn.Sequential(OrderedDict(parts)), head, n_features=n_in)


@register_model
def net1d(n_leads: int, n_classes: int, dropout: float = 0.0) -> Network:
    """0.89 M parameters at 12 leads and 5 classes, with batch norm."""
    return _net1d(n_leads, n_classes, 64, (64, 128, 128, 256), (2, 2, 2, 2), True, dropout)


@register_model
def ecgfounder_net1d(n_leads: int, n_classes: int) -> Network:
    """ECGFounder's 30.7 M parameters, without norms; made for 500 Hz and 10 s of 12 leads, or of lead I alone.

    ``einthoven.models.ecgfounder.load_ecgfounder`` fills it from the published file.
    """
    widths, depths = (64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4)
    return _net1d(n_leads, n_classes, 64, widths, depths, batch_norm=False, dropout=0.0)
