"""The prepared data of a folder, or of a URL whose files are fetched into a folder of the cache as they are needed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import FeatureTable
from einthoven.dataset.shards import MISSING, OpenShards, Shard, map_shard
from einthoven.dataset.table import RecordTable, one_chunk, read_parquet, read_records
from einthoven.dataset.urls import url_of
from einthoven.errors import DatasetError, nearest
from einthoven.files import read_json, sha256_of
from einthoven.labels import Statement
from einthoven.record import Record
from einthoven.spec import SignalSpec
from einthoven.splits import read_split

__all__ = ["FORMAT_VERSION", "Dataset", "open_dataset", "statements_to_dict"]

FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset folder.

    Attributes:
        path: the folder; of a dataset at a URL its folder in the cache.
        name: the corpus it was made from.
        spec: what form the signals have.
        step_uv: microvolts per integer step.
        label_system: code system of the statements.
        label_table: the meaning of each code.
        attribution: source and licence of the data.
        complete_labels: whether a record without a statement of a task is a known negative; see ``Corpus``.
        shared_patients: patients that the published split has in two folds; see ``Corpus``.
        listing_sha256: fingerprint of records, patients, folds and statements.
        before_r_s: of beats cut out around their R peaks, the seconds before it; None of other records.
        records: the table.
        shards: the signal files in order.
        url: where the dataset lives, if not in a folder.
        damaged: numbers of shards that are not used; see ``leave_out_damaged``.
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
    before_r_s: float | None = None
    url: str | None = None
    damaged: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        return self.url or str(self.path)

    @property
    def n_bytes(self) -> int:
        """Bytes of all signals."""
        return sum(shard.n_samples for shard in self.shards) * len(self.spec.leads) * 2

    def shard_path(self, k: int) -> Path:
        """The file of a shard; of a dataset at a URL it is fetched first, unless the cache has it.

        Raises:
            DatasetError: it cannot be fetched, or is not what ``dataset.json`` says.
        """
        if self.url is None:
            return self.path / "signals" / self.shards[k].file
        from einthoven.dataset.cache import cached_shard

        return cached_shard(self.url, self.path, self.shards[k])

    def open_shards(self, most: int | None = 16) -> OpenShards:
        """The signal files, int16 of shape (samples, leads), memory-mapped when asked for, ``most`` at a time."""
        return OpenShards(self, most)

    def signal(self, row: int) -> NDArray[np.float32]:
        """Return one record's signal, float32 mV, shape (leads, samples), NaN where nothing was recorded."""
        steps = self.steps(row)
        signal = np.where(steps == MISSING, np.float32(np.nan), steps * np.float32(self.step_uv / 1000))
        return np.ascontiguousarray(signal.T)

    def record(self, row: int) -> Record:
        """Return one record with what the table knows of it, its signal as ``signal`` gives it."""
        table, sex = self.records, self.records.sex[row]
        return Record(
            signal=self.signal(row),
            fs=self.spec.fs,
            leads=self.spec.leads,
            record_id=table.record_id[row],
            patient_id=table.patient_id[row],
            age=table.age[row],
            sex="female" if sex == "female" else "male" if sex == "male" else None,
            statements=table.statements[row],
            label_system=self.label_system,
            source=table.source[row],
            unit=self.spec.unit,
        )

    def steps(self, row: int) -> NDArray[np.int16]:
        """One record as it is stored, int16 (samples, leads); of a dataset at a URL only its own bytes are fetched."""
        table = self.records
        k, first, n = (int(column[row]) for column in (table.shard, table.offset, table.length))
        if self.url is not None and table.crc32 is not None and table.crc32[row] >= 0:
            from einthoven.dataset.cache import is_cached, read_part

            if not is_cached(self.path, self.shards[k]):
                width = len(self.spec.leads) * 2
                part = read_part(self.url, self.shards[k], first * width, n * width)
                if zlib.crc32(part) == table.crc32[row]:
                    return np.frombuffer(part, "<i2").reshape(n, -1)
        return map_shard(self.shard_path(k))[first : first + n]

    def folds(self, split: str | None = None) -> list[int | None]:
        """Fold of each record: the corpus' own, or those of a split in ``splits/`` (see ``einthoven split``).

        Records of shards that are left out have none.

        Raises:
            DatasetError: there is no such split, or it does not fit the records.
        """
        known = self.records.fold if split is None else read_split(self._split_path(split), self.records.record_id)
        folds = list(known)
        if not self.damaged:
            return folds
        return [None if k in self.damaged else f for f, k in zip(folds, self.records.shard.tolist(), strict=True)]

    def _split_path(self, split: str) -> Path:
        path = self.path / "splits" / f"{split}.csv"
        if path.is_file():
            return path
        known = sorted(file.stem for file in path.parent.glob("*.csv"))
        raise DatasetError(
            f"{self}: no split {split!r}{nearest(split, known)}; "
            + (f"it has {', '.join(known)}" if known else "make one with 'einthoven split'")
        )

    def features(self) -> FeatureTable | None:
        """Numbers that belong to the records, in their order; None where the dataset has none.

        Raises:
            DatasetError: the table does not fit the records.
        """
        path = self.path / "features.parquet"
        if not path.is_file():
            return None
        table = read_parquet(path).slice(0, len(self))  # more rows are of an append that goes on, or was interrupted
        if self.records.record_id != one_chunk(table.column("record_id")).to_pylist():
            raise DatasetError(f"{path}: its records are not the dataset's; prepare the dataset again")
        names = [name for name in table.column_names if name != "record_id"]
        values = np.empty((len(self), len(names)), np.float32)
        for k, name in enumerate(names):
            values[:, k] = table.column(name).to_numpy()
        return FeatureTable(tuple(names), values)

    @property
    def base(self) -> NDArray[np.int64]:
        """First sample of each record when all shards stand one after the other, shape (records,)."""
        ends = np.cumsum([shard.n_samples for shard in self.shards])
        return np.concatenate([[0], ends[:-1]])[self.records.shard] + self.records.offset

    def verify(self) -> None:
        """Check every shard against its checksum; those at a URL are checked when they arrive.

        Raises:
            DatasetError: a shard was altered.
        """
        if self.url is None and (found := self._altered(first=True)):
            path = self.path / "signals" / self.shards[found[0]].file
            raise DatasetError(f"{path}: its checksum differs from dataset.json; prepare the dataset again")

    def leave_out_damaged(self, progress: Callable[[int, int], None] | None = None) -> Dataset:
        """Return the dataset without the shards that are not what ``dataset.json`` says: their records have no fold.

        Every shard is read once; those at a URL are fetched.

        Args:
            progress: called with shards done and their number.
        """
        return replace(self, damaged=frozenset(self._altered(progress=progress)))

    def records_of(self, shards: frozenset[int]) -> int:
        """How many records lie in some shards."""
        return int(np.isin(self.records.shard, list(shards)).sum())

    def _altered(self, *, first: bool = False, progress: Callable[[int, int], None] | None = None) -> list[int]:
        found: list[int] = []
        for k in range(len(self.shards)):
            if k not in self.damaged and self._is_altered(k):
                found.append(k)
                if first:
                    break
            if progress:
                progress(k + 1, len(self.shards))
        return found

    def _is_altered(self, k: int) -> bool:
        if self.url is None:
            return sha256_of(self.path / "signals" / self.shards[k].file) != self.shards[k].sha256
        from einthoven.dataset.cache import DamagedShardError

        try:
            self.shard_path(k)
        except DamagedShardError:
            return True
        return False


def open_dataset(path: str | Path) -> Dataset:
    """Open a prepared dataset folder, or one at a URL (``s3://bucket/ds``); signals stay where they are.

    Raises:
        DatasetError: not a dataset folder, of another format version, or with files missing or cut short; a URL that
            cannot be reached, or asks for credentials.
        MissingExtraError: a URL, and the packages for it are not installed.
    """
    if url := url_of(path):
        from einthoven.dataset.cache import fetch_tables

        return _open(fetch_tables(url), url)
    path = Path(path)
    if (path / "origin.json").is_file():  # a folder of the cache
        return open_dataset(read_json(path / "origin.json", DatasetError, "a dataset")["url"])
    if (path / "plan.json").exists() and not (path / "dataset.json").exists():
        verb = read_json(path / "plan.json", DatasetError, "a dataset").get("verb", "prepare")
        raise DatasetError(f"{path}: this dataset is only partly prepared; run the same 'einthoven {verb}' again")
    dataset = _open(path, None)
    _check_sizes(dataset)
    return dataset


def _open(path: Path, url: str | None) -> Dataset:
    about = read_json(path / "dataset.json", DatasetError, "a prepared dataset (see 'einthoven prepare')")
    if about.get("format_version") != FORMAT_VERSION:
        raise DatasetError(
            f"{url or path}: dataset format {about.get('format_version')} is not the {FORMAT_VERSION} read here; "
            "prepare the dataset again"
        )
    try:
        return Dataset(
            path=path,
            name=about["name"],
            spec=SignalSpec.from_dict(about["spec"]),
            step_uv=float(about["step_uv"]),
            label_system=about["label_system"],
            label_table={code: _statement(**fields) for code, fields in about["label_table"].items()},
            attribution=about["attribution"],
            complete_labels=about["complete_labels"],
            shared_patients=about["shared_patients"],
            listing_sha256=about["listing_sha256"],
            before_r_s=about.get("before_r_s"),
            records=read_records(path / "records.parquet", len(about["shards"])),
            shards=tuple(Shard(**shard) for shard in about["shards"]),
            url=url,
        )
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path / 'dataset.json'}: incomplete: {error}; prepare the dataset again") from None


def _statement(parents: Sequence[str] = (), **fields: Any) -> Statement:
    return Statement(parents=tuple(parents), **fields)  # JSON has lists only


def _check_sizes(dataset: Dataset) -> None:
    for shard in dataset.shards:
        path = dataset.path / "signals" / shard.file
        needed = shard.n_samples * len(dataset.spec.leads) * 2
        if not path.is_file() or path.stat().st_size < needed:
            raise DatasetError(f"{path}: missing or cut short; prepare the dataset again")


def statements_to_dict(table: Mapping[str, Statement]) -> dict[str, dict[str, Any]]:
    """Return a label table as plain values for JSON."""
    return {code: asdict(statement) for code, statement in table.items()}
