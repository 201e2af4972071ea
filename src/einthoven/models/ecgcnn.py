"""ecgcnn_*: the convolutional, residual and inception networks of shaolinpat/ecg_cnn_pytorch.

Made there for 12 leads, 1000 samples and 5 superclasses of PTB-XL, of which one is chosen.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from einthoven.models._blocks import PoolTo, ResidualBlock, residual_stages
from einthoven.models._network import Network, conv1d
from einthoven.models._registry import register_model

__all__ = ["ecgcnn_convnet", "ecgcnn_inception", "ecgcnn_resnet"]

_POSITIONS = 125  # that 1000 samples leave after the three convolutions


def _conv_pool(n_in: int, n_out: int, kernel: int, padding: int, pool: int) -> list[nn.Module]:
    conv = nn.Conv1d(n_in, n_out, kernel, padding=padding)
    return [conv, nn.BatchNorm1d(n_out), nn.ReLU(), nn.MaxPool1d(pool, stride=2, padding=1)]


@register_model
def ecgcnn_convnet(n_leads: int, n_classes: int, width: int = 64) -> Network:
    """Three convolutions and three dense layers; 551,749 parameters at 12 leads and 5 classes.

    The original flattens 125 positions and so takes 1000 samples only. Here other lengths are pooled to 125 positions;
    1000 samples go through unchanged.
    """
    body = _conv_pool(n_leads, width, kernel=16, padding=8, pool=3)
    for _ in range(2):
        body += _conv_pool(width, width, kernel=3, padding=0, pool=2)
    head = [PoolTo(_POSITIONS), nn.Flatten(), nn.Linear(_POSITIONS * width, 64), nn.Dropout(0.5), nn.ReLU()]
    head += [nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, n_classes)]
    return Network(nn.Sequential(*body, nn.Dropout(0.3)), nn.Sequential(*head), n_features=width)


@register_model
def ecgcnn_resnet(n_leads: int, n_classes: int, width: int = 64) -> Network:
    """Three stages of two residual blocks, widths 64, 128 and 256; 961,413 parameters at 12 leads and 5 classes."""
    stem = [conv1d(n_leads, width, 7, stride=2), nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(3, stride=2, padding=1)]
    widths = (width, 2 * width, 4 * width)
    blocks = residual_stages(width, widths, (2, 2, 2), partial(ResidualBlock, kernels=(3, 3)))
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], n_classes))
    return Network(nn.Sequential(*stem, *blocks), head, n_features=widths[-1])


class InceptionBlock(nn.Module):
    """Branches of kernels 3, 5 and 7, each behind a bottleneck of its own, concatenated and normed.

    No activation follows the norm and nothing is pooled, as in the original.
    """

    def __init__(self, n_in: int, n_filters: int, bottleneck: int = 32) -> None:
        super().__init__()
        self.branches = nn.ModuleList()
        for kernel in (3, 5, 7):
            narrow, wide = nn.Conv1d(n_in, bottleneck, 1), nn.Conv1d(bottleneck, n_filters, kernel, padding=kernel // 2)
            self.branches.append(nn.Sequential(narrow, nn.ReLU(), wide, nn.ReLU()))
        self.norm = nn.BatchNorm1d(3 * n_filters)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, 3 * n_filters, time)."""
        out: Tensor = self.norm(torch.cat([branch(x) for branch in self.branches], dim=1))
        return out


@register_model
def ecgcnn_inception(n_leads: int, n_classes: int, n_filters: int = 32) -> Network:
    """Three inception blocks of 32, 64 and 128 filters a branch; 140,549 parameters at 12 leads and 5 classes."""
    filters = (n_filters, 2 * n_filters, 4 * n_filters)
    sizes = [n_leads, *(3 * n for n in filters)]
    body = nn.Sequential(*(InceptionBlock(n_in, n) for n_in, n in zip(sizes, filters, strict=False)))
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(sizes[-1], n_classes))
    return Network(body, head, n_features=sizes[-1])
