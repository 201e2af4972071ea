"""Fmax, sample-centric, as the PTB-XL benchmark defines it.

Strodthoff et al. 2021, after the CAFA challenge: precision is averaged over records for which anything is predicted,
recall over all records, and the best harmonic mean over thresholds counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.ranking import check_pair

__all__ = ["fmax", "weighted_fmax"]

_THRESHOLDS = np.linspace(0, 1, 101)
_BLOCK = 1 << 13  # records at a time: they stay in the cache, and a million at once would need 5 GB


def fmax(targets: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Return sample-centric Fmax and the threshold that reaches it.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown, left out of its record).
        scores: probabilities, shape (records, classes).

    >>> fmax([[1, 0], [0, 1]], [[0.9, 0.2], [0.3, 0.6]])
    (1.0, 0.31)
    """
    y, p = check_pair(targets, scores)
    values, best = weighted_fmax(y, p, np.ones((len(y), 1)))
    return float(values[0]), float(_THRESHOLDS[best[0]])


def weighted_fmax(
    y: NDArray[np.float64], p: NDArray[np.float64], weights: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fmax of every column of weights (records, resamples), and the index of its threshold among 0, 0.01 ... 1."""
    w = np.asarray(weights, dtype=np.float64).T
    sums = [_sums(y[k : k + _BLOCK], p[k : k + _BLOCK], w[:, k : k + _BLOCK]) for k in range(0, max(len(y), 1), _BLOCK)]
    precision, recall, predicted, labelled = (np.sum(parts, axis=0) for parts in zip(*sums, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_precision = precision / predicted  # (resamples, thresholds)
        mean_recall = recall / labelled[:, None]
        f = 2 * mean_precision * mean_recall / (mean_precision + mean_recall)
    f = np.nan_to_num(f, nan=0.0)
    best = f.argmax(axis=1)
    return f[np.arange(len(f)), best], best


def _sums(y: NDArray[np.float64], p: NDArray[np.float64], w: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    precision, recall, predicted, labelled = _per_record(y, p)
    return w @ precision, w @ recall, w @ predicted, w @ labelled


def _per_record(y: NDArray[np.float64], p: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and "anything predicted" per record and threshold; and which records have a positive."""
    true = y == 1
    # A score s is predicted at threshold t when s >= t: count by the number of thresholds each score passes.
    passed = np.where(np.isnan(y), 0, _passed(p))  # 0 .. 101
    width = len(_THRESHOLDS) + 1
    flat = np.arange(len(y))[:, None] * width + (width - 1 - passed)  # highest threshold first, to sum along it
    n_predicted = np.bincount(flat.ravel(), minlength=len(y) * width).reshape(len(y), width)
    n_hit = np.bincount(flat[true], minlength=len(y) * width).reshape(len(y), width)
    predicted = n_predicted[:, :-1].cumsum(axis=1)[:, ::-1]
    hit = n_hit[:, :-1].cumsum(axis=1)[:, ::-1].astype(np.float64)
    positives = true.sum(axis=1)
    precision = np.divide(hit, predicted, out=np.zeros_like(hit), where=predicted > 0)
    recall = np.divide(hit, positives[:, None], out=np.zeros_like(hit), where=positives[:, None] > 0)
    return precision, recall, (predicted > 0).astype(np.float64), (positives > 0).astype(np.float64)


def _passed(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many thresholds each score reaches; a guess by rounding, set right, is faster than searching."""
    guess = (np.clip(p, 0, 1) * 100).astype(np.int64)
    above = np.append(_THRESHOLDS, np.inf)
    return guess + (p >= above[guess]) + (p >= above[guess + 1]) - ((guess > 0) & (p < above[guess - 1]))
