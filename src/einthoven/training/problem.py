"""What is to be learned, and the fresh network that shall learn it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be learned: targets (records of the dataset, classes) and the rows of each split.

    Attributes:
        dataset: the signals.
        kind: ``"multilabel"`` or ``"multiclass"``.
        classes: names of the columns of ``targets``.
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        train: rows that are trained on.
        validation: rows that choose the epoch.
        facts: what the network sees beside the signal, shape (records, facts), NaN where unknown; None without any.
        fact_names: names of the columns of ``facts``.
        teacher: a torch module, called as the student is, whose logits are learned from too; see ``Distillation``.
    """

    dataset: Dataset
    kind: str
    classes: tuple[str, ...]
    targets: NDArray[np.float32]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    facts: NDArray[np.float32] | None = None
    fact_names: tuple[str, ...] = ()
    teacher: Any = None
