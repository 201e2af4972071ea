"""Scaling as the network's first layer: fitted on the training folds, saved and exported with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from einthoven.models._network import Network

__all__ = ["Classifier", "Scaling"]


class Scaling(nn.Module):
    """Subtract a mean and divide by a deviation, in millivolts; one pair for the dataset, or one per lead.

    Args:
        mean: one value, or one per lead.
        deviation: one value, or one per lead; above zero.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float] = (0.0,), deviation: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None])
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Scale signals of shape (batch, lead, time)."""
        return (x - self.mean) / self.deviation


class Classifier(nn.Module):
    """What is trained, saved and exported: scaling, then a network; millivolts in, logits out."""

    def __init__(self, scaling: Scaling, network: Network) -> None:
        super().__init__()
        self.scaling, self.network = scaling, network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, class) of signals (batch, lead, time) in mV."""
        logits: Tensor = self.network(self.scaling(x))
        return logits
