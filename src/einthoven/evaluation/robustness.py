"""How much worse does a model get when recordings do? The same records, each with one fault, judged in pairs.

One idea: figures with and without a fault are of the same records and the same resamples, so that small losses show.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset
from einthoven.errors import ConformError, DatasetError
from einthoven.evaluation.batches import signal_batches
from einthoven.facts import facts_of_dataset
from einthoven.files import atomic_write
from einthoven.metrics import defined_classes, macro_auroc_draws, paired_difference, resampling_weights
from einthoven.signals import PERTURBATIONS, aggregate, check_signal, perturb, record_features, windows
from einthoven.signals.perturb import Level

__all__ = ["all_conditions", "judge_robustness", "write_robustness_table"]

Array = NDArray[np.float64]
Condition = tuple[str, Level]

_CLEAN: Condition = ("", "")
_COLUMNS = ("perturbation", "level", "condition", "auroc", "difference", "low", "high", "p_value")
_SHARES = ("refused", "flagged", "unlike_training", "decided_otherwise")


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a bundle says about records: scores (records, classes), and the rest of shape (records,)."""

    scores: Array
    refused: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    unlike: NDArray[np.bool_]


def all_conditions() -> list[Condition]:
    """Every perturbation at every level of its own."""
    return [(each.name, level) for each in PERTURBATIONS.values() for level in each.levels]


def judge_robustness(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    *,
    conditions: Sequence[Condition] | None = None,
    n_records: int | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge the same records under each fault and level.

    A record that the quality check would refuse is scored all the same: what the network would say shows why the check
    is needed, and the share refused says how often it would have helped.

    Args:
        bundle: the model.
        dataset: prepared with the bundle's own signal specification.
        rows: which records.
        targets: shape (rows, classes of the bundle), 0, 1 or NaN (unknown).
        conditions: pairs of a perturbation's name and level; all by default.
        n_records: judge so many of the records, chosen by the seed; None judges all.
        n_resamples: of the bootstrap; 0 gives no intervals.
        seed: of the choice, the noise and the bootstrap.
        progress: called with judged signals and their number.

    Returns:
        Plain values for JSON.

    Raises:
        DatasetError: another form of signals than the bundle's, or no class with positives and negatives.
    """
    began = time.perf_counter()
    if dataset.spec != bundle.spec:
        raise DatasetError(f"{dataset.path}: not in the form that {bundle.name} needs; prepare it so")
    n_all = len(rows)
    rows, targets = _choose(rows, targets, n_records, seed)
    y = np.asarray(targets, dtype=np.float64)
    if not len(y) or not defined_classes(y).any():
        raise DatasetError(f"{dataset.path}: no class has both a positive and a negative among {len(y)} records")
    answers, skipped = _answer(
        bundle, dataset, rows, [_CLEAN, *(all_conditions() if conditions is None else conditions)], seed, progress
    )
    clean = answers.pop(_CLEAN)
    groups = _groups(dataset, rows)
    defined = np.flatnonzero(defined_classes(y))
    weights, n_units, _ = resampling_weights(y[:, defined], groups, n_resamples, seed)
    names = [bundle.classes[k] for k in defined]
    draws = _draws(y, clean.scores, defined, weights)
    return {
        "n_records": len(rows),
        "n_all": n_all,
        "seed": seed,
        "interval": {"n_resamples": weights.shape[1], "unit": "record" if groups is None else "patient", "n": n_units},
        "classes": names,
        "clean": {"auroc": float(draws.mean(axis=0)[0]), "per_class": _named(names, draws[:, 0]), **_shares(clean)},
        "conditions": [
            _row(bundle, condition, found, clean, names, _draws(y, found.scores, defined, weights), draws)
            for condition, found in answers.items()
        ],
        "skipped": skipped,
        "seconds": time.perf_counter() - began,
    }


def write_robustness_table(path: Path, robustness: Mapping[str, Any]) -> None:
    """Write one line per condition as CSV: macro AUROC, its difference to the records as they are, and shares."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        classes = [f"auroc_{name}" for name in robustness["classes"]]
        writer.writerow([*_COLUMNS, *_SHARES, *classes])
        clean = robustness["clean"]
        blank = ["", "", "as recorded", f"{clean['auroc']:.6f}", "", "", "", ""]
        for start, row in [(blank, clean), *((_cells(row), row) for row in robustness["conditions"])]:
            figures = [row.get(share) for share in _SHARES] + [_value(v) for v in row["per_class"].values()]
            writer.writerow([*start, *("" if v is None else f"{v:.6f}" for v in figures)])


def _cells(row: Mapping[str, Any]) -> list[str]:
    found = row["difference"]
    bounds = [found[key] for key in ("value", "low", "high", "p")]
    named = [row["perturbation"], str(row["level"]), row["condition"], f"{row['auroc']:.6f}"]
    return named + ["" if bound is None else f"{bound:.6f}" for bound in bounds]


def _value(entry: float | Mapping[str, Any]) -> float:
    return float(entry["auroc"]) if isinstance(entry, Mapping) else entry


def _choose(
    rows: NDArray[np.int64], targets: NDArray[np.float32], n_records: int | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if n_records is None or n_records >= len(rows):
        return rows, targets
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), n_records, replace=False))
    return rows[chosen], targets[chosen]


def _groups(dataset: Dataset, rows: NDArray[np.int64]) -> list[str] | None:
    table = dataset.records
    patients = [table.patient_id[row] for row in rows]
    if all(patient is None for patient in patients):
        return None
    return [
        f"record {table.record_id[row]}" if patient is None else patient
        for row, patient in zip(rows, patients, strict=True)
    ]


def _answer(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    conditions: Sequence[Condition],
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[Condition, _Answers], list[dict[str, Any]]]:
    """Answers under each condition, and the conditions that such signals cannot have."""
    n, spec = len(rows), dataset.spec
    answers = {
        condition: _Answers(np.empty((n, len(bundle.classes))), *(np.zeros(n, bool) for _ in range(3)))
        for condition in conditions
    }
    skipped: dict[Condition, str] = {}
    facts = facts_of_dataset(dataset, bundle.facts)
    done = 0
    for at, x in signal_batches(dataset, rows):
        for condition in conditions:
            if condition in skipped:
                continue
            try:
                name, level = condition
                keys = rows[at].tolist()
                changed = (
                    x if condition == _CLEAN else perturb(x, spec.fs, spec.leads, name, level, seed=seed, keys=keys)
                )
            except ConformError as error:
                skipped[condition] = str(error)
                continue
            _fill(answers[condition], at, bundle, changed, facts[rows[at]])
        done += len(at) * len(conditions)
        if progress:
            progress(done, n * len(conditions))
    told = [{"perturbation": name, "level": level, "reason": why} for (name, level), why in skipped.items()]
    return {condition: found for condition, found in answers.items() if condition not in skipped}, told


def _fill(
    answers: _Answers, at: NDArray[np.int64], bundle: Bundle, x: NDArray[np.float32], facts: NDArray[np.float32]
) -> None:
    cut = [windows(record, bundle.window, bundle.stride)[0] for record in x]
    first = np.arange(len(x)) * len(cut[0])
    # Facts stay those of the clean record: the question is what the network does with the signal.
    scores = bundle.scores(np.concatenate(cut), np.repeat(facts, len(cut[0]), axis=0))
    answers.scores[at] = aggregate(scores, first, bundle.how)
    flags = [check_signal(record, bundle.spec.fs, bundle.spec.leads) for record in x]
    answers.refused[at] = [any(flag.refuse for flag in found) for found in flags]
    answers.flagged[at] = [bool(found) for found in flags]
    if bundle.novelty is not None:
        features = record_features(x, bundle.spec.fs, bundle.spec.leads)
        answers.unlike[at] = bundle.novelty.score(features) > bundle.novelty.threshold


def _draws(y: Array, p: Array, defined: NDArray[np.int64], weights: NDArray[np.float32]) -> Array:
    """AUROC of each class on the data and on every resample, shape (classes, 1 + resamples)."""
    return np.stack([macro_auroc_draws(y[:, [k]], p[:, [k]], weights) for k in defined])


def _named(names: Sequence[str], values: Array) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _shares(found: _Answers) -> dict[str, float]:
    return {
        "refused": float(found.refused.mean()),
        "flagged": float(found.flagged.mean()),
        "unlike_training": float(found.unlike.mean()),
    }


def _row(
    bundle: Bundle,
    condition: Condition,
    found: _Answers,
    clean: _Answers,
    names: Sequence[str],
    draws: Array,
    clean_draws: Array,
) -> dict[str, Any]:
    name, level = condition
    fault = PERTURBATIONS[name]
    decided, before = (bundle.decisions.decide(each.scores).present for each in (found, clean))
    return {
        "perturbation": name,
        "title": fault.title,
        "level": level,
        "condition": f"{fault.title} {fault.label(level)}",
        "auroc": float(draws[:, 0].mean()),
        "difference": asdict(paired_difference(draws.mean(axis=0), clean_draws.mean(axis=0))),
        "per_class": {
            each: {"auroc": float(draws[k, 0]), "difference": asdict(paired_difference(draws[k], clean_draws[k]))}
            for k, each in enumerate(names)
        },
        **_shares(found),
        "decided_otherwise": float((decided != before).any(axis=1).mean()),
    }
