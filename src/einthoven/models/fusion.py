"""Late fusion: facts about a record (age, sex, measurements) join the pooled signal before the classifier.

Any fact may be missing, in training and later: it then is zero, which is the training mean after scaling, and the mask
says that nobody knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from einthoven.models._network import Network

__all__ = ["FactScaling", "FusedNetwork"]

_FARTHEST = 10.0  # deviations: a measurement gone wrong shall not outvote the signal


class FactScaling(nn.Module):
    """Bring facts to mean 0 and deviation 1, fitted on the training records; tell known from unknown.

    Args:
        mean: of each fact.
        deviation: of each fact; above zero.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch, fact), 0 where unknown, and whether each is known, as 0 or 1, of facts with NaN."""
        unknown = torch.isnan(facts)
        scaled = ((torch.nan_to_num(facts) - self.mean) / self.deviation).clamp(-_FARTHEST, _FARTHEST)
        return torch.where(unknown, torch.zeros_like(scaled), scaled), (~unknown).to(scaled.dtype)


class FusedNetwork(Network):
    """A network whose classifier sees facts beside the pooled signal.

    Without hidden layers and top this is how the CinC 2020 entry of Zhao et al. sees age and sex (one linear layer,
    concatenated before the logits); with them it is the late fusion of Heart-Reader (a perceptron of linear layer,
    batch norm, ReLU and dropout; then one more layer for both).

    Args:
        network: whose body and embedding are kept; its classifier is replaced.
        n_facts: columns of the facts.
        hidden: sizes of the branch's hidden layers.
        width: what the branch gives.
        top: sizes of the layers after both have met.
        dropout: in the branch, and after the layers of ``top``.
        mask: whether the branch sees which facts are known, as further inputs.
    """

    def __init__(
        self,
        network: Network,
        n_facts: int,
        *,
        hidden: Sequence[int] = (),
        width: int = 10,
        top: Sequence[int] = (),
        dropout: float = 0.0,
        mask: bool = True,
    ) -> None:
        classifier = network.get_classifier()
        sizes = [classifier.in_features + width, *top]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.BatchNorm1d(n_out), nn.Dropout(dropout)]
        head = nn.Sequential(*layers, nn.Linear(sizes[-1], classifier.out_features))
        super().__init__(network.body, head, network.n_features)
        self.embed = network.head[:-1]
        self.branch = _branch((1 + mask) * n_facts, hidden, width, dropout)
        self.mask, self.n_facts = mask, n_facts

    def forward_head(
        self, x: Tensor, pre_logits: bool = False, facts: Tensor | None = None, known: Tensor | None = None
    ) -> Tensor:
        """Logits (batch, class) of features over time, or what the classifier sees; without facts all are unknown."""
        if facts is None:
            facts = x.new_zeros(len(x), self.n_facts)
            known = torch.zeros_like(facts)
        seen = torch.cat([facts, known], dim=1) if self.mask and known is not None else facts
        return super().forward_head(torch.cat([self.embed(x), self.branch(seen)], dim=1), pre_logits)

    def forward(self, x: Tensor, facts: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Logits (batch, class) of signals (batch, lead, time) and what ``FactScaling`` gives."""
        return self.forward_head(self.forward_features(x), facts=facts, known=known)


def _branch(n_inputs: int, hidden: Sequence[int], width: int, dropout: float) -> nn.Sequential:
    if not hidden:
        return nn.Sequential(nn.Linear(n_inputs, width))
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([n_inputs, *hidden, width]):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
