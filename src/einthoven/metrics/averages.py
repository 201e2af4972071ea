"""One figure for all classes: macro, weighted or micro average of any per-class metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.ranking import check_pair

__all__ = ["average_classes", "averaged"]

Array = NDArray[np.float64]


def averaged(
    metric: Callable[[Array, Array], Array], targets: ArrayLike, scores: ArrayLike, average: str = "macro"
) -> float:
    """Average a per-class metric such as ``auroc``, ``auprc``, ``brier`` or ``calibration_error``.

    Args:
        metric: takes targets and scores of shape (records, classes) and returns shape (classes,).
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: shape (records, classes).
        average: ``"macro"``, the mean over classes; ``"weighted"``, the mean weighted by positives; ``"micro"``, the
            metric of all (record, class) pairs pooled as one class.

    Returns:
        The figure over the classes where the metric is defined; NaN where there is none.

    Raises:
        ValueError: see ``auroc``; or an unknown average.

    >>> from einthoven.metrics import auroc
    >>> averaged(auroc, [[0, 1], [1, 0]], [[0.2, 0.3], [0.9, 0.6]])
    0.5
    """
    y, p = check_pair(targets, scores)
    if average == "micro":
        return float(metric(y.reshape(-1, 1), p.reshape(-1, 1))[0])
    return average_classes(metric(y, p), y, average)


def average_classes(values: ArrayLike, targets: ArrayLike, average: str = "macro") -> float:
    """Average values of shape (classes,) that are already known; undefined (NaN) classes are left out.

    Args:
        values: shape (classes,).
        targets: shape (records, classes); their positives are the weights of ``"weighted"``.
        average: ``"macro"`` or ``"weighted"``.
    """
    v, y = np.asarray(values, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if average not in ("macro", "weighted"):
        raise ValueError(f"unknown average {average!r}; averages are macro, micro and weighted")
    weights = np.ones(len(v)) if average == "macro" else (y == 1).sum(axis=0).astype(np.float64)
    weights = np.where(np.isnan(v), 0, weights)
    return float(np.nansum(v * weights) / weights.sum()) if weights.any() else float("nan")
