"""How far probabilities can be believed: Brier score, log-loss and binned calibration error, per class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.ranking import check_pair

__all__ = ["brier", "calibration_error", "log_loss", "reliability"]

Array = NDArray[np.float64]
_BLOCK = 1 << 13  # records at a time: they stay in the cache


def brier(targets: ArrayLike, scores: ArrayLike) -> Array:
    """Mean squared difference of probability and target of each class, shape (classes,) (Brier 1950).

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown, left out).
        scores: probabilities, shape (records, classes).

    Raises:
        ValueError: see ``auroc``; or a score is no probability.

    >>> brier([[1], [0]], [[0.8], [0.4]]).round(3)
    array([0.1])
    """
    return _mean_over_known(*_check(targets, scores), lambda y, p: (p - y) ** 2)


def log_loss(targets: ArrayLike, scores: ArrayLike) -> Array:
    """Mean negative log-likelihood of each class, in nats, shape (classes,).

    Probabilities are kept 2.2e-16 away from 0 and 1, as scikit-learn does, so that one certain mistake costs 36 nats
    and not infinity. Arguments and errors as in ``brier``.
    """
    tiny = np.finfo(np.float64).eps

    def loss(y: Array, p: Array) -> Array:
        return -np.log(np.clip(np.where(y == 1, p, 1 - p), tiny, 1 - tiny))

    return _mean_over_known(*_check(targets, scores), loss)


def calibration_error(targets: ArrayLike, scores: ArrayLike, n_bins: int = 15) -> Array:
    """Expected calibration error of each class, shape (classes,): sum of bin share times |share positive - mean score|.

    Naeini et al. 2015, for one probability per class: bins are of equal width, (k/n, (k+1)/n], zero in the first; an
    empty bin counts nothing. Arguments and errors as in ``brier``.
    """
    count, mean_score, share = reliability(targets, scores, n_bins)
    gaps = np.where(count > 0, np.abs(share - mean_score), 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray((count * gaps).sum(axis=1) / count.sum(axis=1))


def reliability(targets: ArrayLike, scores: ArrayLike, n_bins: int = 15) -> tuple[Array, Array, Array]:
    """What a reliability diagram shows: per class and bin the number of records, mean score and share of positives.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown, left out).
        scores: probabilities, shape (records, classes).
        n_bins: bins of equal width, (k/n, (k+1)/n], zero in the first.

    Returns:
        Three arrays of shape (classes, bins); mean and share are NaN in an empty bin.

    Raises:
        ValueError: see ``brier``; or there is no bin.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    y, p = _check(targets, scores)
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    sums = np.zeros((3, y.shape[1], n_bins))
    for k in range(y.shape[1]):
        known = ~np.isnan(y[:, k])
        target, score = y[known, k], p[known, k]
        bins = np.searchsorted(inner, score, side="left")
        for row, weights in enumerate((None, score, target)):
            sums[row, k] = np.bincount(bins, weights=weights, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        return sums[0], sums[1] / sums[0], sums[2] / sums[0]


def _mean_over_known(y: Array, p: Array, loss: Callable[[Array, Array], Array]) -> Array:
    """Mean of each class's loss where its target is known; NaN where none is."""
    total, count = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for first in range(0, len(y), _BLOCK):
        block = slice(first, first + _BLOCK)
        known = ~np.isnan(y[block])
        total += np.where(known, loss(y[block], p[block]), 0.0).sum(axis=0)
        count += known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def _check(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    y, p = check_pair(targets, scores)
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(f"scores must be probabilities from 0 to 1, got {p.min():g} to {p.max():g}")
    return y, p
