"""The prepared data: signals in memory-mapped int16 shards, one table row per record.

Folder layout: ``dataset.json`` (specification, labels, checksums), ``records.parquet`` (one row per record),
``features.parquet`` where numbers belong to records, ``splits/NAME.csv`` (splits other than the corpus' own) and
``signals/NNN.npy`` (int16, time-major: samples x leads, records one after the other, so that a crop is one read).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import FeatureTable
from einthoven.errors import DatasetError, nearest
from einthoven.files import read_json, sha256_of
from einthoven.labels import Statement
from einthoven.spec import SignalSpec
from einthoven.splits import read_split

__all__ = [
    "FORMAT_VERSION",
    "MISSING",
    "Dataset",
    "RecordTable",
    "Shard",
    "gather_steps",
    "open_dataset",
    "statements_to_dict",
    "to_millivolts",
]

FORMAT_VERSION = 2
MISSING = np.int16(-32768)


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Facts of every record, as columns of equal length; None where the source does not tell."""

    record_id: list[str]
    patient_id: list[str | None]
    source: list[str]
    age: list[float | None]
    sex: list[str | None]
    fold: list[int | None]
    statements: list[dict[str, float | None]]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.record_id)


@dataclass(frozen=True, slots=True)
class Shard:
    """One signal file: name, samples per lead over all its records, and the SHA-256 of the file."""

    file: str
    n_samples: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset folder.

    Attributes:
        path: the folder.
        name: the corpus it was made from.
        spec: what form the signals have.
        step_uv: microvolts per integer step.
        label_system: code system of the statements.
        label_table: the meaning of each code.
        attribution: source and licence of the data.
        complete_labels: whether a record without a statement of a task is a known negative; see ``Corpus``.
        shared_patients: patients that the published split has in two folds; see ``Corpus``.
        listing_sha256: fingerprint of records, patients, folds and statements.
        records: the table.
        shards: the signal files in order.
    """

    path: Path
    name: str
    spec: SignalSpec
    step_uv: float
    label_system: str
    label_table: Mapping[str, Statement]
    attribution: str
    complete_labels: bool
    shared_patients: Mapping[str, str]
    listing_sha256: str
    records: RecordTable
    shards: tuple[Shard, ...]

    def __len__(self) -> int:
        return len(self.records)

    def open_shards(self) -> list[NDArray[np.int16]]:
        """Memory-map every shard: int16, shape (samples, leads)."""
        return [np.load(self.path / "signals" / shard.file, mmap_mode="r") for shard in self.shards]

    def signal(self, row: int) -> NDArray[np.float32]:
        """Return one record's signal, float32 mV, shape (leads, samples), NaN where nothing was recorded."""
        table = self.records
        shard = np.load(self.path / "signals" / self.shards[table.shard[row]].file, mmap_mode="r")
        steps = shard[table.offset[row] : table.offset[row] + table.length[row]]
        signal = np.where(steps == MISSING, np.float32(np.nan), steps * np.float32(self.step_uv / 1000))
        return np.ascontiguousarray(signal.T)

    def folds(self, split: str | None = None) -> list[int | None]:
        """Fold of each record: the corpus' own, or those of a split in ``splits/`` (see ``einthoven split``).

        Raises:
            DatasetError: there is no such split, or it does not fit the records.
        """
        if split is None:
            return self.records.fold
        path = self.path / "splits" / f"{split}.csv"
        if not path.is_file():
            known = sorted(file.stem for file in path.parent.glob("*.csv"))
            raise DatasetError(
                f"{self.path}: no split {split!r}{nearest(split, known)}; "
                + (f"it has {', '.join(known)}" if known else "make one with 'einthoven split'")
            )
        return read_split(path, self.records.record_id)

    def features(self) -> FeatureTable | None:
        """Numbers that belong to the records, in their order; None where the dataset has none.

        Raises:
            DatasetError: the table does not fit the records.
        """
        path = self.path / "features.parquet"
        if not path.is_file():
            return None
        columns = dict(_columns(_read_parquet(path)))
        if columns.pop("record_id").to_pylist() != self.records.record_id:
            raise DatasetError(f"{path}: its records are not the dataset's; prepare the dataset again")
        values = np.array([column.to_numpy() for column in columns.values()], np.float32).T
        return FeatureTable(tuple(columns), values)

    @property
    def base(self) -> NDArray[np.int64]:
        """First sample of each record when all shards stand one after the other, shape (records,)."""
        ends = np.cumsum([shard.n_samples for shard in self.shards])
        return np.concatenate([[0], ends[:-1]])[self.records.shard] + self.records.offset

    def verify(self) -> None:
        """Check every shard against its checksum.

        Raises:
            DatasetError: a shard was altered.
        """
        for shard in self.shards:
            path = self.path / "signals" / shard.file
            if sha256_of(path) != shard.sha256:
                raise DatasetError(f"{path}: its checksum differs from dataset.json; prepare the dataset again")


def open_dataset(path: str | Path) -> Dataset:
    """Open a prepared dataset folder; signals stay on disk.

    Raises:
        DatasetError: not a dataset folder, of another format version, or with files missing or cut short.
    """
    path = Path(path)
    if (path / "plan.json").exists() and not (path / "dataset.json").exists():
        raise DatasetError(f"{path}: this dataset is only partly prepared; run the same 'einthoven prepare' again")
    about = read_json(path / "dataset.json", DatasetError, "a prepared dataset (see 'einthoven prepare')")
    if about.get("format_version") != FORMAT_VERSION:
        raise DatasetError(
            f"{path}: dataset format {about.get('format_version')} is not the {FORMAT_VERSION} read here; "
            "prepare the dataset again"
        )
    try:
        dataset = Dataset(
            path=path,
            name=about["name"],
            spec=SignalSpec.from_dict(about["spec"]),
            step_uv=float(about["step_uv"]),
            label_system=about["label_system"],
            label_table={code: Statement(**fields) for code, fields in about["label_table"].items()},
            attribution=about["attribution"],
            complete_labels=about["complete_labels"],
            shared_patients=about["shared_patients"],
            listing_sha256=about["listing_sha256"],
            records=_read_records(path / "records.parquet"),
            shards=tuple(Shard(**shard) for shard in about["shards"]),
        )
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path / 'dataset.json'}: incomplete: {error}; prepare the dataset again") from None
    _check_sizes(dataset)
    return dataset


def gather_steps(
    shards: Sequence[NDArray[np.int16]], dataset: Dataset, rows: NDArray[np.int64], starts: NDArray[np.int64], n: int
) -> NDArray[np.int16]:
    """Cut windows out of memory-mapped shards.

    Args:
        shards: from ``Dataset.open_shards``.
        dataset: whose shards they are.
        rows: record of each window.
        starts: first sample of each window within its record.
        n: samples per window.

    Returns:
        int16, shape (windows, n, leads); ``MISSING`` beyond the end of a record.
    """
    table = dataset.records
    cut = np.empty((len(rows), n, len(dataset.spec.leads)), np.int16)
    within = starts[:, None] + np.arange(n)
    last = table.length[rows][:, None] - 1
    position = table.offset[rows][:, None] + np.minimum(within, last)
    owner = table.shard[rows]
    for k in np.unique(owner):
        chosen = owner == k
        cut[chosen] = shards[k][position[chosen]]
    cut[within > last] = MISSING
    return cut


def to_millivolts(steps: NDArray[np.int16], step_uv: float) -> NDArray[np.float32]:
    """Turn steps (windows, samples, leads) into mV (windows, leads, samples); what is missing becomes 0."""
    signal = steps.transpose(0, 2, 1) * np.float32(step_uv / 1000)
    return np.ascontiguousarray(np.where(steps.transpose(0, 2, 1) == MISSING, np.float32(0), signal))


def _read_records(path: Path) -> RecordTable:
    columns: dict[str, Any] = {name: column.to_pylist() for name, column in _columns(_read_parquet(path))}
    absent = [field.name for field in fields(RecordTable) if field.name not in columns]
    if absent:
        raise DatasetError(f"{path}: no column {', '.join(absent)}; prepare the dataset again")
    columns["statements"] = [dict(pairs) for pairs in columns["statements"]]
    for name in ("shard", "offset", "length"):
        columns[name] = np.array(columns[name], dtype=np.int64)
    return RecordTable(**columns)


def _read_parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; prepare the dataset again") from None


def _columns(table: Any) -> list[tuple[str, Any]]:
    return [(name, table.column(name)) for name in table.column_names]


def _check_sizes(dataset: Dataset) -> None:
    for shard in dataset.shards:
        path = dataset.path / "signals" / shard.file
        needed = shard.n_samples * len(dataset.spec.leads) * 2
        if not path.is_file() or path.stat().st_size < needed:
            raise DatasetError(f"{path}: missing or cut short; prepare the dataset again")


def statements_to_dict(table: Mapping[str, Statement]) -> dict[str, dict[str, Any]]:
    """Return a label table as plain values for JSON."""
    return {code: asdict(statement) for code, statement in table.items()}
