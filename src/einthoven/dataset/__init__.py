"""The prepared data: signals in memory-mapped int16 shards, one table row per record; in a folder or at a URL.

Layout: ``dataset.json`` (specification, labels, checksums), ``records.parquet`` (one row per record),
``features.parquet`` where numbers belong to records, ``splits/NAME.csv`` (splits other than the corpus' own) and
``signals/NNN.npy`` (int16, time-major: samples x leads, records one after the other, so that a crop is one read).
"""

from einthoven.dataset.columns import Column
from einthoven.dataset.folder import FORMAT_VERSION, Dataset, open_dataset, statements_to_dict
from einthoven.dataset.shards import MISSING, OpenShards, Shard, cut_windows, gather_steps, to_millivolts
from einthoven.dataset.table import RecordTable, record_schema
from einthoven.dataset.urls import url_of

__all__ = [
    "FORMAT_VERSION",
    "MISSING",
    "Column",
    "Dataset",
    "OpenShards",
    "RecordTable",
    "Shard",
    "cut_windows",
    "gather_steps",
    "open_dataset",
    "record_schema",
    "statements_to_dict",
    "to_millivolts",
    "url_of",
]
