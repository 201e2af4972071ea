"""Bootstrap intervals: patients are resampled, and every class keeps a positive and a negative.

A plain resample of PTB-XL's fold 10 loses two of 71 classes on average; how absent classes are then treated moves the
lower end of an interval more than models differ. By default such resamples are drawn again, as in the PTB-XL benchmark,
and patients are drawn, not records, because records of one patient are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.fmax import weighted_fmax
from einthoven.metrics.ranking import check_pair, defined_classes, weighted_ranking

__all__ = ["ABSENT_RULES", "METHODS", "Interval", "Resampling", "bca_bounds", "bootstrap_metrics", "resampling_weights"]

Array = NDArray[np.float64]

ABSENT_RULES = {
    "redraw": "redraw until every class has a positive and a negative",
    "skip": "the class is left out of that resample's mean",
    "half": "the class counts at chance: AUROC 0.5, AUPRC its prevalence",
}
METHODS = {"percentile": "percentile bootstrap", "bca": "BCa bootstrap"}
_MAX_DRAWS_PER_RESAMPLE = 500
_JACKKNIFE_BLOCK = 256  # patients left out at a time, to bound memory


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its interval; ``low`` and ``high`` are None where no interval could be drawn."""

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
    absent_classes: str = ABSENT_RULES["redraw"]
    method: str = METHODS["percentile"]


def resampling_weights(
    targets: Array, groups: Sequence[object] | None, n_resamples: int, seed: int, absent: str = "redraw"
) -> tuple[NDArray[np.float32], int, int]:
    """Draw bootstrap weights, class-preserving by default.

    Args:
        targets: shape (records, classes), only classes with a positive and a negative; NaN is unknown.
        groups: the patient of each record; None resamples records.
        n_resamples: accepted resamples wanted.
        seed: of the generator.
        absent: ``"redraw"`` accepts only resamples that keep every class; any other rule accepts all.

    Returns:
        Weights of shape (records, resamples), the number of groups, and how many resamples were drawn. Fewer columns
        than wanted come back when classes are so rare that almost no resample keeps them all.
    """
    codes = _codes(groups, len(targets))
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
        good = ((counts @ has) > 0).all(axis=1) if absent == "redraw" else np.ones(block, bool)
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
    method: str = "percentile",
    absent: str = "redraw",
) -> tuple[dict[str, Interval], dict[str, list[Interval | None]], Resampling]:
    """Macro and per-class AUROC and AUPRC, and Fmax, each with its interval from the same resamples.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: probabilities, shape (records, classes).
        groups: the patient of each record; None resamples records.
        n_resamples: resamples that count.
        level: of the interval.
        seed: of the generator.
        method: ``"percentile"``, or ``"bca"``: bias-corrected and accelerated (Efron 1987), the acceleration from
            leaving out one group at a time.
        absent: what a class that a resample loses counts: ``"redraw"`` draws again, ``"skip"`` leaves it out of that
            resample, ``"half"`` counts it at chance (AUROC 0.5, AUPRC its prevalence there).

    Returns:
        Figures over the classes that have positives and negatives (``auroc``, ``auprc``, ``fmax``); the same per class
        (None where undefined); and what was resampled.

    Raises:
        ValueError: see ``auroc``; or no class is defined; or an unknown method or rule.
    """
    if method not in METHODS or absent not in ABSENT_RULES:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)} and absent one of {', '.join(ABSENT_RULES)}, got {method!r} "
            f"and {absent!r}"
        )
    y, p = check_pair(targets, scores)
    defined = defined_classes(y)
    if not defined.any():
        raise ValueError("no class has both a positive and a negative record")
    y, p = y[:, defined], p[:, defined]
    weights, n_groups, drawn = resampling_weights(y, groups, n_resamples, seed, absent)
    draws = _figures(y, p, np.concatenate([np.ones((len(y), 1), np.float32), weights], axis=1), absent)  # 0: the data
    left_out = _jackknife(y, p, _codes(groups, len(y))) if method == "bca" and weights.shape[1] else None
    bounds = _bounds(draws, level, left_out)
    macro = {name: bounds[f"macro {name}"][0] for name in ("auroc", "auprc", "fmax")}
    rows = {name: iter(bounds[name]) for name in ("auroc", "auprc")}
    listed = {name: [next(row) if known else None for known in defined] for name, row in rows.items()}
    unit = "record" if groups is None else "patient"
    how = Resampling(weights.shape[1], n_groups, drawn, level, seed, unit, ABSENT_RULES[absent], METHODS[method])
    return macro, listed, how


def bca_bounds(value: float, draws: Array, left_out: Array, level: float) -> tuple[float, float] | None:
    """The bias-corrected and accelerated interval (Efron 1987); None where all draws lie on one side of the value.

    Args:
        value: the figure on all data.
        draws: the figure on each resample, shape (resamples,).
        left_out: the figure without each group in turn, shape (groups,); NaN, where it is undefined, is left out.
        level: of the interval.
    """
    normal = NormalDist()
    below = ((draws < value).mean() + (draws <= value).mean()) / 2  # draws equal to the value count half
    if not 0 < below < 1:
        return None
    kept = left_out[~np.isnan(left_out)]
    distance = kept.mean() - kept if len(kept) else np.zeros(1)
    spread = (distance**2).sum()
    acceleration = (distance**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    bias = normal.inv_cdf(float(below))
    shares = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = bias + normal.inv_cdf(tail)
        shares.append(normal.cdf(float(bias + z / (1 - acceleration * z))))
    low, high = np.quantile(draws, shares)
    return float(low), float(high)


def _codes(groups: Sequence[object] | None, n_records: int) -> NDArray[np.int64]:
    return np.arange(n_records) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]


def _figures(y: Array, p: Array, weights: NDArray[np.float32], absent: str) -> dict[str, Array]:
    """Each class's and the macro figures for every column of weights: shapes (classes, draws) and (1, draws)."""
    ranked = [weighted_ranking(y[:, k], p[:, k], weights) for k in range(y.shape[1])]
    figures = {"auroc": np.stack([a for a, _ in ranked]), "auprc": np.stack([a for _, a in ranked])}
    if absent == "half":
        has_positive = (y == 1).T.astype(np.float32) @ weights > 0
        chance = {"auroc": 0.5, "auprc": has_positive}
        figures = {name: np.where(np.isnan(v), chance[name], v) for name, v in figures.items()}
    macro = {
        f"macro {name}": _mean_of_defined(v) if absent == "skip" else v.mean(axis=0) for name, v in figures.items()
    }
    macro["macro fmax"] = weighted_fmax(y, p, weights)[0]
    return figures | {name: v[None] for name, v in macro.items()}


def _bounds(draws: dict[str, Array], level: float, left_out: dict[str, Array] | None) -> dict[str, list[Interval]]:
    return {
        name: [_interval(row, level, None if left_out is None else left_out[name][k]) for k, row in enumerate(values)]
        for name, values in draws.items()
    }


def _mean_of_defined(values: Array) -> Array:
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=0) / defined.sum(axis=0))


def _jackknife(y: Array, p: Array, codes: NDArray[np.int64]) -> dict[str, Array]:
    """The same figures without each group in turn; NaN for a class that is lost with the group."""
    n_groups = int(codes.max()) + 1
    parts = []
    for first in range(0, n_groups, _JACKKNIFE_BLOCK):
        out = np.arange(first, min(first + _JACKKNIFE_BLOCK, n_groups))
        parts.append(_figures(y, p, (codes[:, None] != out).astype(np.float32), "redraw"))
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _interval(draws: Array, level: float, left_out: Array | None) -> Interval:
    value, resampled = float(draws[0]), draws[1:][~np.isnan(draws[1:])]
    if len(resampled) < 100:  # too few resamples for a percentile in the tails
        return Interval(value, None, None)
    if left_out is not None:
        bounds = bca_bounds(value, resampled, left_out, level)
        return Interval(value, *(bounds or (None, None)))
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
