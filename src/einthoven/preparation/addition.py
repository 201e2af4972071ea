"""More records for a dataset that is there: which are new, which are the same, and the tables with both.

The new tables hold the old rows first. Until ``dataset.json`` names the new shards, their rows are not read, so an
append that was interrupted at whatever moment leaves the old dataset whole.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from einthoven.corpora import Corpus, Entry, FeatureTable
from einthoven.dataset import Dataset, statements_to_dict
from einthoven.dataset.destination import Destination
from einthoven.dataset.joining import joined_labels, rows_of
from einthoven.dataset.writing import TableWriter, count_patients, table_blocks
from einthoven.errors import DatasetError
from einthoven.files import read_json
from einthoven.preparation.tables import Made, add_features, add_records, feature_schema, write_skipped
from einthoven.spec import SignalSpec

__all__ = ["Addition"]

_BLOCK = 500  # known records that are compared by one job
_PLAIN_FACTS = ("patient_id", "source", "sex", "fold")


class Addition:
    """A corpus whose records are to join a dataset.

    Args:
        dataset: that is there.
        corpus: some of whose records it may have.
        spec: the form that signals are brought to.

    Attributes:
        entries: of the records that are new.
        corpus: the same with the new records only.

    Raises:
        DatasetError: the corpus or specification is another one.
    """

    def __init__(self, dataset: Dataset, corpus: Corpus, spec: SignalSpec) -> None:
        self.dataset = dataset
        _check_kind(dataset, corpus, spec)
        self._labels = joined_labels([(str(dataset), dataset.label_table), (corpus.name, corpus.label_table)])
        row = rows_of(dataset.records.record_id, [entry.record_id for entry in corpus.entries])
        new = np.flatnonzero(row < 0)
        self.entries = [corpus.entries[k] for k in new.tolist()]
        self._known = [(corpus.entries[k], int(row[k])) for k in np.flatnonzero(row >= 0).tolist()]
        features = corpus.features
        if features is not None:
            features = FeatureTable(features.names, features.values[new])
        self.corpus = replace(corpus, entries=self.entries, features=features)

    def check_known(self, differing: Callable[[list[Entry], list[int]], list[str]], share: Callable[..., Any]) -> None:
        """Refuse records of known names with other content.

        Args:
            differing: names of the entries whose signals are not those of the rows.
            share: divides the work, see ``FanOut``.

        Raises:
            DatasetError: there are some.
        """
        other = [entry.record_id for entry, row in self._known if not self._same_facts(entry, row)]
        jobs = []
        for first in range(0, len(self._known), _BLOCK):
            part = self._known[first : first + _BLOCK]
            jobs.append(([entry for entry, _ in part], [row for _, row in part]))
        for _, found in share(differing, jobs) if jobs and not other else ():
            other += found
        if other:
            raise DatasetError(
                f"{self.dataset}: has {len(other):,} records of the same name with other content, for example "
                f"{min(other)}; rename them, or prepare the dataset anew with --overwrite"
            )

    def _same_facts(self, entry: Entry, row: int) -> bool:
        table = self.dataset.records
        listed = [fact for fact in _PLAIN_FACTS if fact not in self.corpus.told_by_files]
        known = table.statements[row]
        return (
            all(getattr(entry, fact) == getattr(table, fact)[row] for fact in listed)
            and ("age" in self.corpus.told_by_files or _same(entry.age, table.age[row]))
            and known.keys() == entry.statements.keys()
            and all(_same(value, known[code]) for code, value in entry.statements.items())
        )

    def finish(self, place: Destination, blocks: Sequence[Sequence[Entry]], listing_sha256: str) -> Dataset:
        """Write the tables with old and new rows, then ``dataset.json``."""
        dataset, corpus = self.dataset, self.corpus
        made = Made(place, blocks, first=len(dataset.shards))
        before = read_json(dataset.path / "dataset.json", DatasetError, "a dataset")
        with TableWriter(place.path / "records.parquet") as table:
            _copy(table, dataset, "records.parquet")
            add_records(table, made)
        if corpus.features is not None:
            names = corpus.features.names
            with TableWriter(place.path / "features.parquet", feature_schema(names)) as table:
                _copy(table, dataset, "features.parquet")
                add_features(table, made, names, corpus.features.values)
        write_skipped(place.path / "skipped.csv", {**_read_skipped(dataset), **made.skipped})
        whole = f"{dataset.listing_sha256} {listing_sha256}"
        found = place.publish(
            before
            | {
                "counts": {
                    "records": len(dataset) + made.n_records,
                    "patients": count_patients(place.path / "records.parquet"),
                    "skipped": before["counts"]["skipped"] + len(made.skipped),
                },
                "label_table": statements_to_dict(self._labels),
                "shared_patients": {**before["shared_patients"], **corpus.shared_patients},
                "listing_sha256": hashlib.sha256(whole.encode()).hexdigest(),
                "listing_notes": list(dict.fromkeys([*before["listing_notes"], *corpus.notes])),
                "notes": dict(Counter(before["notes"]) + made.notes),
                "shards": [*before["shards"], *(asdict(shard) for shard in made.shards)],
                "appended": [*before.get("appended", []), {"records": made.n_records, "listing": listing_sha256}],
            }
        )
        place.drop("append.json")
        return found


def _check_kind(dataset: Dataset, corpus: Corpus, spec: SignalSpec) -> None:
    features = dataset.features()
    names = None if features is None else features.names
    for what, have, got in (
        ("corpus", dataset.name, corpus.name),
        ("specification", dataset.spec.to_dict(), spec.to_dict()),
        ("label system", dataset.label_system, corpus.label_system),
        ("rule for records without a statement", dataset.complete_labels, corpus.complete_labels),
        ("time before the R peak", dataset.before_r_s, corpus.before_r_s),
        ("table of numbers", names, None if corpus.features is None else corpus.features.names),
    ):
        if have != got:
            raise DatasetError(
                f"{dataset}: its {what} is {have}, that of the records to append {got}; append only what is alike, or "
                "prepare a dataset of its own and use 'einthoven merge'"
            )


def _same(a: float | None, b: float | None) -> bool:
    """Whether two numbers are one as float32, in which they are stored."""
    if a is None or b is None:
        return a is b
    return (math.isnan(a) and math.isnan(b)) or np.float32(a) == np.float32(b)


def _copy(table: TableWriter, dataset: Dataset, name: str) -> None:
    """The rows that are the dataset's; what an interrupted append left after them is not."""
    for block in table_blocks(dataset.path / name, table.schema):
        table.add_table(block.slice(0, max(0, len(dataset) - table.n_rows)))


def _read_skipped(dataset: Dataset) -> Mapping[str, str]:
    path = dataset.path / "skipped.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["record_id"]: row["reason"] for row in csv.DictReader(file)}
