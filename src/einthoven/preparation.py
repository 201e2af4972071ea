"""From a corpus to a dataset folder: read, conform, store; in parallel, and resumable after a kill.

Records are grouped into shards; a shard is written whole or not at all, with a small JSON file beside it that says so.
A rerun does the shards that are missing. ``dataset.json`` comes last: a folder that has it is complete.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import Corpus, Entry, FeatureTable
from einthoven.dataset import FORMAT_VERSION, MISSING, Dataset, Shard, open_dataset, statements_to_dict
from einthoven.errors import ConformError, DatasetError, RecordError
from einthoven.files import atomic_write, read_json, sha256_of, write_json
from einthoven.processes import as_finished
from einthoven.record import Record
from einthoven.signals import conform
from einthoven.spec import SignalSpec
from einthoven.threads import available_cores

__all__ = ["prepare"]

_SHARD_BYTES = 24 * 2**20
_USUAL_S = 10.0  # length of a record whose listing does not tell
_STEP_UV = 1.0  # what PTB-XL and the CinC corpora use; 16 bits then reach +-32.767 mV
Progress = Callable[[int, int], None]
ReadEntries = Callable[[Sequence[Entry]], Iterator[Record]]


def prepare(
    corpus: Corpus,
    dest: Path,
    spec: SignalSpec,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Write a corpus as a dataset folder.

    Args:
        corpus: from ``open_corpus``.
        dest: the folder to write; a folder left by an interrupted run with the same arguments is continued.
        spec: the form that signals are brought to.
        workers: processes; all cores by default.
        overwrite: replace a dataset that was made otherwise.
        skip_unreadable: leave out records that cannot be read or conformed, and say so in ``skipped.csv``.
        progress: called with the records done and their number.

    Raises:
        DatasetError: another dataset is in the folder, or a record cannot be read or conformed (which one is named).
    """
    blocks = _blocks(corpus, spec)
    plan = _plan(corpus, spec, len(blocks)) | {"skip_unreadable": skip_unreadable}
    complete = _claim(dest, plan, overwrite)
    pending = [k for k in range(len(blocks)) if not _shard_done(dest, k)]
    if complete and not pending:
        return open_dataset(dest)
    (dest / "dataset.json").unlink(missing_ok=True)  # a damaged shard is made again
    done = len(corpus.entries) - sum(len(blocks[k]) for k in pending)
    report = progress or (lambda *_: None)
    report(done, len(corpus.entries))
    work = partial(_write_shard, dest, spec, corpus.read, skip_unreadable)
    jobs = [(k, blocks[k]) for k in pending]
    for (k, _), _ in as_finished(work, jobs, workers or available_cores()):
        done += len(blocks[k])
        report(done, len(corpus.entries))
    _finish(dest, corpus, spec, len(blocks), plan["listing_sha256"])
    return open_dataset(dest)


def _blocks(corpus: Corpus, spec: SignalSpec) -> list[list[Entry]]:
    if not corpus.entries:
        raise DatasetError(f"{corpus.name}: the corpus lists no records")
    ids = Counter(entry.record_id for entry in corpus.entries)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise DatasetError(f"{corpus.name}: {len(twice)} record ids occur more than once, for example {twice[0]}")
    blocks: list[list[Entry]] = [[]]
    filled = 0.0
    for entry in corpus.entries:
        needed = len(spec.leads) * spec.fs * (entry.duration_s or _USUAL_S) * 2
        if blocks[-1] and filled + needed > _SHARD_BYTES:
            blocks.append([])
            filled = 0
        blocks[-1].append(entry)
        filled += needed
    return blocks


def _plan(corpus: Corpus, spec: SignalSpec, n_shards: int) -> dict[str, Any]:
    # All that a dataset holds besides the signals: a corrected fold or patient makes another dataset.
    facts = ("record_id", "patient_id", "source", "age", "sex", "fold", "start_s", "duration_s")
    listing = "\n".join(
        f"{[getattr(e, fact) for fact in facts]} {e.path.name} {sorted(e.statements.items())}" for e in corpus.entries
    )
    listing += f"\n{statements_to_dict(corpus.label_table)}\n{corpus.attribution}"
    listing += f"\n{corpus.complete_labels} {sorted(corpus.shared_patients.items())}"
    if corpus.features is not None:
        values = hashlib.sha256(np.ascontiguousarray(corpus.features.values).tobytes()).hexdigest()
        listing += f"\n{corpus.features.names} {values}"
    return {
        "format_version": FORMAT_VERSION,
        "corpus": corpus.name,
        "spec": json.loads(json.dumps(spec.to_dict())),
        "n_shards": n_shards,
        "listing_sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }


def _claim(dest: Path, plan: dict[str, Any], overwrite: bool) -> bool:
    """Make ``dest`` ours. True when the same dataset is complete there already."""
    known = dest / "plan.json"
    occupied = dest.is_dir() and any(dest.iterdir())
    if occupied and not known.is_file():
        raise DatasetError(f"{dest}: the folder is not empty and holds no dataset; name another one")
    if occupied and not overwrite and any((dest / "signals").glob("*.json")):
        if read_json(known, DatasetError, "a dataset") != plan:
            raise DatasetError(
                f"{dest}: holds a dataset of another corpus or specification; add --overwrite to replace it"
            )
        return (dest / "dataset.json").is_file()
    if occupied:
        shutil.rmtree(dest)
    write_json(known, plan)
    return False


def _shard_paths(dest: Path, k: int) -> tuple[Path, Path]:
    return dest / "signals" / f"{k:03d}.npy", dest / "signals" / f"{k:03d}.json"


def _shard_done(dest: Path, k: int) -> bool:
    signals, about = _shard_paths(dest, k)
    if not (signals.is_file() and about.is_file()):
        return False
    return sha256_of(signals) == read_json(about, DatasetError, "a dataset").get("sha256")


def _write_shard(
    dest: Path, spec: SignalSpec, read: ReadEntries, skip_unreadable: bool, k: int, entries: list[Entry]
) -> None:
    steps, notes, skipped = [], Counter[str](), {}
    for entry, found in _conformed(entries, spec, read, skip_unreadable):
        if isinstance(found, Record):
            steps.append(_quantise(found))
            notes.update(found.notes)
        else:
            skipped[entry.record_id] = found
    signals, about = _shard_paths(dest, k)
    # time-major in memory too, so that a crop is one contiguous read
    joined = np.empty((sum(map(len, steps)), len(spec.leads)), np.int16)
    if steps:
        np.concatenate(steps, out=joined)
    with atomic_write(signals) as temporary, temporary.open("wb") as file:
        # not np.save, which hides why a write fell short
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(joined))
        file.write(joined.data)
    lengths = [len(part) for part in steps]
    write_json(about, {"sha256": sha256_of(signals), "lengths": lengths, "notes": dict(notes), "skipped": skipped})


def _conformed(
    entries: Sequence[Entry], spec: SignalSpec, read: ReadEntries, skip_unreadable: bool
) -> Iterator[tuple[Entry, Record | str]]:
    """Yield each entry with its conformed record, or with the reason why there is none.

    A file of which several entries are parts is read and conformed once, so that filters see it whole.
    """
    groups = [list(g) for _, g in groupby(entries, lambda e: (e.path, e.record_id if e.start_s is None else ""))]
    done = 0
    while done < len(groups):
        try:
            for record in read([group[0] for group in groups[done:]]):
                whole = conform(record, spec)
                yield from ((entry, _part(whole, entry)) for entry in groups[done])
                done += 1
        except (RecordError, ConformError) as error:
            if not skip_unreadable:
                raise
            yield from ((entry, str(error)) for entry in groups[done])
            done += 1


def _part(whole: Record, entry: Entry) -> Record:
    if entry.start_s is None or entry.duration_s is None:
        return whole
    first, n = round(entry.start_s * whole.fs), round(entry.duration_s * whole.fs)
    signal = np.full((len(whole.leads), n), np.nan, np.float32)
    begin, end = max(0, first), min(whole.n_samples, first + n)
    signal[:, begin - first : max(begin, end) - first] = whole.signal[:, begin:end]
    return whole.with_(signal=signal)


def _quantise(record: Record) -> NDArray[np.int16]:
    """Return (samples, leads) int16 steps; what exceeds 16 bits is clipped, what is missing becomes ``MISSING``."""
    scaled = record.signal.T * np.float32(1000 / _STEP_UV)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32767, 32767, out=scaled)
    missing = np.isnan(scaled)
    if missing.any():
        scaled[missing] = MISSING
    return scaled.astype(np.int16)


def _finish(dest: Path, corpus: Corpus, spec: SignalSpec, n_shards: int, listing_sha256: str) -> None:
    about = [read_json(_shard_paths(dest, k)[1], DatasetError, "a dataset") for k in range(n_shards)]
    shards = [Shard(f"{k:03d}.npy", sum(shard["lengths"]), shard["sha256"]) for k, shard in enumerate(about)]
    notes: Counter[str] = Counter()
    for shard in about:
        notes.update(shard["notes"])
    skipped = {name: reason for shard in about for name, reason in shard["skipped"].items()}
    rows = [row for row, entry in enumerate(corpus.entries) if entry.record_id not in skipped]
    if not rows:
        raise DatasetError(f"{corpus.name}: no record could be read; the first: {next(iter(skipped.values()))}")
    entries = [corpus.entries[row] for row in rows]
    _write_records(dest / "records.parquet", entries, [shard["lengths"] for shard in about])
    _write_features(dest / "features.parquet", entries, corpus.features, rows)
    _write_skipped(dest / "skipped.csv", skipped)
    patients = {entry.patient_id for entry in entries if entry.patient_id is not None}
    write_json(
        dest / "dataset.json",
        {
            "format_version": FORMAT_VERSION,
            "name": corpus.name,
            "spec": spec.to_dict(),
            "step_uv": _STEP_UV,
            "counts": {"records": len(entries), "patients": len(patients), "skipped": len(skipped)},
            "label_system": corpus.label_system,
            "label_table": statements_to_dict(corpus.label_table),
            "attribution": corpus.attribution,
            "complete_labels": corpus.complete_labels,
            "shared_patients": dict(corpus.shared_patients),
            "listing_sha256": listing_sha256,
            "listing_notes": list(corpus.notes),
            "notes": dict(notes),
            "shards": [asdict(shard) for shard in shards],
        },
    )


def _write_features(path: Path, entries: list[Entry], features: FeatureTable | None, rows: list[int]) -> None:
    if features is None:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(zip(features.names, features.values[rows].T, strict=True))
    with atomic_write(path) as temporary:
        pq.write_table(pa.table({"record_id": [e.record_id for e in entries], **columns}), temporary)


def _write_skipped(path: Path, skipped: dict[str, str]) -> None:
    if not skipped:
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("record_id", "reason"), *skipped.items()])


def _write_records(path: Path, entries: list[Entry], lengths: list[list[int]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    offsets = [np.concatenate([[0], np.cumsum(part)[:-1]]) for part in lengths]
    columns = {
        "record_id": pa.array([e.record_id for e in entries], pa.string()),
        "patient_id": pa.array([e.patient_id for e in entries], pa.string()),
        "source": pa.array([e.source for e in entries], pa.string()),
        "age": pa.array([e.age for e in entries], pa.float32()),
        "sex": pa.array([e.sex for e in entries], pa.string()),
        "fold": pa.array([e.fold for e in entries], pa.int16()),
        "statements": pa.array([list(e.statements.items()) for e in entries], pa.map_(pa.string(), pa.float32())),
        "shard": pa.array(np.repeat(np.arange(len(lengths)), [len(part) for part in lengths]), pa.int32()),
        "offset": pa.array(np.concatenate(offsets), pa.int64()),
        "length": pa.array(np.concatenate(lengths), pa.int64()),
    }
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
