"""Is a record unlike those that the network was trained on? A Gaussian over features that each were made normal.

One idea: each feature is mapped to normal scores through its training quantiles, so that the Mahalanobis distance is
not ruled by heavy tails; the alarm is set by a stated share of false alarms on validation records.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError
from einthoven.files import atomic_write

__all__ = ["Novelty", "fit_novelty", "load_novelty", "save_novelty"]

Array = NDArray[np.float64]

_SHARES = np.array([0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.995, 0.999])
_NORMAL = np.array([NormalDist().inv_cdf(share) for share in _SHARES])
_MIDDLE = len(_SHARES) // 2
_LEAST_SPREAD = 0.02  # a feature that never varied in training still may by rounding
_MOST_SCORE = 30.0  # normal scores beyond say no more


@dataclass(frozen=True, slots=True)
class Novelty:
    """A fitted detector.

    Attributes:
        knots: training quantiles of each feature, rising, shape (features, 11).
        whitening: turns normal scores into independent ones of unit variance, shape (features, features).
        threshold: an alarm is given above this score.
        false_alarms: the share of validation records above it that was asked for.
    """

    knots: Array
    whitening: Array
    threshold: float
    false_alarms: float

    def score(self, features: Array) -> Array:
        """Squared Mahalanobis distance per feature, about 1 for a training record; shape (records,).

        Args:
            features: shape (records, features), of ``signals.record_features``.
        """
        return np.asarray(((self.normal_scores(features) @ self.whitening) ** 2).mean(axis=1))

    def normal_scores(self, features: Array) -> Array:
        """How unusual each feature is by itself, in standard deviations; shape (records, features)."""
        return _normal_scores(np.asarray(features, dtype=np.float64), self.knots)


def fit_novelty(training: Array, validation: Array, false_alarms: float = 0.05) -> Novelty:
    """Fit a detector.

    The covariance is shrunk towards the identity by Ledoit and Wolf's rule (J. Multivar. Anal. 2004; 88: 365-411). The
    threshold is the ``ceil((n + 1) (1 - false_alarms))``-th smallest score of the validation records, as in conformal
    prediction; the largest where there are too few.

    Args:
        training: features, shape (records, features), finite, of at least two records.
        validation: likewise, of records that were not trained on.
        false_alarms: share of records like those of training that may be flagged, between 0 and 1.

    Raises:
        ValueError: too few records, or a rate that is none.
    """
    if len(training) < 2 or not len(validation) or not 0 < false_alarms < 1:
        raise ValueError(
            f"two training records, one validation record and a rate between 0 and 1 are needed, got {len(training)}, "
            f"{len(validation)} and {false_alarms}"
        )
    knots = _knots(training)
    fitted = Novelty(knots, _whitening(_normal_scores(training, knots)), 0.0, false_alarms)
    scores = np.sort(fitted.score(validation))
    rank = min(int(np.ceil((len(scores) + 1) * (1 - false_alarms) - 1e-9)), len(scores))
    return Novelty(knots, fitted.whitening, float(scores[rank - 1]), false_alarms)


def _knots(features: Array) -> Array:
    """Training quantiles, at least as far apart as those of a narrow normal distribution."""
    quantiles = np.quantile(features, _SHARES, axis=0).T
    gaps = np.maximum(np.diff(quantiles, axis=1), _LEAST_SPREAD * np.diff(_NORMAL))
    from_first = np.concatenate([np.zeros((len(gaps), 1)), np.cumsum(gaps, axis=1)], axis=1)
    return np.asarray(quantiles[:, [_MIDDLE]] + from_first - from_first[:, [_MIDDLE]])


def _normal_scores(features: Array, knots: Array) -> Array:
    """Linear between the knots and, with the slope of the outermost pair, beyond them."""
    slopes = np.diff(_NORMAL) / np.diff(knots, axis=1)
    scores = np.empty_like(features)
    for k in range(features.shape[1]):
        piece = np.clip(np.searchsorted(knots[k], features[:, k]) - 1, 0, len(_NORMAL) - 2)
        scores[:, k] = _NORMAL[piece] + slopes[k, piece] * (features[:, k] - knots[k, piece])
    return np.clip(scores, -_MOST_SCORE, _MOST_SCORE)


def _whitening(z: Array) -> Array:
    n, n_features = z.shape
    covariance = z.T @ z / n
    size = np.trace(covariance) / n_features
    apart = ((covariance - size * np.eye(n_features)) ** 2).sum()
    noise = (((z**2).sum(axis=1) ** 2).sum() / n - (covariance**2).sum()) / n
    share = 1.0 if apart <= 0 else float(np.clip(noise / apart, 0, 1))
    shrunk = (1 - share) * covariance + share * size * np.eye(n_features)
    values, vectors = np.linalg.eigh(shrunk)
    # Features that follow from others leave directions without variance, where rounding would decide.
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST_VARIANCE * size)))


_LEAST_VARIANCE = 1e-3


def save_novelty(path: Path, novelty: Novelty) -> None:
    """Write a detector as safetensors, whole or not at all."""
    from safetensors.numpy import save_file

    limits = np.array([novelty.threshold, novelty.false_alarms])
    arrays = {"knots": novelty.knots, "whitening": novelty.whitening, "limits": limits}
    with atomic_write(path) as temporary:
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, temporary)


def load_novelty(path: Path, n_features: int) -> Novelty:
    """Read what ``save_novelty`` wrote.

    Raises:
        BundleError: not such a file, or of another number of features.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    wanted = {"knots": (n_features, len(_SHARES)), "whitening": (n_features, n_features), "limits": (2,)}
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cannot be read as a novelty detector: {error}") from None
    shapes = {name: values.shape for name, values in arrays.items()}
    if shapes != wanted:
        raise BundleError(f"{path}: not a novelty detector for {n_features} features: it holds {shapes}")
    threshold, false_alarms = arrays["limits"].tolist()
    return Novelty(arrays["knots"], arrays["whitening"], threshold, false_alarms)
