"""How much does each member of an ensemble count? Weights that maximise macro AUROC, and what they are worth elsewhere.

Weights are learned on validation records, as Caruana et al. 2004 choose ensembles: on the metric itself, from the plain
mean or the best member on, never worse than the plain mean there. What they are worth is told by patients that took no
part in learning them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions import Decided, Plan, cross_fit, fit_decisions, patient_folds
from einthoven.metrics import auroc, defined_classes

__all__ = ["Weighed", "learn_weights", "weigh"]

Array = NDArray[np.float64]

_STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32)  # what is moved from one member to another; finer steps fit noise
_GAIN = 1e-9  # of an AUROC; less is rounding


@dataclass(frozen=True, slots=True)
class Weighed:
    """Weights, and an honest judgement of them on the records that they were learned on.

    Attributes:
        weights: of each member, at least 0, with sum 1; equal where learned ones are no better for other patients.
        scores: of each record, shape (records, classes), with weights that were learned on other patients.
        decided: about each record, with weights and decisions that were learned on other patients.
        learned: macro AUROC of learned weights by cross-fitting.
        equal: macro AUROC of the plain mean.
    """

    weights: Array
    scores: Array
    decided: Decided
    learned: float
    equal: float

    @property
    def kept_equal(self) -> bool:
        """Whether the plain mean was kept."""
        return not self.learned > self.equal


def learn_weights(y: Array, p: Array) -> Array:
    """Weights whose mean of the members' scores has the highest macro AUROC found; equal ones where none is higher.

    From equal weights, and from the best member alone, weight is moved from one member to another as long as that
    helps, in ever smaller steps. Nothing is drawn, so the same scores give the same weights.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN (unknown).
        p: scores, shape (members, records, classes).
    """
    defined = defined_classes(y)
    equal = np.full(len(p), 1 / len(p))
    if not defined.any():
        return equal
    y, p = y[:, defined], p[:, :, defined]

    def area(weights: Array) -> float:
        return float(auroc(y, np.tensordot(weights, p, axes=1)).mean())

    best_alone = max(np.eye(len(p)), key=area)
    found = max((_climb(start, area) for start in (equal, best_alone)), key=area)
    return found if area(found) > area(equal) + _GAIN else equal


def _climb(weights: Array, area: Callable[[Array], float]) -> Array:
    best = area(weights)
    for step in _STEPS:
        while True:
            moves = list(_moves(weights, step))
            areas = [area(move) for move in moves]
            k = int(np.argmax(areas)) if areas else -1
            if k < 0 or areas[k] <= best + _GAIN:
                break
            weights, best = moves[k], areas[k]
    return weights


def _moves(weights: Array, step: float) -> list[Array]:
    """Weights after up to ``step`` went from one member to another, for every pair."""
    moves = []
    for giver in np.flatnonzero(weights > 0):
        for taker in range(len(weights)):
            if taker != giver:
                moved = weights.copy()
                moved[giver] -= min(step, weights[giver])
                moved[taker] += min(step, weights[giver])
                moves.append(moved)
    return moves


def weigh(y: Array, p: Array, groups: Sequence[str] | None, plan: Plan, n_folds: int = 5, seed: int = 0) -> Weighed:
    """Learn weights on all records, and judge learning by patient-grouped cross-fitting of weights and decisions.

    Args:
        y: targets of validation records, shape (records, classes), 0, 1 or NaN (unknown).
        p: the members' scores, shape (members, records, classes).
        groups: the patient of each record; None where each stands for itself.
        plan: of the decisions.
        n_folds: of the cross-fitting.
        seed: of its folds.
    """
    fold = patient_folds(groups, len(y), n_folds, seed)
    scores, parts = np.empty_like(p[0]), []
    for k in np.unique(fold):
        held, known = fold == k, fold != k
        mean = np.tensordot(learn_weights(y[known], p[:, known]), p, axes=1)
        scores[held] = mean[held]
        parts.append((np.flatnonzero(held), fit_decisions(y[known], mean[known], plan).decide(mean[held])))
    plain = p.mean(axis=0)
    learned, equal = _macro(y, scores), _macro(y, plain)
    if not learned > equal:
        even = np.full(len(p), 1 / len(p))
        return Weighed(even, plain, cross_fit(y, plain, groups, plan, n_folds, seed), learned, equal)
    return Weighed(learn_weights(y, p), scores, _joined(parts), learned, equal)


def _macro(y: Array, scores: Array) -> float:
    areas = auroc(y, scores)
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def _joined(parts: Sequence[tuple[NDArray[np.int64], Decided]]) -> Decided:
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))

    def column(name: str) -> Any:
        values = [getattr(decided, name) for _, decided in parts]
        return None if values[0] is None else np.concatenate(values)[order]

    return Decided(*map(column, Decided.__slots__))
