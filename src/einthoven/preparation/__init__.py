"""From a corpus to a dataset: read, conform, store; in parallel, resumable after a kill, and extended by more records.

Records are grouped into shards; a shard is written whole or not at all, with a small JSON file beside it that says so.
A rerun does the shards that are missing. ``dataset.json`` comes last: a folder that has it is complete.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora import Corpus, Entry
from einthoven.dataset import MISSING, Dataset, open_dataset
from einthoven.dataset.destination import Destination
from einthoven.errors import ConformError, DatasetError, RecordError
from einthoven.files import atomic_write, read_json, sha256_of, write_json
from einthoven.preparation.addition import Addition
from einthoven.preparation.tables import STEP_UV, finish, make_plan
from einthoven.processes import FanOut, as_finished
from einthoven.record import Record
from einthoven.signals import conform
from einthoven.spec import SignalSpec

__all__ = ["prepare"]

_SHARD_BYTES = 24 * 2**20
_USUAL_S = 10.0  # length of a record whose listing does not tell
Progress = Callable[[int, int], None]
Share = Callable[..., Any]  # a FanOut that knows how many workers it has
ReadEntries = Callable[[Sequence[Entry]], Iterator[Record]]


def prepare(
    corpus: Corpus,
    dest: str | Path,
    spec: SignalSpec,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    append: bool = False,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
    fan_out: FanOut = as_finished,
) -> Dataset:
    """Write a corpus as a dataset.

    Args:
        corpus: from ``open_corpus``.
        dest: the folder or URL to write; what an interrupted run with the same arguments left is continued.
        spec: the form that signals are brought to.
        workers: processes; all cores by default.
        overwrite: replace a dataset that was made otherwise; in a folder the old one stays until the new one is whole.
        append: add the corpus' records to the dataset that is there; those that it has already with the same content
            are left out. Until all are written the dataset is the old one.
        skip_unreadable: leave out records that cannot be read or conformed, and say so in ``skipped.csv``.
        progress: called with the records done and their number.
        fan_out: how the work is divided, among processes or the nodes of a cluster.

    Raises:
        DatasetError: another dataset is there, another process writes, or a record cannot be read or conformed (which
            one is named). Of ``append``: no dataset is there, it is of another kind, or has a record of the same name
            with other content.
    """
    if append and overwrite:
        raise DatasetError("append adds to what is there and overwrite replaces it; choose one")
    place = Destination(dest)
    write = partial(_write_shard, place.path, spec, corpus.read, corpus.told_by_files, skip_unreadable)
    share = partial(fan_out, workers=workers)
    with place.locked():
        if append:
            return _append(corpus, place, spec, share, write, progress)
        blocks = _blocks(corpus, corpus.entries, spec)
        plan = make_plan(corpus, spec, len(blocks)) | {"skip_unreadable": skip_unreadable}
        if overwrite and place.url is None and place.complete:
            options: dict[str, Any] = {"skip_unreadable": skip_unreadable, "progress": progress, "fan_out": fan_out}
            return _replace(place, plan, partial(prepare, corpus, spec=spec, workers=workers, **options))
        complete = _claim(place, plan, overwrite)
        missing = [k for k in range(len(blocks)) if not place.has_shard(k)]
        if complete and not missing:
            return place.open()
        before = read_json(place.path / "dataset.json", DatasetError, "a dataset") if complete else None
        _make(place, blocks, 0, missing, partial(share, write), progress)
        if before is not None and _as_before(place, before, missing):
            return place.open()
        return finish(place, corpus, spec, blocks, plan["listing_sha256"])


def _replace(place: Destination, plan: dict[str, Any], make: Callable[[Path], Dataset]) -> Dataset:
    """Make a dataset beside the one that is there, and let it take its place once it is whole."""
    path = place.path.resolve()
    fresh, old = (path.with_name(f".{path.name}.{what}") for what in ("new", "old"))
    begun = fresh / "plan.json"
    if fresh.exists() and not (begun.is_file() and read_json(begun, DatasetError, "a dataset") == plan):
        shutil.rmtree(fresh)  # of other arguments
    make(fresh)
    path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old)
    return place.open()


def _append(
    corpus: Corpus, place: Destination, spec: SignalSpec, share: Share, write: Any, progress: Progress | None
) -> Dataset:
    if not place.complete:
        raise DatasetError(f"{place}: there is no whole dataset to append to; prepare it first, without --append")
    addition = Addition(place.open(), corpus, spec)
    addition.check_known(partial(_differing, str(addition.dataset), spec, corpus.read), share)
    if not addition.entries:
        return addition.dataset
    blocks, first = _blocks(corpus, addition.entries, spec), len(addition.dataset.shards)
    plan = make_plan(addition.corpus, spec, len(blocks)) | {"first": first}
    noted = place.path / "append.json"
    if not noted.is_file() or read_json(noted, DatasetError, "a dataset") != plan:
        place.drop_shards(first)  # of another append, which was given up
        place.write_plan("append.json", plan)
    missing = [k for k in range(first, first + len(blocks)) if not place.has_shard(k)]
    _make(place, blocks, first, missing, partial(share, write), progress)
    return addition.finish(place, blocks, plan["listing_sha256"])


def _make(
    place: Destination,
    blocks: list[list[Entry]],
    first: int,
    missing: list[int],
    write: Callable[[list[tuple[int, list[Entry]]]], Any],
    progress: Progress | None,
) -> None:
    """Write the shards that are missing; ``first`` is the number of the first block's shard."""
    total = sum(map(len, blocks))
    done = total - sum(len(blocks[k - first]) for k in missing)
    report = progress or (lambda *_: None)
    report(done, total)
    for (k, block), _ in write([(k, blocks[k - first]) for k in missing]):
        place.keep_shard(k)
        done += len(block)
        report(done, total)


def _as_before(place: Destination, before: dict[str, Any], made: list[int]) -> bool:
    """Whether shards that were damaged, and made again, are what they were.

    Raises:
        DatasetError: they are not, and the dataset holds more than this corpus.
    """
    same = all(place.about_shard(k)["sha256"] == before["shards"][k]["sha256"] for k in made)
    if not same and before.get("appended"):
        raise DatasetError(f"{place}: shards {made} come out otherwise than before; add --overwrite, then append again")
    return same


def _blocks(corpus: Corpus, entries: Sequence[Entry], spec: SignalSpec) -> list[list[Entry]]:
    """Entries of each shard.

    Raises:
        DatasetError: there are none, or two of one name.
    """
    if not entries:
        raise DatasetError(f"{corpus.name}: the corpus lists no records")
    if len({entry.record_id for entry in entries}) < len(entries):
        twice = [name for name, count in Counter(entry.record_id for entry in entries).items() if count > 1]
        raise DatasetError(f"{corpus.name}: {len(twice)} record ids occur more than once, for example {twice[0]}")
    blocks: list[list[Entry]] = [[]]
    filled = 0.0
    for entry in entries:
        needed = len(spec.leads) * spec.fs * (entry.duration_s or _USUAL_S) * 2
        if blocks[-1] and filled + needed > _SHARD_BYTES:
            blocks.append([])
            filled = 0
        blocks[-1].append(entry)
        filled += needed
    return blocks


def _claim(place: Destination, plan: dict[str, Any], overwrite: bool) -> bool:
    """Make the place ours. True when the same dataset is complete there already."""
    dest, known = place.path, place.path / "plan.json"
    occupied = place.occupied
    if occupied and not known.is_file():
        raise DatasetError(f"{place}: the folder is not empty and holds no dataset; name another one")
    if occupied and not overwrite and any((dest / "signals").glob("*.json")):
        if read_json(known, DatasetError, "a dataset") != plan:
            raise DatasetError(
                f"{place}: holds a dataset of another corpus or specification; add --overwrite to replace it"
            )
        return place.complete
    if occupied:
        place.drop("dataset.json")
        place.drop_shards(0)
        for path in dest.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".writer.json":
                path.unlink()
    place.write_plan("plan.json", plan)
    return False


def _write_shard(
    dest: Path,
    spec: SignalSpec,
    read: ReadEntries,
    told_by_files: Sequence[str],
    skip_unreadable: bool,
    k: int,
    entries: list[Entry],
) -> None:
    steps, notes, skipped = [], Counter[str](), {}
    told: dict[str, list[Any]] = {fact: [] for fact in told_by_files}
    for entry, found in _conformed(entries, spec, read, skip_unreadable):
        if isinstance(found, Record):
            steps.append(_quantise(found))
            notes.update(found.notes)
            for fact, values in told.items():
                values.append(getattr(found, fact))
        else:
            skipped[entry.record_id] = found
    signals, about = dest / "signals" / f"{k:03d}.npy", dest / "signals" / f"{k:03d}.json"
    # time-major in memory too, so that a crop is one contiguous read
    joined = np.empty((sum(map(len, steps)), len(spec.leads)), np.int16)
    if steps:
        np.concatenate(steps, out=joined)
    with atomic_write(signals) as temporary, temporary.open("wb") as file:
        # not np.save, which hides why a write fell short
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(joined))
        file.write(joined.data)
    write_json(
        about,
        {
            "sha256": sha256_of(signals),
            "lengths": [len(part) for part in steps],
            "crc32": [zlib.crc32(np.ascontiguousarray(part).data) for part in steps],
            "notes": dict(notes),
            "skipped": skipped,
            "told": told,
        },
    )


def _differing(where: str, spec: SignalSpec, read: ReadEntries, entries: list[Entry], rows: list[int]) -> list[str]:
    """Names of the records whose signals are not those that the dataset has."""
    dataset = _opened(where)
    found = _conformed(entries, spec, read, skip_unreadable=False)
    pairs = zip(found, rows, strict=True)
    return [
        entry.record_id
        for (entry, record), row in pairs
        if isinstance(record, Record) and not np.array_equal(_quantise(record), dataset.steps(row))
    ]


@lru_cache(maxsize=1)
def _opened(where: str) -> Dataset:
    return open_dataset(where)  # once in each process; its table would be much to send with every job


def _conformed(
    entries: Sequence[Entry], spec: SignalSpec, read: ReadEntries, skip_unreadable: bool
) -> Iterator[tuple[Entry, Record | str]]:
    """Yield each entry with its conformed record, or with the reason why there is none.

    A file of which several entries are parts is read and conformed once, so that filters see it whole.
    """
    groups = [
        list(g) for _, g in groupby(entries, lambda e: (e.path, e.lead, e.record_id if e.start_s is None else ""))
    ]
    done = 0
    while done < len(groups):
        try:
            for record in read([group[0] for group in groups[done:]]):
                lead = groups[done][0].lead
                whole = conform(record if lead is None else record.lead(lead), spec)
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
    scaled = record.signal.T * np.float32(1000 / STEP_UV)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32767, 32767, out=scaled)
    missing = np.isnan(scaled)
    if missing.any():
        scaled[missing] = MISSING
    return scaled.astype(np.int16)
