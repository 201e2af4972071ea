"""The page of augmentations: one row for each operation, with the words and defaults of the code, and a picture."""

import re
from pathlib import Path

import pytest

from einthoven.augment import DEFAULT_STEPS, list_augmentations
from einthoven.augment._chain import _MIXINGS, _OPERATIONS
from einthoven.augment._parameters import parameters_of
from einthoven.augment.policy import MAGNITUDES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "augmentations.md").read_text()
KNOWN = {**_OPERATIONS, **_MIXINGS}


def _written(value):
    if isinstance(value, tuple):
        return f"[{', '.join(f'{each:g}' for each in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}"


def _row(name):
    parameters = ", ".join(f"{key}: {_written(value)}" for key, value in parameters_of(KNOWN[name]).items())
    return f"| `{name}` | {list_augmentations()[name].replace('``', '`')} | {f'`{parameters}`' if parameters else ''} |"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_operation_has_the_row_that_its_code_gives(name):
    assert _row(name) in PAGE.splitlines()


def test_no_row_is_of_an_operation_that_does_not_exist():
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(KNOWN)


def test_every_operation_has_a_measured_ratio_and_a_place_in_the_picture():
    measured = dict(re.findall(r"^\| (\w+) \| [\d.]+ ms \| [\d.]+ ms \| \*?\*?([\d.]+)", PAGE, re.M))
    assert set(measured) == set(KNOWN)
    drawn = (ROOT / "benchmarks" / "augmentation_pictures.py").read_text().split("ORDER = (")[1].split(")")[0]
    assert set(re.findall(r'"(\w+)"', drawn)) == set(KNOWN)
    assert "images/augmentations.png" in PAGE
    assert (ROOT / "docs" / "images" / "augmentations.png").stat().st_size > 100_000


def test_the_default_chain_and_the_magnitudes_are_told_as_they_are():
    for step in DEFAULT_STEPS:
        parameters = ", ".join(f"{key}: {value:g}" for key, value in step.parameters.items())
        assert f"- {{name: {step.name}, p: {step.p:g}, parameters: {{{parameters}}}}}" in PAGE
    told = PAGE.split("## RandAugment")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", told)) >= set(MAGNITUDES)
    for name in MAGNITUDES:
        assert set(MAGNITUDES[name]) <= set(parameters_of(KNOWN[name]))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_docstring_of_every_operation_has_a_formula_or_a_dated_source(name):
    assert re.search(r"``[^`]+``|(19|20)\d\d", KNOWN[name].__doc__)
