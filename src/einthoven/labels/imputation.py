"""Sinus rhythm where a source does not state it: predicted from the other labels, marked, and counted.

SPH states sinus rhythm only of normal ECGs, while the challenges score it in nearly every record. The way of
UTU-Health-Research/dl-ecg-classifier: a logistic regression on the other classes of its task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError, MissingExtraError
from einthoven.labels.systems import load_system
from einthoven.labels.tasks import Task, make_task

__all__ = ["SINUS_RHYTHM", "Imputed", "SinusRhythmModel", "fit_sinus_rhythm"]

Statements = Mapping[str, float | None]
SINUS_RHYTHM = "426783006"
_TASK, _CLASS = "dl-ecg-17", "NSR"
_REGULARISATION, _MAX_ITERATIONS = 0.01, 1000  # scikit-learn's C: small is strong


@dataclass(frozen=True, slots=True)
class Imputed:
    """Statements with sinus rhythm added.

    Attributes:
        statements: one mapping per record. An imputed sinus rhythm has its probability in percent as likelihood, while
            the challenges and SPH state none.
        rows: of the records in which it was imputed, ascending.
        n_unanswered: records left as they were, having no statement or one of the task that is not known.
    """

    statements: list[dict[str, float | None]]
    rows: tuple[int, ...]
    n_unanswered: int


@dataclass(frozen=True, slots=True)
class SinusRhythmModel:
    """A fitted regression as plain numbers: sinus rhythm where intercept + sum of coefficients is above 0.

    Attributes:
        coefficients: of each other class of the task.
        intercept: of the regression.
        n_records: it was fitted on.
        n_positive: of them, those in sinus rhythm.
        agreement: share of those records where it says what they state.
    """

    coefficients: Mapping[str, float]
    intercept: float
    n_records: int
    n_positive: int
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"task": _TASK, "predicts": SINUS_RHYTHM, **asdict(self), "coefficients": dict(self.coefficients)}

    def impute(self, statements: Sequence[Statements]) -> Imputed:
        """Add sinus rhythm, in SNOMED CT, to records that do not state it.

        Records that state it, that state nothing at all, or with a class of the task that is not known are kept as
        they are.
        """
        task = _task()
        x, y = _split(task, statements)
        score = x @ np.array([self.coefficients[name] for name in _others(task)]) + self.intercept
        rows, unanswered = [], 0
        done = [dict(found) for found in statements]
        for k, found in enumerate(done):
            if y[k] == 1:
                continue
            if not found or math.isnan(score[k]):
                unanswered += 1
            elif score[k] > 0:
                found[SINUS_RHYTHM] = round(100 / (1 + math.exp(-score[k])), 1)
                rows.append(k)
        return Imputed(done, tuple(rows), unanswered)


def fit_sinus_rhythm(statements: Sequence[Statements]) -> SinusRhythmModel:
    """Fit the regression on records whose rhythm is stated, in SNOMED CT.

    Give it training records only: what is fitted must not have seen the records that a model is judged on. Records
    without any class of the task, or with one that is not known, are left out.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        DatasetError: the records do not hold both kinds.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError:
        raise MissingExtraError("imputing sinus rhythm", "labels") from None
    task = _task()
    x, y = _split(task, statements)
    usable = ~np.isnan(x).any(axis=1) & ~np.isnan(y) & ((x == 1).any(axis=1) | (y == 1))
    x, y = x[usable], y[usable]
    if len(set(y.tolist())) < 2:
        raise DatasetError(
            f"sinus rhythm can only be learnt from records with and without it: of {len(statements):,} records, "
            f"{int(y.sum()):,} have it and {int((y == 0).sum()):,} state another class of {_TASK} but not it"
        )
    fitted = LogisticRegression(C=_REGULARISATION, max_iter=_MAX_ITERATIONS).fit(x, y)
    return SinusRhythmModel(
        coefficients=dict(zip(_others(task), map(float, fitted.coef_[0]), strict=True)),
        intercept=float(fitted.intercept_[0]),
        n_records=len(y),
        n_positive=int(y.sum()),
        agreement=float(fitted.score(x, y)),
    )


def _task() -> Task:
    return make_task(_TASK, load_system("snomed").table)


def _others(task: Task) -> list[str]:
    return [name for name in task.classes if name != _CLASS]


def _split(task: Task, statements: Sequence[Statements]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the other classes, shape (records, 16), and sinus rhythm, shape (records,): 0, 1, NaN where not known."""
    targets = task.targets(statements).astype(np.float64)
    k = task.classes.index(_CLASS)
    return np.delete(targets, k, axis=1), targets[:, k]
