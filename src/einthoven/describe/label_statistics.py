"""Who has which label: counts, how labels go together, and age, sex, source, fold and likelihood of each.

One idea: what is not known is counted as such and never guessed, so every row of figures sums to all records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset
from einthoven.labels import Task

__all__ = ["AGE_EDGES", "LIKELIHOODS", "ClassStatistics", "LabelStatistics", "age_figures", "label_statistics"]

AGE_EDGES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90)  # years; the last group is open, for sources hide ages above 89
LIKELIHOODS = ("not stated", "below 50", "50 to 79", "80 to 99", "100")  # percent, of a statement
_COMBINATIONS = 12
_QUANTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """One class of a task.

    Attributes:
        name: of the class.
        description: in words, where the labels tell.
        records: that have it.
        alone: of them, those that have no other class.
        unknown: records of which nobody knows whether they have it.
        patients: that have it; None where a record of it has no known patient.
        sex: records by ``female``, ``male`` and ``unknown``.
        age: see ``age_figures``.
        sources: records by source, most first.
        folds: records by fold; "none" stands for records of no fold.
        likelihoods: statements by stated likelihood, in the groups of ``LIKELIHOODS``.
        codes: records by statement code, most first.
    """

    name: str
    description: str
    records: int
    alone: int
    unknown: int
    patients: int | None
    sex: Mapping[str, int]
    age: Mapping[str, Any]
    sources: Mapping[str, int]
    folds: Mapping[str, int]
    likelihoods: Mapping[str, int]
    codes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LabelStatistics:
    """The labels of a dataset, seen through a task.

    Attributes:
        task: its name.
        n_records: all records.
        n_unlabelled: records that have no class of the task.
        classes: figures of each class, in the order of the task.
        together: records that have both classes, shape (classes, classes); the diagonal is each class' records.
        per_record: number of records by how many classes they have.
        combinations: records by exact set of classes (joined by " + "), the most frequent dozen.
        everyone: the same figures for all records, named "all records".
    """

    task: str
    n_records: int
    n_unlabelled: int
    classes: tuple[ClassStatistics, ...]
    together: NDArray[np.int64]
    per_record: Mapping[int, int]
    combinations: Mapping[str, int]
    everyone: ClassStatistics

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "together": self.together.tolist()}


def label_statistics(dataset: Dataset, task: Task, split: str | None = None) -> LabelStatistics:
    """Count the labels of a dataset by everything that the records' table tells.

    Args:
        dataset: whose records; no signal is read.
        task: through which its statements are seen.
        split: whose folds; the corpus' own by default.

    Raises:
        DatasetError: no such split.
    """
    targets = task.targets(dataset.records.statements)
    has = targets == 1
    columns = _Columns(dataset, task, dataset.folds(split))
    number = has.sum(axis=1)
    classes = []
    for k, name in enumerate(task.classes):
        figures = columns.figures(has[:, k], name)
        classes.append(
            ClassStatistics(
                name=name,
                description=task.descriptions.get(name, ""),
                records=int(has[:, k].sum()),
                alone=int((has[:, k] & (number == 1)).sum()),
                unknown=int(np.isnan(targets[:, k]).sum()),
                **figures,
            )
        )
    whole = np.ones(len(dataset), bool)
    n = len(dataset)
    return LabelStatistics(
        task=task.name,
        n_records=n,
        n_unlabelled=int((number == 0).sum()),
        classes=tuple(classes),
        together=has.T.astype(np.int64) @ has.astype(np.int64),
        per_record={int(k): int(count) for k, count in sorted(Counter(number.tolist()).items())},
        combinations=_combinations(has, task.classes),
        everyone=ClassStatistics("all records", "", n, 0, 0, **columns.figures(whole, None)),
    )


def _combinations(has: NDArray[np.bool_], classes: Sequence[str]) -> dict[str, int]:
    patterns, counts = np.unique(has, axis=0, return_counts=True)
    order = np.lexsort((np.arange(len(counts)), -counts))[:_COMBINATIONS]
    names = np.array(classes, object)
    return {" + ".join(names[patterns[k]]) or "none": int(counts[k]) for k in order}


class _Columns:
    """The records' table as arrays, so that a class is one mask."""

    def __init__(self, dataset: Dataset, task: Task, folds: Sequence[int | None]) -> None:
        table = dataset.records
        self._task = task
        self._statements = table.statements
        self._patient = np.array([patient or "" for patient in table.patient_id], object)
        self._age = np.array([np.nan if age is None else age for age in table.age], np.float64)
        self._sex = np.array([sex or "unknown" for sex in table.sex], object)
        self._source = np.array([source or "unknown" for source in table.source], object)
        self._fold = np.array(["none" if fold is None else str(fold) for fold in folds], object)

    def figures(self, chosen: NDArray[np.bool_], name: str | None) -> dict[str, Any]:
        """Figures of the chosen records; of a class, its codes and likelihoods too."""
        patients = self._patient[chosen]
        sex = Counter(self._sex[chosen].tolist())
        likelihoods, codes = self._stated(chosen, name)
        return {
            "patients": None if len(patients) == 0 or "" in patients else len(set(patients.tolist())),
            "sex": {key: sex.get(key, 0) for key in ("female", "male", "unknown")},
            "age": age_figures(self._age[chosen]),
            "sources": dict(Counter(self._source[chosen].tolist()).most_common()),
            "folds": dict(sorted(Counter(self._fold[chosen].tolist()).items(), key=_fold_order)),
            "likelihoods": likelihoods,
            "codes": codes,
        }

    def _stated(self, chosen: NDArray[np.bool_], name: str | None) -> tuple[dict[str, int], dict[str, int]]:
        likelihoods, codes = Counter[str](), Counter[str]()
        for row in np.flatnonzero(chosen).tolist():
            for code, likelihood in self._statements[row].items():
                if likelihood is not None and likelihood != likelihood:
                    continue  # unknown, see ``Task``
                if name is None or self._task.class_of.get(code) == name:
                    codes[code] += 1
                    likelihoods[_likelihood(likelihood)] += 1
        return {key: likelihoods.get(key, 0) for key in LIKELIHOODS}, dict(codes.most_common())


def _fold_order(item: tuple[str, int]) -> tuple[bool, int, str]:
    text = item[0]
    return (not text.isdigit(), int(text) if text.isdigit() else 0, text)


def _likelihood(value: float | None) -> str:
    if not value:  # PTB-XL writes 0 for "not stated"
        return LIKELIHOODS[0]
    return LIKELIHOODS[1 + int(np.searchsorted((50, 80, 100), value, side="right"))]


def age_figures(ages: NDArray[np.float64]) -> dict[str, Any]:
    """Summarise ages.

    Args:
        ages: years, NaN where unknown.

    Returns:
        ``known`` and ``unknown`` counts, ``mean``, ``quantiles`` (5, 25, 50, 75 and 95 %) and ``groups``, records in
        each decade from 0 to 90 and above; mean and quantiles are None where no age is known.
    """
    known = ages[np.isfinite(ages)]
    groups = np.histogram(np.clip(known, 0, AGE_EDGES[-1]), [*AGE_EDGES, AGE_EDGES[-1] + 1])[0]
    return {
        "known": len(known),
        "unknown": len(ages) - len(known),
        "mean": float(known.mean()) if len(known) else None,
        "quantiles": [float(q) for q in np.percentile(known, _QUANTILES)] if len(known) else None,
        "groups": groups.tolist(),
    }
