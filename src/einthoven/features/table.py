"""Measurements of a whole dataset: made once, in parallel, and kept as ``measured.parquet`` in its folder.

One idea: the file says which version of the measuring made it and of which records, so that a stale one is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import FeatureTable
from einthoven.dataset import Dataset
from einthoven.errors import DatasetError
from einthoven.features.beats import neurokit
from einthoven.features.measuring import measure, measured_names
from einthoven.files import atomic_write
from einthoven.processes import FanOut, as_finished

__all__ = ["MEASURED_VERSION", "measure_dataset", "read_measured"]

MEASURED_VERSION = 1  # counts up whenever a number would come out differently
_FILE = "measured.parquet"
_CHUNK = 64  # records that a worker is given at a time
Progress = Callable[[int, int], None]
Rows = NDArray[np.float32]


def measure_dataset(
    dataset: Dataset,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    fan_out: FanOut = as_finished,
) -> FeatureTable:
    """Measure every record of a dataset and write ``measured.parquet`` into its folder, whole or not at all.

    Measurements of this version and of these records are taken as they are; stale ones are made again.

    Args:
        dataset: whose signals are in mV.
        workers: processes; all cores by default.
        overwrite: measure again in any case.
        progress: called with the records done and their number.
        fan_out: how the work is divided, among processes or the nodes of a cluster.

    Raises:
        DatasetError: the signals are not in mV, or a worker was killed.
        MissingExtraError: NeuroKit is not installed.
    """
    if dataset.spec.unit != "mV":
        raise DatasetError(f"{dataset.path}: its signals are {dataset.spec.unit}, and only those in mV can be measured")
    path = dataset.path / _FILE
    if path.is_file() and not overwrite and _stale(path, dataset) is None:
        return read_measured(dataset)
    neurokit()  # where it is missing, this is said before any process is started
    names = measured_names(dataset.spec.leads)
    values = np.full((len(dataset), len(names)), np.nan, np.float32)
    done = 0
    every = np.arange(len(dataset))
    jobs = [(every[first : first + _CHUNK],) for first in range(0, len(every), _CHUNK)]
    for (rows,), part in fan_out(partial(_measured, dataset), jobs, workers):
        values[rows] = part
        done += len(rows)
        if progress is not None:
            progress(done, len(dataset))
    _write(path, dataset, names, values)
    return FeatureTable(names, values)


def read_measured(dataset: Dataset) -> FeatureTable:
    """Measurements of a dataset's records, in their order.

    Raises:
        DatasetError: they were not made yet, or by another version, or of other records.
    """
    path = dataset.path / _FILE
    if not path.is_file():
        raise DatasetError(f"{dataset.path}: its records were not measured yet; run  einthoven measure {dataset.path}")
    if reason := _stale(path, dataset):
        raise DatasetError(f"{path}: {reason}; run  einthoven measure {dataset.path}")
    table = _table(path)
    names = tuple(name for name in table.column_names if name != "record_id")
    return FeatureTable(names, np.stack([table.column(name).to_numpy() for name in names], axis=1))


def _stale(path: Path, dataset: Dataset) -> str | None:
    """Why a file cannot be used for a dataset; None where it can."""
    table = _table(path)
    about = table.schema.metadata or {}
    version = about.get(b"einthoven_measured_version", b"none").decode()
    if version != str(MEASURED_VERSION):
        return f"it was made by version {version} of the measuring, and this is {MEASURED_VERSION}"
    own = about.get(b"einthoven_dataset", b"").decode()
    names = ("record_id", *measured_names(dataset.spec.leads))
    if own != _fingerprint(dataset) or tuple(table.column_names) != names:
        return "it was made of another dataset"
    if table.column("record_id").to_pylist() != dataset.records.record_id:
        return "its records are not the dataset's"
    return None


def _fingerprint(dataset: Dataset) -> str:
    """Of records and signals: filtered otherwise, the same records measure otherwise."""
    return " ".join([dataset.listing_sha256, *(shard.sha256 for shard in dataset.shards)])


def _table(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read: {str(error)[:200]}; delete it and measure again") from None


def _write(path: Path, dataset: Dataset, names: Sequence[str], values: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(zip(names, values.T, strict=True))
    about = {"einthoven_measured_version": str(MEASURED_VERSION), "einthoven_dataset": _fingerprint(dataset)}
    table = pa.table({"record_id": dataset.records.record_id, **columns}).replace_schema_metadata(about)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary)


def _measured(dataset: Dataset, rows: NDArray[np.int64]) -> Rows:
    leads = dataset.spec.leads
    found = [list(measure(dataset.signal(int(row)), dataset.spec.fs, leads).values()) for row in rows]
    return np.array(found, np.float32)
