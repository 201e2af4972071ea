"""docs/recipes.md names every key of the schema with its default, and no other."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from einthoven.training.grid import expand
from einthoven.training.recipe import section_in
from einthoven.training.schema import Recipe
from einthoven.training.sweep_schema import Search

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w.]+)` \| (required|`(.*?)`) \|", re.M)


def keys_of(section, prefix=""):
    """Every key with its default as YAML; a section that is off by default is a key and has keys."""
    found = {}
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        nested = isinstance(inner, type) and issubclass(inner, BaseModel) and "tuple" not in str(field.annotation)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if not nested or (default is None and not field.is_required()):
            found[prefix + name] = "required" if field.is_required() else default
        if nested:
            found |= keys_of(inner, f"{prefix}{name}.")
    return found


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def test_the_tables_hold_every_key_of_the_schema_and_its_default():
    told = {key: "required" if cell == "required" else yaml.safe_load(value) for key, cell, value in ROW.findall(PAGE)}
    wanted = keys_of(Recipe) | keys_of(Search, "sweep.")
    assert set(told) == set(wanted)
    assert {key: value for key, value in told.items() if value != plain(wanted[key])} == {}
    assert len(ROW.findall(PAGE)) == len(told)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
def test_every_example_is_a_recipe(block):
    values = yaml.safe_load(block)
    values.pop("sweep", None)
    whole = {"name": "x", **values, "data": {"dataset": "y", **values.get("data", {})}}
    assert expand(yaml.safe_dump(whole, sort_keys=False))


def test_the_names_that_the_page_gives_are_those_of_its_grid():
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "ensemble: true" in b)
    names = [recipe.name for recipe in expand(block)]
    assert names[0] == "mine-resnet1d-wang-lr0.001-no-augment"
    assert len(names) == 8
