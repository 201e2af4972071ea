"""What lies beside the signals: the plan that a rerun is compared with, the tables, ``dataset.json``."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import Corpus, Entry
from einthoven.dataset import FORMAT_VERSION, Dataset, Shard, statements_to_dict
from einthoven.dataset.destination import Destination
from einthoven.dataset.writing import TableWriter, count_patients
from einthoven.errors import DatasetError
from einthoven.files import atomic_write
from einthoven.spec import SignalSpec

__all__ = ["STEP_UV", "Made", "add_features", "add_records", "feature_schema", "finish", "make_plan", "write_skipped"]

STEP_UV = 1.0  # what PTB-XL and the CinC corpora use; 16 bits then reach +-32.767 mV
_FACTS = ("record_id", "patient_id", "source", "age", "sex", "fold")


def make_plan(corpus: Corpus, spec: SignalSpec, n_shards: int) -> dict[str, Any]:
    """What a dataset is made of, in a few words and a checksum of the listing, which is never held as one text."""
    # All that a dataset holds besides the signals: a corrected fold or patient makes another dataset.
    facts = (*_FACTS, "start_s", "duration_s")
    digest, between = hashlib.sha256(), b""
    for e in corpus.entries:
        line = f"{[getattr(e, fact) for fact in facts]} {e.path.name} {sorted(e.statements.items())}"
        digest.update(between + line.encode())
        between = b"\n"
    rest = f"\n{statements_to_dict(corpus.label_table)}\n{corpus.attribution}"
    rest += f"\n{corpus.complete_labels} {sorted(corpus.shared_patients.items())}"
    if corpus.told_by_files:
        rest += f"\n{corpus.told_by_files}"
    if corpus.features is not None:
        values = hashlib.sha256(np.ascontiguousarray(corpus.features.values).tobytes()).hexdigest()
        rest += f"\n{corpus.features.names} {values}"
    digest.update(rest.encode())
    return {
        "format_version": FORMAT_VERSION,
        "corpus": corpus.name,
        "spec": json.loads(json.dumps(spec.to_dict())),
        "n_shards": n_shards,
        "listing_sha256": digest.hexdigest(),
    }


class Made:
    """What the shards that were made say of themselves.

    Args:
        place: where they are.
        blocks: entries of each.
        first: number of the first.
    """

    def __init__(self, place: Destination, blocks: Sequence[Sequence[Entry]], first: int = 0) -> None:
        self._blocks, self._first = blocks, first
        self._about = [place.about_shard(first + k) for k in range(len(blocks))]
        self.shards = [
            Shard(f"{first + k:03d}.npy", sum(about["lengths"]), about["sha256"]) for k, about in enumerate(self._about)
        ]
        self.skipped = {name: reason for about in self._about for name, reason in about["skipped"].items()}
        self.n_records = sum(len(about["lengths"]) for about in self._about)
        self.notes: Counter[str] = Counter()
        for about in self._about:
            self.notes.update(about["notes"])

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any], list[Entry], list[int]]]:
        """Yield number, note, entries that were written, and their rows among all entries, shard by shard."""
        row = 0
        for k, (about, block) in enumerate(zip(self._about, self._blocks, strict=True)):
            rows = [row + j for j, entry in enumerate(block) if entry.record_id not in about["skipped"]]
            yield self._first + k, about, [block[j - row] for j in rows], rows
            row += len(block)


def finish(
    place: Destination, corpus: Corpus, spec: SignalSpec, blocks: Sequence[Sequence[Entry]], listing_sha256: str
) -> Dataset:
    """Write the tables and ``dataset.json`` of a corpus whose shards are there.

    Raises:
        DatasetError: no record could be read.
    """
    made = Made(place, blocks)
    if not made.n_records:
        raise DatasetError(f"{corpus.name}: no record could be read; the first: {next(iter(made.skipped.values()))}")
    with TableWriter(place.path / "records.parquet") as table:
        add_records(table, made)
    if corpus.features is not None:
        with TableWriter(place.path / "features.parquet", feature_schema(corpus.features.names)) as table:
            add_features(table, made, corpus.features.names, corpus.features.values)
    write_skipped(place.path / "skipped.csv", made.skipped)
    n_patients = count_patients(place.path / "records.parquet")
    return place.publish(
        {
            "format_version": FORMAT_VERSION,
            "name": corpus.name,
            "spec": spec.to_dict(),
            "step_uv": STEP_UV,
            "counts": {"records": made.n_records, "patients": n_patients, "skipped": len(made.skipped)},
            "label_system": corpus.label_system,
            "label_table": statements_to_dict(corpus.label_table),
            "attribution": corpus.attribution,
            "complete_labels": corpus.complete_labels,
            "shared_patients": dict(corpus.shared_patients),
            "listing_sha256": listing_sha256,
            "before_r_s": corpus.before_r_s,
            "listing_notes": list(corpus.notes),
            "notes": dict(made.notes),
            "shards": [asdict(shard) for shard in made.shards],
        }
    )


def add_records(table: TableWriter, made: Made) -> None:
    """Append the rows of ``records.parquet``."""
    for k, about, entries, _ in made:
        lengths = np.array(about["lengths"], np.int64)
        if not len(lengths):
            continue
        columns: dict[str, Any] = {fact: [getattr(entry, fact) for entry in entries] for fact in _FACTS}
        columns |= about.get("told", {})  # a dataset of an earlier version has none
        columns["statements"] = [list(entry.statements.items()) for entry in entries]
        columns |= {"shard": np.full(len(lengths), k, np.int32), "offset": np.cumsum(lengths) - lengths}
        crc32 = {"crc32": about["crc32"]} if "crc32" in about else {}
        table.add(columns | {"length": lengths} | crc32)


def feature_schema(names: Sequence[str]) -> Any:
    """Arrow types of ``features.parquet``."""
    import pyarrow as pa

    return pa.schema([("record_id", pa.string()), *((name, pa.float32()) for name in names)])


def add_features(table: TableWriter, made: Made, names: Sequence[str], values: NDArray[np.float32]) -> None:
    """Append the rows of ``features.parquet``; ``values`` are of all entries."""
    for _, _, entries, rows in made:
        columns = dict(zip(names, values[rows].T, strict=True))
        table.add({"record_id": [entry.record_id for entry in entries], **columns})


def write_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write ``skipped.csv``, where there is anything to say."""
    if not skipped:
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("record_id", "reason"), *skipped.items()])
