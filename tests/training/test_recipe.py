from pathlib import Path

import pytest

from einthoven.errors import RecipeError
from einthoven.training.grid import expand
from einthoven.training.recipe import load_recipe, parse_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
BASE = "name: x\ndata:\n  dataset: somewhere\ntraining:\n  epochs: 3\n  lr: 1e-3\n"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid_and_survives_a_round_trip(path):
    recipes = expand(path)
    assert len(recipes) > 1 or recipes[0].name == path.stem
    assert [parse_recipe(recipe.to_yaml()) for recipe in recipes] == recipes


def test_numbers_such_as_1e_3_are_numbers():
    assert parse_recipe(BASE).training.lr == 0.001


def test_overrides_win_and_may_add_sections():
    recipe = parse_recipe(BASE, overrides=["training.epochs=7", "model.name=xresnet1d50", "data.folds.train=[1, 2]"])
    assert (recipe.training.epochs, recipe.model.name, recipe.data.folds.train) == (7, "xresnet1d50", (1, 2))


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (BASE + "  wight_decay: 3\n", [], r"r.yaml:7: unknown key 'training.wight_decay' \(did you mean 'weight_decay'\?\)"),
        (BASE + "modle: {}\n", [], r"r.yaml:7: unknown key 'modle' \(did you mean 'model'\?\); allowed here: name,"),
        (BASE + "  ema: no\n", [], "r.yaml:7: training.ema: a number is needed, not a truth value, got False"),
        (BASE.replace("3", "many"), [], "r.yaml:5: training.epochs: .*integer.*got 'many'"),
        (BASE, ["training.epoch=3"], r"override training.epoch=3: unknown key .*did you mean 'epochs'"),
        (BASE, ["training.epochs=0"], "override training.epochs=0: training.epochs: .*greater than or equal to 1, got 0"),
        (BASE, ["nonsense"], "override 'nonsense': write key=value"),
        (BASE, ["name.sub=1"], "override 'name.sub=1': name is a value, not a section"),
        (BASE, ["data.folds.train=[1, 9]"], "fold 9 is in both train and validation"),
        (BASE, ["data.unlabelled=dro"], "override data.unlabelled=dro: data.unlabelled: input should be 'auto'"),
        (BASE + "  augment:\n  - nam: scale\n", [], "r.yaml:8: unknown key 'training.augment.0.nam'"),
        ("name: x\n", [], "r.yaml:1: data is missing"),
        (BASE + "name: y\n", [], "r.yaml:7: key 'name' is given twice"),
        (BASE, ["name=.."], "name: string should match pattern"),
        (BASE, ["name=["], "override 'name=\\[': '\\[' is not YAML; quote it"),
        (BASE, ["training.device=meta"], "training.device: string should match pattern"),
        (BASE, ["training.threads=1000000"], "training.threads: .*less than or equal to 256"),
        (BASE, ["data.crop_s=1e9"], "data.crop_s: .*less than or equal to 3600"),
        (BASE, ["evaluation.stride_s=0.001"], "evaluation.stride_s: .*greater than or equal to 0.01"),
        (BASE, ["model.options={n_leads: 3}"], "model: options cannot set n_leads: .* leads and classes are the data's"),
        ("a: [", [], "r.yaml: not YAML"),
        ("- 1\n", [], "a recipe is a mapping"),
    ],
)  # fmt: skip
def test_mistakes_name_file_line_key_and_the_nearest_valid_name(text, overrides, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text, "r.yaml", overrides)


def test_what_is_not_text_is_named(tmp_path):
    (tmp_path / "r.yaml").write_bytes(bytes(range(128, 256)))
    with pytest.raises(RecipeError, match="not a text file"):
        load_recipe(tmp_path / "r.yaml")


def test_an_absent_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"absent.yaml: cannot be read: No such file"):
        load_recipe(tmp_path / "absent.yaml")
