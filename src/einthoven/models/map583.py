"""map583_*: the one-dimensional networks of fv316/MAP583, and its recurrent ones.

Made there for single heartbeats: 1 lead, 187 samples at 125 Hz, 5 classes. All give logits here; the original's last
layer, a log softmax, belongs to its loss.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from einthoven.models._blocks import PoolTo, ResidualBlock, residual_stages
from einthoven.models._network import Network, conv1d
from einthoven.models._registry import register_model
from einthoven.models.lstm import Recurrent

__all__ = [
    "map583_cnn1d_3",
    "map583_lstm_1",
    "map583_lstm_2",
    "map583_lstm_3",
    "map583_resnet1d_10",
    "map583_resnet1d_18",
    "map583_resnet1d_v2_10",
    "map583_resnet1d_v2_18",
]

_POSITIONS = 18  # that 187 samples leave after the two convolutions
_EQUAL, _GROWING = (32, 32, 32, 32), (32, 64, 128, 254)  # 254 is the original's


@register_model
def map583_cnn1d_3(n_leads: int, n_classes: int) -> Network:
    """Two convolutions and a classifier; 4,789 parameters at 1 lead and 5 classes.

    The 16 parameters of a batch norm are among them, which the original makes and never uses; here it follows the first
    convolution. Lengths other than 187 samples are pooled to the same 18 positions.
    """
    body = [nn.Conv1d(n_leads, 8, 7), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3)]
    body += [nn.Conv1d(8, 32, 7), nn.ReLU(), nn.MaxPool1d(3)]
    head = nn.Sequential(PoolTo(_POSITIONS), nn.Flatten(), nn.Linear(32 * _POSITIONS, n_classes))
    return Network(nn.Sequential(*body), head, n_features=32)


class LeadsAsSteps(nn.Module):
    """An LSTM that reads a whole lead as one step: (batch, lead, time) to (batch, hidden, lead)."""

    def __init__(self, n_samples: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.pool, self.recurrent = PoolTo(n_samples), Recurrent(n_samples, hidden, layers)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lead, time) to (batch, hidden, lead)."""
        out: Tensor = self.recurrent(self.pool(x).transpose(1, 2))
        return out


class LastStep(nn.Module):
    """(batch, feature, step) to (batch, feature)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pick."""
        return x[..., -1]


def _lstm(n_classes: int, layers: int, n_samples: int, hidden: int) -> Network:
    """Recurrence in name only: the original's beat of one lead is a single step of 187 inputs.

    Its code fed with several leads would take each as a step, and so does this: the count depends on ``n_samples``,
    not on the leads. Other lengths are pooled to ``n_samples``. For recurrence over time see ``lstm``.
    """
    head = nn.Sequential(LastStep(), nn.Linear(hidden, n_classes))
    return Network(LeadsAsSteps(n_samples, hidden, layers), head, n_features=hidden)


@register_model
def map583_lstm_1(n_leads: int, n_classes: int, n_samples: int = 187, hidden: int = 100) -> Network:
    """One layer over leads as steps; 116,105 parameters at 5 classes."""
    return _lstm(n_classes, 1, n_samples, hidden)


@register_model
def map583_lstm_2(n_leads: int, n_classes: int, n_samples: int = 187, hidden: int = 100) -> Network:
    """Two layers over leads as steps; 196,905 parameters at 5 classes."""
    return _lstm(n_classes, 2, n_samples, hidden)


@register_model
def map583_lstm_3(n_leads: int, n_classes: int, n_samples: int = 187, hidden: int = 100) -> Network:
    """Three layers over leads as steps; 277,705 parameters at 5 classes."""
    return _lstm(n_classes, 3, n_samples, hidden)


def _resnet1d(n_leads: int, n_classes: int, widths: tuple[int, ...], depth: int) -> Network:
    """Residual blocks of kernel 5, whose convolutions have biases beside their batch norms, as in the original."""
    stem = [conv1d(n_leads, 32, 5), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(3, stride=2, padding=1)]
    blocks = residual_stages(32, widths, (depth,) * 4, partial(ResidualBlock, kernels=(5, 5), bias=True))
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], n_classes))
    return Network(nn.Sequential(*stem, *blocks), head, n_features=widths[-1])


@register_model
def map583_resnet1d_10(n_leads: int, n_classes: int) -> Network:
    """Four blocks of 32 channels; 45,381 parameters at 1 lead and 5 classes."""
    return _resnet1d(n_leads, n_classes, _EQUAL, depth=1)


@register_model
def map583_resnet1d_18(n_leads: int, n_classes: int) -> Network:
    """Eight blocks of 32 channels; 87,109 parameters at 1 lead and 5 classes."""
    return _resnet1d(n_leads, n_classes, _EQUAL, depth=2)


@register_model
def map583_resnet1d_v2_10(n_leads: int, n_classes: int) -> Network:
    """Four blocks of 32 to 254 channels; 696,991 parameters at 1 lead and 5 classes."""
    return _resnet1d(n_leads, n_classes, _GROWING, depth=1)


@register_model
def map583_resnet1d_v2_18(n_leads: int, n_classes: int) -> Network:
    """Eight blocks of 32 to 254 channels; 1,560,059 parameters at 1 lead and 5 classes."""
    return _resnet1d(n_leads, n_classes, _GROWING, depth=2)
