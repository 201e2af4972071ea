"""A chain of augmentations, from a registry of plain functions ``(signals, generator, **parameters) -> signals``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from einthoven.errors import RecipeError, nearest

__all__ = ["Chain", "Step", "list_augmentations", "register_augmentation"]

Operation = Callable[..., Tensor]
Registered = TypeVar("Registered", bound=Operation)
_OPERATIONS: dict[str, Operation] = {}


def register_augmentation(operation: Registered) -> Registered:
    """Register an operation on signals (batch, lead, time) in mV under its own name."""
    _OPERATIONS[operation.__name__] = operation
    return operation


def list_augmentations() -> dict[str, str]:
    """Names of the operations and what each does."""
    return {name: (op.__doc__ or "").split("\n")[0] for name, op in sorted(_OPERATIONS.items())}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a chain: its name, the probability that a sample gets it, and its parameters."""

    name: str
    p: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Chain:
    """Apply steps in order; every sample of the batch draws for itself whether it is changed.

    Args:
        steps: the operations.

    Raises:
        RecipeError: an unknown operation or parameter, or a probability outside 0 to 1.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = [(_operation(step), step) for step in steps]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return varied signals; ``x`` of shape (batch, lead, time) is left as it is."""
        for operation, step in self._steps:
            changed = operation(x, generator, **step.parameters)
            if step.p < 1:
                chosen = torch.rand(len(x), 1, 1, generator=generator, device=x.device) < step.p
                changed = torch.where(chosen, changed, x)
            x = changed
        return x


def _operation(step: Step) -> Operation:
    if step.name not in _OPERATIONS:
        known = ", ".join(sorted(_OPERATIONS))
        raise RecipeError(f"unknown augmentation {step.name!r}{nearest(step.name, _OPERATIONS)}; known are {known}")
    if not 0 <= step.p <= 1:
        raise RecipeError(f"augmentation {step.name!r}: p must be between 0 and 1, got {step.p}")
    operation = _OPERATIONS[step.name]
    allowed = list(inspect.signature(operation).parameters)[2:]
    for name in step.parameters:
        if name not in allowed:
            raise RecipeError(
                f"augmentation {step.name!r} has no parameter {name!r}{nearest(name, allowed)}; "
                f"it has {', '.join(allowed)}"
            )
        if not isinstance(step.parameters[name], int | float) or isinstance(step.parameters[name], bool):
            raise RecipeError(f"augmentation {step.name!r}: {name} must be a number, got {step.parameters[name]!r}")
    return operation
