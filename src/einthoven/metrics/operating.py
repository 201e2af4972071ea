"""Figures at thresholds: each class's best F1, sensitivity at a specificity, partial AUROC, and the threshold sweep.

One sort per class gives all of them (``curve_metrics``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.curves import Curve, class_curve
from einthoven.metrics.decisions import Counts, decision_metrics
from einthoven.metrics.ranking import check_pair

__all__ = ["best_f1", "curve_metrics", "partial_auroc", "sensitivity_at_specificity", "threshold_sweep"]

Array = NDArray[np.float64]


def curve_metrics(
    targets: ArrayLike, scores: ArrayLike, *, specificity: float = 0.9, max_fpr: float = 0.1
) -> dict[str, Array]:
    """Everything that follows from each class's ROC staircase, from one sort per class.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: shape (records, classes).
        specificity: at which ``sensitivity_at_specificity`` is read, from 0 to 1.
        max_fpr: up to which ``partial_auroc`` counts, above 0 and at most 1.

    Returns:
        ``auroc``, ``auprc``, ``best_f1``, ``best_f1_threshold``, ``sensitivity_at_specificity`` and ``partial_auroc``,
        each of shape (classes,), NaN for a class without positives or without negatives.

    Raises:
        ValueError: see ``auroc``; or a rate is out of range.
    """
    rows = []
    for curve in _curves(targets, scores, specificity, max_fpr):
        rows.append((*curve.areas(), *curve.best_f1(), curve.sensitivity_at(specificity), curve.partial_area(max_fpr)))
    names = ("auroc", "auprc", "best_f1", "best_f1_threshold", "sensitivity_at_specificity", "partial_auroc")
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(names)).T
    return dict(zip(names, columns, strict=True))


def best_f1(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """The highest F1 of each class over all thresholds, and that threshold: not the sample-centric ``fmax``.

    It is chosen on the very records it is computed on, so it is an upper bound, not what a fixed threshold will reach.

    >>> best_f1([[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]])
    (array([0.8]), array([0.35]))
    """
    both = [curve.best_f1() for curve in _curves(targets, scores)]
    return np.array([f for f, _ in both]), np.array([t for _, t in both])


def sensitivity_at_specificity(targets: ArrayLike, scores: ArrayLike, specificity: float) -> Array:
    """The highest sensitivity of each class among thresholds whose specificity is at least the one given.

    No interpolation between thresholds: a threshold that reaches it exists.

    >>> sensitivity_at_specificity([[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]], 0.9)
    array([0.5])
    """
    return np.array([curve.sensitivity_at(specificity) for curve in _curves(targets, scores, specificity)])


def partial_auroc(targets: ArrayLike, scores: ArrayLike, max_fpr: float) -> Array:
    """Area under each class's ROC curve up to a false-positive rate, McClish-standardised.

    ``(1 + (area - max_fpr^2 / 2) / (max_fpr - max_fpr^2 / 2)) / 2`` (McClish 1989): 0.5 is chance, 1 is perfect, as in
    scikit-learn's ``roc_auc_score(max_fpr=...)``.
    """
    return np.array([curve.partial_area(max_fpr) for curve in _curves(targets, scores, max_fpr=max_fpr)])


def threshold_sweep(
    targets: ArrayLike, scores: ArrayLike, thresholds: ArrayLike | None = None
) -> tuple[Array, dict[str, Array]]:
    """Decision figures of every class at a ladder of thresholds; a score counts as positive when it reaches one.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: probabilities, shape (records, classes).
        thresholds: ascending; by default 0, 0.01 ... 1.

    Returns:
        The thresholds, and the figures of ``decision_metrics``, each of shape (classes, thresholds).
    """
    y, p = check_pair(targets, scores)
    ladder = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if ladder.ndim != 1 or (np.diff(ladder) <= 0).any():
        raise ValueError("thresholds must be one ascending row of numbers")
    reached = np.stack([[_reached(p[y[:, k] == v, k], ladder) for k in range(y.shape[1])] for v in (1, 0)])
    tp, fp = reached[..., 1:]
    positives, negatives = reached[..., :1]
    return ladder, decision_metrics(Counts(tp=tp, fp=fp, fn=positives - tp, tn=negatives - fp))


def _reached(scores: Array, ladder: Array) -> Array:
    """The number of scores, and how many reach each threshold: shape (1 + thresholds,)."""
    below = np.searchsorted(np.sort(scores), ladder, side="left")
    return np.concatenate([[len(scores)], len(scores) - below]).astype(np.float64)


def _curves(targets: ArrayLike, scores: ArrayLike, specificity: float = 1.0, max_fpr: float = 1.0) -> list[Curve]:
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity must lie between 0 and 1, got {specificity}")
    if not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr must lie above 0 and be at most 1, got {max_fpr}")
    y, p = check_pair(targets, scores)
    return [class_curve(y[:, k], p[:, k]) for k in range(y.shape[1])]
