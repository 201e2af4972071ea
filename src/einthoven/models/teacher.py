"""A trained network seen as a teacher: the student's facts in, logits in the student's order of classes out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Teacher"]


class Teacher(nn.Module):
    """Call a classifier with another's facts and classes.

    Args:
        model: logits (batch, class) of signals and its own facts.
        order: the model's class for each class that is wanted.
        columns: for each fact that the model sees, its column in the facts that are given; None where it is not there.
    """

    order: Tensor

    def __init__(self, model: nn.Module, order: Sequence[int], columns: Sequence[int | None] = ()) -> None:
        super().__init__()
        self.model, self.columns = model, list(columns)
        self.register_buffer("order", torch.tensor(order, dtype=torch.int64))

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """Logits (batch, class) of signals (batch, lead, time) in mV and facts (batch, fact), NaN where unknown."""
        logits: Tensor = self.model(x, self._own(facts)) if self.columns else self.model(x)
        return logits[:, self.order]

    def _own(self, facts: Tensor | None) -> Tensor | None:
        if facts is None:
            return None
        unknown = torch.full_like(facts[:, 0], torch.nan)
        return torch.stack([unknown if k is None else facts[:, k] for k in self.columns], dim=1)
