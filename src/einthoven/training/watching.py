"""Is the loss still a number? Watched without waiting for the device at every step, and traced to the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from einthoven.errors import EinthovenError

__all__ = ["LossWatch"]

_EVERY = 10  # steps between two looks at a GPU, each of which waits for it
_NAMED = 10  # records


class LossWatch:
    """The running mean of an epoch's losses.

    Args:
        device: of the losses.
        epoch: number of the epoch, from 1.
        name_records: from positions, as ``add`` gets them, to record ids.
    """

    def __init__(self, device: torch.device, epoch: int, name_records: Callable[[Sequence[int]], list[str]]) -> None:
        self._epoch, self._name_records = epoch, name_records
        self._every = 1 if device.type == "cpu" else _EVERY
        self.total = torch.zeros((), device=device)
        self._bad = torch.full((), -1, device=device)  # the first step whose loss is no number
        self._unseen: list[Tensor] = []
        self._n = 0

    def add(self, loss: Tensor, chosen: Tensor) -> None:
        """Take in the loss of the next batch, whose records are at ``chosen``.

        Raises:
            EinthovenError: see ``mean``.
        """
        self.total += loss
        self._bad = torch.where((self._bad < 0) & ~torch.isfinite(loss), self._n, self._bad)
        self._unseen.append(chosen)
        self._n += 1
        if len(self._unseen) >= self._every:
            self.mean()

    def mean(self) -> float:
        """The mean so far; waits for the device.

        Raises:
            EinthovenError: a loss was infinite or not a number; the batch's records are named.
        """
        mean = float(self.total) / self._n
        if not math.isfinite(mean):
            self._stop(mean)
        self._unseen.clear()
        return mean

    def _stop(self, mean: float) -> None:
        step = int(self._bad)
        if step < 0:  # finite losses whose sum is not
            step = self._n - 1
        names = self._name_records(self._unseen[step - self._n].tolist())
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        kept = "the checkpoint of the epoch before is kept" if self._epoch > 1 else "no epoch was finished"
        raise EinthovenError(
            f"the loss became {mean} in epoch {self._epoch}; lower training.lr or set training.clip_norm, or look at "
            f"the records of the batch (step {step + 1}: {', '.join(names[:_NAMED])}{more}); {kept}"
        )
