"""Which architectures there are: a decorator on a function whose name is the model's name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from einthoven.errors import RecipeError, nearest
from einthoven.models._network import Network

__all__ = ["create_model", "list_models", "model_options", "register_model"]

Entry = TypeVar("Entry", bound=Callable[..., Network])
_ENTRIES: dict[str, Callable[..., Network]] = {}


def register_model(entry: Entry) -> Entry:
    """Register an entry function ``name(n_leads, n_classes, **options) -> Network`` under its own name."""
    _ENTRIES[entry.__name__] = entry
    return entry


def list_models() -> tuple[str, ...]:
    """Names that ``create_model`` knows."""
    return tuple(sorted(_ENTRIES))


def model_options(name: str) -> tuple[str, ...]:
    """Options of a model of ``list_models()``.

    >>> model_options("resnet1d_wang")
    ('width', 'stem_stride')
    """
    return tuple(key for key in inspect.signature(_ENTRIES[name]).parameters if key not in ("n_leads", "n_classes"))


def create_model(name: str, n_leads: int = 12, n_classes: int = 5, **options: Any) -> Network:
    """Build a network with random weights.

    Args:
        name: one of ``list_models()``.
        n_leads: rows of the input.
        n_classes: logits.
        options: sizes that the architecture lets you change.

    Raises:
        RecipeError: unknown name or option.

    >>> create_model("resnet1d_wang", n_leads=12, n_classes=5).n_parameters
    473349
    """
    if name not in _ENTRIES:
        raise RecipeError(f"unknown model {name!r}{nearest(name, _ENTRIES)}; models are {', '.join(list_models())}")
    allowed = inspect.signature(_ENTRIES[name]).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in allowed.values())
    if not anything and (unknown := [key for key in options if key not in allowed]):
        known = model_options(name)
        has = f"it has {', '.join(known) or 'none'}"
        raise RecipeError(f"model {name!r} has no option {unknown[0]!r}{nearest(unknown[0], known)}; {has}")
    sizes = {key for key, parameter in allowed.items() if parameter.annotation == "int"}
    if small := [key for key in sizes & options.keys() if isinstance(options[key], int) and options[key] < 1]:
        raise RecipeError(f"model {name!r} with options {options}: {', '.join(small)} must be at least 1")
    try:
        return _ENTRIES[name](n_leads=n_leads, n_classes=n_classes, **options)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise RecipeError(f"model {name!r} with options {options}: {str(error).splitlines()[0]}") from None
