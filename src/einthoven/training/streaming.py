"""An epoch of a dataset that no memory holds: shards read in a drawn order, their records mixed in a pool.

Each record's place in the epoch is the place of its shard in the drawn order, moved by a uniform draw of up to
W = P x (records per shard) places along a circle. So at any time the records that may come next are those of P
consecutive shards, each as likely as the other, and a batch is a uniform draw from P shards' records. With P or fewer
shards the order is a uniform permutation. What is spread over the shards varies among batches of B records as in a
uniform shuffle; the share of something that fills whole shards varies more, by a factor of 1 + B / P in its variance.
P is ``pool_shards``. Of the records of those P shards half are waiting on
average, so the pool holds about P / 2 shards' crops, and never more than P + 1.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from einthoven.dataset import Dataset, cut_windows
from einthoven.dataset.shards import map_shard

__all__ = ["StreamPlan", "plan_stream", "pool_shards", "stream_steps"]

_POOL_BYTES = 192 * 2**20
_LEAST_SHARDS = 8
_AHEAD = 2  # visits of a shard that are read before they are needed
_WAIT_S = 0.2  # between two looks at whether the other side still lives

Rows = NDArray[np.int64]


def pool_shards(dataset: Dataset, crop: int) -> int:
    """How many shards are mixed: P = max(8, 2 x 192 MiB / bytes of one shard's crops): half of them wait.

    With shards of 24 MiB that hold records of 10 s, P is 16 where whole records are trained on, and 64 with crops of
    2.5 s.

    Args:
        dataset: whose shards they are.
        crop: samples of each record that are wanted.
    """
    per_record = min(crop, float(dataset.records.length.mean())) * len(dataset.spec.leads) * 2
    per_shard = per_record * len(dataset) / len(dataset.shards)
    return max(_LEAST_SHARDS, int(2 * _POOL_BYTES / per_shard))


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """In which order items come, and when each shard is read for which of them.

    Attributes:
        order: items in the order of the epoch, those of one process only.
        visits: shard and items of each reading, in the order of reading; items as positions within ``order``.
        first: position within ``order`` by which each visit must be there.
        capacity: items that wait at most.
    """

    order: Rows
    visits: list[tuple[int, Rows]]
    first: Rows
    capacity: int


def plan_stream(
    shard: Rows, pool: int, generator: torch.Generator, share: tuple[int, int] = (0, 1), batch: int = 1
) -> StreamPlan:
    """Order the items of an epoch.

    Args:
        shard: of each item, in the random order in which they were drawn.
        pool: shards that are mixed.
        generator: of the order; every process draws the same.
        share: which process of how many; the line of shards is cut into so many equal parts, and a shard at a cut is
            read by both sides, each for records of its own.
        batch: items of this process in one batch; a visit is complete when the batch that needs it begins.
    """
    there, owner = np.unique(shard, return_inverse=True)
    place = torch.randperm(len(there), generator=generator).numpy()
    move = torch.rand(len(shard), generator=generator, dtype=torch.float64).numpy()
    line = np.argsort(place[owner], kind="stable")  # within a shard items stay as they were drawn
    part, n_parts = share
    size = len(line) // n_parts
    mine = line[part * size : (part + 1) * size]
    width = min(size, max(1, round(pool * len(shard) / len(there))))
    along = np.arange(size) + move[mine] * width
    wrapped = along >= size
    order = np.argsort(np.where(wrapped, along - size, along), kind="stable")
    at = np.empty(size, np.int64)
    at[order] = np.arange(size)  # where each item of the line comes
    # A shard whose items went over the circle's end is visited twice: early for those, late for the rest.
    visit = np.stack([place[owner[mine]], wrapped], axis=1)
    bounds = np.flatnonzero(np.any(np.diff(visit[np.lexsort((wrapped, visit[:, 0]))], axis=0), axis=1)) + 1
    groups = np.split(np.lexsort((wrapped, visit[:, 0])), bounds)
    needed = np.array([at[group].min() for group in groups]) // batch * batch
    turn = np.argsort(needed, kind="stable")
    visits = [(int(shard[mine[groups[k][0]]]), at[groups[k]]) for k in turn.tolist()]
    return StreamPlan(mine[order], visits, needed[turn], _most_waiting(visits, needed[turn], batch))


def _most_waiting(visits: list[tuple[int, Rows]], first: Rows, batch: int) -> int:
    """Items that have been read and not yet been used, at the most."""
    read = np.cumsum([len(items) for _, items in visits])
    return int((read - first).max()) if len(read) else 0


def stream_steps(
    dataset: Dataset, plan: StreamPlan, rows: Rows, starts: Rows, n: int, batch: int, n_batches: int
) -> Iterator[tuple[Rows, NDArray[np.int16]]]:
    """Read ahead in a thread, and give batch by batch.

    Args:
        dataset: the signals.
        plan: the order.
        rows: record of each item.
        starts: first sample of each item's crop.
        n: samples of a crop.
        batch: items of each batch.
        n_batches: how many; what follows is not read.

    Yields:
        Items, and their steps, int16 of shape (batch, n, leads).

    Raises:
        DatasetError: a shard cannot be had, or is damaged.
    """
    pool = np.empty((plan.capacity, n, len(dataset.spec.leads)), np.int16)
    free, slot = list(range(plan.capacity - 1, -1, -1)), np.full(len(plan.order), -1, np.int64)
    with _Reader(dataset, plan, rows, starts, n, batch * n_batches) as reader:
        waiting = 0
        for begin in range(0, batch * n_batches, batch):
            while waiting < len(plan.visits) and plan.first[waiting] <= begin:
                items = plan.visits[waiting][1]
                taken = [free.pop() for _ in range(len(items))]
                slot[items], waiting = taken, waiting + 1
                pool[taken] = reader.next()
            now = slot[begin : begin + batch]
            yield plan.order[begin : begin + batch], pool[now]
            free.extend(now.tolist())


class _Reader:
    """A thread that cuts the crops of one visit after the other, a few visits ahead."""

    def __init__(self, dataset: Dataset, plan: StreamPlan, rows: Rows, starts: Rows, n: int, end: int) -> None:
        self._dataset, self._plan, self._rows, self._starts, self._n = dataset, plan, rows, starts, n
        self._end = end
        self._ready: Queue[Any] = Queue(_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shard reader", daemon=True)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def next(self) -> NDArray[np.int16]:
        """The crops of the next visit; what went wrong in the thread is raised here."""
        while True:
            try:
                found = self._ready.get(timeout=_WAIT_S)
            except Empty:
                assert self._thread.is_alive(), "the reading thread ended without a word"
                continue
            if isinstance(found, BaseException):
                raise found
            return np.asarray(found)

    def _run(self) -> None:
        try:
            for (shard, items), first in zip(self._plan.visits, self._plan.first.tolist(), strict=True):
                if first >= self._end or not self._put(self._cut(shard, items)):
                    return
        except BaseException as error:  # whatever it is, the training must hear of it instead of waiting
            self._put(error)

    def _cut(self, shard: int, items: Rows) -> NDArray[np.int16]:
        table, chosen = self._dataset.records, self._plan.order[items]
        rows, starts = self._rows[chosen], self._starts[chosen]
        first, left = table.offset[rows] + starts, table.length[rows] - starts
        along = np.argsort(first)  # once through the file, from its begin to its end
        cut = np.empty((len(rows), self._n, len(self._dataset.spec.leads)), np.int16)
        cut[along] = cut_windows(map_shard(self._dataset.shard_path(shard)), first[along], left[along], self._n)
        return cut

    def _put(self, found: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(found, timeout=_WAIT_S)
                return True
            except Full:
                continue
        return False
