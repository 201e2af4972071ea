"""All between a network's score and a finding, fitted together on validation records and judged by cross-fitting.

One idea: the steps are one object, so that what is refitted on other patients' records is exactly what is shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions.calibration import Calibration, fit_calibration, log_odds
from einthoven.decisions.conformal import Conformal, fit_conformal
from einthoven.decisions.thresholds import Rule, fit_thresholds

__all__ = ["Decided", "Decisions", "Plan", "cross_fit", "fit_decisions", "patient_folds"]

Array = NDArray[np.float64]
Exclusions = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be fitted.

    Attributes:
        classes: names in the order of the columns.
        kind: ``"multilabel"`` or ``"multiclass"``.
        calibration: see ``fit_calibration``.
        rule: see ``parse_rule``.
        error: of the conformal sets; None makes none.
        exclusions: classes that contradict others: a normal ECG has no infarction.
        codes: SNOMED CT code of each class, where the rule needs them.
    """

    classes: tuple[str, ...]
    kind: str
    calibration: str
    rule: Rule
    error: float | None
    exclusions: Exclusions
    codes: tuple[str, ...] | None = None

    def unfitted(self) -> Decisions:
        """The steps before any record was judged: scores as they are, and no thresholds."""
        nothing = (None,) * len(self.classes)
        return Decisions(
            self.classes, self.kind, Calibration("none", nothing), str(self.rule), nothing, None, self.exclusions
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about records; all arrays have the shape (records, classes).

    Attributes:
        probabilities: calibrated.
        present: the decision, contradictions resolved.
        overruled: what reached its threshold but contradicts a stronger finding.
        may_be_present: whether the conformal set of the class holds "present"; None without conformal sets.
        may_be_absent: likewise "absent".
    """

    probabilities: Array
    present: NDArray[np.bool_]
    overruled: NDArray[np.bool_]
    may_be_present: NDArray[np.bool_] | None
    may_be_absent: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Decisions:
    """Fitted steps: calibration, thresholds, conformal sets, and the rule for contradictions."""

    classes: tuple[str, ...]
    kind: str
    calibration: Calibration
    rule: str
    thresholds: tuple[float | None, ...]
    conformal: Conformal | None
    exclusions: Exclusions

    def decide(self, p: Array) -> Decided:
        """Decide about records from the network's scores, shape (records, classes)."""
        q = self.calibration.apply(p)
        if self.kind == "multiclass":
            present = np.zeros(q.shape, bool)
            present[np.arange(len(q)), q.argmax(axis=1)] = True
            overruled = np.zeros(q.shape, bool)
        else:
            limits = np.array([np.inf if limit is None else limit for limit in self.thresholds])
            overruled = _contradicted(q, limits, self.classes, self.exclusions)
            present = (q >= limits) & ~overruled
        sets = self.conformal.sets(q) if self.conformal else (None, None)
        return Decided(q, present, overruled, *sets)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "calibration": self.calibration.to_dict(),
            "thresholds": {"method": self.rule, "values": dict(zip(self.classes, self.thresholds, strict=True))},
            "conformal": self.conformal.to_dict() if self.conformal else None,
            "exclusions": {name: list(others) for name, others in self.exclusions.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], classes: Sequence[str], kind: str) -> Decisions:
        """Rebuild what ``to_dict`` wrote."""
        limits = values["thresholds"]["values"]
        return cls(
            tuple(classes),
            kind,
            Calibration.from_dict(values["calibration"]),
            values["thresholds"]["method"],
            tuple(limits[name] for name in classes),
            Conformal.from_dict(values["conformal"]) if values["conformal"] else None,
            {name: tuple(others) for name, others in values["exclusions"].items()},
        )


def fit_decisions(y: Array, p: Array, plan: Plan) -> Decisions:
    """Fit calibration, then thresholds and conformal sets on the calibrated probabilities.

    Args:
        y: targets of validation records, shape (records, classes), 0, 1 or NaN (unknown).
        p: the network's scores, same shape.
        plan: what to fit.
    """
    calibration = fit_calibration(y, p, plan.calibration, plan.kind)
    q = calibration.apply(p)
    limits: list[float | None] = [None] * len(plan.classes)
    if plan.kind == "multilabel":  # of classes that exclude each other the likeliest is chosen
        fitted = fit_thresholds(y, q, plan.rule, plan.codes)
        limits = [None if np.isnan(limit) else float(limit) for limit in fitted]
    conformal = None if plan.error is None else fit_conformal(y, q, plan.error)
    return Decisions(plan.classes, plan.kind, calibration, str(plan.rule), tuple(limits), conformal, plan.exclusions)


def patient_folds(groups: Sequence[str] | None, n_records: int, n_folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Random folds of whole patients, shape (records,); of single records where patients are unknown."""
    codes = np.arange(n_records) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return np.asarray(np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % n_folds)


def cross_fit(y: Array, p: Array, groups: Sequence[str] | None, plan: Plan, n_folds: int = 5, seed: int = 0) -> Decided:
    """Decide about each record with steps fitted on other patients' records of the same split."""
    fold = patient_folds(groups, len(y), n_folds, seed)
    parts = list(_held_out(y, p, fold, plan))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))

    def joined(name: str) -> Any:
        values = [getattr(decided, name) for _, decided in parts]
        return None if values[0] is None else np.concatenate(values)[order]

    return Decided(*(joined(name) for name in Decided.__slots__))


def _held_out(y: Array, p: Array, fold: NDArray[np.int64], plan: Plan) -> Iterator[tuple[NDArray[np.int64], Decided]]:
    for k in np.unique(fold):
        held = fold == k
        yield np.flatnonzero(held), fit_decisions(y[~held], p[~held], plan).decide(p[held])


def _contradicted(q: Array, limits: Array, classes: Sequence[str], exclusions: Exclusions) -> NDArray[np.bool_]:
    """Of findings that contradict each other the one farther above its threshold, in log-odds, stands."""
    reached, overruled = q >= limits, np.zeros(q.shape, bool)
    if not (reached.sum(axis=1) > 1).any():
        return overruled
    column = {name: k for k, name in enumerate(classes)}
    margin = np.where(reached, log_odds(q) - log_odds(np.minimum(limits, 1.0)), -np.inf)
    for name, others in exclusions.items():
        rest = [column[other] for other in others if other in column]
        if name not in column or not rest:
            continue
        k = column[name]
        strongest = margin[:, rest].max(axis=1)
        both = reached[:, k] & reached[:, rest].any(axis=1)
        overruled[both & (margin[:, k] <= strongest), k] = True
        for other in rest:
            overruled[both & (margin[:, k] > strongest) & reached[:, other], other] = True
    return overruled
