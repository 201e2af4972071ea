import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import einthoven
from einthoven import workflow
from einthoven.errors import RecipeError
from einthoven.leads import TWELVE_LEADS

DOCS = Path(__file__).parent.parent / "docs" / "python.md"


@pytest.fixture
def trained(monkeypatch):
    """What ``einthoven.train`` asks of the workflow, without any training."""
    asked = {}

    def train(recipe, runs, **options):
        options["announce"]("a sentence")
        asked.update(options, recipe=recipe, runs=runs)
        return "the run"

    monkeypatch.setattr(workflow, "train", train)
    return asked


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: mine\ndata: {dataset: somewhere}\ntraining: {epochs: 9, lr: 0.5}\n")
    return path


def test_a_recipe_is_a_file_a_mapping_or_an_object_and_overrides_win(trained, file, caplog):
    caplog.set_level(logging.INFO, "einthoven")
    assert einthoven.train(file, training__epochs=2, model={"name": "lstm", "options": {"hidden": 8}}) == "the run"
    assert trained["runs"] == Path("runs")
    assert trained["reporter"] is None  # nobody looks: no terminal
    assert caplog.messages == ["a sentence"]
    from_file = trained["recipe"]
    assert (from_file.training.epochs, from_file.training.lr) == (2, 0.5)
    assert (from_file.model.name, from_file.model.options) == ("lstm", {"hidden": 8})
    mapping = {"name": "mine", "data": {"dataset": Path("somewhere")}, "training": {"epochs": 9, "lr": 0.5}}
    einthoven.train(mapping, "elsewhere", training__epochs=2, model={"name": "lstm", "options": {"hidden": 8}})
    assert trained["recipe"] == from_file
    assert trained["runs"] == Path("elsewhere")
    built = einthoven.Recipe(**{**mapping, "data": {"dataset": "somewhere"}})
    einthoven.train(built)
    assert trained["recipe"] is built
    einthoven.train(built, training__lr=0.25, training__augment=["scale", {"name": "noise", "p": 0.5}], short=True)
    assert trained["recipe"].training.lr == 0.25
    assert [step.name for step in trained["recipe"].training.augment] == ["scale", "noise"]
    assert trained["short"] is True
    assert (built.training.lr, built.training.augment) == (0.5, ())


def test_a_key_that_is_not_there_is_named(trained, file):
    with pytest.raises(RecipeError, match=r"override training.epoch=2: unknown key 'training.epoch' \(did you mean"):
        einthoven.train(file, training__epoch=2)
    with pytest.raises(RecipeError, match=r"recipe:\d+: data.dataset is missing|recipe:1: data is missing"):
        einthoven.train({"name": "mine"})
    assert not trained


def test_a_bar_is_shown_on_wish(trained, file):
    einthoven.train(file, progress=True)
    assert trained["reporter"] is not None


def test_all_names_are_there_and_loading_is_one_thing():
    assert einthoven.load is einthoven.load_bundle
    for name in einthoven.__all__:
        assert getattr(einthoven, name) is not None


def test_the_api_is_light_until_something_is_trained():
    code = (
        "import sys, einthoven; einthoven.Recipe, einthoven.load, einthoven.ECGClassifier, einthoven.train;"
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What the page trains for fifteen epochs, the test trains for one, in a small network.
_SMALLER = {
    "epochs=15": "epochs=1",
    '"epochs": 15': '"epochs": 1',
    "xresnet1d50": "fcn_wang",
    "resnet1d_wang": "fcn_wang",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_code_of_the_page_runs(dataset_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("datasets").mkdir()
    Path("datasets/ptb-xl-100").symlink_to(dataset_folder)
    Path("recipe.yaml").write_text(
        "name: first\ndata: {dataset: datasets/ptb-xl-100}\nmodel: {name: fcn_wang}\n"
        "training: {batch_size: 32, threads: 1}\nevaluation: {n_resamples: 120}\n"
    )
    t = np.arange(5000) / 500
    beat = np.exp(-(((t % 0.8) - 0.4) ** 2) / 0.0004)
    rows = np.array([gain * beat for gain in np.linspace(-0.7, 1.2, 12)]).T
    np.savetxt("my-ecg.csv", rows, delimiter=",", header=",".join(TWELVE_LEADS), comments="", fmt="%.4f")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        for large, little in _SMALLER.items():
            block = block.replace(large, little)
        exec(compile(block, str(DOCS), "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "NORM" in printed
    assert einthoven.load("my-model").classes == ("normal", "other")
    assert einthoven.load("both").about["provenance"]["members"][1]["seed"] == 1
