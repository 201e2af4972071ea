"""convnext1d: ConvNeXt in one dimension.

Liu et al. 2022, "A ConvNet for the 2020s": depthwise convolutions of 7 samples, layer norm over channels, GELU,
LayerScale (Touvron et al. 2021) and stochastic depth (Huang et al. 2016); four stages, each at half the rate of the one
before. Four things differ, for signals and for hours instead of days: the stem overlaps, halves the rate instead of
quartering it (a QRS complex at 100 Hz would have two positions left) and has no norm (which would make an isoelectric
line's noise as large as that complex); LayerScale begins at 0.1 instead of 1e-6; weights begin as torch draws them; and
the head is the PTB-XL benchmark's, with the maximum over time beside the mean.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from einthoven.models._network import Network, pooled_head
from einthoven.models._registry import register_model

__all__ = ["ChannelNorm", "DropPath", "convnext1d", "convnext1d_tiny"]

_KERNEL = 7


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (batch, channel, time)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every instant on its own."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class DropPath(nn.Module):
    """Stochastic depth: in training, a residual branch is left out for a random share of the batch.

    Args:
        p: that share; what is kept is divided by 1 - p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the share of dropped branches must be in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop, or do nothing outside training."""
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.p
        return x * kept.to(x.dtype) / (1 - self.p)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two pointwise layers with four times the width between, scale, shortcut."""

    def __init__(self, width: int, drop_path: float, layer_scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.scale = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, time) to the same."""
        y = self.pointwise(self.conv(x).transpose(1, 2)) * self.scale  # (B, T, C)
        return x + self.drop_path(y.transpose(1, 2))


def _downsampling(n_in: int, n_out: int) -> nn.Sequential:
    """Norm, then half the rate; an odd last sample is left out."""
    return nn.Sequential(ChannelNorm(n_in), nn.Conv1d(n_in, n_out, 2, 2))


def _stages(
    widths: tuple[int, ...], depths: tuple[int, ...], drop_path: float, layer_scale: float
) -> Iterator[nn.Module]:
    """Blocks whose chance of being dropped grows linearly from 0 to ``drop_path``."""
    shares = iter(torch.linspace(0, drop_path, sum(depths)).tolist())
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            yield _downsampling(widths[stage - 1], width)
        yield from (ConvNeXtBlock(width, next(shares), layer_scale) for _ in range(depth))


def _convnext1d(
    n_leads: int,
    n_classes: int,
    widths: tuple[int, ...],
    depths: tuple[int, ...],
    stem_stride: int,
    drop_path: float,
    layer_scale: float,
) -> Network:
    stem = nn.Conv1d(n_leads, widths[0], _KERNEL, stem_stride, padding=_KERNEL // 2)
    body = nn.Sequential(stem, *_stages(widths, depths, drop_path, layer_scale))
    return Network(body, pooled_head(widths[-1], n_classes), n_features=widths[-1])


@register_model
def convnext1d(
    n_leads: int, n_classes: int, stem_stride: int = 2, drop_path: float = 0.1, layer_scale: float = 0.1
) -> Network:
    """1.83 M parameters at 12 leads and 5 classes: widths 32 to 256, 2-2-4-2 blocks."""
    return _convnext1d(n_leads, n_classes, (32, 64, 128, 256), (2, 2, 4, 2), stem_stride, drop_path, layer_scale)


@register_model
def convnext1d_tiny(
    n_leads: int, n_classes: int, stem_stride: int = 2, drop_path: float = 0.1, layer_scale: float = 0.1
) -> Network:
    """27.0 M parameters: the published ConvNeXt-T's widths, 96 to 768, and 3-3-9-3 blocks."""
    return _convnext1d(n_leads, n_classes, (96, 192, 384, 768), (3, 3, 9, 3), stem_stride, drop_path, layer_scale)
