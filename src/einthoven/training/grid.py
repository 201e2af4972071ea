"""A grid is one recipe file that means several: a list where a single value belongs is an axis.

The runs are the product of the axes in the order of their keys, the first varying slowest. Keys whose value is a list
anyway (folds, facts, hidden layers, augment) are axes only as a list of lists.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from einthoven.errors import RecipeError
from einthoven.training.recipe import Draft, read_text, section_in
from einthoven.training.schema import Recipe

__all__ = ["MAX_RUNS", "Axis", "Grid", "count_runs", "expand", "find_axes", "read_grid", "set_value", "type_of"]

MAX_RUNS = 256
_SINGLE = ("name", "description", "ensemble")  # they are about the grid as a whole
_VAGUE = ("auto", "default", "none")  # alone they would not tell of what
_LONGEST_LABEL, _LONGEST_NAME = 24, 100
_UNFIT = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Axis:
    """One key of a grid and the values that it takes in turn."""

    path: tuple[str, ...]
    values: list[Any]

    @property
    def key(self) -> str:
        """The key as it is written in an override."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Grid:
    """What one file means.

    Attributes:
        name: of the file's recipe.
        axes: none where it means one recipe.
        recipes: one, or the product of the axes, each with a name of its own.
    """

    name: str
    axes: list[Axis]
    recipes: list[Recipe]

    def __str__(self) -> str:
        sizes = " x ".join(f"{axis.key} {len(axis.values)}" for axis in self.axes)
        return f"a grid of {len(self.recipes)} recipes: {sizes}" if self.axes else "one recipe"


def expand(source: Path | str, overrides: Sequence[str] = (), name: str = "recipe") -> list[Recipe]:
    """Return every recipe that a file means, as ``read_grid`` does."""
    return read_grid(source, overrides, name).recipes


def read_grid(source: Path | str, overrides: Sequence[str] = (), name: str = "recipe") -> Grid:
    """Return every recipe that a file means: one, or those of its grid, each with a name of its own.

    Args:
        source: a file, or a recipe's text.
        overrides: ``key.sub=value``; a list makes an axis, as in the file.
        name: stands for a text in errors.

    Raises:
        RecipeError: see ``load_recipe``; or an axis that is empty or repeats a value, or more than 256 runs.
    """
    text = read_text(source) if isinstance(source, Path) else source
    draft = Draft.of(text, str(source) if isinstance(source, Path) else name, overrides)
    draft.refuse_sweep()
    axes = find_axes(draft)
    if not axes:
        recipe = draft.check()
        return Grid(recipe.name, [], [recipe])
    if (n := count_runs(axes)) > MAX_RUNS:
        sizes = " x ".join(f"{axis.key} {len(axis.values)}" for axis in axes)
        raise RecipeError(f"{draft.name}: the grid makes {n:,} runs ({sizes}), at most {MAX_RUNS} are allowed")
    recipes, places = [], list(product(*(range(len(axis.values)) for axis in axes)))
    for place in places:
        chosen = {axis.path: k for axis, k in zip(axes, place, strict=True)}
        recipes.append(draft.check(_chosen_values(draft.values, axes, place), chosen))
    names = _names(draft, axes, places, recipes)
    named = [each.model_copy(update={"name": name}) for each, name in zip(recipes, names, strict=True)]
    return Grid(recipes[0].name, axes, named)


def count_runs(axes: Sequence[Axis]) -> int:
    """How many runs a grid makes."""
    return prod(len(axis.values) for axis in axes)


def find_axes(draft: Draft) -> list[Axis]:
    """Return the axes of a draft in the order of its keys.

    Raises:
        RecipeError: an empty list where a single value belongs, or an axis of lists in which some are no lists.
    """
    axes = list(_axes_in(draft, Recipe, draft.values, ()))
    for axis in axes:
        if axis.path[0] in _SINGLE:
            raise RecipeError(
                f"{draft.place(axis.path)}: {axis.key} is no grid axis; give one value, each run gets its name from "
                "the axes"
            )
    return axes


def type_of(path: Sequence[str]) -> Any:
    """Return the type that the schema gives a key; ``Any`` for what a free mapping holds.

    Raises:
        KeyError: there is no such key; its arguments are the part that is unknown and the names allowed there.
    """
    annotation: Any = Recipe
    for part in path:
        inner = section_in(annotation)
        if get_origin(_bare(annotation)) is dict:
            annotation = get_args(_bare(annotation))[1]
        elif _is_section(inner) and not _is_list(annotation) and part in inner.model_fields:
            annotation = inner.model_fields[part].annotation
        else:
            raise KeyError(part, tuple(inner.model_fields) if _is_section(inner) else ())
    return annotation


def set_value(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a key of a recipe's values, making the sections that it lacks."""
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _axes_in(
    draft: Draft, section: type[BaseModel], values: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[Axis]:
    for name, value in values.items():
        if field := section.model_fields.get(str(name)):  # an unknown key is named when the recipe is checked
            yield from _axes_at(draft, field.annotation, value, (*path, str(name)))


def _axes_at(draft: Draft, annotation: Any, value: Any, path: tuple[str, ...]) -> Iterator[Axis]:
    if _is_list(annotation):
        yield from _axes_of_lists(draft, value, path)
    elif isinstance(value, list):
        if not value:
            raise RecipeError(
                f"{draft.place(path)}: {'.'.join(path)}: an empty list is no grid axis; give values, or leave the key "
                "out"
            )
        yield Axis(path, value)
    elif isinstance(value, dict) and _is_section(inner := section_in(annotation)):
        yield from _axes_in(draft, inner, value, path)
    elif isinstance(value, dict):  # free keys, such as a model's options
        for name, each in value.items():
            yield from _axes_at(draft, Any, each, (*path, str(name)))


def _axes_of_lists(draft: Draft, value: Any, path: tuple[str, ...]) -> Iterator[Axis]:
    if not isinstance(value, list) or not any(isinstance(each, list) for each in value):
        return
    if not all(isinstance(each, list) for each in value):
        raise RecipeError(
            f"{draft.place(path)}: {'.'.join(path)}: a grid of lists needs brackets around each of them, as "
            "[[a, b], [c]]; some here have none"
        )
    yield Axis(path, value)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_list(annotation: Any) -> bool:
    return get_origin(_bare(annotation)) in (tuple, list)


def _bare(annotation: Any) -> Any:
    """The type within ``X | None``."""
    inner = [arg for arg in get_args(annotation) if arg is not NoneType]
    return inner[0] if len(inner) == 1 and NoneType in get_args(annotation) else annotation


def _chosen_values(values: Mapping[str, Any], axes: Sequence[Axis], place: Sequence[int]) -> dict[str, Any]:
    chosen = copy.deepcopy(dict(values))
    for axis, k in zip(axes, place, strict=True):
        set_value(chosen, axis.path, axis.values[k])
    return chosen


def _names(
    draft: Draft, axes: Sequence[Axis], places: Sequence[tuple[int, ...]], recipes: Sequence[Recipe]
) -> list[str]:
    """A name per run: the recipe's, then what it has on each axis."""
    labels = [_labels(draft, axes, a, places, recipes) for a in range(len(axes))]
    numbered = [
        [f"{key}-{k + 1}" for k in range(len(axis.values))] for axis, key in zip(axes, _keys(axes), strict=True)
    ]
    for each in (labels, numbered):
        suffixes = ["-".join(words[k] for words, k in zip(each, place, strict=True)) for place in places]
        names = [f"{recipe.name}-{suffix}" for recipe, suffix in zip(recipes, suffixes, strict=True)]
        if len(set(names)) == len(names) and max(map(len, names)) <= _LONGEST_NAME:
            return names
    raise RecipeError(f"{draft.name}: the runs of the grid would have names of more than {_LONGEST_NAME} signs")


def _labels(
    draft: Draft, axes: Sequence[Axis], a: int, places: Sequence[tuple[int, ...]], recipes: Sequence[Recipe]
) -> list[str]:
    """What stands for each value of one axis in the names of the runs; its number where the value is too long."""
    axis, key = axes[a], _keys(axes)[a]
    of_value = {place[a]: recipe for place, recipe in zip(places, recipes, strict=True)}
    checked = [_value_at(of_value[k], axis.path) for k in range(len(axis.values))]
    for k, value in enumerate(checked):
        if value in checked[:k]:
            raise RecipeError(f"{draft.place((*axis.path, k))}: {axis.key}: {axis.values[k]!r} comes twice in the grid")
    labels = [_UNFIT.sub("-", _label(key, value)).strip("-.") for value in checked]
    twice = {label for label, n in Counter(labels).items() if n > 1}
    return [
        f"{key}-{k + 1}" if not label or label in twice or len(label) > _LONGEST_LABEL else label
        for k, label in enumerate(labels)
    ]


def _keys(axes: Sequence[Axis]) -> list[str]:
    """The last part of each key, or the last two where two axes end alike."""
    last = Counter(axis.path[-1] for axis in axes)
    keys = [axis.path[-1] if last[axis.path[-1]] == 1 else ".".join(axis.path[-2:]) for axis in axes]
    return [_UNFIT.sub("-", key) for key in keys]


def _value_at(recipe: Recipe, path: Sequence[str]) -> Any:
    """The checked value, in which 1e-3 is a number whatever YAML took it for."""
    value: Any = recipe.model_dump(mode="json")
    for part in path:
        value = value[part]
    return value


def _label(key: str, value: Any) -> str:
    if value is None or value is False or value == []:
        return f"no-{key}"
    if value is True:
        return key
    if isinstance(value, int | float):
        return f"{key}{value:.12g}"
    if value in _VAGUE:
        return f"{key}-{value}"
    if isinstance(value, str):
        return value.rstrip("/").rsplit("/", 1)[-1]
    if isinstance(value, list) and all(isinstance(each, int | float) for each in value):
        return key + ".".join(f"{each:.12g}" for each in value)
    names = [each["name"] if isinstance(each, dict) and "name" in each else each for each in value]
    return ".".join(map(str, names)) if isinstance(value, list) else ""
