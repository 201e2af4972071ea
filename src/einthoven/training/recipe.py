"""A recipe is one YAML file that says everything a training needs; it is checked before anything runs.

Errors name the file, the line, the key and the nearest valid name. ``key.sub=value`` overrides on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from einthoven.errors import RecipeError, nearest
from einthoven.training.schema import AugmentStep, Data, Evaluation, Folds, Fusion, Model, Recipe, Training

__all__ = [
    "AugmentStep",
    "Data",
    "Draft",
    "Evaluation",
    "Folds",
    "Fusion",
    "Model",
    "Recipe",
    "Training",
    "load_recipe",
    "parse_recipe",
    "read_text",
    "section_in",
]


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: ``key.sub=value``, the value as in YAML; they win over the file.

    Raises:
        RecipeError: the file is absent or not YAML, a key is unknown, a value does not fit, or it is a grid of several.
    """
    return parse_recipe(read_text(path), str(path), overrides)


def parse_recipe(text: str, name: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as text; ``name`` stands for it in errors. See ``grid.expand`` for one that is several."""
    from einthoven.training.grid import count_runs, find_axes

    draft = Draft.of(text, name, overrides)
    draft.refuse_sweep()
    if axes := find_axes(draft):
        keys = ", ".join(axis.key for axis in axes)
        raise RecipeError(
            f"{draft.place(axes[0].path)}: a grid of {count_runs(axes):,} recipes ({keys}), where one is needed; give "
            "single values, as overrides perhaps"
        )
    return draft.check()


def read_text(path: str | Path) -> str:
    """Read a recipe's file.

    Raises:
        RecipeError: it cannot be read, or is no text.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text file; a recipe is YAML in UTF-8") from None


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe as it was written, before it is checked: values, and where each comes from.

    Attributes:
        name: of the file, for errors.
        values: as YAML gives them, with the overrides; without ``sweep``.
        sweep: what is under the key ``sweep``; None where there is none.
        node: the file's YAML nodes, which know their lines.
        origin: keys that an override set, with what to call it in errors.
    """

    name: str
    values: dict[str, Any]
    sweep: Any
    node: Any
    origin: dict[tuple[str, ...], str]

    @classmethod
    def of(cls, text: str, name: str = "recipe", overrides: Sequence[str] = ()) -> Draft:
        """Read YAML, and set what the overrides say.

        Raises:
            RecipeError: not YAML, no mapping, a key twice, or an override that cannot be read.
        """
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise RecipeError(f"{name}: a recipe is a mapping of keys to values")
        _refuse_duplicates(node, name)
        origin = {key: f"override {text}" for text in overrides for key in [_override(values, text)]}
        return cls(name, values, values.pop("sweep", None), node, origin)

    def place(self, where: Sequence[Any]) -> str:
        """Where a key comes from: ``file:line``, or the override that set it."""
        keys = tuple(map(str, where))
        source = next((text for path, text in self.origin.items() if keys[: len(path)] == path), None)
        return source or f"{self.name}:{_line(self.node, where)}"

    def refuse_sweep(self) -> None:
        """Refuse a recipe that is to be searched where one is to be trained.

        Raises:
            RecipeError: it has a section ``sweep``.
        """
        if self.sweep is not None:
            raise RecipeError(
                f"{self.place(('sweep',))}: a recipe with a section sweep is searched, not trained: use  einthoven "
                f"sweep {self.name}"
            )

    def check(
        self, values: dict[str, Any] | None = None, chosen: Mapping[tuple[str, ...], int] | None = None
    ) -> Recipe:
        """Return the recipe.

        Args:
            values: instead of the draft's own.
            chosen: of grid axes, by path, which of the listed values was taken; errors then name that value's line.

        Raises:
            RecipeError: a key is unknown or missing, or a value does not fit.
        """
        try:
            return Recipe.model_validate(self.values if values is None else values)
        except ValidationError as error:
            raise RecipeError("; ".join(self._explain(e, chosen or {}) for e in error.errors())) from None

    def _explain(self, error: Any, chosen: Mapping[tuple[str, ...], int]) -> str:
        where = tuple(part for part in error["loc"] if not _is_variant(part))
        key = ".".join(str(part) for part in where)
        place = self.place(_with_choice(where, chosen))
        if error["type"] == "extra_forbidden":
            allowed = _allowed_keys(where[:-1])
            return f"{place}: unknown key {key!r}{nearest(str(where[-1]), allowed)}; allowed here: {', '.join(allowed)}"
        if error["type"] == "missing":
            return f"{place}: {key} is missing"
        message = error["msg"].removeprefix("Value error, ")
        got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
        return ": ".join(part for part in (place, key, f"{message[0].lower()}{message[1:]}{got}") if part)


def _with_choice(where: tuple[Any, ...], chosen: Mapping[tuple[str, ...], int]) -> tuple[Any, ...]:
    """The path within the file, where an axis lists its values."""
    for path, index in chosen.items():
        if tuple(map(str, where[: len(path)])) == path:
            return (*path, index, *where[len(path) :])
    return where


def _refuse_duplicates(node: Any, name: str) -> None:
    """YAML takes the last of two equal keys without a word."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, name)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise RecipeError(f"{name}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
            _refuse_duplicates(value, name)


def _override(values: dict[str, Any], text: str) -> tuple[str, ...]:
    key, equals, value = text.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise RecipeError(f"override {text!r}: write key=value, for example training.epochs=5")
    inner = values
    for part in path[:-1]:
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise RecipeError(f"override {text!r}: {part} is a value, not a section")
    try:
        inner[path[-1]] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"override {text!r}: {value!r} is not YAML; quote it") from None
    return path


def _is_variant(part: Any) -> bool:
    # pydantic adds the name of a validator to the path of an error
    return isinstance(part, str) and part.startswith("function-")


def _allowed_keys(where: Sequence[Any]) -> list[str]:
    section: Any = Recipe
    for part in where:
        if isinstance(part, int):
            continue
        section = section_in(section.model_fields[part].annotation)
    return list(section.model_fields)


def section_in(annotation: Any) -> Any:
    """The section within ``Section | None`` or ``tuple[Section, ...]``."""
    inner = [arg for arg in get_args(annotation) if isinstance(arg, type) and issubclass(arg, BaseModel)]
    return inner[0] if inner else annotation


def _line(node: Any, where: Sequence[Any]) -> int:
    """Line of the deepest part of a key path that the file has."""
    line = node.start_mark.line
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part], node.value[part])]
        else:
            found = []
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return int(line) + 1
