"""Several datasets become one: nothing is read into memory as a whole, and every shard is checked on its way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset.columns import Column
from einthoven.dataset.destination import Destination
from einthoven.dataset.folder import FORMAT_VERSION, Dataset, statements_to_dict
from einthoven.dataset.shards import Shard
from einthoven.dataset.writing import TableWriter, count_patients, table_blocks
from einthoven.errors import DatasetError
from einthoven.files import atomic_write, read_json, sha256_of, write_json
from einthoven.labels import Statement

__all__ = ["joined_labels", "merge_datasets", "rows_of"]


def merge_datasets(
    datasets: Sequence[Dataset],
    dest: str | Path,
    *,
    prefix_ids: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Write several datasets as one; an interrupted merge is continued by the same call.

    Folds are kept. A patient id that two datasets have is one patient, unless ids get prefixes.

    Args:
        datasets: of one specification and label system.
        dest: folder or URL of the new dataset.
        prefix_ids: put each dataset's folder name and a dash before its record and patient ids.
        progress: called with shards done and their number.

    Raises:
        DatasetError: they do not fit each other, record ids collide, a shard is damaged, or something else is there.
    """
    _check_alike(datasets)
    labels = joined_labels([(str(each), each.label_table) for each in datasets])
    prefixes = _prefixes(datasets) if prefix_ids else [""] * len(datasets)
    _check_ids(datasets, prefixes)
    place = Destination(dest)
    sources = [str(each) for each in datasets]
    plan: dict[str, Any] = {"verb": "merge", "of": [[each.listing_sha256, each.shards[0].sha256] for each in datasets]}
    plan |= {"format_version": FORMAT_VERSION, "prefixes": prefixes}
    with place.locked():
        _claim(place, plan, sources)
        shards = _copy_shards(datasets, place, progress or (lambda *_: None))
        _write_tables(datasets, prefixes, place)
        return place.publish(_about(datasets, labels, shards, place))


def joined_labels(tables: Sequence[tuple[str, Mapping[str, Statement]]]) -> dict[str, Statement]:
    """One label table of several, each with the name of what has it.

    Raises:
        DatasetError: a code means two things.
    """
    joined: dict[str, Statement] = {}
    for name, table in tables:
        for code, statement in table.items():
            if joined.setdefault(code, statement) != statement:
                raise DatasetError(
                    f"{name}: its label table says of code {code} another thing than the one before it "
                    f"({statement.description!r}, {joined[code].description!r}); prepare both with the same labels"
                )
    return joined


def rows_of(known: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """The row of each wanted record, -1 where it is not there; without a dictionary of all names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    there = known.arrow if isinstance(known, Column) else pa.array(known, pa.string())
    found = pc.index_in(pa.array(wanted, pa.string()), value_set=there)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


@dataclass(frozen=True, slots=True)
class _Trait:
    name: str
    of: Callable[[Dataset], Any]


_TRAITS = (
    _Trait("specification", lambda d: d.spec.to_dict()),
    _Trait("step in microvolts", lambda d: d.step_uv),
    _Trait("label system", lambda d: d.label_system),
    _Trait("time before the R peak (before_r_s)", lambda d: d.before_r_s),
    _Trait("rule for records without a statement (complete_labels)", lambda d: d.complete_labels),
    _Trait("columns of numbers", lambda d: _feature_names(d)),
)


def _check_alike(datasets: Sequence[Dataset]) -> None:
    if len(datasets) < 2:
        raise DatasetError("a merge needs two datasets or more")
    for each in datasets[1:]:
        for trait in _TRAITS:
            if (have := trait.of(each)) != (first := trait.of(datasets[0])):
                raise DatasetError(
                    f"{each}: its {trait.name} is {have}, that of {datasets[0]} {first}; prepare both alike"
                )


def _feature_names(dataset: Dataset) -> tuple[str, ...] | None:
    import pyarrow.parquet as pq

    path = dataset.path / "features.parquet"
    return tuple(pq.read_schema(path).names[1:]) if path.is_file() else None


def _prefixes(datasets: Sequence[Dataset]) -> list[str]:
    names = [str(each).rstrip("/").rsplit("/", 1)[-1] for each in datasets]
    if len(set(names)) < len(names):
        names = [f"{name}{k}" for name, k in zip(names, count(1))]
    return [f"{name}-" for name in names]


def _check_ids(datasets: Sequence[Dataset], prefixes: Sequence[str]) -> None:
    """Every name once, whatever the order: compared as sorted Arrow arrays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.chunked_array(
        [
            pc.binary_join_element_wise(p, pa.array(d.records.record_id, pa.string()), "")
            for d, p in zip(datasets, prefixes, strict=True)
        ]
    )
    counts = names.value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise DatasetError(
            f"{len(twice):,} record ids are in more than one of the datasets, for example "
            f"{twice[0]['values'].as_py()}; add --prefix-ids to tell them apart"
        )


def _claim(place: Destination, plan: dict[str, Any], sources: Sequence[str]) -> None:
    if str(place) in sources:
        raise DatasetError(f"{place}: is one of the datasets that are merged; name a new folder")
    known = place.path / "plan.json"
    if not place.occupied:
        place.write_plan("plan.json", plan)
    elif not known.is_file() or read_json(known, DatasetError, "a dataset") != plan:
        raise DatasetError(f"{place}: is not empty, and holds no begun merge of these datasets; name a new folder")


def _copy_shards(datasets: Sequence[Dataset], place: Destination, progress: Callable[[int, int], None]) -> list[Shard]:
    total = sum(len(each.shards) for each in datasets)
    shards: list[Shard] = []
    for dataset in datasets:
        for k, shard in enumerate(dataset.shards):
            number = len(shards)
            signals, about = place.shard_files(number)
            if not (place.has_shard(number) and place.about_shard(number)["sha256"] == shard.sha256):
                with atomic_write(signals) as temporary:
                    shutil.copyfile(dataset.shard_path(k), temporary)
                    if sha256_of(temporary) != shard.sha256:
                        raise DatasetError(
                            f"{dataset}/signals/{shard.file}: its checksum differs from dataset.json; prepare that "
                            "dataset again, then merge"
                        )
                write_json(about, {"sha256": shard.sha256})
                place.keep_shard(number)
            shards.append(Shard(f"{number:03d}.npy", shard.n_samples, shard.sha256))
            progress(len(shards), total)
    return shards


def _write_tables(datasets: Sequence[Dataset], prefixes: Sequence[str], place: Destination) -> None:
    import pyarrow.parquet as pq

    with TableWriter(place.path / "records.parquet") as table:
        before = 0
        for dataset, prefix in zip(datasets, prefixes, strict=True):
            for block in _rows(dataset, "records.parquet", table.schema):
                table.add_table(_renamed(block, prefix, before))
            before += len(dataset.shards)
    if _feature_names(datasets[0]) is None:
        return
    schema = pq.read_schema(datasets[0].path / "features.parquet")
    with TableWriter(place.path / "features.parquet", schema) as table:
        for dataset, prefix in zip(datasets, prefixes, strict=True):
            for block in _rows(dataset, "features.parquet", schema):
                table.add_table(_renamed(block, prefix, 0))


def _rows(dataset: Dataset, name: str, schema: Any) -> Iterator[Any]:
    """The rows that are the dataset's; an append that goes on may have written more."""
    left = len(dataset)
    for block in table_blocks(dataset.path / name, schema):
        yield block.slice(0, left)
        left = max(0, left - len(block))


def _renamed(block: Any, prefix: str, shards_before: int) -> Any:
    """The rows with prefixed ids and with the numbers that their shards have now."""
    import pyarrow.compute as pc

    for name in ("record_id", "patient_id", "shard"):
        if name in block.column_names:
            k, column = block.column_names.index(name), block.column(name)
            new = (
                pc.add(column, shards_before).cast(column.type)
                if name == "shard"
                else pc.binary_join_element_wise(prefix, column, "")
            )
            block = block.set_column(k, block.schema.field(name), new)
    return block


def _about(
    datasets: Sequence[Dataset], labels: Mapping[str, Statement], shards: Sequence[Shard], place: Destination
) -> dict[str, Any]:
    import hashlib

    told = [read_json(each.path / "dataset.json", DatasetError, "a dataset") for each in datasets]
    first, n_skipped = told[0], sum(each["counts"]["skipped"] for each in told)
    listing = " ".join([each.listing_sha256 for each in datasets])
    records = place.path / "records.parquet"
    counts = {"records": sum(map(len, datasets)), "patients": count_patients(records), "skipped": n_skipped}
    return {
        **{key: first[key] for key in ("format_version", "spec", "step_uv", "label_system", "complete_labels")},
        "before_r_s": datasets[0].before_r_s,
        "name": "+".join(dict.fromkeys(each.name for each in datasets)),
        "counts": counts,
        "label_table": statements_to_dict(labels),
        "attribution": "; ".join(dict.fromkeys(each.attribution for each in datasets)),
        "shared_patients": {patient: why for each in datasets for patient, why in each.shared_patients.items()},
        "listing_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "listing_notes": list(dict.fromkeys(note for each in told for note in each["listing_notes"])),
        "notes": {key: sum(each["notes"].get(key, 0) for each in told) for each in told for key in each["notes"]},
        "merged": [{"name": each.name, "records": len(each), "listing": each.listing_sha256} for each in datasets],
        "shards": [asdict(shard) for shard in shards],
    }
