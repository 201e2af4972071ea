"""What do the training targets say? Whether anything can be learned from them, and how much each class counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.errors import DatasetError, RecipeError, nearest
from einthoven.training.problem import Problem

__all__ = ["check_targets", "class_weights", "importance_of"]

Array = NDArray[np.float64]

_BETA = 0.9999  # of the effective number, the value of Cui et al. for long-tailed data
_RULES: dict[str, Callable[[Array], Array]] = {
    "inverse": lambda n: 1 / n,
    "root": lambda n: n**-0.5,
    "effective": lambda n: (1 - _BETA) / (1 - _BETA**n),
}


def check_targets(problem: Problem) -> None:
    """Refuse training records that say nothing about a class.

    Raises:
        DatasetError: no known target, or none of some class.
    """
    known = ~np.isnan(problem.targets[problem.train])
    path, n = problem.dataset.path, len(problem.train)
    if not known.any():
        raise DatasetError(f"{path}: not one of the {n:,} training records has a known target; choose another task")
    if absent := [name for name, column in zip(problem.classes, known.T, strict=True) if not column.any()]:
        raise DatasetError(
            f"{path}: none of the {n:,} training records has a known target of class {', '.join(absent)}; choose other "
            "training folds or another task"
        )


def class_weights(
    rule: str, targets: NDArray[np.float32], classes: Sequence[str], importance: Mapping[str, float]
) -> Tensor | None:
    """Weights of the classes by how many positives each has, float32 (class,); None for the rule ``"none"``.

    With n positives of N records and K classes: ``inverse`` 1 / n, ``root`` 1 / sqrt(n), ``effective`` the inverse of
    the effective number (1 - 0.9999^n) / (1 - 0.9999) of Cui et al. 2019, "Class-balanced loss based on effective
    number of samples", ``importance`` what the recipe says; all with mean 1. ``balanced`` is N / (K n), whose mean over
    the records is 1 where classes exclude each other.

    Args:
        rule: of these, or ``"none"``.
        targets: of the training records, shape (record, class), 0, 1 or NaN (unknown).
        classes: their names.
        importance: weights by class; 1 where not named.

    Raises:
        RecipeError: importance of a class that is not there, or below 0.
    """
    if rule == "none":
        return None
    n = np.maximum((targets == 1).sum(axis=0), 1).astype(np.float64)
    if rule == "balanced":
        return torch.from_numpy(len(targets) / (len(classes) * n)).float()
    weights = importance_of(importance, classes) if rule == "importance" else _RULES[rule](n)
    return torch.from_numpy(weights / weights.mean()).float()


def importance_of(importance: Mapping[str, float], classes: Sequence[str]) -> Array:
    """Weights of ``training.importance`` in the order of the classes; 1 where a class is not named.

    Raises:
        RecipeError: a class that is not there, a weight below 0, or no weight above 0.
    """
    for name, value in importance.items():
        if name not in classes:
            raise RecipeError(
                f"training.importance: unknown class {name!r}{nearest(name, classes)}; classes are {', '.join(classes)}"
            )
        if value < 0:
            raise RecipeError(f"training.importance: {name} must be 0 or above, got {value:g}")
    weights = np.array([importance.get(name, 1.0) for name in classes])
    if not weights.any():
        raise RecipeError("training.importance: at least one class must have a weight above 0")
    return weights
