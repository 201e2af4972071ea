"""Which records make an epoch? All once, or as many drawn with replacement: a class first, then a record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.training.targets import importance_of

__all__ = ["Sampler", "make_sampler"]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws records by class.

    Attributes:
        members: positions of the records of each class, one class after the other.
        first: where each class begins within ``members``.
        size: records of each class.
        share: probability of each class; not normalised.
        n: draws of an epoch.
    """

    members: Tensor
    first: Tensor
    size: Tensor
    share: Tensor
    n: int

    def draw(self, generator: torch.Generator) -> Tensor:
        """Positions of the records of one epoch, shape (n,), on the CPU."""
        drawn = torch.multinomial(self.share, self.n, replacement=True, generator=generator)
        place = torch.rand(self.n, dtype=torch.float64, generator=generator) * self.size[drawn]
        return self.members[self.first[drawn] + place.long()]


def make_sampler(
    rule: str, targets: NDArray[np.float32], classes: Sequence[str], importance: Mapping[str, float]
) -> Sampler | None:
    """Return the sampler of a recipe; None where every record comes once in random order.

    Records without any class, be they negative or unknown, are one more class, of importance 1.

    Args:
        rule: ``"none"``, ``"equal"`` (every class is drawn as often) or ``"importance"`` (in proportion to it).
        targets: of the training records, shape (record, class), 0, 1 or NaN (unknown).
        classes: their names.
        importance: weights by class; 1 where not named.

    Raises:
        RecipeError: importance of a class that is not there, or below 0.
    """
    if rule == "none":
        return None
    weights = importance_of(importance if rule == "importance" else {}, classes)
    positive = targets == 1
    belongs = np.column_stack([positive, ~positive.any(axis=1)])
    there = belongs.any(axis=0)
    members = [np.flatnonzero(column) for column in belongs[:, there].T]
    size = np.array([len(each) for each in members])
    return Sampler(
        torch.from_numpy(np.concatenate(members)),
        torch.from_numpy(np.cumsum(size) - size),
        torch.from_numpy(size),
        torch.from_numpy(np.append(weights, 1.0)[there]),
        len(targets),
    )
