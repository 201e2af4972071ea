"""cinc2020_ctn: six convolutions and a transformer, the network that won the CinC Challenge 2020.

Natarajan et al. 2020, "A wide and deep transformer neural network for 12-lead ECG classification"; as in the branch
``transformer_network`` of UTU-Health-Research/dl-ecg-classifier, without the age, sex and computed features that join
there before the classifier.
"""

from __future__ import annotations

from torch import Tensor, nn

from einthoven.models._network import Network
from einthoven.models._registry import register_model
from einthoven.models.vit1d import sinusoids

__all__ = ["cinc2020_ctn"]

_WIDTH, _HEADS, _FEEDFORWARD = 256, 8, 2048
_CONVOLUTIONS = ((128, 14, 3), (256, 14, 3), (_WIDTH, 10, 2), (_WIDTH, 10, 2), (_WIDTH, 10, 1), (_WIDTH, 10, 1))


class Encoder(nn.Module):
    """Positions, then transformer layers, over the time of (batch, feature, time)."""

    def __init__(self, n_layers: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        sizes = (_WIDTH, _HEADS, _FEEDFORWARD, dropout)
        self.layers = nn.Sequential(*(nn.TransformerEncoderLayer(*sizes, batch_first=True) for _ in range(n_layers)))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, feature, time) to the same shape."""
        steps = self.dropout(x.transpose(1, 2) + sinusoids(x.shape[-1], _WIDTH, x.device))
        out: Tensor = self.layers(steps)
        return out.transpose(1, 2)


@register_model
def cinc2020_ctn(n_leads: int, n_classes: int, n_layers: int = 8) -> Network:
    """Convolutions that leave a position every 36 samples, then eight layers of attention.

    13,642,641 parameters at 12 leads and 17 classes, as counted for this network without demographics. The original
    pads its first convolution only and so needs 940 samples; here each is padded by half its kernel, which takes any
    length and changes no count. Of the position code it interleaves sines and cosines, a mere order of features.
    """
    layers: list[nn.Module] = []
    n_in = n_leads
    for n_out, kernel, stride in _CONVOLUTIONS:
        conv = nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm1d(n_out), nn.ReLU()]
        n_in = n_out
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(_WIDTH, 64), nn.ReLU(), nn.Dropout(0.2)]
    body = nn.Sequential(*layers, Encoder(n_layers))
    return Network(body, nn.Sequential(*head, nn.Linear(64, n_classes)), n_features=_WIDTH)
