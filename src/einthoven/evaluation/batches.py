"""Signals of a prepared dataset in batches of equal length, with NaN where nothing was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import MISSING, Dataset, gather_steps
from einthoven.signals import feature_names
from einthoven.signals.statistics import segment_features, segment_starts

__all__ = ["dataset_features", "signal_batches"]

_MOST_SAMPLES = 256_000  # per lead and batch: 256 records of 10 s at 100 Hz


def signal_batches(
    dataset: Dataset, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield positions within ``rows``, and those records' signals, shape (records, leads, samples), mV."""
    shards = dataset.open_shards()
    for n, same in _by_length(dataset, rows):
        for at in _blocks(same, n):
            yield at, _cut(dataset, shards, rows[at], np.zeros(len(at), np.int64), n)


def dataset_features(dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What ``signals.record_features`` says of each record, shape (records, features)."""
    shards, leads, fs = dataset.open_shards(), dataset.spec.leads, dataset.spec.fs
    features = np.empty((len(rows), len(feature_names(leads))))
    for n, same in _by_length(dataset, rows):
        starts, length = segment_starts(n, fs)
        for at in _blocks(same, length * len(starts)):
            owner, start = np.repeat(rows[at], len(starts)), np.tile(starts, len(at))
            parts = segment_features(_cut(dataset, shards, owner, start, length), fs, leads)
            features[at] = np.median(parts.reshape(len(at), len(starts), -1), axis=1)
    return features


def _by_length(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    length = dataset.records.length[rows]
    for n in np.unique(length):
        yield int(n), np.flatnonzero(length == n)


def _blocks(at: NDArray[np.int64], n_samples: int) -> Iterator[NDArray[np.int64]]:
    size = max(1, _MOST_SAMPLES // max(1, n_samples))
    for k in range(0, len(at), size):
        yield at[k : k + size]


def _cut(
    dataset: Dataset, shards: Sequence[NDArray[np.int16]], rows: NDArray[np.int64], starts: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    steps = gather_steps(shards, dataset, rows, starts, n).transpose(0, 2, 1)
    signal = np.where(steps == MISSING, np.float32(np.nan), steps * np.float32(dataset.step_uv / 1000))
    return np.ascontiguousarray(signal)
