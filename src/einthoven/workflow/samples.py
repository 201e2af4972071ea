"""Representative records of each class as text files, for teaching, demonstrations and trying a model.

A record is representative of a class that is its only one, the nearer its leads' amplitude and activity are to the
class's median. No draw is involved: the same dataset gives the same records.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import MISSING, Dataset
from einthoven.errors import DatasetError
from einthoven.files import atomic_write
from einthoven.labels import Task
from einthoven.splits import rows_of_folds

__all__ = ["Sample", "choose_samples", "write_samples"]

_UNFIT = re.compile(r"[^\w.-]+")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A record that stands for a class; ``distance`` is its median deviation from the class, in its own MADs."""

    row: int
    class_name: str
    distance: float


def choose_samples(
    dataset: Dataset,
    task: Task,
    per_class: int = 3,
    folds: Sequence[int] | None = None,
    split: str | None = None,
    progress: Progress = lambda *_: None,
) -> list[Sample]:
    """Choose representative records of each class, of different patients.

    Records of which the class is the only one come first, then those with fewest others; among equals the one nearest
    to the median of the class in each lead's standard deviation and mean step from sample to sample (both as
    logarithms, in median absolute deviations).

    Args:
        dataset: to choose from.
        task: whose classes are shown.
        per_class: how many of each, or as many as there are.
        folds: to choose from; all records by default.
        split: whose folds; the corpus' own by default.
        progress: called with records measured and their number.

    Raises:
        DatasetError: the folds have no records.
    """
    fold = dataset.folds(split)
    rows = np.arange(len(dataset)) if folds is None else rows_of_folds(fold, folds)
    if not len(rows):
        known = ", ".join(map(str, sorted({f for f in fold if f is not None}))) or "none"
        raise DatasetError(f"{dataset.path}: no record in fold {', '.join(map(str, folds or ()))}; folds are {known}")
    labels = task.targets([dataset.records.statements[row] for row in rows]) == 1
    labelled = labels.any(axis=1)
    rows, labels = rows[labelled], labels[labelled]
    figures, whole = _measure(dataset, rows, progress)
    samples = []
    for k, name in enumerate(task.classes):
        having = np.flatnonzero(labels[:, k] & whole)
        distance = _distance(figures[having])
        order = np.lexsort((rows[having], distance, labels[having].sum(axis=1)))
        chosen = _of_different_patients(dataset, rows[having][order].tolist(), per_class)
        far = dict(zip(rows[having].tolist(), distance.tolist(), strict=True))
        samples += [Sample(row, name, far[row]) for row in chosen]
    return samples


def write_samples(
    dataset: Dataset, samples: Sequence[Sample], task: Task, dest: Path, split: str | None = None
) -> Path:
    """Write each sample as ``CLASS/RECORD.csv`` (seconds, leads in the dataset's unit), and ``index.csv``.

    Returns:
        The index.
    """
    table, fold = dataset.records, dataset.folds(split)
    targets = task.targets([table.statements[sample.row] for sample in samples])
    rows: list[Sequence[object]] = []
    for sample, target in zip(samples, targets, strict=True):
        row = sample.row
        file = Path(_UNFIT.sub("-", sample.class_name)) / f"{_UNFIT.sub('-', table.record_id[row])}.csv"
        _write_signal(dataset, row, dest / file)
        classes = ";".join(name for name, value in zip(task.classes, target, strict=True) if value == 1)
        about = (table.patient_id[row], fold[row], table.source[row], table.age[row], table.sex[row])
        cells = [file.as_posix(), table.record_id[row], sample.class_name, classes, *about, f"{sample.distance:.4f}"]
        rows.append(["" if cell is None else cell for cell in cells])
    index = dest / "index.csv"
    with atomic_write(index) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([_INDEX, *rows])
    return index


_INDEX = ("file", "record_id", "class", "classes", "patient_id", "fold", "source", "age", "sex", "distance")


def _write_signal(dataset: Dataset, row: int, path: Path) -> None:
    signal = dataset.signal(row)
    time = np.arange(signal.shape[1]) / dataset.spec.fs
    header = ",".join(["time_s", *(f"{lead} [{dataset.spec.unit}]" for lead in dataset.spec.leads)])
    with atomic_write(path) as temporary:
        formats = ["%.6f", *["%.4f"] * len(signal)]
        np.savetxt(temporary, np.vstack([time, signal]).T, formats, ",", header=header, comments="")


def _measure(
    dataset: Dataset, rows: NDArray[np.int64], progress: Progress
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return logarithms of each lead's deviation and mean step, and which records are whole and not flat."""
    table, shards = dataset.records, dataset.open_shards()
    figures = np.zeros((len(rows), 2 * len(dataset.spec.leads)))
    whole = np.zeros(len(rows), bool)
    for k, row in enumerate(rows.tolist()):
        steps = shards[int(table.shard[row])][table.offset[row] : table.offset[row] + table.length[row]]
        if len(steps) > 1 and not (steps == MISSING).any():
            signal = steps.astype(np.float32)
            figures[k] = np.concatenate([signal.std(axis=0), np.abs(np.diff(signal, axis=0)).mean(axis=0)])
            whole[k] = (figures[k] > 0).all()
        progress(k + 1, len(rows))
    return np.log(np.where(figures > 0, figures, 1)), whole


def _distance(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(figures):
        return np.zeros(0)
    off = np.abs(figures - np.median(figures, axis=0))
    spread = np.median(off, axis=0)
    return np.asarray(np.median(off / np.where(spread > 0, spread, 1), axis=1))


def _of_different_patients(dataset: Dataset, rows: Sequence[int], n: int) -> list[int]:
    chosen: list[int] = []
    seen = set()
    for row in rows:
        patient = dataset.records.patient_id[row] or f"row {row}"
        if len(chosen) < n and patient not in seen:
            seen.add(patient)
            chosen.append(row)
    return chosen
