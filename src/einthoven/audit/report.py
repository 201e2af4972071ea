"""The audit of a dataset's folds: what crosses, how prevalence differs, and a verdict in one word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.audit.duplicates import LIMIT, SHORTEST_S, Duplicates, find_duplicates
from einthoven.dataset import Dataset
from einthoven.labels import Task
from einthoven.splits import SplitAbout, crossing_patients, read_about, rows_of_folds

__all__ = ["Audit", "audit_dataset"]

Verdict = Literal["no leak", "patients unknown", "leak", "leaks by design", "no folds"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes:
        dataset: its folder's name.
        split: its name; None for the corpus' own folds.
        task: whose prevalence is compared.
        verdict: ``"no leak"`` is proven; ``"patients unknown"`` that nothing can prove it.
        why: the verdict in a sentence.
        parts: of each fold and each source: records, patients (None where unknown), prevalence per class.
        deviations: of folds and of sources: class, part and size of the largest difference from all records.
        crossing: patients in more than one fold, published ones left out.
        published: patients that are known to be in two folds, and what is said about them.
        duplicates: groups of records with the same signal that are in more than one fold.
        n_duplicates: groups of records with the same signal, crossing or not, per kind.
        notes: what limits the verdict.
    """

    dataset: str
    split: str | None
    task: str
    verdict: Verdict
    why: str
    parts: Mapping[str, list[dict[str, Any]]]
    deviations: Mapping[str, dict[str, Any] | None]
    crossing: Mapping[str, tuple[int, ...]]
    published: Mapping[str, str]
    duplicates: tuple[dict[str, Any], ...]
    n_duplicates: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether training on these folds would be judged on what it has seen."""
        return self.verdict in ("leak", "leaks by design")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "leaks": self.leaks}


def audit_dataset(
    dataset: Dataset, task: Task, split: str | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Audit:
    """Audit the folds of a dataset.

    Args:
        dataset: to audit.
        task: whose prevalence is compared.
        split: of the dataset's folder; the corpus' own folds by default.
        progress: called with records searched for duplicates and their number.

    Raises:
        DatasetError: no such split.
    """
    table, fold = dataset.records, dataset.folds(split)
    about = read_about(dataset.path / "splits" / f"{split}.csv") if split else None
    crossing = crossing_patients(table.patient_id, fold)
    known = {**dataset.shared_patients, **(about.shared_patients if about else {})}
    published = {patient: known[patient] for patient in crossing if patient in known}
    crossing = {patient: folds for patient, folds in crossing.items() if patient not in published}
    found = find_duplicates(dataset, progress)
    shared = tuple(_crossing_signals(dataset, fold, found, published))
    unknown = sum(p is None for p, f in zip(table.patient_id, fold, strict=True) if f is not None)
    verdict, why = _verdict(fold, about, crossing, shared, unknown)
    labels = task.targets(table.statements)
    parts = {"folds": _by_fold(dataset, task, labels, fold), "sources": _by_source(dataset, task, labels)}
    return Audit(
        dataset=dataset.path.name,
        split=split,
        task=task.name,
        verdict=verdict,
        why=why,
        parts=parts,
        deviations={kind: _largest(each, labels, task) for kind, each in parts.items()},
        crossing=crossing,
        published=published,
        duplicates=shared,
        n_duplicates={"exact": len(found.exact), "near": len(found.near)},
        notes=tuple(_notes(dataset, about, found, fold)),
    )


def _verdict(
    fold: Sequence[int | None],
    about: SplitAbout | None,
    crossing: Mapping[str, tuple[int, ...]],
    shared: Sequence[Mapping[str, Any]],
    unknown: int,
) -> tuple[Verdict, str]:
    if about and about.leaks:
        return "leaks by design", about.leaks
    if all(f is None for f in fold):
        return "no folds", "the records have no folds; make them with 'einthoven split'"
    if crossing or shared:
        found = [f"{len(crossing):,} patients"] if crossing else []
        found += [f"{len(shared):,} signals"] if shared else []
        return "leak", f"{' and '.join(found)} are in more than one fold"
    if unknown:
        return "patients unknown", f"{unknown:,} records have no patient id; no signal is in two folds"
    return "no leak", "no patient and no signal is in two folds"


def _crossing_signals(
    dataset: Dataset, fold: Sequence[int | None], found: Duplicates, published: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what crosses folds; a published patient's two records of one signal are published with the patient."""
    table = dataset.records
    groups = [(rows, 1.0) for rows in found.exact]
    groups += [((i, j), correlation) for i, j, correlation in found.near]
    crossing = []
    for rows, correlation in groups:
        pairs = [(a, b) for a, b in combinations(rows, 2) if None not in (fold[a], fold[b]) and fold[a] != fold[b]]
        if all(table.patient_id[a] == table.patient_id[b] and table.patient_id[a] in published for a, b in pairs):
            continue
        crossing.append(
            {
                "records": [table.record_id[row] for row in rows],
                "patients": [table.patient_id[row] for row in rows],
                "folds": [fold[row] for row in rows],
                "correlation": round(correlation, 6),
            }
        )
    return crossing


def _by_fold(
    dataset: Dataset, task: Task, labels: NDArray[np.floating], fold: Sequence[int | None]
) -> list[dict[str, Any]]:
    folds = sorted({f for f in fold if f is not None})
    return [_part(dataset, task, labels, f, rows_of_folds(fold, [f])) for f in folds]


def _by_source(dataset: Dataset, task: Task, labels: NDArray[np.floating]) -> list[dict[str, Any]]:
    source = np.array(dataset.records.source)
    return [_part(dataset, task, labels, str(name), np.flatnonzero(source == name)) for name in np.unique(source)]


def _part(
    dataset: Dataset, task: Task, labels: NDArray[np.floating], name: int | str, rows: NDArray[np.int64]
) -> dict[str, Any]:
    patients = {dataset.records.patient_id[row] for row in rows}
    prevalence = _prevalence(labels[rows])
    return {
        "name": name,
        "records": len(rows),
        "patients": None if None in patients else len(patients),
        "positives": dict(zip(task.classes, (labels[rows] == 1).sum(axis=0).tolist(), strict=True)),
        "prevalence": dict(zip(task.classes, prevalence, strict=True)),
    }


def _prevalence(labels: NDArray[np.floating]) -> list[float | None]:
    known = (~np.isnan(labels)).sum(axis=0)
    positive = (labels == 1).sum(axis=0)
    return [round(float(p / n), 6) if n else None for p, n in zip(positive, known, strict=True)]


def _largest(parts: Sequence[Mapping[str, Any]], labels: NDArray[np.floating], task: Task) -> dict[str, Any] | None:
    """Return the part and class whose prevalence differs most from that of all records."""
    overall = dict(zip(task.classes, _prevalence(labels), strict=True))
    differences = [
        (abs(here - whole), part["name"], name, here, whole)
        for part in parts
        for name, whole in overall.items()
        if (here := part["prevalence"][name]) is not None and whole is not None
    ]
    if len(parts) < 2 or not differences:
        return None
    _, part, name, here, whole = max(differences, key=lambda each: each[0])
    return {"part": part, "class": name, "prevalence": here, "overall": whole}


def _notes(dataset: Dataset, about: SplitAbout | None, found: Duplicates, fold: Sequence[int | None]) -> list[str]:
    notes = ["Only records of equal length are compared; a copy that is shifted in time or cut is not found."]
    if found.n_flat:
        notes.append(f"{found.n_flat:,} records are flat and are compared with none.")
    if found.n_short:
        notes.append(
            f"{found.n_short:,} records are shorter than {SHORTEST_S:g} s; of these only equal samples are looked for, "
            f"not correlations above {LIMIT:g}."
        )
    if without := sum(f is None for f in fold):
        notes.append(f"{without:,} records have no fold.")
    if about and about.listing_sha256 not in ("", dataset.listing_sha256):
        notes.append("The split was made for another state of this dataset: its counts may differ.")
    return notes
