"""Training batches without per-sample Python: one gather from signals that lie on the device, or in a memory map.

PTB-XL at 100 Hz is half a gigabyte of int16: it fits beside the network on any GPU, and in memory on any laptop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.dataset import MISSING, Dataset, gather_steps
from einthoven.training.sampling import Sampler

__all__ = ["SignalStore", "epoch_batches", "fit_scaling"]


class SignalStore:
    """Signals of a dataset, ready to be cut.

    Args:
        dataset: the prepared data.
        device: where batches are wanted.
        residence: ``"device"`` keeps all signals there, ``"map"`` leaves them in the memory map, ``"auto"`` takes the
            device when the data fills at most a third of its free memory.
    """

    def __init__(self, dataset: Dataset, device: torch.device, residence: str = "auto") -> None:
        self.dataset, self.device = dataset, device
        self._shards = dataset.open_shards()
        n_bytes = sum(shard.nbytes for shard in self._shards)
        self.resident = residence == "device" or (residence == "auto" and n_bytes < _free_bytes(device) / 3)
        self._base = torch.from_numpy(dataset.base).to(device)
        self._length = torch.from_numpy(dataset.records.length).to(device)
        self._step_mv = dataset.step_uv / 1000
        self._flat = torch.from_numpy(np.concatenate(self._shards)).to(device) if self.resident else None
        self._holes = self._flat is None or bool((self._flat == int(MISSING)).any())

    def lengths(self, rows: Tensor) -> Tensor:
        """Samples of each record."""
        return self._length[rows]

    def gather(self, rows: Tensor, starts: Tensor, n_samples: int) -> Tensor:
        """Cut one window from each of ``rows``; both index tensors on the device.

        Returns:
            float32 mV, shape (batch, lead, n_samples); 0 where nothing was recorded or the record has ended.
        """
        if self._flat is None:
            steps = torch.from_numpy(
                gather_steps(self._shards, self.dataset, rows.cpu().numpy(), starts.cpu().numpy(), n_samples)
            ).to(self.device, non_blocking=True)
            short = False
        else:
            within = starts[:, None] + torch.arange(n_samples, device=self.device)
            last = self._length[rows][:, None] - 1
            short = bool((within[:, -1:] > last).any()) if self.device.type == "cpu" else True
            position = self._base[rows][:, None] + (torch.minimum(within, last) if short else within)
            steps = self._flat.index_select(0, position.reshape(-1)).view(len(rows), n_samples, -1)  # (B, T, L)
            if short:
                steps = torch.where((within > last)[..., None], int(MISSING), steps)
        return self._to_millivolts(steps, self._holes or short)

    def _to_millivolts(self, steps: Tensor, holes: bool) -> Tensor:
        x = torch.empty(len(steps), steps.shape[2], steps.shape[1], device=self.device)  # (B, L, T)
        x.copy_(steps.transpose(1, 2))
        x *= self._step_mv
        if holes:
            x.masked_fill_(steps.transpose(1, 2) == int(MISSING), 0.0)
        return x


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
    order, starts = order.to(store.device), starts.to(store.device)
    part, n_parts = share
    for first in range(0, max(1, len(rows) - batch_size + 1), batch_size):
        n = min(batch_size, len(rows) - first)
        mine = slice(first + part, first + n - n % n_parts, n_parts)
        chosen = order[mine]
        yield chosen, store.gather(rows[chosen], starts[mine], crop)


def fit_scaling(dataset: Dataset, rows: NDArray[np.int64], kind: str) -> tuple[list[float], list[float]]:
    """Mean and deviation in mV of the rows: one pair (``"dataset"``), one per lead (``"lead"``), or 0 and 1."""
    if kind == "none":
        return [0.0], [1.0]
    table, n_leads = dataset.records, len(dataset.spec.leads)
    total, squares, count = np.zeros(n_leads), np.zeros(n_leads), np.zeros(n_leads)
    shards = dataset.open_shards()
    for row in rows.tolist():
        part = shards[table.shard[row]][table.offset[row] : table.offset[row] + table.length[row]].astype(np.float64)
        if (holes := part == MISSING).any():
            part[holes] = 0
        total += part.sum(axis=0)
        squares += np.einsum("tl,tl->l", part, part)
        count += len(part) - holes.sum(axis=0)
    if kind == "dataset":
        total, squares, count = (a.sum(keepdims=True) for a in (total, squares, count))
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    step = dataset.step_uv / 1000
    return (mean * step).tolist(), (deviation * step).tolist()


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
