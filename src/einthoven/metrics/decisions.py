"""Figures of yes-or-no decisions: confusion counts, and every rate that follows from them.

Counts come first, rates second: a sweep, a multi-class matrix and a weighted count all share one set of formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.ranking import check_pair

__all__ = [
    "Counts",
    "check_decisions",
    "confusion_counts",
    "decision_metrics",
    "multiclass_confusion",
    "one_versus_rest",
]

Array = NDArray[np.float64]
_BLOCK = 1 << 13  # records at a time: they stay in the cache


@dataclass(frozen=True, slots=True)
class Counts:
    """True and false positives and negatives; arrays of one shape, usually (classes,)."""

    tp: Array
    fp: Array
    fn: Array
    tn: Array


def confusion_counts(targets: ArrayLike, decisions: ArrayLike, weights: ArrayLike | None = None) -> Counts:
    """Count each class's decisions against its targets.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (left out of its class).
        decisions: shape (records, classes), bool or 0 and 1.
        weights: of the records, shape (records,); by default each counts one.

    Raises:
        ValueError: shapes differ, or a value is none of those allowed.

    >>> confusion_counts([[1], [1], [0]], [[True], [False], [True]]).tp
    array([1.])
    """
    y, said = check_decisions(targets, decisions)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    cells = np.zeros((4, y.shape[1]))
    for first in range(0, len(y), _BLOCK):
        block = slice(first, first + _BLOCK)
        true, false, yes = y[block] == 1, y[block] == 0, said[block]
        cells += [w[block] @ cell for cell in (true & yes, false & yes, true & ~yes, false & ~yes)]
    return Counts(*cells)


def decision_metrics(counts: Counts, beta: float = 2.0) -> dict[str, Array]:
    r"""Every rate of a confusion table, each of the counts' shape; NaN where its denominator is zero.

    With :math:`tp, fp, fn, tn`: sensitivity :math:`tp/(tp+fn)`; specificity :math:`tn/(tn+fp)`; ppv :math:`tp/(tp+fp)`;
    npv :math:`tn/(tn+fn)`; f1 and f_beta :math:`(1+b^2)tp/((1+b^2)tp+fp+b^2 fn)` with b = 1 and beta; g_beta
    :math:`tp/(tp+fp+\beta fn)` (PhysioNet/CinC Challenge 2020); mcc
    :math:`(tp\,tn-fp\,fn)/\sqrt{(tp+fp)(tp+fn)(tn+fp)(tn+fn)}` (Matthews 1975); accuracy :math:`(tp+tn)/all`;
    balanced_accuracy, the mean of sensitivity and specificity.

    >>> counts = Counts(*(np.array([n]) for n in (3.0, 1.0, 2.0, 4.0)))
    >>> round(decision_metrics(counts)["g_beta"].item(), 3)
    0.375
    """
    tp, fp, fn, tn = counts.tp, counts.fp, counts.fn, counts.tn
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": _f_beta(counts, 1.0),
            "f_beta": _f_beta(counts, beta),
            "g_beta": tp / (tp + fp + beta * fn),
            "mcc": (tp * tn - fp * fn) / (np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))),
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }


def _f_beta(counts: Counts, beta: float) -> Array:
    square = beta**2
    return (1 + square) * counts.tp / ((1 + square) * counts.tp + counts.fp + square * counts.fn)


def multiclass_confusion(true: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Cross-tabulate class numbers: rows are the truth, columns the prediction.

    Args:
        true: shape (records,), 0 to n_classes - 1, or NaN (unknown, left out).
        predicted: shape (records,), 0 to n_classes - 1.
        n_classes: how many classes there are.

    Raises:
        ValueError: shapes differ, or a number is not a class.

    >>> multiclass_confusion([0, 1, 1], [0, 0, 1], 2).tolist()
    [[1, 0], [1, 1]]
    """
    t, said = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if t.ndim != 1 or t.shape != said.shape:
        raise ValueError(f"true and predicted must have one shape (records,), got {t.shape} and {said.shape}")
    known = ~np.isnan(t)
    t, said = t[known], said[known]
    for name, values in (("true", t), ("predicted", said)):
        if not np.isin(values, np.arange(n_classes)).all():
            raise ValueError(f"{name} must hold class numbers from 0 to {n_classes - 1}")
    cells = t.astype(np.int64) * n_classes + said.astype(np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def one_versus_rest(confusion: ArrayLike) -> Counts:
    """Each class against all others, from a multi-class confusion matrix with the truth in rows."""
    matrix = np.asarray(confusion, dtype=np.float64)
    tp = np.diag(matrix).copy()
    fp, fn = matrix.sum(axis=0) - tp, matrix.sum(axis=1) - tp
    return Counts(tp=tp, fp=fp, fn=fn, tn=matrix.sum() - tp - fp - fn)


def check_decisions(targets: ArrayLike, decisions: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """Return float64 targets and boolean decisions of shape (records, classes), or raise ValueError."""
    said = np.asarray(decisions)
    if said.dtype != bool and not np.isin(said, (0, 1)).all():
        raise ValueError("decisions must be true or false (1 or 0)")
    return check_pair(targets, said)[0], said.astype(bool)
