"""Predictions on disk and in hand: one row per record, ours or anyone's.

Parquet with ``record_id, start, patient_id, source, fold, y_<class>, p_<class>`` and any facts for subgroups (``age``,
``sex`` ...); a null target is unknown. ``p`` is the network's score, before calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Column, Dataset, gather_steps, to_millivolts
from einthoven.errors import DatasetError
from einthoven.evaluation.prediction_files import read_rows
from einthoven.facts import facts_of_dataset
from einthoven.files import atomic_write
from einthoven.signals import aggregate, window_starts

__all__ = ["Predictions", "predict_dataset", "read_predictions", "write_predictions"]

_BATCH = 256
_RECORDS = 4096  # whose windows are listed at a time


@dataclass(frozen=True, slots=True)
class Predictions:
    """Targets and scores of records, both (records, classes), and who the records are.

    ``facts`` holds further columns by name (``age``, ``sex``, anything), each of one value per record. ``start`` tells
    rows of one record apart, where each row is a window or beat of its own; None where each is a whole record.
    """

    classes: tuple[str, ...]
    targets: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    record_id: Sequence[str]
    patient_id: Sequence[str | None]
    source: Sequence[str | None]
    fold: Sequence[int | None]
    facts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    start: Sequence[int] | None = None

    @property
    def unit(self) -> str:
        """What ``groups`` are: ``"patient"``, or ``"record"`` where no patient is known."""
        return "record" if all(patient is None for patient in self.patient_id) else "patient"

    @property
    def groups(self) -> list[str] | None:
        """The patient of each row, a record standing for itself where its patient is unknown; None if each row does."""
        if self.unit == "record" and len(set(self.record_id)) == len(self.record_id):
            return None
        pairs = zip(self.patient_id, self.record_id, strict=True)
        return [f"record {record}" if patient is None else patient for patient, record in pairs]

    def take(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some of the records, in the order of ``rows``."""
        return replace(
            self,
            targets=self.targets[rows],
            probabilities=self.probabilities[rows],
            record_id=_of(self.record_id, rows),
            patient_id=_of(self.patient_id, rows),
            source=_of(self.source, rows),
            fold=_of(self.fold, rows),
            facts={name: _of(values, rows) for name, values in self.facts.items()},
            start=None if self.start is None else _of(self.start, rows),
        )


def predict_dataset(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    progress: Callable[[int, int], None] | None = None,
    facts: NDArray[np.float32] | None = None,
) -> Predictions:
    """Let a bundle judge prepared records, as ``Bundle.predict`` would one by one.

    Args:
        bundle: the model.
        dataset: prepared with the bundle's own signal specification.
        rows: which records.
        targets: shape (rows, classes of the bundle).
        progress: called with windows done and their number.
        facts: what ``facts_of_dataset`` gives; for who calls this many times and need not read them as often.

    Raises:
        DatasetError: the dataset's signals have another form than the bundle's, or were not measured though it needs
            measurements.
    """
    if dataset.spec != bundle.spec:
        have, need = dataset.spec.to_dict(), bundle.spec.to_dict()
        differ = "; ".join(f"{key} is {have[key]}, not {need[key]}" for key in need if have[key] != need[key])
        raise DatasetError(f"{dataset.path}: not in the form that {bundle.name} needs: {differ}; prepare it so")
    if facts is None:
        facts = facts_of_dataset(dataset, bundle.facts)
    scores, done, total = np.empty((len(rows), len(bundle.classes))), 0, _count_windows(bundle, dataset, rows)
    shards = dataset.open_shards(2)
    along = np.argsort(rows, kind="stable")  # in the order of the files: each is opened once
    for k in range(0, len(rows), _RECORDS):
        at = along[k : k + _RECORDS]
        owner, start, first = _windows(bundle, dataset, rows[at])
        windows = np.empty((len(owner), len(bundle.classes)))
        for begin in range(0, len(owner), _BATCH):
            part = slice(begin, begin + _BATCH)
            steps = gather_steps(shards, dataset, owner[part], start[part], bundle.window)
            windows[part] = bundle.scores(to_millivolts(steps, dataset.step_uv), facts[owner[part]])
            done += len(steps)
            if progress:
                progress(done, total)
        scores[at] = aggregate(windows, first, bundle.how)
    table = dataset.records
    return Predictions(
        classes=bundle.classes,
        targets=np.asarray(targets, dtype=np.float64),
        probabilities=scores,
        record_id=_of(table.record_id, rows),
        patient_id=_of(table.patient_id, rows),
        source=_of(table.source, rows),
        fold=_of(table.fold, rows),
        facts={"age": _of(table.age, rows), "sex": _of(table.sex, rows)},
    )


def _windows(
    bundle: Bundle, dataset: Dataset, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Record and first sample of each window, and the number of each record's first window."""
    starts = [window_starts(int(n), bundle.window, bundle.stride) for n in dataset.records.length[rows]]
    counts = [len(s) for s in starts]
    return np.repeat(rows, counts), np.concatenate(starts), np.cumsum([0, *counts[:-1]])


def _count_windows(bundle: Bundle, dataset: Dataset, rows: NDArray[np.int64]) -> int:
    lengths, counts = np.unique(dataset.records.length[rows], return_counts=True)
    each = [len(window_starts(n, bundle.window, bundle.stride)) for n in lengths.tolist()]
    return int(np.dot(each, counts)) if each else 0


def _of(column: Sequence[Any], rows: NDArray[np.int64]) -> Any:
    """Values of some records: as compact as the dataset has them, or a list."""
    return column.take(rows) if isinstance(column, Column) else [column[row] for row in rows]


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions-<split>.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "record_id": pa.array(predictions.record_id, pa.string()),
        "start": pa.array(predictions.start or [0] * len(predictions.record_id), pa.int64()),
        "patient_id": pa.array(predictions.patient_id, pa.string()),
        "source": pa.array(predictions.source, pa.string()),
        "fold": pa.array(predictions.fold, pa.int16()),
        **{name: pa.array(values) for name, values in predictions.facts.items()},
    }
    for k, name in enumerate(predictions.classes):
        columns[f"y_{name}"] = pa.array(predictions.targets[:, k], pa.float32(), from_pandas=True)
    for k, name in enumerate(predictions.classes):
        columns[f"p_{name}"] = pa.array(predictions.probabilities[:, k], pa.float64())
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_predictions(
    path: Path, targets: Path | None = None, classes: Sequence[str] | None = None, how: str | None = None
) -> Predictions:
    """Read predictions, ours or anyone's: Parquet, CSV or ``.npy``.

    Arguments and errors as in ``prediction_files.read_rows``; who the records are is None where the file does not tell.
    """
    rows = read_rows(path, targets, classes, how)
    known = {name: rows.who[name] for name in ("record_id", "patient_id", "source", "fold")}
    start = rows.who["start"] if len(set(rows.who["record_id"])) < len(rows.who["record_id"]) else None
    return Predictions(rows.classes, rows.targets, rows.probabilities, **known, facts=rows.facts, start=start)
