"""What a recipe's section ``sweep`` may say: which keys are searched, between which values, how and how long."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from einthoven.errors import RecipeError, nearest
from einthoven.training.grid import find_axes, set_value, type_of
from einthoven.training.recipe import Draft, read_text
from einthoven.training.schema import Recipe

__all__ = ["Range", "Search", "SweepPlan", "load_sweep"]

# A trial is compared with others on the same validation records, and is no run that anyone names.
_FIXED = ("name", "description", "seed", "ensemble", "data")
_FREE_DATA = ("crop_s", "sample_frac", "facts", "residence")
_LARGEST_GRID = 10_000


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")
    return value


Bound = Annotated[int | float, BeforeValidator(_number)]
Section = TypeVar("Section", bound=BaseModel)
Plain = bool | int | float | str | None


class Range(BaseModel):
    """A parameter between two numbers, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    low: Bound
    high: Bound
    log: bool = False
    step: Bound | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        return self


class Search(BaseModel):
    """How the best values are searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    parameters: dict[str, Any] = Field(min_length=1, description="key: {low, high, log, step}, or a list of values")
    trials: int = Field(20, ge=1, le=10_000, description="wanted in all; a rerun adds what is missing")
    sampler: Literal["tpe", "random", "grid", "cmaes"] = "tpe"
    pruner: Literal["none", "median", "hyperband", "asha"] = Field(
        "median", description="stops trials that are behind after an epoch"
    )
    metric: Literal["auroc", "loss", "accuracy"] = Field("auroc", description="of the validation folds, best epoch")


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A checked recipe to search in.

    Attributes:
        draft: of the recipe.
        base: the recipe itself.
        search: how to search.
        parameters: what is searched: a range, or the values to choose among.
    """

    draft: Draft
    base: Recipe
    search: Search
    parameters: Mapping[str, Range | list[Any]]

    def recipe_of(self, values: Mapping[str, Any], name: str) -> Recipe:
        """Return the recipe with values set for the searched keys, as ``choices`` and ranges give them.

        Raises:
            RecipeError: these values do not go together.
        """
        filled = copy.deepcopy(self.draft.values)
        for key, value in values.items():
            set_value(filled, key.split("."), self.chosen(key, value))
        return self.draft.check(filled | {"name": name})

    def choices(self, key: str) -> list[Plain]:
        """The values of a listed parameter as a study stores them: what is no single value stands as its YAML."""
        return [_stored(value) for value in self._listed(key)]

    def chosen(self, key: str, stored: Any) -> Any:
        """The value that a study's entry stands for."""
        values = self.parameters[key]
        return stored if isinstance(values, Range) else values[self.choices(key).index(stored)]

    def is_whole(self, key: str) -> bool:
        """Whether a range holds whole numbers only: both ends are, and the schema does not want fractions."""
        values, wanted = self.parameters[key], type_of(key.split("."))
        assert isinstance(values, Range)
        ends = (values.low, values.high, values.step or 1)
        return all(isinstance(end, int) for end in ends) and not _is_float(wanted)

    def combinations(self) -> list[dict[str, Plain]]:
        """Every combination, in the order of the keys, for a grid.

        Raises:
            RecipeError: a range that is not countable, or too many.
        """
        axes = [self._steps(key) if isinstance(v, Range) else self.choices(key) for key, v in self.parameters.items()]
        if (n := prod(map(len, axes))) > _LARGEST_GRID:
            raise RecipeError(
                f"{self.draft.name}: the grid has {n:,} combinations, at most {_LARGEST_GRID:,}; use tpe or random"
            )
        return [dict(zip(self.parameters, values, strict=True)) for values in product(*axes)]

    def to_yaml(self) -> str:
        """Return recipe and search as YAML that ``load_sweep`` reads back."""
        values = self.draft.values | {"sweep": self.search.model_dump(mode="json")}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    def _listed(self, key: str) -> list[Any]:
        values = self.parameters[key]
        assert isinstance(values, list)
        return values

    def _steps(self, key: str) -> list[Plain]:
        values = self.parameters[key]
        assert isinstance(values, Range)
        step = values.step or (1 if self.is_whole(key) and not values.log else None)
        if step is None:
            place = self.draft.place(("sweep", "parameters", key))
            raise RecipeError(f"{place}: {key}: sampler grid needs a step, or a list of values")
        return [values.low + k * step for k in range(int((values.high - values.low) / step + 1e-9) + 1)]


def load_sweep(source: Path, overrides: Sequence[str] = ()) -> SweepPlan:
    """Read a recipe with a section ``sweep`` and check every end and choice of its parameters.

    Raises:
        RecipeError: see ``load_recipe``; no such section, an unknown or fixed key, or values that do not fit.
    """
    draft = Draft.of(read_text(source), str(source), overrides)
    if draft.sweep is None:
        raise RecipeError(
            f"{draft.name}: has no section sweep; write which parameters to search, or use einthoven train"
        )
    if axes := find_axes(draft):
        raise RecipeError(f"{draft.place(axes[0].path)}: {axes[0].key} is a grid axis; list it in sweep.parameters")
    base = draft.check()
    if base.data.folds.rotate or base.training.devices > 1:
        key = "data.folds.rotate" if base.data.folds.rotate else "training.devices"
        raise RecipeError(f"{draft.place(key.split('.'))}: {key}: a trial is one training on one device; leave it out")
    search = _checked(Search, draft, ("sweep",), draft.sweep)
    parameters = {key: _parameter(draft, key, values) for key, values in search.parameters.items()}
    plan = SweepPlan(draft, base, search, parameters)
    for key, values in parameters.items():
        for value in (values.low, values.high) if isinstance(values, Range) else plan.choices(key):
            _try(plan, key, value)
    if search.sampler == "grid":
        plan.combinations()
    return plan


def _parameter(draft: Draft, key: str, values: Any) -> Range | list[Any]:
    where, path = ("sweep", "parameters", key), key.split(".")
    try:
        type_of(path)
    except KeyError as error:
        part, allowed = error.args
        known = f"; allowed here: {', '.join(allowed)}" if allowed else ""
        raise RecipeError(f"{draft.place(where)}: unknown key {key!r}{nearest(part, allowed)}{known}") from None
    if path[0] in _FIXED and not (path[0] == "data" and path[-1] in _FREE_DATA):
        free = ", ".join(f"data.{name}" for name in _FREE_DATA)
        raise RecipeError(
            f"{draft.place(where)}: {key} is not searched: trials are compared on the same records with the same seed "
            f"(of data only {free} may vary)"
        )
    if isinstance(values, Mapping):
        return _checked(Range, draft, where, values)
    if not isinstance(values, list) or len(values) < 2 or len({_stored(value) for value in values}) < len(values):
        raise RecipeError(
            f"{draft.place(where)}: {key}: write a range, as {{low: 1e-4, high: 1e-1, log: true}}, or a list of two "
            f"values or more that differ, got {values!r}"
        )
    return values


def _try(plan: SweepPlan, key: str, value: Any) -> None:
    try:
        plan.recipe_of({key: value}, plan.base.name)
    except RecipeError as error:
        raise RecipeError(f"{plan.draft.place(('sweep', 'parameters', key))}: {key} {value}: {error}") from None


def _checked(section: type[Section], draft: Draft, where: tuple[str, ...], values: Any) -> Section:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = (*where, *(str(part) for part in first["loc"] if str(part) in section.model_fields))
        unknown = first["type"] == "extra_forbidden"
        inner = str(first["loc"][-1]) if first["loc"] else ""
        allowed = list(section.model_fields)
        what = (
            f"unknown key {inner!r}{nearest(inner, allowed)}; allowed here: {', '.join(allowed)}"
            if unknown
            else f"{first['msg'].removeprefix('Value error, ').lower()}, got {first['input']!r}"
        )
        raise RecipeError(f"{draft.place(path)}: {'.'.join(path)}: {what}") from None


def _stored(value: Any) -> Plain:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False).strip()


def _is_float(annotation: Any) -> bool:
    return annotation is float or any(_is_float(inner) for inner in get_args(annotation))
