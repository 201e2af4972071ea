"""Predictions on disk and in hand: one row per record, ours or anyone's.

Parquet with ``record_id, start, patient_id, source, fold, y_<class>, p_<class>`` and any facts for subgroups (``age``,
``sex`` ...); a null target is unknown. ``p`` is the network's score, before calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset, gather_steps, to_millivolts
from einthoven.errors import DatasetError
from einthoven.files import atomic_write
from einthoven.signals import aggregate, window_starts

__all__ = ["Predictions", "predict_dataset", "read_predictions", "write_predictions"]

_BATCH = 256
_FACTS = ("record_id", "patient_id", "source", "fold")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Targets and scores of records, both (records, classes), and who the records are.

    ``facts`` holds further columns by name (``age``, ``sex``, anything), each of one value per record.
    """

    classes: tuple[str, ...]
    targets: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    record_id: list[str]
    patient_id: list[str | None]
    source: list[str]
    fold: list[int | None]
    facts: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str] | None:
        """The patient of each record, a record standing for itself where its patient is unknown; None if all are."""
        if all(patient is None for patient in self.patient_id):
            return None
        pairs = zip(self.patient_id, self.record_id, strict=True)
        return [f"record {record}" if patient is None else patient for patient, record in pairs]

    def take(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some of the records, in the order of ``rows``."""
        return replace(
            self,
            targets=self.targets[rows],
            probabilities=self.probabilities[rows],
            record_id=[self.record_id[row] for row in rows],
            patient_id=[self.patient_id[row] for row in rows],
            source=[self.source[row] for row in rows],
            fold=[self.fold[row] for row in rows],
            facts={name: [values[row] for row in rows] for name, values in self.facts.items()},
        )


def predict_dataset(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Let a bundle judge prepared records, as ``Bundle.predict`` would one by one.

    Args:
        bundle: the model.
        dataset: prepared with the bundle's own signal specification.
        rows: which records.
        targets: shape (rows, classes of the bundle).
        progress: called with windows done and their number.

    Raises:
        DatasetError: the dataset's signals have another form than the bundle's.
    """
    if dataset.spec != bundle.spec:
        have, need = dataset.spec.to_dict(), bundle.spec.to_dict()
        differ = "; ".join(f"{key} is {have[key]}, not {need[key]}" for key in need if have[key] != need[key])
        raise DatasetError(f"{dataset.path}: not in the form that {bundle.name} needs: {differ}; prepare it so")
    starts = [window_starts(int(n), bundle.window, bundle.stride) for n in dataset.records.length[rows]]
    first = np.concatenate([[0], np.cumsum([len(s) for s in starts])]).astype(np.int64)
    owner, start = np.repeat(rows, np.diff(first)), np.concatenate([*starts, np.empty(0, np.int64)])
    shards = dataset.open_shards()
    parts = [np.empty((0, len(bundle.classes)))]
    for k in range(0, len(owner), _BATCH):
        steps = gather_steps(shards, dataset, owner[k : k + _BATCH], start[k : k + _BATCH], bundle.window)
        parts.append(bundle.scores(to_millivolts(steps, dataset.step_uv)))
        if progress:
            progress(min(k + _BATCH, len(owner)), len(owner))
    windows = np.concatenate(parts)
    table = dataset.records
    return Predictions(
        classes=bundle.classes,
        targets=np.asarray(targets, dtype=np.float64),
        probabilities=aggregate(windows, first[:-1], bundle.how) if len(rows) else windows,
        record_id=[table.record_id[row] for row in rows],
        patient_id=[table.patient_id[row] for row in rows],
        source=[table.source[row] for row in rows],
        fold=[table.fold[row] for row in rows],
        facts={"age": [table.age[row] for row in rows], "sex": [table.sex[row] for row in rows]},
    )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions-<split>.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "record_id": pa.array(predictions.record_id, pa.string()),
        "start": pa.array([0] * len(predictions.record_id), pa.int64()),
        "patient_id": pa.array(predictions.patient_id, pa.string()),
        "source": pa.array(predictions.source, pa.string()),
        "fold": pa.array(predictions.fold, pa.int16()),
        **{name: pa.array(values) for name, values in predictions.facts.items()},
    }
    for k, name in enumerate(predictions.classes):
        columns[f"y_{name}"] = pa.array(predictions.targets[:, k], pa.float32(), from_pandas=True)
    for k, name in enumerate(predictions.classes):
        columns[f"p_{name}"] = pa.array(predictions.probabilities[:, k], pa.float32())
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_predictions(path: Path) -> Predictions:
    """Read what ``write_predictions`` wrote.

    Raises:
        DatasetError: the file is absent, damaged, or has no pair of ``y_<class>`` and ``p_<class>`` columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read as predictions: {error}") from None
    classes = tuple(name[2:] for name in table.column_names if name.startswith("p_"))
    absent = [name for name in (*_FACTS, *(f"y_{c}" for c in classes)) if name not in table.column_names]
    if absent or not classes:
        raise DatasetError(f"{path}: no column {', '.join(absent) or 'p_<class>'}; these are not predictions")
    matrix = {kind: [table.column(f"{kind}_{c}").to_numpy().astype(np.float64) for c in classes] for kind in "yp"}
    known = {name: table.column(name).to_pylist() for name in _FACTS}
    other = [n for n in table.column_names if n not in (*_FACTS, "start") and not n.startswith(("y_", "p_"))]
    facts = {name: table.column(name).to_pylist() for name in other}
    return Predictions(classes, np.stack(matrix["y"], axis=1), np.stack(matrix["p"], axis=1), **known, facts=facts)
