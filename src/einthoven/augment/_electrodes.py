"""The electrode algebra of ``einthoven.signals.electrodes`` as tensors on the device, computed once per device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.errors import ConformError, RecipeError
from einthoven.signals import PERTURBATIONS
from einthoven.signals.electrodes import electrode_weights, exchange_weights

__all__ = ["electrodes", "exchanges"]


@lru_cache(maxsize=64)
def electrodes(leads: tuple[str, ...], device: torch.device) -> Tensor:
    """Weights of the electrodes in each lead, shape (lead, electrodes that a lead rests on)."""
    weights = electrode_weights(leads)
    return torch.from_numpy(weights[:, np.abs(weights).any(axis=0)]).float().to(device)


@lru_cache(maxsize=64)
def exchanges(leads: tuple[str, ...], wanted: tuple[str, ...] | None, device: torch.device) -> Tensor:
    """What the leads become by each exchange of cables, shape (exchange, lead, lead).

    Args:
        leads: names of the rows.
        wanted: exchanges, or None for all known ones that change these leads and follow from them.
        device: where the result is wanted.

    Raises:
        RecipeError: no such exchange, or it changes nothing, or cannot be computed from these leads.
    """
    known = [str(level) for level in PERTURBATIONS["lead_reversal"].levels]
    found = [_exchange(leads, name) for name in (known if wanted is None else wanted)]
    refused = [str(each) for each in found if isinstance(each, ConformError)]
    if refused and (wanted is not None or len(refused) == len(found)):
        raise RecipeError(f"augmentation 'lead_exchange': {refused[0]}")
    return torch.from_numpy(np.stack([each for each in found if isinstance(each, np.ndarray)])).float().to(device)


def _exchange(leads: Sequence[str], name: str) -> NDArray[np.float64] | ConformError:
    try:
        weights = exchange_weights(leads, name)
    except ConformError as error:
        return error
    if np.array_equal(weights, np.eye(len(leads))):
        return ConformError(f"exchanging {name} changes none of the leads {', '.join(leads)}")
    return weights
