"""Scaling as the network's first layer: fitted on the training folds, saved and exported with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from einthoven.models._network import Network
from einthoven.models.fusion import FactScaling

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
    """What is trained, saved and exported: scaling, then a network; millivolts and facts in, logits out.

    Args:
        scaling: of signals.
        network: a ``FusedNetwork`` where facts are seen.
        fact_scaling: of facts; None where the network sees the signal alone.
    """

    def __init__(self, scaling: Scaling, network: Network, fact_scaling: FactScaling | None = None) -> None:
        super().__init__()
        self.scaling, self.network, self.fact_scaling = scaling, network, fact_scaling

    @property
    def n_facts(self) -> int:
        """Columns of the facts that ``forward`` takes."""
        return 0 if self.fact_scaling is None else self.fact_scaling.mean.numel()

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """Logits (batch, class) of signals (batch, lead, time) in mV and facts (batch, fact), NaN where unknown.

        Without ``facts`` a network that would see them takes all for unknown.
        """
        seen = () if facts is None or self.fact_scaling is None else self.fact_scaling(facts)
        logits: Tensor = self.network(self.scaling(x), *seen)
        return logits
