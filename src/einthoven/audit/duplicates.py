"""Which records hold the same signal? Equal samples by hash, and equal up to gain and offset by correlation.

The fingerprint of a signal is the norm of each stretch of each lead, of the signal with mean 0 per lead and norm 1.
Two such signals u, v of correlation r are sqrt(2 - 2|r|) apart up to sign, and their fingerprints never farther: no
pair above the limit is missed, and the few that the fingerprints leave over are correlated in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import MISSING, Dataset

__all__ = ["Duplicates", "find_duplicates"]

LIMIT = 0.999
SHORTEST_S = 2.0  # beats of one heart are alike without being copies
_STRETCHES = 20
_DIMENSIONS = 12  # of the search tree; a projection brings fingerprints only nearer
_BATCH = 64

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Records that hold the same signal.

    Attributes:
        exact: rows with equal samples, per signal.
        near: pairs of rows, and their correlation (below 0 where one is upside down), equal samples left out.
        n_flat: records without any variation; they are compared with none.
        n_short: records too short to be searched for near duplicates.
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, int, float], ...]
    n_flat: int
    n_short: int


def find_duplicates(dataset: Dataset, progress: Progress = lambda *_: None) -> Duplicates:
    """Search all records of a dataset for duplicates; only records of equal length are compared.

    Args:
        dataset: to search.
        progress: called with records done and their number.
    """
    digests: dict[bytes, list[int]] = {}
    prints = np.zeros((len(dataset), _STRETCHES * len(dataset.spec.leads)), np.float32)
    flat = np.zeros(len(dataset), bool)
    done = 0
    for rows, steps in _batches(dataset):
        for row, each in zip(rows.tolist(), steps, strict=True):
            digests.setdefault(hashlib.blake2b(each.tobytes(), digest_size=16).digest(), []).append(row)
        prints[rows], flat[rows] = _fingerprints(steps)
        done += len(rows)
        progress(done, len(dataset))
    exact = [tuple(rows) for rows in digests.values() if len(rows) > 1 and not flat[rows[0]]]
    short = dataset.records.length < SHORTEST_S * dataset.spec.fs
    first_of = np.arange(len(dataset))
    for rows_ in exact:
        first_of[list(rows_)] = rows_[0]
    searched = np.flatnonzero(~flat & ~short & (first_of == np.arange(len(dataset))))
    near = _near(dataset, prints, searched)
    return Duplicates(tuple(exact), tuple(near), int(flat.sum()), int(short.sum()))


def _batches(dataset: Dataset) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
    """Yield rows of equal length, and their steps of shape (rows, samples, leads)."""
    table, shards = dataset.records, dataset.open_shards()
    change = (np.diff(table.shard) != 0) | (np.diff(table.length) != 0)
    for run in np.split(np.arange(len(table)), np.flatnonzero(change) + 1):
        for rows in np.split(run, range(_BATCH, len(run), _BATCH)):
            shard, n = shards[int(table.shard[rows[0]])], int(table.length[rows[0]])
            yield rows, np.stack([shard[start : start + n] for start in table.offset[rows].tolist()])


def _unit(steps: NDArray[np.int16]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return signals with mean 0 per lead and norm 1 in all, (rows, samples, leads), and which have no variation."""
    missing = steps == MISSING
    x = steps.astype(np.float32)
    x[missing] = 0
    x -= x.sum(axis=1, keepdims=True) / np.maximum(1, (~missing).sum(axis=1, keepdims=True, dtype=np.float32))
    x[missing] = 0
    norm = np.sqrt(np.einsum("rsl,rsl->r", x, x))
    flat = norm <= 0.5 * np.sqrt(x.shape[1])  # less than half a step is no signal
    x /= np.where(flat, np.float32(1), norm)[:, None, None]
    return x, flat


def _fingerprints(steps: NDArray[np.int16]) -> tuple[Floats, NDArray[np.bool_]]:
    unit, flat = _unit(steps)
    starts = np.linspace(0, unit.shape[1], _STRETCHES, endpoint=False).astype(np.int64)
    energy = np.add.reduceat(unit * unit, starts, axis=1) if unit.shape[1] >= _STRETCHES else unit[:, :0]
    prints = np.zeros((len(unit), _STRETCHES * unit.shape[2]), np.float32)
    prints[:, : energy.shape[1] * energy.shape[2]] = np.sqrt(energy).reshape(len(unit), -1)
    return prints, flat


def _near(dataset: Dataset, prints: Floats, searched: NDArray[np.int64]) -> Iterator[tuple[int, int, float]]:
    """Yield pairs above the limit among rows of equal length."""
    length = dataset.records.length[searched]
    for n in np.unique(length):
        rows = searched[length == n]
        for i, j in _alike(prints[rows]).tolist():
            pair = np.stack([_steps(dataset, int(rows[k])) for k in (i, j)])
            a, b = _unit(pair)[0].astype(np.float64)
            correlation = float((a * b).sum())
            if abs(correlation) > LIMIT:
                yield int(rows[i]), int(rows[j]), correlation


def _alike(prints: Floats) -> NDArray[np.int64]:
    """Return pairs whose fingerprints are near enough for the limit, shape (pairs, 2)."""
    from scipy.spatial import cKDTree

    radius = float(np.sqrt(2 - 2 * LIMIT)) + 1e-3  # beyond rounding of float32 and of the steps
    centred = prints - prints.mean(axis=0)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    tree = cKDTree(centred @ axes[:, -_DIMENSIONS:])
    pairs = cast("NDArray[np.int64]", tree.query_pairs(radius, output_type="ndarray"))
    chunks = np.split(pairs, range(100_000, len(pairs), 100_000))
    kept = [c[np.linalg.norm(prints[c[:, 0]] - prints[c[:, 1]], axis=1) <= radius] for c in chunks]
    found = np.concatenate(kept)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _steps(dataset: Dataset, row: int) -> NDArray[np.int16]:
    return dataset.steps(row)
