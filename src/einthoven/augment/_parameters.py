"""What a parameter of an operation may be: its annotation is the rule, and a recipe's value is held against it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from einthoven.errors import RecipeError, nearest

__all__ = [
    "Amount",
    "Count",
    "Factor",
    "Fraction",
    "Magnitude",
    "Names",
    "Numbers",
    "Range",
    "checked_parameters",
    "parameters_of",
]

_GIVEN = ("x", "y", "facts", "chosen", "generator", "context")  # by the chain, not by a recipe


@dataclass(frozen=True, slots=True)
class _Limits:
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return "a finite number"
        return f"at least {self.low:g}" if math.isinf(self.high) else f"between {self.low:g} and {self.high:g}"


Amount = Annotated[float, _Limits(0)]
Fraction = Annotated[float, _Limits(0, 1)]
Factor = Annotated[float, _Limits(1)]
Magnitude = Annotated[float, _Limits(0, 10)]
Count = Annotated[int, _Limits(1)]
Numbers = Annotated[tuple[float, ...], _Limits(0)]
Range = tuple[float, float]
Names = tuple[str, ...]


def parameters_of(operation: Callable[..., Any]) -> dict[str, Any]:
    """Names of the parameters that a recipe may set, and their defaults."""
    signature = inspect.signature(operation).parameters
    return {name: each.default for name, each in signature.items() if name not in _GIVEN}


def checked_parameters(name: str, operation: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe as the operation takes them: lists become tuples, the rest stays.

    Raises:
        RecipeError: a parameter that the operation does not have, or a value of another kind or outside its limits.
    """
    allowed = list(parameters_of(operation))
    hints = get_type_hints(operation, include_extras=True)
    for key in values:
        if key not in allowed:
            has = f"it has {', '.join(allowed)}" if allowed else "it has none"
            raise RecipeError(f"augmentation {name!r} has no parameter {key!r}{nearest(key, allowed)}; {has}")
    return {key: _checked(f"augmentation {name!r}:", key, value, hints[key]) for key, value in values.items()}


def _checked(who: str, key: str, value: Any, hint: Any) -> Any:
    limits = _Limits()
    if get_origin(hint) in (Union, UnionType):
        if value is None:
            return None
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Annotated:
        hint, limits = get_args(hint)
    if get_origin(hint) is not tuple:
        return _scalar(f"{who} {key}", value, hint, limits)
    kind, rest = get_args(hint)
    pair = rest is not Ellipsis
    wanted = "two numbers, the lower first" if pair else f"a list of {_KINDS[kind].split()[-1]}s"
    refused = RecipeError(f"{who} {key} must be {wanted}, got {value!r}")
    if not isinstance(value, list | tuple) or not value or (pair and len(value) != 2):
        raise refused
    items = tuple(_scalar(f"{who} every entry of {key}", each, kind, limits) for each in value)
    if pair and items[0] > items[1]:
        raise refused
    return items


_KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a name"}


def _scalar(what: str, value: Any, kind: type, limits: _Limits) -> Any:
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{what} must be {_KINDS[kind]}, got {value!r}")
    if kind in (int, float) and not (math.isfinite(value) and limits.low <= value <= limits.high):
        raise RecipeError(f"{what} must be {limits}, got {value!r}")
    return value
