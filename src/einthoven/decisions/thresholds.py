"""From probabilities to yes and no: one threshold per class, fitted on validation records by a stated rule.

A threshold lies midway between two scores, so that a score's last digit does not decide, and is never infinite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions.calibration import MIN_CASES
from einthoven.errors import RecipeError, nearest
from einthoven.metrics import auroc, challenge_score

__all__ = ["Rule", "fit_thresholds", "parse_rule"]

Array = NDArray[np.float64]

# Rule: what it needs after the colon, its usual value, and what it does in words.
_RULES: Mapping[str, tuple[str | None, float | None, str]] = {
    "f1": (None, None, "maximise each class's F1"),
    "fbeta": ("beta", 2.0, "maximise each class's F-beta (beta {0:g})"),
    "youden": (None, None, "maximise Youden's index of each class"),
    "sensitivity": ("share", 0.9, "reach a sensitivity of {0:.0%} in each class at the highest specificity"),
    "specificity": ("share", 0.9, "reach a specificity of {0:.0%} in each class at the highest sensitivity"),
    "cost": ("ratio", 5.0, "minimise each class's cost, a miss counting {0:g} times a false alarm"),
    "challenge": ("year", 2021.0, "maximise the PhysioNet/CinC {0:.0f} challenge score over all classes together"),
}
_SWEEPS = 3
_LEVELS = 40


@dataclass(frozen=True, slots=True)
class Rule:
    """How thresholds are fitted: a name, and its number where it takes one."""

    name: str
    value: float | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value:g}"

    @property
    def words(self) -> str:
        """What it does, as the predicate of a sentence about the thresholds."""
        return _RULES[self.name][2].format(self.value)


def parse_rule(text: str) -> Rule:
    """Read ``f1``, ``youden``, ``fbeta:2``, ``sensitivity:0.95``, ``specificity:0.9``, ``cost:5``, ``challenge:2021``.

    Raises:
        RecipeError: none of these, or a number that cannot be.
    """
    name, colon, number = text.partition(":")
    if name not in _RULES:
        raise RecipeError(f"unknown threshold rule {text!r}{nearest(name, _RULES)}; rules are {', '.join(_RULES)}")
    what, usual, _ = _RULES[name]
    if what is None and colon:
        raise RecipeError(f"threshold rule {text!r}: {name} takes no number")
    if colon and not re.fullmatch(r"\d+(\.\d+)?", number):
        raise RecipeError(f"threshold rule {text!r}: write {name}:{usual:g}")
    value = float(number) if colon else usual
    if value is not None and not _fits(what, value):
        raise RecipeError(f"threshold rule {text!r}: {number} is no {what}; write {name}:{usual:g}")
    return Rule(name, value)


def _fits(what: str | None, value: float) -> bool:
    if what == "year":
        return value in (2020, 2021)
    return 0 < value < (1 if what == "share" else np.inf)


def fit_thresholds(y: Array, p: Array, rule: Rule, codes: Sequence[str] | None = None) -> Array:
    """Fit one threshold per class.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN (unknown, left out).
        p: probabilities, shape (records, classes).
        rule: what is to be reached.
        codes: SNOMED CT code of each class, for the challenge score.

    Returns:
        Shape (classes,); NaN for a class without positives or negatives, and for one of fewer than ``MIN_CASES`` of
        either that the scores do not tell from chance, or where the rule would be met best by reporting it always.

    Raises:
        RecipeError: the challenge score is asked for classes without SNOMED CT codes.
    """
    if rule.name == "challenge":
        if codes is None:
            raise RecipeError("thresholds by challenge score need SNOMED CT classes: the tasks cinc2020 and cinc2021")
        return _fit_challenge(y, p, codes, int(rule.value or 2021))
    return np.array([_fit_class(y[:, k], p[:, k], rule) for k in range(y.shape[1])])


def _fit_class(y: Array, p: Array, rule: Rule) -> float:
    known = ~np.isnan(y)
    order = np.argsort(-p[known], kind="stable")
    y, p = y[known][order], p[known][order]
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    last = np.append(p[1:] != p[:-1], True)  # a threshold cannot part equal scores
    levels = p[last]
    score = _score(np.cumsum(y == 1)[last], np.cumsum(y == 0)[last], positives, negatives, rule)
    best = int(score.argmax())
    few = min(positives, negatives) < MIN_CASES
    if few and (best == len(levels) - 1 or _by_chance(y, p)):
        return float("nan")
    return _midway(levels, best)


def _by_chance(y: Array, p: Array) -> bool:
    """Whether the area under the ROC curve is within a deviation of 0.5, or below (Mann and Whitney 1947)."""
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    deviation = np.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    return bool(auroc(y[:, None], p[:, None])[0] < 0.5 + deviation)


def _midway(levels: Array, k: int) -> float:
    below = levels[k + 1] if k + 1 < len(levels) else 0.0
    return float((levels[k] + below) / 2)


def _score(hits: NDArray[np.int64], alarms: NDArray[np.int64], positives: int, negatives: int, rule: Rule) -> Array:
    """Return what the rule maximises, at each level."""
    sensitivity, specificity, value = hits / positives, 1 - alarms / negatives, rule.value or 1.0
    if rule.name == "youden":
        return np.asarray(sensitivity + specificity)
    if rule.name == "sensitivity":
        return np.asarray(np.where(sensitivity >= value, specificity, -1.0))
    if rule.name == "specificity":
        # Where even the highest score is a false alarm too many, the fewest alarms are taken.
        return np.asarray(np.where(specificity >= value, sensitivity, specificity - 2))
    if rule.name == "cost":
        return np.asarray(-(value * (positives - hits) + alarms), dtype=np.float64)
    beta2 = value**2
    return np.asarray((1 + beta2) * hits / (hits + alarms + beta2 * positives))


def _fit_challenge(y: Array, p: Array, codes: Sequence[str], year: int) -> Array:
    """Coordinate ascent: one class's threshold at a time over quantiles of its scores, from the F1 thresholds."""
    limits = fit_thresholds(y, p, Rule("f1"))
    fitted = np.flatnonzero(~np.isnan(limits))
    decided = p >= np.where(np.isnan(limits), np.inf, limits)
    best = challenge_score(y, decided, codes, year)
    for _ in range(_SWEEPS):
        before = best
        for k in fitted:
            for candidate in np.unique(np.quantile(p[:, k], np.linspace(0.3, 0.999, _LEVELS))):
                trial = decided.copy()
                trial[:, k] = p[:, k] >= candidate
                if (score := challenge_score(y, trial, codes, year)) > best:
                    best, decided, limits[k] = score, trial, candidate
        if best == before:
            break
    return np.asarray(limits)
