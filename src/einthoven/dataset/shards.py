"""Signal files: memory-mapped when they are needed, a few at a time where a pass goes through them in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError

if TYPE_CHECKING:
    from einthoven.dataset.folder import Dataset

__all__ = ["MISSING", "OpenShards", "Shard", "cut_windows", "gather_steps", "map_shard", "to_millivolts"]

MISSING = np.int16(-32768)
Steps = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Shard:
    """One signal file: name, samples per lead over all its records, and the SHA-256 of the file."""

    file: str
    n_samples: int
    sha256: str


class OpenShards(Sequence[Steps]):
    """The signal files of a dataset, each int16 of shape (samples, leads), mapped when first asked for.

    Args:
        dataset: of a folder, or of a URL, whose shards are fetched into the cache when first asked for.
        most: mapped at a time; the one that was not used for longest goes. None keeps them all.
    """

    def __init__(self, dataset: Dataset, most: int | None = 16) -> None:
        self._dataset, self._most = dataset, most
        self._open: OrderedDict[int, Steps] = OrderedDict()

    @overload
    def __getitem__(self, k: int) -> Steps: ...

    @overload
    def __getitem__(self, k: slice) -> list[Steps]: ...

    def __getitem__(self, k: int | slice) -> Steps | list[Steps]:
        if isinstance(k, slice):
            return [self[j] for j in range(len(self))[k]]
        k = range(len(self))[int(k)]
        if k not in self._open:
            if self._most is not None and len(self._open) >= self._most:
                self._open.popitem(last=False)
            self._open[k] = map_shard(self._dataset.shard_path(k))
        self._open.move_to_end(k)
        return self._open[k]

    def __len__(self) -> int:
        return len(self._dataset.shards)

    def __iter__(self) -> Iterator[Steps]:
        return (self[k] for k in range(len(self)))


def map_shard(path: Path) -> Steps:
    """Memory-map a signal file.

    Raises:
        DatasetError: it cannot be read as one.
    """
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; prepare the dataset again") from None


def cut_windows(shard: Steps, first: NDArray[np.int64], left: NDArray[np.int64], n: int) -> Steps:
    """Cut windows out of one shard, each in one contiguous read.

    Args:
        shard: shape (samples, leads), contiguous.
        first: first sample of each window within the shard.
        left: samples from there to the end of the window's record.
        n: samples per window.

    Returns:
        int16, shape (windows, n, leads); ``MISSING`` beyond the end of a record.
    """
    n_samples, n_leads = shard.shape
    if n_samples < n:
        shard = np.concatenate([shard, np.full((n - n_samples, n_leads), MISSING)])
        n_samples = n
    # A row of this view is a whole window: overlapping rows, no copy.
    runs: Any = np.lib.stride_tricks.as_strided(
        shard, (n_samples - n + 1, n * n_leads), (shard.strides[0], shard.strides[1]), writeable=False
    )
    begin = np.minimum(first, n_samples - n)
    cut: Steps = runs[begin].reshape(len(first), n, n_leads)
    for k in np.flatnonzero(left < n).tolist():
        lost = min(n, int(first[k] - begin[k]))  # where the shard ended first, the window was begun earlier
        cut[k, : n - lost] = cut[k, lost:].copy()
        cut[k, max(0, int(left[k])) :] = MISSING
    return cut


def gather_steps(
    shards: Sequence[Steps], dataset: Dataset, rows: NDArray[np.int64], starts: NDArray[np.int64], n: int
) -> Steps:
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
    first, left, owner = table.offset[rows] + starts, table.length[rows] - starts, table.shard[rows]
    for k in np.unique(owner):
        chosen = owner == k
        cut[chosen] = cut_windows(shards[k], first[chosen], left[chosen], n)
    return cut


def to_millivolts(steps: Steps, step_uv: float) -> NDArray[np.float32]:
    """Turn steps (windows, samples, leads) into mV (windows, leads, samples); what is missing becomes 0."""
    signal = steps.transpose(0, 2, 1) * np.float32(step_uv / 1000)
    return np.ascontiguousarray(np.where(steps.transpose(0, 2, 1) == MISSING, np.float32(0), signal))
