"""Training batches without per-sample Python: one gather from signals on the device, in memory, in a map or a stream.

PTB-XL at 100 Hz is half a gigabyte of int16: it fits beside the network on any GPU, and in memory on any laptop. What
fits nowhere is streamed; see ``streaming``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.dataset import MISSING, Dataset, gather_steps
from einthoven.training.residence import choose_residence
from einthoven.training.sampling import Sampler
from einthoven.training.streaming import plan_stream, pool_shards, stream_steps

__all__ = ["SignalStore", "epoch_batches", "fit_scaling"]

_BLOCK = 256  # records that are summed at a time


class SignalStore:
    """Signals of a dataset, ready to be cut.

    Args:
        dataset: the prepared data.
        device: where batches are wanted.
        residence: ``"device"`` keeps all signals there, ``"memory"`` in this machine's memory, ``"map"`` leaves them in
            the memory map, ``"stream"`` reads shards in a drawn order, ``"auto"`` chooses, see ``choose_residence``.
        n_ranks: processes that each have such a store.

    Attributes:
        residence: which of them, and why.
    """

    def __init__(self, dataset: Dataset, device: torch.device, residence: str = "auto", n_ranks: int = 1) -> None:
        self.dataset, self.device = dataset, device
        self.residence = choose_residence(dataset, device, residence, n_ranks)
        self.resident = self.residence.name in ("device", "memory")
        self._home = device if self.residence.name == "device" else torch.device("cpu")
        self._shards = dataset.open_shards(None if self.residence.name == "map" else 4)
        self._base = torch.from_numpy(dataset.base).to(self._home)
        self._length = torch.from_numpy(dataset.records.length).to(self._home)
        self._step_mv = dataset.step_uv / 1000
        self._flat = self._load() if self.resident else None
        self._holes = self._flat is None or bool((self._flat == int(MISSING)).any())

    @property
    def streams(self) -> bool:
        """Whether shards are read in a drawn order."""
        return self.residence.name == "stream"

    def lengths(self, rows: Tensor) -> Tensor:
        """Samples of each record."""
        return self._length[rows.to(self._home)]

    def gather(self, rows: Tensor, starts: Tensor, n_samples: int) -> Tensor:
        """Cut one window from each of ``rows``; both index tensors on the device.

        Returns:
            float32 mV, shape (batch, lead, n_samples); 0 where nothing was recorded or the record has ended.
        """
        if self._flat is None:
            steps = torch.from_numpy(
                gather_steps(self._shards, self.dataset, rows.cpu().numpy(), starts.cpu().numpy(), n_samples)
            )
            short = False
        else:
            rows, starts = rows.to(self._home), starts.to(self._home)
            within = starts[:, None] + torch.arange(n_samples, device=self._home)
            last = self._length[rows][:, None] - 1
            short = bool((within[:, -1:] > last).any()) if self._home.type == "cpu" else True
            position = self._base[rows][:, None] + (torch.minimum(within, last) if short else within)
            steps = self._flat.index_select(0, position.reshape(-1)).view(len(rows), n_samples, -1)  # (B, T, L)
            if short:
                steps = torch.where((within > last)[..., None], int(MISSING), steps)
        return self.to_millivolts(steps, self._holes or short)

    def to_millivolts(self, steps: Tensor, holes: bool = True) -> Tensor:
        """Turn steps, int16 (batch, sample, lead), into float32 mV on the device, (batch, lead, sample)."""
        steps = steps.to(self.device, non_blocking=True)
        x = torch.empty(len(steps), steps.shape[2], steps.shape[1], device=self.device)  # (B, L, T)
        x.copy_(steps.transpose(1, 2))
        x *= self._step_mv
        if holes:
            x.masked_fill_(steps.transpose(1, 2) == int(MISSING), 0.0)
        return x

    def _load(self) -> Tensor:
        """All shards one after the other, shape (samples, leads); each is copied straight to its place."""
        total = sum(shard.n_samples for shard in self.dataset.shards)
        flat = torch.empty(total, len(self.dataset.spec.leads), dtype=torch.int16, device=self._home)
        first = 0
        for k in range(len(self._shards)):
            shard = torch.from_numpy(np.array(self._shards[k]))
            flat[first : first + len(shard)] = shard
            first += len(shard)
        return flat


def epoch_batches(
    store: SignalStore,
    rows: Tensor,
    crop: int,
    batch_size: int,
    generator: torch.Generator,
    sampler: Sampler | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through ``rows`` in random order with a random crop of each; the last, incomplete batch is left out.

    Args:
        store: the signals.
        rows: which records.
        crop: samples.
        batch_size: records of a batch, over all shares.
        generator: of the order and the crops.
        sampler: draws the records where not every one comes once.
        share: which of how many equal parts of each batch is wanted.

    Yields:
        Positions within ``rows`` (batch,) and signals (batch, lead, crop) in mV.
    """
    order = sampler.draw(generator) if sampler else torch.randperm(len(rows), generator=generator)
    room = (store.lengths(rows).cpu() - crop).clamp(min=0)[order]
    starts = (torch.rand(len(rows), generator=generator) * (room + 1)).long()
    if store.streams:
        yield from _streamed(store, rows.cpu()[order], order, starts, crop, batch_size, generator, share)
        return
    order, starts = order.to(store.device), starts.to(store.device)
    part, n_parts = share
    for first in range(0, max(1, len(rows) - batch_size + 1), batch_size):
        n = min(batch_size, len(rows) - first)
        mine = slice(first + part, first + n - n % n_parts, n_parts)
        chosen = order[mine]
        yield chosen, store.gather(rows[chosen], starts[mine], crop)


def _streamed(
    store: SignalStore,
    rows: Tensor,
    order: Tensor,
    starts: Tensor,
    crop: int,
    batch_size: int,
    generator: torch.Generator,
    share: tuple[int, int],
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same items in the order of a stream; ``rows`` and ``starts`` belong to ``order``."""
    dataset, n_parts = store.dataset, share[1]
    n_batches = max(1, len(rows) // batch_size)
    batch = min(batch_size, len(rows)) // n_parts
    shard = dataset.records.shard[rows.numpy()]
    plan = plan_stream(shard, pool_shards(dataset, crop), generator, share, batch)
    for items, steps in stream_steps(dataset, plan, rows.numpy(), starts.numpy(), crop, batch, n_batches):
        yield order[torch.from_numpy(items)].to(store.device), store.to_millivolts(torch.from_numpy(steps))


def fit_scaling(dataset: Dataset, rows: NDArray[np.int64], kind: str) -> tuple[list[float], list[float]]:
    """Mean and deviation in mV of the rows: one pair (``"dataset"``), one per lead (``"lead"``), or 0 and 1."""
    if kind == "none":
        return [0.0], [1.0]
    n_leads = len(dataset.spec.leads)
    total, squares, count = np.zeros(n_leads), np.zeros(n_leads), np.zeros(n_leads)
    for part in _stretches(dataset, rows):
        if (holes := part == MISSING).any():
            part[holes] = 0
        total += part.sum(axis=0)  # of whole numbers below 2^53: exact, in whatever order
        squares += np.einsum("tl,tl->l", part, part)
        count += len(part) - holes.sum(axis=0)
    if kind == "dataset":
        total, squares, count = (a.sum(keepdims=True) for a in (total, squares, count))
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    step = dataset.step_uv / 1000
    return (mean * step).tolist(), (deviation * step).tolist()


def _stretches(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The samples of the rows, (samples, leads), a block of records of one shard at a time."""
    table, shards = dataset.records, dataset.open_shards(1)
    rows = rows[np.lexsort((table.offset[rows], table.shard[rows]))]
    for same in np.split(rows, np.flatnonzero(np.diff(table.shard[rows])) + 1):
        shard = shards[int(table.shard[same[0]])]
        for first in range(0, len(same), _BLOCK):
            block = same[first : first + _BLOCK]
            spans = zip(table.offset[block].tolist(), table.length[block].tolist(), strict=True)
            yield np.concatenate([shard[begin : begin + n] for begin, n in spans]).astype(np.float64)
