"""A recipe is one YAML file that says everything a training needs; it is checked before anything runs.

Errors name the file, the line, the key and the nearest valid name. ``key.sub=value`` overrides on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from einthoven.errors import RecipeError, nearest
from einthoven.training.schema import AugmentStep, Data, Evaluation, Folds, Fusion, Model, Recipe, Training

__all__ = [
    "AugmentStep",
    "Data",
    "Evaluation",
    "Folds",
    "Fusion",
    "Model",
    "Recipe",
    "Training",
    "load_recipe",
    "parse_recipe",
]


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: ``key.sub=value``, the value as in YAML; they win over the file.

    Raises:
        RecipeError: the file is absent or not YAML, a key is unknown, a value does not fit.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text file; a recipe is YAML in UTF-8") from None
    return parse_recipe(text, str(path), overrides)


def parse_recipe(text: str, name: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as text; ``name`` stands for it in errors."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{name}: a recipe is a mapping of keys to values")
    _refuse_duplicates(node, name)
    origin = {key: f"override {text}" for text in overrides for key in [_override(values, text)]}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(_explain(e, name, node, origin) for e in error.errors())) from None


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


def _explain(error: Any, name: str, node: Any, origin: dict[tuple[str, ...], str]) -> str:
    where = tuple(part for part in error["loc"] if not _is_variant(part))
    key = ".".join(str(part) for part in where)
    source = next((text for path, text in origin.items() if tuple(map(str, where))[: len(path)] == path), None)
    place = source or f"{name}:{_line(node, where)}"
    if error["type"] == "extra_forbidden":
        allowed = _allowed_keys(where[:-1])
        return f"{place}: unknown key {key!r}{nearest(str(where[-1]), allowed)}; allowed here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{place}: {key} is missing"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return ": ".join(part for part in (place, key, f"{message[0].lower()}{message[1:]}{got}") if part)


def _is_variant(part: Any) -> bool:
    # pydantic adds the name of a validator to the path of an error
    return isinstance(part, str) and part.startswith("function-")


def _allowed_keys(where: Sequence[Any]) -> list[str]:
    section: Any = Recipe
    for part in where:
        if isinstance(part, int):
            continue
        section = _section_in(section.model_fields[part].annotation)
    return list(section.model_fields)


def _section_in(annotation: Any) -> Any:
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
