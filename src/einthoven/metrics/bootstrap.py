"""Bootstrap intervals: patients are resampled, and every class keeps a positive and a negative.

A plain resample of PTB-XL's fold 10 loses two of 71 classes on average; how absent classes are then treated moves the
lower end of an interval more than models differ. Here such resamples are drawn again, as in the PTB-XL benchmark, and
patients are drawn, not records, because records of one patient are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.fmax import weighted_fmax
from einthoven.metrics.ranking import check_pair, defined_classes, weighted_ranking

__all__ = ["Interval", "Resampling", "bootstrap_metrics", "resampling_weights"]

_MAX_DRAWS_PER_RESAMPLE = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its percentile interval; ``low`` and ``high`` are None where no interval could be drawn."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Resampling:
    """What an interval rests on, to be printed with it."""

    n_resamples: int
    n_units: int
    n_drawn: int
    level: float = 0.95
    seed: int = 0
    unit: str = "patient"
    absent_classes: str = "redraw until every class has a positive and a negative"


def resampling_weights(
    targets: NDArray[np.float64], groups: Sequence[object] | None, n_resamples: int, seed: int
) -> tuple[NDArray[np.float32], int, int]:
    """Draw class-preserving bootstrap weights.

    Args:
        targets: shape (records, classes), only classes with a positive and a negative; NaN is unknown.
        groups: the patient of each record; None resamples records.
        n_resamples: accepted resamples wanted.
        seed: of the generator.

    Returns:
        Weights of shape (records, resamples), the number of groups, and how many resamples were drawn. Fewer columns
        than wanted come back when classes are so rare that almost no resample keeps them all.
    """
    codes = np.arange(len(targets)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    n_groups = int(codes.max()) + 1
    # Which groups have a positive, which a negative, of each class: (groups, 2 * classes)
    marks = np.concatenate([targets == 1, targets == 0], axis=1).astype(np.float32)
    has = np.zeros((n_groups, marks.shape[1]), np.float32)
    np.add.at(has, codes, marks)
    rng = np.random.default_rng(seed)
    kept = [np.empty((0, n_groups), np.float32)]
    accepted = drawn = 0
    while accepted < n_resamples and drawn < n_resamples * _MAX_DRAWS_PER_RESAMPLE:
        block = 256
        picks = rng.integers(0, n_groups, (block, n_groups)) + np.arange(block)[:, None] * n_groups
        counts = np.bincount(picks.ravel(), minlength=block * n_groups).reshape(block, n_groups).astype(np.float32)
        good = ((counts @ has) > 0).all(axis=1)
        kept.append(counts[good])
        accepted += int(good.sum())
        drawn += block
    counts = np.concatenate(kept)[:n_resamples]
    return np.ascontiguousarray(counts.T[codes]), n_groups, drawn


def bootstrap_metrics(
    targets: ArrayLike,
    scores: ArrayLike,
    groups: Sequence[object] | None = None,
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[dict[str, Interval], dict[str, list[Interval | None]], Resampling]:
    """Macro and per-class AUROC and AUPRC, and Fmax, each with its percentile interval from the same resamples.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: probabilities, shape (records, classes).
        groups: the patient of each record; None resamples records.
        n_resamples: resamples that count.
        level: of the interval.
        seed: of the generator.

    Returns:
        Figures over the classes that have positives and negatives (``auroc``, ``auprc``, ``fmax``); the same per class
        (None where undefined); and what was resampled.

    Raises:
        ValueError: see ``auroc``; or no class is defined.
    """
    y, p = check_pair(targets, scores)
    defined = defined_classes(y)
    if not defined.any():
        raise ValueError("no class has both a positive and a negative record")
    weights, n_groups, drawn = resampling_weights(y[:, defined], groups, n_resamples, seed)
    points = np.ones((len(y), 1), np.float32)
    draws = np.concatenate([points, weights], axis=1)  # column 0 is the data itself
    ranked = [weighted_ranking(y[:, k], p[:, k], draws) for k in np.flatnonzero(defined)]
    per_class = {"auroc": np.stack([a for a, _ in ranked]), "auprc": np.stack([a for _, a in ranked])}
    macro = {name: _interval(values.mean(axis=0), level) for name, values in per_class.items()}
    macro["fmax"] = _interval(weighted_fmax(y[:, defined], p[:, defined], draws)[0], level)
    listed: dict[str, list[Interval | None]] = {}
    for name, values in per_class.items():
        rows = iter(values)
        listed[name] = [_interval(next(rows), level) if known else None for known in defined]
    unit = "record" if groups is None else "patient"
    return macro, listed, Resampling(weights.shape[1], n_groups, drawn, level, seed, unit)


def _interval(draws: NDArray[np.float64], level: float) -> Interval:
    if len(draws) < 101:  # too few resamples for a percentile in the tails
        return Interval(float(draws[0]), None, None)
    low, high = np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(draws[0]), float(low), float(high))
