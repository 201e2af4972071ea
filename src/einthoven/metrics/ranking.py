"""AUROC and average precision per class, for one set of records or for a thousand resamples of it at once.

A resample is a column of weights: how often each record was drawn. Scores are sorted once per class, and every
resample's curve follows from cumulative sums along that order. Ties are handled exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.curves import class_curve

__all__ = ["auprc", "auroc", "check_pair", "defined_classes", "weighted_ranking"]

Array = NDArray[np.float64]


def auroc(targets: ArrayLike, scores: ArrayLike) -> Array:
    """Area under the ROC curve of each class: the probability that a positive outranks a negative, ties one half.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: shape (records, classes), any monotone score.

    Returns:
        Shape (classes,); NaN for a class without positives or without negatives.

    Raises:
        ValueError: shapes differ, a target is not 0, 1 or NaN, or a score is NaN.

    >>> auroc([[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]])
    array([0.75])
    """
    return _per_class(targets, scores)[0]


def auprc(targets: ArrayLike, scores: ArrayLike) -> Array:
    """Area under the precision-recall curve of each class as average precision: sum of precision times recall gained.

    Arguments, return value and errors as in ``auroc``; this is scikit-learn's ``average_precision_score``.

    >>> auprc([[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]]).round(4)
    array([0.8333])
    """
    return _per_class(targets, scores)[1]


def defined_classes(targets: ArrayLike) -> NDArray[np.bool_]:
    """Which classes have both a positive and a negative record, shape (classes,)."""
    y = np.asarray(targets, dtype=np.float64)
    return np.asarray((y == 1).any(axis=0) & (y == 0).any(axis=0))


def check_pair(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """Return both as float64 of shape (records, classes), or raise ValueError that says what is wrong."""
    y, p = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape:
        raise ValueError(f"targets and scores must have one shape (records, classes), got {y.shape} and {p.shape}")
    if not (np.isnan(y) | (y == 0) | (y == 1)).all():
        raise ValueError("targets must be 0, 1 or NaN (unknown)")
    if np.isnan(p).any():
        raise ValueError(f"{int(np.isnan(p).any(axis=1).sum())} records have a score that is NaN")
    return y, p


def _per_class(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    y, p = check_pair(targets, scores)
    both = [class_curve(y[:, k], p[:, k]).areas() for k in range(y.shape[1])]
    return np.array([a for a, _ in both]), np.array([a for _, a in both])


def weighted_ranking(y: Array, p: Array, weights: NDArray[np.floating]) -> tuple[Array, Array]:
    """AUROC and average precision of one class for every column of weights.

    Args:
        y: targets, shape (records,), 0, 1 or NaN.
        p: scores, shape (records,).
        weights: how often each record counts, shape (records, resamples).

    Returns:
        Two arrays of shape (resamples,); NaN where a resample has no positives or no negatives.
    """
    known = ~np.isnan(y)
    if not known.all():
        y, p, weights = y[known], p[known], weights[known]
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    positive = np.flatnonzero(y == 1)
    nothing = np.full(weights.shape[1], np.nan)
    if len(positive) in (0, len(y)):
        return nothing, nothing
    # Only scores that positives have matter: there the curve rises. First and past-last rank of each such score:
    start = np.searchsorted(-p, -p[positive], side="left")
    end = np.searchsorted(-p, -p[positive], side="right")
    start, first = np.unique(start, return_index=True)
    end = end[first]
    w_negative = weights[order]
    w_positive = w_negative[positive]
    w_negative[positive] = 0
    above, tied = _sums(w_negative, start, end)
    gained = np.add.reduceat(w_positive, np.searchsorted(positive, start), axis=0)  # (scores, resamples)
    return _areas(gained, above, tied, w_negative.sum(axis=0))


def _sums(w: NDArray[np.floating], start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[Array, Array]:
    """Weight above each score, and at it, from sums over the segments between the bounds."""
    bounds = np.concatenate([[0], np.stack([start, end], axis=1).ravel()])
    padded = np.concatenate([w, np.zeros((1, w.shape[1]), w.dtype)])
    segments = np.add.reduceat(padded, bounds, axis=0)
    # reduceat gives one element, not an empty sum, where two bounds are equal.
    empty = np.flatnonzero(bounds[1:] == bounds[:-1])
    segments[empty] = 0
    total = np.cumsum(segments, axis=0, dtype=np.float64)
    return total[0:-1:2], segments[1::2].astype(np.float64)


def _areas(gained: Array, above: Array, tied: Array, negatives: Array) -> tuple[Array, Array]:
    reached = np.cumsum(gained, axis=0, dtype=np.float64)
    positives = reached[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        beaten = negatives - above - tied / 2
        area = (gained * beaten).sum(axis=0) / (positives * negatives)
        flagged = reached + above + tied
        precision = np.divide(reached, flagged, out=np.zeros_like(reached), where=flagged > 0)
        average = (gained * precision).sum(axis=0) / positives
    undefined = (positives == 0) | (negatives == 0)
    return np.where(undefined, np.nan, area), np.where(undefined, np.nan, average)
