"""Thresholds per class, fitted on validation records; on that split itself they are judged by cross-fitting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.metrics import confusion_counts, decision_metrics

__all__ = ["cross_fitted_decisions", "decide", "decision_figures", "fit_thresholds"]

Array = NDArray[np.float64]
_FIGURES = ("sensitivity", "specificity", "ppv", "npv", "f1")


def fit_thresholds(y: Array, p: Array, method: str) -> Array:
    """Fit one threshold per class.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN.
        p: probabilities, shape (records, classes).
        method: ``"f1"`` maximises the class's F1, ``"youden"`` sensitivity + specificity - 1 (Youden 1950).

    Returns:
        Shape (classes,); NaN for a class without positives or negatives. A threshold lies midway between two scores, so
        that a score's last digit does not decide.
    """
    return np.array([_fit_one(y[:, k], p[:, k], method) for k in range(y.shape[1])])


def _fit_one(y: Array, p: Array, method: str) -> float:
    known = ~np.isnan(y)
    order = np.argsort(-p[known], kind="stable")
    y, p = y[known][order], p[known][order]
    positives, negatives = (y == 1).sum(), (y == 0).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    last = np.append(p[1:] != p[:-1], True)  # a threshold cannot part equal scores
    hits = np.cumsum(y == 1)[last]
    alarms = np.cumsum(y == 0)[last]
    levels = p[last]
    score = 2 * hits / (hits + alarms + positives) if method == "f1" else hits / positives - alarms / negatives
    best = int(score.argmax())
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return float((levels[best] + below) / 2)


def decide(p: Array, thresholds: Array, kind: str) -> NDArray[np.bool_]:
    """Which classes are present, shape (records, classes): the likeliest one, or all that reach their threshold."""
    if kind == "multiclass":
        return np.asarray(p == p.max(axis=1, keepdims=True))
    return np.asarray(p >= np.where(np.isnan(thresholds), np.inf, thresholds))


def cross_fitted_decisions(
    y: Array, p: Array, groups: Sequence[str] | None, method: str, n_folds: int = 5, seed: int = 0
) -> NDArray[np.bool_]:
    """Decide each record with thresholds fitted on other patients' records of the same split."""
    codes = np.arange(len(y)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    fold = np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % n_folds
    decisions = np.zeros(y.shape, bool)
    for k in range(n_folds):
        held = fold == k
        if held.any() and not held.all():
            decisions[held] = decide(p[held], fit_thresholds(y[~held], p[~held], method), "multilabel")
    return decisions


def decision_figures(y: NDArray[np.float64], decided: NDArray[np.bool_]) -> list[dict[str, float | None]]:
    """Sensitivity, specificity, PPV, NPV and F1 of each class; None where a denominator is zero."""
    rates = decision_metrics(confusion_counts(y, decided))
    return [
        {name: None if np.isnan(rates[name][k]) else float(rates[name][k]) for name in _FIGURES}
        for k in range(y.shape[1])
    ]
