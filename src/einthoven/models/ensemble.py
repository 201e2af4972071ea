"""Several trained networks as one: the weighted mean of their probabilities, given as a logit.

The mean is of probabilities, not of logits, because that is what is judged and shipped: a linear opinion pool (Stone
1961). Its logit is computed from log-probabilities, so that nothing overflows however sure the members are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models.fusion import FactScaling
from einthoven.models.scaling import Classifier

__all__ = ["WeightedMean"]


class WeightedMean(nn.Module):
    r"""Members with weights :math:`w_m` that are at least 0 and sum to 1.

    The logit of a class is :math:`\log \sum_m w_m \sigma(z_m) - \log \sum_m w_m \sigma(-z_m)`, where :math:`z_m` is
    member m's; of classes that exclude each other it is :math:`\log \sum_m w_m \mathrm{softmax}(z_m)`.

    Args:
        members: each gives logits of the same classes in the same order.
        weights: one of each member; above 0.
        kind: ``"multilabel"`` or ``"multiclass"``.
        columns: which facts each member sees, as columns of ``facts``; empty where it sees the signal alone.

    Raises:
        ValueError: weights that are no mean, or not one list of columns a member.
    """

    log_weights: Tensor

    def __init__(
        self,
        members: Sequence[Classifier | WeightedMean],
        weights: Sequence[float],
        kind: str,
        columns: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        if not len(members) == len(weights) == len(columns) or min(weights) <= 0 or abs(sum(weights) - 1) > 1e-6:
            raise ValueError(
                f"{len(members)} members need as many weights above 0 with sum 1, and lists of columns; got "
                f"{list(weights)} and {len(columns)} lists"
            )
        self.members = nn.ModuleList(members)
        self.kind, self.columns = kind, [list(each) for each in columns]
        self.register_buffer("log_weights", torch.tensor(weights, dtype=torch.float64).log().float()[:, None, None])

    @property
    def n_facts(self) -> int:
        """Columns of the facts that ``forward`` takes."""
        return len({k for each in self.columns for k in each})

    @property
    def fact_scaling(self) -> FactScaling | None:
        """Mean and deviation of every fact, as the first member that sees it was fitted; None without facts."""
        if not self.n_facts:
            return None
        mean, deviation = torch.zeros(self.n_facts), torch.ones(self.n_facts)
        for member, columns in reversed(list(zip(self.members, self.columns, strict=True))):
            if isinstance(found := member.fact_scaling, FactScaling):
                mean[columns], deviation[columns] = found.mean, found.deviation
        return FactScaling(mean.tolist(), deviation.tolist())

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """Logits (batch, class) of signals (batch, lead, time) in mV and facts (batch, fact), NaN where unknown."""
        z = torch.stack([self._ask(k, x, facts) for k in range(len(self.members))]).float()
        if self.kind == "multiclass":
            return torch.logsumexp(self.log_weights + F.log_softmax(z, dim=-1), dim=0)
        present = torch.logsumexp(self.log_weights + F.logsigmoid(z), dim=0)
        return present - torch.logsumexp(self.log_weights + F.logsigmoid(-z), dim=0)

    def _ask(self, k: int, x: Tensor, facts: Tensor | None) -> Tensor:
        columns = self.columns[k]
        logits: Tensor = self.members[k](x, facts[:, columns] if columns and facts is not None else None)
        return logits
