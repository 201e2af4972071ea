"""What every network has in common: the verbs, and the head of the PTB-XL benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ConcatPool", "Network", "conv1d", "pooled_head"]


class Network(nn.Module):
    """A body that turns (batch, lead, time) into (batch, feature, time), and a head that turns that into logits.

    Attributes:
        body: from signals to features.
        head: from features to logits; its last layer is the classifier.
        n_features: channels that the body gives.
    """

    def __init__(self, body: nn.Module, head: nn.Sequential, n_features: int) -> None:
        super().__init__()
        self.body, self.head, self.n_features = body, head, n_features

    def forward_features(self, x: Tensor) -> Tensor:
        """Features over time, shape (batch, feature, time)."""
        features: Tensor = self.body(x)
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (batch, class), or with ``pre_logits`` what the classifier sees (batch, embedding)."""
        layers: nn.Module = self.head[:-1] if pre_logits else self.head
        out: Tensor = layers(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, class), of signals (batch, lead, time)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        layer = self.head[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def reset_classifier(self, n_classes: int) -> None:
        """Replace the last layer by a fresh one for other classes."""
        self.head[-1] = nn.Linear(self.get_classifier().in_features, n_classes)

    @property
    def n_parameters(self) -> int:
        """Parameters, buffers not counted."""
        return sum(p.numel() for p in self.parameters())


class ConcatPool(nn.Module):
    """Maximum and mean over time, side by side: (batch, feature, time) to (batch, 2 * feature)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return torch.cat([x.amax(dim=-1), x.mean(dim=-1)], dim=1)


def conv1d(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    """Convolution without bias that keeps the length at stride 1 and halves it, rounded up, at stride 2."""
    return nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)


def pooled_head(n_features: int, n_classes: int, hidden: Sequence[int] = (128,), dropout: float = 0.5) -> nn.Sequential:
    """Build the benchmark's head: concatenated pooling, then batch norm, dropout and a linear layer each time.

    Hidden layers have half the dropout of the last, as fastai's ``create_head`` does it.
    """
    layers: list[nn.Module] = [ConcatPool()]
    sizes = [2 * n_features, *hidden]
    for n_in, n_out in pairwise(sizes):
        layers += [nn.BatchNorm1d(n_in), nn.Dropout(dropout / 2), nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm1d(sizes[-1]), nn.Dropout(dropout), nn.Linear(sizes[-1], n_classes))
