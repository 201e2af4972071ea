"""Paired comparison of models: every model is judged on the same resamples, and many comparisons are corrected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.delong import Difference
from einthoven.metrics.ranking import check_pair, weighted_ranking

__all__ = ["holm", "macro_auroc_draws", "paired_difference"]

Array = NDArray[np.float64]
_BLOCK = 256  # resamples at a time, to bound memory


def macro_auroc_draws(targets: ArrayLike, scores: ArrayLike, weights: NDArray[np.float32]) -> Array:
    """Macro AUROC on the data and on every resample.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: shape (records, classes).
        weights: of ``resampling_weights``, shape (records, resamples); give every model the same.

    Returns:
        Shape (1 + resamples,); the first is the data itself.
    """
    y, p = check_pair(targets, scores)
    blocks = [np.ones((len(y), 1), np.float32)]
    blocks += [weights[:, k : k + _BLOCK] for k in range(0, weights.shape[1], _BLOCK)]
    draws = [np.mean([weighted_ranking(y[:, k], p[:, k], w)[0] for k in range(y.shape[1])], axis=0) for w in blocks]
    return np.concatenate(draws)


def paired_difference(draws: Array, others: Array, level: float = 0.95) -> Difference:
    """A first model's figure minus a second's, with percentile interval and two-sided bootstrap p-value.

    The p-value is twice the smaller share of resamples on one side of zero, each share with one added resample
    (Davison and Hinkley 1997), so that it is never zero.

    Args:
        draws: of the first model: the data, then its resamples, shape (1 + resamples,).
        others: of the second model, from the same resamples.
        level: of the interval.
    """
    difference = draws - others
    value, resampled = float(difference[0]), difference[1:]
    if len(resampled) < 100:  # too few resamples for a percentile in the tails
        return Difference(value, None, None, None)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    side = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return Difference(value, float(low), float(high), min(1.0, 2 * (side + 1) / (len(resampled) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): the chance of any false finding stays at the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]
