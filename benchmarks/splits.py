"""Patient-grouped multilabel-stratified folds: time, and how far the folds are from their due.

usage: python benchmarks/splits.py [DATASET]

A cohort of 20,000 patients with 1 to 4 records each and 17 labels from 40 % down to 0.2 % is divided into five folds;
with a prepared PTB-XL also its records, by superclass and by all statements. ``iterative-stratification``, which knows
no patients, divides the same cohort by record. The goal: every count within 1 % (at least one record) of a fifth.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from _timing import report
from einthoven.dataset import open_dataset
from einthoven.labels import make_task
from einthoven.splits import deviations, fold_shares, stratified_folds

N_FOLDS = 5
Labels = NDArray[np.floating]


def cohort(n_patients: int) -> tuple[Labels, list[str]]:
    """Labels that records of a patient tend to share."""
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(0.4, 0.002, 17)
    patient = np.repeat(np.arange(n_patients), rng.choice([1, 2, 3, 4], n_patients, p=[0.6, 0.2, 0.12, 0.08]))
    often = (rng.random((n_patients, len(prevalence))) < prevalence)[patient]
    labels = rng.random(often.shape) < np.where(often, 0.6, 0.4 * prevalence)
    return labels.astype(np.float64), [str(p) for p in patient]


def evenness(
    name: str, labels: Labels, groups: Sequence[str] | None, fold: NDArray[np.int64]
) -> dict[str, float | int]:
    found = deviations(labels, groups, fold, fold_shares(N_FOLDS))
    return {
        f"{name}: largest deviation, records": max(abs(each.size) for each in found),
        f"{name}: labels beyond 1 % (1 record)": sum(not each.within for each in found),
        f"{name}: of these, one patient has more": sum(not each.within and each.forced for each in found),
        f"{name}: records, largest less smallest fold": int(np.ptp(np.bincount(fold)[1:])),
    }


def ours(name: str, labels: Labels, groups: Sequence[str]) -> dict[str, float | int]:
    began = time.process_time()
    fold = stratified_folds(labels, groups, N_FOLDS)
    seconds = time.process_time() - began
    figures = evenness(name, labels, groups, fold)
    return {f"{name}: records": len(labels), f"{name}: processor time, s": seconds, **figures}


def theirs(name: str, labels: Labels, splitter: Callable[[], object]) -> dict[str, float | int]:
    fold = np.zeros(len(labels), np.int64)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for f, (_, test) in enumerate(splitter().split(labels, labels), start=1):  # type: ignore[attr-defined]
            fold[test] = f
    seconds = time.process_time() - began
    return {f"{name}: processor time, s": seconds, **evenness(name, labels, None, fold)}


def main(dataset: str | None) -> None:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    labels, groups = cohort(20_000)
    figures = ours("cohort by patient", labels, groups)
    splitter = MultilabelStratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    figures |= theirs("cohort by record, iterative-stratification", labels, lambda: splitter)
    if dataset:
        opened = open_dataset(dataset)
        patients = [p or f"row {row}" for row, p in enumerate(opened.records.patient_id)]
        for task in ("superdiagnostic", "all"):
            targets = make_task(task, opened.label_table).targets(opened.records.statements)
            figures |= ours(f"{opened.name} {task}", targets, patients)
            figures |= theirs(f"{opened.name} {task} by record, iterative-stratification", targets, lambda: splitter)
    report("splits", figures)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
