"""A chain of augmentations, from two registries of plain functions: those that change signals, and those that mix.

One idea: an operation draws everything for itself from the generator and knows nothing of probabilities; the chain
decides which samples get it, and computes it for those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from einthoven.augment._parameters import checked_parameters
from einthoven.errors import RecipeError, nearest

__all__ = ["Chain", "Context", "Step", "bind", "list_augmentations", "register_augmentation", "register_mixing"]

Operation = Callable[..., Tensor]
Mixing = Callable[..., tuple[Tensor, Tensor, Tensor | None]]
Registered = TypeVar("Registered", bound=Callable[..., Any])

_OPERATIONS: dict[str, Operation] = {}
_MIXINGS: dict[str, Mixing] = {}


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation has to know about the signals of a dataset.

    Attributes:
        fs: rate in Hz.
        leads: canonical names of the rows.
    """

    fs: float
    leads: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(self.leads))


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a chain: its name, the probability that a sample gets it, and its parameters."""

    name: str
    p: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)


def register_augmentation(operation: Registered) -> Registered:
    """Register ``name(x, generator, context, **parameters) -> x`` on signals (batch, lead, time) in mV."""
    _OPERATIONS[operation.__name__] = operation
    return operation


def register_mixing(operation: Registered) -> Registered:
    """Register ``name(x, y, facts, chosen, generator, context, **parameters) -> (x, y, facts)``.

    ``chosen`` (batch,) says which samples are mixed with a partner.
    """
    _MIXINGS[operation.__name__] = operation
    return operation


def list_augmentations() -> dict[str, str]:
    """Names of the operations and what each does."""
    known = {**_OPERATIONS, **_MIXINGS}
    return {name: (known[name].__doc__ or "").split("\n")[0] for name in sorted(known)}


class Chain:
    """Apply steps in order; every sample of the batch draws for itself whether it is changed.

    Args:
        steps: the operations.
        context: rate and leads of the signals to come.

    Attributes:
        mixes: whether a step mixes samples, so that targets change with the signals.

    Raises:
        RecipeError: an unknown operation or parameter, a value that it cannot have, a probability outside 0 to 1, or an
            operation that such signals do not allow.
    """

    def __init__(self, steps: Sequence[Step], context: Context) -> None:
        self._context = context
        bound = [(step.name, bind(step, context), float(step.p)) for step in steps]
        self._signal = [(operation, p) for name, operation, p in bound if name in _OPERATIONS]
        self._mixing = [(operation, p) for name, operation, p in bound if name in _MIXINGS]
        self.mixes = bool(self._mixing)
        self._rehearse(context)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return varied signals; ``x`` of shape (batch, lead, time) is left as it is. Mixing steps are passed over."""
        given = x
        for operation, p in self._signal:
            if p >= 1:
                x = operation(x, generator=generator)
                continue
            chosen = torch.rand(len(x), generator=generator, device=x.device) < p
            x = _apply_to(x, chosen, partial(operation, generator=generator), in_place=x is not given)
        return x

    def mix(
        self, x: Tensor, y: Tensor, facts: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return mixed signals, soft targets and facts; what is given is left as it is.

        Args:
            x: shape (batch, lead, time), mV.
            y: shape (batch, class), 0 to 1 or NaN (unknown); one-hot where classes exclude each other. What is unknown
                in a partner with any weight is unknown in the mixture.
            facts: shape (batch, n), NaN where unknown, or None; mixed as the targets are.
            generator: of the device that ``x`` is on.
        """
        for operation, p in self._mixing:
            chosen = torch.rand(len(x), generator=generator, device=x.device) < p
            x, y, facts = operation(x, y, facts, chosen, generator=generator)
        return x, y, facts

    def _rehearse(self, context: Context) -> None:
        """Run every operation once on a silent batch, so that what it cannot do is said before training."""
        silence = torch.zeros(2, len(context.leads), max(16, round(2 * context.fs)))
        generator = torch.Generator().manual_seed(0)
        for operation, _ in self._signal:
            operation(silence, generator=generator)
        self.mix(silence, torch.zeros(2, 1), None, generator)


def _apply_to(x: Tensor, chosen: Tensor, operation: Operation, in_place: bool = False) -> Tensor:
    """Return ``x`` with the operation applied to the chosen samples.

    On the CPU only the chosen samples are computed. A GPU computes all and selects: to count the chosen ones it would
    have to wait for them, which costs more.

    Args:
        x: shape (batch, lead, time).
        chosen: shape (batch,), truth values.
        operation: from signals to signals.
        in_place: write into ``x``.
    """
    if x.device.type != "cpu":
        return torch.where(chosen[:, None, None], operation(x), x)
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return x
    target = x if in_place else x.clone()
    return target.index_copy_(0, rows, operation(x.index_select(0, rows)))


def bind(step: Step, context: Context) -> Callable[..., Any]:
    """The step's operation with its context and parameters; the probability is left to the caller.

    Raises:
        RecipeError: an unknown operation or parameter, or a value that it cannot have.
    """
    known: dict[str, Callable[..., Any]] = {**_OPERATIONS, **_MIXINGS}
    if step.name not in known:
        names = ", ".join(sorted(known))
        raise RecipeError(f"unknown augmentation {step.name!r}{nearest(step.name, known)}; known are {names}")
    if not 0 <= step.p <= 1:
        raise RecipeError(f"augmentation {step.name!r}: p must be between 0 and 1, got {step.p}")
    operation = known[step.name]
    return partial(operation, context=context, **checked_parameters(step.name, operation, step.parameters))
