"""DeLong's covariance of AUROCs of models on the same records, and the interval and test that follow from it.

Placements come from midranks (Sun and Xu 2014), so it costs one sort per model. Records of one patient may be grouped
(Obuchowski 1997); with one record per patient that is DeLong's estimate exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.bootstrap import Interval

__all__ = ["Difference", "delong", "delong_interval", "delong_test"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """A first model's figure minus a second's, its interval, and the p-value of no difference; None where unknown."""

    value: float
    low: float | None
    high: float | None
    p: float | None


def delong(targets: ArrayLike, scores: ArrayLike, groups: Sequence[object] | None = None) -> tuple[Array, Array]:
    """AUROC of each model for one class, and their covariance.

    Args:
        targets: shape (records,), 0, 1 or NaN (unknown, left out).
        scores: shape (records,) or (records, models).
        groups: the patient of each record; None takes records as independent.

    Returns:
        Areas of shape (models,) and covariance of shape (models, models); the covariance is NaN unless at least two
        groups have a positive and two a negative, the areas are NaN without a positive or a negative.

    Raises:
        ValueError: shapes differ, a target is not 0, 1 or NaN, or a score is NaN.
    """
    y, p = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    p = p[:, None] if p.ndim == 1 else p
    if y.ndim != 1 or p.ndim != 2 or len(p) != len(y):
        raise ValueError(f"targets (records,) and scores (records, models) do not fit: {y.shape} and {p.shape}")
    if not (np.isnan(y) | (y == 0) | (y == 1)).all() or np.isnan(p).any():
        raise ValueError("targets must be 0, 1 or NaN (unknown), and scores must not be NaN")
    codes = np.arange(len(y)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    positive, negative = y == 1, y == 0
    n_models = p.shape[1]
    if not positive.any() or not negative.any():
        return np.full(n_models, np.nan), np.full((n_models, n_models), np.nan)
    above, below = _placements(p[positive], p[negative])
    areas = above.mean(axis=0)
    n_groups = len(np.unique(codes[positive | negative]))
    hits, n_hit = _sums_by_group(above - areas, codes[positive], int(codes.max()) + 1)
    alarms, n_alarm = _sums_by_group(below - areas, codes[negative], int(codes.max()) + 1)
    if n_hit < 2 or n_alarm < 2:
        return areas, np.full((n_models, n_models), np.nan)
    m, n = len(above), len(below)
    mixed = hits.T @ alarms * (n_groups / (n_groups - 1) / (m * n))
    within = hits.T @ hits * (n_hit / (n_hit - 1) / m**2) + alarms.T @ alarms * (n_alarm / (n_alarm - 1) / n**2)
    return areas, within + mixed + mixed.T


def delong_interval(
    targets: ArrayLike, scores: ArrayLike, groups: Sequence[object] | None = None, level: float = 0.95
) -> Interval:
    """AUROC of one model for one class with its normal interval, cut off at 0 and 1; arguments as in ``delong``.

    A model that separates the classes perfectly has no estimated variance: its interval is one point and says nothing.
    """
    areas, covariance = delong(targets, scores, groups)
    value, variance = float(areas[0]), float(covariance[0, 0])
    if np.isnan(variance):
        return Interval(value, None, None)
    half = NormalDist().inv_cdf((1 + level) / 2) * max(variance, 0.0) ** 0.5
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0))


def delong_test(
    targets: ArrayLike,
    scores: ArrayLike,
    others: ArrayLike,
    groups: Sequence[object] | None = None,
    level: float = 0.95,
) -> Difference:
    """AUROC of one model minus another's for one class on the same records: DeLong's paired test, two-sided.

    Args:
        targets: shape (records,), 0, 1 or NaN (unknown, left out).
        scores: of the first model, shape (records,).
        others: of the second model, shape (records,).
        groups: the patient of each record; None takes records as independent.
        level: of the interval.
    """
    areas, covariance = delong(targets, np.stack([np.asarray(scores), np.asarray(others)], axis=1), groups)
    value = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if np.isnan(variance):
        return Difference(value, None, None, None)
    if variance <= 1e-12 * float(covariance[0, 0] + covariance[1, 1]):  # the same order of records: rounding is left
        return Difference(value, value, value, 1.0 if abs(value) < 1e-9 else 0.0)
    deviation = variance**0.5
    half = NormalDist().inv_cdf((1 + level) / 2) * deviation
    return Difference(value, value - half, value + half, 2 * NormalDist().cdf(-abs(value) / deviation))


def _placements(positive: Array, negative: Array) -> tuple[Array, Array]:
    """Share of negatives below each positive, and of positives above each negative, ties one half."""
    m, n = len(positive), len(negative)
    above, below = np.empty(positive.shape), np.empty(negative.shape)
    for k in range(positive.shape[1]):
        ranks = _midranks(np.concatenate([positive[:, k], negative[:, k]]))
        above[:, k] = (ranks[:m] - _midranks(positive[:, k])) / n
        below[:, k] = 1 - (ranks[m:] - _midranks(negative[:, k])) / m
    return above, below


def _midranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def _sums_by_group(values: Array, codes: NDArray[np.int64], n_codes: int) -> tuple[Array, int]:
    sums = np.zeros((n_codes, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums, len(np.unique(codes))
