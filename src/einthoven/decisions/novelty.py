"""Is a record unlike those that the network was trained on? A Gaussian over features that each were made normal.

One idea: each feature is mapped to normal scores through its training quantiles, so that Mahalanobis distances are not
ruled by heavy tails; the alarm is set by a stated share of false alarms on validation records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError
from einthoven.files import atomic_write

__all__ = ["Gaussian", "Novelty", "fit_novelty", "load_novelty", "save_novelty"]

Array = NDArray[np.float64]

_SHARES = np.array([0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.995, 0.999])
_NORMAL = np.array([NormalDist().inv_cdf(share) for share in _SHARES])
_STEPS = np.diff(_NORMAL)
_MIDDLE = len(_SHARES) // 2
_STORED = ("columns", "knots", "whitening", "standing")
_LEAST_SPREAD = 0.05  # a feature that never varied in training still may by rounding
_MOST_SCORE = 30.0  # normal scores beyond say no more
_DISTANCE_FLOOR = 1e-2  # of the mean squared distance per feature, which is about 1
_LEAST_VARIANCE = 0.05  # of the mean: directions that vary less are where rounding would decide


@dataclass(frozen=True, slots=True)
class Gaussian:
    """One distance: which features it looks at, and how they and the distance itself are made normal.

    Attributes:
        columns: of the features, shape (n,).
        knots: training quantiles of each feature, rising, shape (n, 11).
        whitening: turns normal scores into independent ones of unit variance, shape (n, n).
        standing: training quantiles of the log distance, shape (1, 11).
    """

    columns: NDArray[np.int64]
    knots: Array
    whitening: Array
    standing: Array

    def score(self, features: Array) -> Array:
        """Where the distance of each record stands among those of training, in standard deviations."""
        distance = _log_distance(_normal_scores(features[:, self.columns], self.knots), self.whitening)
        return _normal_scores(distance[:, None], self.standing)[:, 0]


@dataclass(frozen=True, slots=True)
class Novelty:
    """A fitted detector.

    Attributes:
        parts: distances over sets of features; the largest counts, so that few odd features among many are not lost.
        threshold: an alarm is given above this score.
        false_alarms: the share of validation records above it that was asked for.
    """

    parts: tuple[Gaussian, ...]
    threshold: float
    false_alarms: float

    def score(self, features: Array) -> Array:
        """How unlike training each record is: about 0 for half of the training records, 3 for one in a thousand.

        Args:
            features: shape (records, features), of ``signals.record_features``.

        Returns:
            Shape (records,).
        """
        return np.asarray(np.max([part.score(features) for part in self.parts], axis=0))

    def most_unusual(self, features: Array, count: int = 3) -> list[int]:
        """Columns of the features that by themselves are farthest from training, the farthest first.

        Args:
            features: of one record, shape (features,).
            count: how many.
        """
        apart = np.zeros(len(features))
        for part in self.parts:
            apart[part.columns] = np.abs(_normal_scores(features[None, part.columns], part.knots)[0])
        return [int(k) for k in np.argsort(-apart, kind="stable")[:count]]


def fit_novelty(
    training: Array,
    validation: Array,
    parts: Sequence[NDArray[np.int64]] | None = None,
    false_alarms: float = 0.05,
) -> Novelty:
    """Fit a detector.

    Covariances are shrunk towards the identity by Ledoit and Wolf's rule (J. Multivar. Anal. 2004; 88: 365-411). The
    threshold is the ``ceil((n + 1) (1 - false_alarms))``-th smallest score of the validation records, as in conformal
    prediction; the largest where there are too few.

    Args:
        training: features, shape (records, features), finite, of at least two records.
        validation: likewise, of records that were not trained on.
        parts: columns of each distance, as ``signals.feature_parts`` gives them; None makes one over all.
        false_alarms: share of records like those of training that may be flagged, between 0 and 1.

    Raises:
        ValueError: too few records, or a rate that is none.
    """
    if len(training) < 2 or not len(validation) or not 0 < false_alarms < 1:
        raise ValueError(
            f"two training records, one validation record and a rate between 0 and 1 are needed, got {len(training)}, "
            f"{len(validation)} and {false_alarms}"
        )
    chosen = [np.arange(training.shape[1])] if parts is None else parts
    fitted = Novelty(tuple(_fit_part(training, columns) for columns in chosen), 0.0, false_alarms)
    scores = np.sort(fitted.score(validation))
    rank = min(int(np.ceil((len(scores) + 1) * (1 - false_alarms) - 1e-9)), len(scores))
    return Novelty(fitted.parts, float(scores[rank - 1]), false_alarms)


def _fit_part(training: Array, columns: NDArray[np.int64]) -> Gaussian:
    knots = _knots(training[:, columns])
    z = _normal_scores(training[:, columns], knots)
    whitening = _whitening(z)
    return Gaussian(columns, knots, whitening, _knots(_log_distance(z, whitening)[:, None]))


def _log_distance(z: Array, whitening: Array) -> Array:
    """Logarithm of the mean squared Mahalanobis distance per feature, shape (records,)."""
    return np.asarray(np.log(((z @ whitening) ** 2).mean(axis=1) + _DISTANCE_FLOOR))


def _knots(features: Array) -> Array:
    """Training quantiles, at least as far apart as those of a narrow normal distribution."""
    quantiles = np.quantile(features, _SHARES, axis=0).T
    gaps = np.maximum(np.diff(quantiles, axis=1), _LEAST_SPREAD * _STEPS)
    from_first = np.concatenate([np.zeros((len(gaps), 1)), np.cumsum(gaps, axis=1)], axis=1)
    return np.asarray(quantiles[:, [_MIDDLE]] + from_first - from_first[:, [_MIDDLE]])


def _normal_scores(features: Array, knots: Array) -> Array:
    """Linear between the knots and, with the slope of the outermost pair, beyond them."""
    # Inner knots that lie below a value are counted: of so few that is much faster than a search in each column.
    piece = (features[:, None] > knots.T[1:-1]).sum(axis=1)
    column = np.arange(features.shape[1])
    start = knots[column, piece]
    slope = _STEPS[piece] / (knots[column, piece + 1] - start)
    return np.asarray(np.clip(_NORMAL[piece] + slope * (features - start), -_MOST_SCORE, _MOST_SCORE))


def _whitening(z: Array) -> Array:
    n, n_features = z.shape
    covariance = z.T @ z / n
    size = np.trace(covariance) / n_features
    apart = ((covariance - size * np.eye(n_features)) ** 2).sum()
    noise = (((z**2).sum(axis=1) ** 2).sum() / n - (covariance**2).sum()) / n
    share = 1.0 if apart <= 0 else float(np.clip(noise / apart, 0, 1))
    shrunk = (1 - share) * covariance + share * size * np.eye(n_features)
    values, vectors = np.linalg.eigh(shrunk)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST_VARIANCE * size)))


def save_novelty(path: Path, novelty: Novelty) -> None:
    """Write a detector as safetensors, whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {"limits": np.array([novelty.threshold, novelty.false_alarms])}
    for k, part in enumerate(novelty.parts):
        arrays |= {f"{name}.{k}": np.ascontiguousarray(getattr(part, name)) for name in _STORED}
    with atomic_write(path) as temporary:
        save_file(arrays, temporary)


def load_novelty(path: Path, n_features: int) -> Novelty:
    """Read what ``save_novelty`` wrote.

    Raises:
        BundleError: not such a file, or of another number of features.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cannot be read as a novelty detector: {error}") from None
    try:
        threshold, false_alarms = arrays.pop("limits").tolist()
        count = len(arrays) // len(_STORED)
        parts = tuple(Gaussian(*(arrays[f"{name}.{k}"] for name in _STORED)) for k in range(count))
        _check_shapes(parts, n_features)
    except (KeyError, ValueError) as error:
        raise BundleError(f"{path}: not a novelty detector over {n_features} features: {error}") from None
    return Novelty(parts, threshold, false_alarms)


def _check_shapes(parts: Sequence[Gaussian], n_features: int) -> None:
    if not parts or max(int(part.columns.max()) for part in parts) != n_features - 1:
        raise ValueError("its columns are others")
    for part in parts:
        n = len(part.columns)
        if part.knots.shape != (n, len(_SHARES)) or part.whitening.shape != (n, n) or part.standing.shape[0] != 1:
            raise ValueError(f"arrays of shapes {part.knots.shape} and {part.whitening.shape} for {n} columns")
