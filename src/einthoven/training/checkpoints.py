"""Checkpoints: tensors and plain values only, loaded without unpickling code, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from einthoven.errors import EinthovenError
from einthoven.files import atomic_write

__all__ = ["check_network", "load_checkpoint", "save_checkpoint"]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state."""
    buffer = io.BytesIO()  # torch's own file writer hides a full disk behind a RuntimeError
    torch.save(state, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training state back.

    Raises:
        EinthovenError: the file is damaged, or holds more than tensors and plain values.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or hostile file; all mean the same to the user
        raise EinthovenError(
            f"{path}: not a usable checkpoint ({type(error).__name__}); begin again with --version new"
        ) from error
    return state


def check_network(state: Mapping[str, Tensor], model: nn.Module, name: str) -> None:
    """Refuse weights of another architecture.

    Args:
        state: the weights by name.
        model: which they shall be loaded into.
        name: of where they come from, for the error.

    Raises:
        EinthovenError: they differ; the first parameter that does is named.
    """
    here = model.state_dict()
    for key in dict.fromkeys([*here, *state]):
        shapes = [f"of shape {tuple(weights[key].shape)}" if key in weights else "absent" for weights in (state, here)]
        if shapes[0] != shapes[1]:
            raise EinthovenError(
                f"{name} is a checkpoint of another network: {key} is {shapes[0]} there and {shapes[1]} here; "
                "train the recipe that it was made by"
            )
