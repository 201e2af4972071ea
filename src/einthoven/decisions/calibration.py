"""From a network's scores to probabilities that mean what they say: maps per class, fitted on validation records.

One idea: a map acts on a record's score after its windows were joined, so what is judged is what a user is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALIBRATIONS", "MIN_CASES", "Calibration", "fit_calibration", "log_odds"]

Array = NDArray[np.float64]
Map = Mapping[str, Any]

MIN_CASES = 10  # of either kind: a class with fewer keeps its scores, for a map fitted on them would be chance
_TINY = 1e-7
_LARGEST_SLOPE = 50.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """One monotone map per class.

    Attributes:
        method: one of ``CALIBRATIONS``, or ``"none"``.
        maps: per class the map's numbers; None for a class that keeps its scores.
    """

    method: str
    maps: tuple[Map | None, ...]

    def apply(self, p: Array) -> Array:
        """Return calibrated probabilities, shape (records, classes)."""
        p = np.asarray(p, dtype=np.float64)
        if self.method == "softmax":
            z = np.log(np.clip(p, _TINY, 1)) / (self.maps[0] or {"temperature": 1.0})["temperature"]
            e = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(e / e.sum(axis=1, keepdims=True))
        q, mapped = p.copy(), [k for k, found in enumerate(self.maps) if found is not None]
        if mapped:
            q[:, mapped] = _APPLY[self.method](p[:, mapped], [found for found in self.maps if found is not None])
        return q

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"method": self.method, "maps": list(self.maps)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Rebuild what ``to_dict`` wrote."""
        return cls(values["method"], tuple(values["maps"]))


def fit_calibration(y: Array, p: Array, method: str, kind: str = "multilabel") -> Calibration:
    """Fit a map per class.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN (unknown, left out).
        p: scores from 0 to 1, shape (records, classes).
        method: ``"temperature"`` divides the log-odds (Guo et al. 2017), ``"platt"`` also shifts them (Platt 1999, with
            his smoothed targets), ``"beta"`` is the three-number family of Kull et al. 2017, ``"isotonic"`` the
            pool-adjacent-violators fit (Zadrozny and Elkan 2002), ``"none"`` leaves the scores as they are.
        kind: with ``"multiclass"`` one temperature is fitted for the softmax, whatever the method.

    Raises:
        ValueError: unknown method.
    """
    if method not in ("none", *CALIBRATIONS):
        raise ValueError(f"unknown calibration {method!r}; there are none, {', '.join(CALIBRATIONS)}")
    if method == "none" or not len(y):
        return Calibration("none", (None,) * y.shape[1])
    if kind == "multiclass":
        return Calibration("softmax", (_fit_softmax(y, p),))
    return Calibration(method, tuple(_fit_class(y[:, k], p[:, k], CALIBRATIONS[method]) for k in range(y.shape[1])))


def _fit_class(y: Array, p: Array, fit: Callable[[Array, Array], Map | None]) -> Map | None:
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    if min((y == 1).sum(), (y == 0).sum()) < MIN_CASES:
        return None
    return fit(y, p)


def log_odds(p: Array) -> Array:
    """Logarithm of p / (1 - p); probabilities are kept 1e-7 from 0 and 1."""
    p = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def _logistic(features: Sequence[Array], y: Array, bounds: Sequence[tuple[float | None, float | None]]) -> list[float]:
    """Maximum likelihood weights of a logistic model without a hidden constant."""
    from scipy.optimize import minimize

    x = np.stack(features, axis=1)

    def loss(w: Array) -> tuple[float, Array]:
        z = x @ w
        return float(np.logaddexp(0, z).mean() - (y * z).mean()), x.T @ (_sigmoid(z) - y) / len(y)

    start = np.array([1.0 if low == 0 else 0.0 for low, _ in bounds])
    return [float(w) for w in minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x]


def _fit_temperature(y: Array, p: Array) -> Map:
    (slope,) = _logistic([log_odds(p)], y, [(0, _LARGEST_SLOPE)])
    return {"temperature": 1 / max(slope, 1 / _LARGEST_SLOPE)}


def _fit_platt(y: Array, p: Array) -> Map:
    positives, negatives = float((y == 1).sum()), float((y == 0).sum())
    smooth = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    z = log_odds(p)
    slope, shift = _logistic([z, np.ones_like(z)], smooth, [(0, _LARGEST_SLOPE), (None, None)])
    return {"slope": max(slope, 1 / _LARGEST_SLOPE), "shift": shift}


def _fit_beta(y: Array, p: Array) -> Map:
    q = np.clip(p, _TINY, 1 - _TINY)
    bounds = [(0, _LARGEST_SLOPE), (0, _LARGEST_SLOPE), (None, None)]
    a, b, c = _logistic([np.log(q), -np.log1p(-q), np.ones_like(q)], y, bounds)
    return {"a": a, "b": b, "c": c}


def _fit_isotonic(y: Array, p: Array) -> Map:
    from scipy.optimize import isotonic_regression

    scores, owner = np.unique(p, return_inverse=True)
    counts = np.bincount(owner).astype(np.float64)
    fitted = isotonic_regression(np.bincount(owner, weights=y) / counts, weights=counts).x
    # The ends of each step say it all.
    kept = np.flatnonzero(np.r_[True, (fitted[1:] != fitted[:-1])] | np.r_[(fitted[1:] != fitted[:-1]), True])
    return {"scores": scores[kept].tolist(), "probabilities": fitted[kept].tolist()}


def _fit_softmax(y: Array, p: Array) -> Map:
    from scipy.optimize import minimize_scalar

    z = np.log(np.clip(p, _TINY, 1))

    def loss(log_temperature: float) -> float:
        scaled = z / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        norm = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
        return float((norm - (np.nan_to_num(y) * scaled).sum(axis=1)).mean())

    return {"temperature": float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))}


CALIBRATIONS: Mapping[str, Callable[[Array, Array], Map]] = {
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "isotonic": _fit_isotonic,
    "beta": _fit_beta,
}


def _apply_temperature(p: Array, maps: Sequence[Map]) -> Array:
    return _sigmoid(log_odds(p) / _numbers(maps, "temperature"))


def _apply_platt(p: Array, maps: Sequence[Map]) -> Array:
    return _sigmoid(_numbers(maps, "slope") * log_odds(p) + _numbers(maps, "shift"))


def _apply_isotonic(p: Array, maps: Sequence[Map]) -> Array:
    pairs = zip(p.T, maps, strict=True)
    return np.stack([np.interp(q, found["scores"], found["probabilities"]) for q, found in pairs], axis=1)


def _apply_beta(p: Array, maps: Sequence[Map]) -> Array:
    a, b, c = (_numbers(maps, name) for name in "abc")
    return _sigmoid(a * np.log(np.clip(p, _TINY, 1)) - b * np.log1p(-np.clip(p, 0, 1 - _TINY)) + c)


def _numbers(maps: Sequence[Map], name: str) -> Array:
    """One number of each class's map, shape (classes,)."""
    return np.array([found[name] for found in maps], dtype=np.float64)


_APPLY: Mapping[str, Callable[[Array, Sequence[Map]], Array]] = {
    "temperature": _apply_temperature,
    "platt": _apply_platt,
    "isotonic": _apply_isotonic,
    "beta": _apply_beta,
}
