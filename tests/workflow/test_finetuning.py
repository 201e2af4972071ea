import json
import shutil
import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch_pruning")

import numpy as np
import torch
import yaml

from einthoven.bundle import digest_of, load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import BundleError, DatasetError, RecipeError
from einthoven.files import sha256_of
from einthoven.models.weights import build_classifier, load_weights
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.workflow.finetuning import _same_beginning, finetune

SMALL = ("model.prune.round_to=4", "evaluation.n_resamples=0", "training.precision=fp32")


@pytest.fixture(scope="module", autouse=True)
def unjudged():
    """Judgement and report take longer than these trainings, and are tested elsewhere."""

    def finish(where, **_):
        (where / "report.html").touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["einthoven.workflow.train"], "evaluate", finish)
        yield


@pytest.fixture(scope="module")
def wide_run(dataset_folder, tmp_path_factory, tiny, bundled):
    """A network of some width that learned a little."""
    recipe = tiny(dataset_folder, "model.options={width: 16}", "training.epochs=3")
    return bundled(recipe, tmp_path_factory.mktemp("wide"), trained=True)


@pytest.fixture(scope="module")
def pruned_run(wide_run, tmp_path_factory):
    """Half of its channels, in two rounds, the last with the errors of int8."""
    runs = tmp_path_factory.mktemp("pruned")
    where = finetune(wide_run.path, ratio=0.5, epochs=3, rounds=2, quantize=True, runs=runs, overrides=SMALL)
    return Run(where)


def test_half_the_channels_go_in_rounds_and_the_last_learns_for_int8(pruned_run, wide_run):
    whole, pruned = load_bundle(wide_run.path), load_bundle(pruned_run.path)
    first = load_bundle(pruned_run.path.parents[1] / "tiny-pruned50-qat-round1" / "001")
    sizes = [bundle.about["network"]["n_parameters"] for bundle in (whole, first, pruned)]
    assert sizes[2] < 0.45 * sizes[0]
    assert sizes[2] < 0.8 * sizes[1] < 0.8 * 0.8 * sizes[0]
    recipes = [Run(bundle.path.parent).recipe() for bundle in (first, pruned)]
    assert [recipe.training.quantize for recipe in recipes] == [None, "int8"]
    assert [recipe.training.epochs for recipe in recipes] == [1, 2]
    assert [recipe.training.lr for recipe in recipes] == pytest.approx([1e-3, 1e-3])
    assert recipes[0].model.prune.ratio == pytest.approx(1 - 0.5**0.5)
    assert {recipe.training.distill.teacher for recipe in recipes} == {str(whole.path.resolve())}
    assert recipes[1].data.folds == wide_run.recipe().data.folds


def test_the_bundle_says_what_was_pruned_and_keeps_no_place_of_this_machine(pruned_run):
    about = load_bundle(pruned_run.path).about
    origin, first = about["provenance"], pruned_run.path.parents[1] / "tiny-pruned50-qat-round1" / "001" / "bundle"
    assert origin["weights"]["name"] == "tiny-pruned50-qat-round1"
    assert origin["weights"]["files"]["model.safetensors"] == sha256_of(first / "model.safetensors")
    assert origin["teacher"]["name"] == "tiny"
    sizes = origin["pruned"]["before_and_after"]
    assert sizes["parameters"] == [
        load_bundle(first).about["network"]["n_parameters"],
        about["network"]["n_parameters"],
    ]
    assert sizes["macs"][1] < 0.7 * sizes["macs"][0]
    assert origin["pruned"]["got"] == pytest.approx(1 - sizes["channels"][1] / sizes["channels"][0])
    assert origin["pruned"]["got"] == pytest.approx(0.29, abs=0.1)
    recipe = yaml.safe_load(origin["recipe"])
    assert (recipe["model"]["weights"], recipe["training"]["distill"]["teacher"]) == (origin["weights"]["name"], "tiny")


def test_weights_and_graph_of_a_pruned_bundle_agree(pruned_run):
    bundle = load_bundle(pruned_run.path)
    x = np.random.default_rng(0).normal(size=(2, 12, bundle.window)).astype(np.float32)
    model = build_classifier(bundle.about["network"]).eval()
    load_weights(bundle.path / "model.safetensors", model)
    with torch.inference_mode():
        np.testing.assert_allclose(model(torch.from_numpy(x)).sigmoid().numpy(), bundle.scores(x), atol=1e-4)
    assert load_bundle(pruned_run.path, backend="torch").scores(x) == pytest.approx(bundle.scores(x), abs=1e-4)


@pytest.mark.slow
def test_a_pruned_bundle_is_judged_begins_teaches_and_is_pruned_like_any_other(pruned_run, tmp_path, monkeypatch):
    from einthoven.workflow.evaluate import evaluate

    monkeypatch.setattr(sys.modules["einthoven.workflow.train"], "evaluate", evaluate)
    where = finetune(pruned_run.path, ratio=0.4, epochs=1, runs=tmp_path, overrides=SMALL, criterion="taylor")
    again, before = (load_bundle(path).about for path in (where, pruned_run.path))
    assert again["name"] == "tiny-pruned50-qat-pruned40"
    assert again["metrics"]["validation"]["macro"]["auroc"]["value"] > 0.5
    assert again["network"]["n_parameters"] < before["network"]["n_parameters"]
    assert again["provenance"]["teacher"]["name"] == "tiny-pruned50-qat"
    recipe = Run(where).recipe()
    assert recipe.training.quantize is None
    assert recipe.model.prune.criterion == "taylor"


def test_a_rerun_of_what_is_done_trains_nothing(pruned_run, wide_run, monkeypatch):
    told, runs = [], pruned_run.path.parents[1]
    monkeypatch.setattr("einthoven.workflow.finetuning.train", lambda *_, **__: pytest.fail("trained again"))
    where = finetune(
        wide_run.path, ratio=0.5, epochs=3, rounds=2, quantize=True, runs=runs, overrides=SMALL, announce=told.append
    )
    assert where == pruned_run.path
    assert [line.split(":")[0] for line in told] == ["round 1 of 2 is done", "round 2 of 2 is done"]


def test_other_weights_or_records_are_trained_on_anew(pruned_run, wide_run, dataset_folder):
    first = str(pruned_run.path.parents[1] / "tiny-pruned50-qat-round1" / "001")
    dataset = open_dataset(dataset_folder)
    assert _same_beginning(pruned_run, first, dataset)
    assert not _same_beginning(pruned_run, str(wide_run.path), dataset)
    assert not _same_beginning(pruned_run, first, replace(dataset, listing_sha256="0"))


@pytest.mark.slow
def test_a_rerun_keeps_the_rounds_that_are_done(pruned_run, wide_run):
    told, runs = [], pruned_run.path.parents[1]
    shutil.rmtree(pruned_run.path)
    where = finetune(
        wide_run.path, ratio=0.5, epochs=3, rounds=2, quantize=True, runs=runs, overrides=SMALL, announce=told.append
    )
    assert where == pruned_run.path
    assert any(line.startswith("round 1 of 2 is done: ") for line in told)
    assert [path.name for path in (runs / "tiny-pruned50-qat-round1").iterdir()] == ["001"]


def test_the_recipe_of_quantisation_alone_prunes_nothing_and_has_the_rate_that_is_asked_for(
    wide_run, tmp_path, monkeypatch
):
    trained = []
    monkeypatch.setattr(
        "einthoven.workflow.finetuning.train", lambda recipe, runs, **_: trained.append(recipe) or Run(tmp_path)
    )
    finetune(wide_run.path, quantize=True, epochs=1, lr=2e-3, runs=tmp_path)
    (recipe,) = trained
    assert (recipe.name, recipe.model.prune) == ("tiny-qat", None)
    assert (recipe.training.quantize, recipe.training.lr, recipe.training.epochs) == ("int8", 2e-3, 1)


@pytest.mark.slow
def test_quantisation_alone_keeps_every_channel(wide_run, tmp_path):
    where = finetune(wide_run.path, quantize=True, epochs=1, lr=2e-3, runs=tmp_path, overrides=SMALL[1:])
    assert where.parent.name == "tiny-qat"
    about, before = load_bundle(where).about, load_bundle(wide_run.path).about
    assert about["network"] == before["network"]
    assert about["provenance"]["pruned"] is None
    assert Run(where).recipe().training.lr == 2e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing to do: give a ratio of channels to prune, or quantize"),
        ({"ratio": 1.0}, "above 0 and below 1; got 1"),
        ({"ratio": 0, "quantize": True}, "a ratio of 0 prunes nothing; name a share as 0.5, or leave it out"),
        ({"ratio": 0.5, "scope": "local"}, "unknown scope 'local'.*choose global, layer"),
        ({"ratio": 0.5, "rounds": 3, "epochs": 2}, "got 3 rounds and 2 epochs"),
        ({"quantize": True, "rounds": 2}, "2 rounds are for pruning bit by bit"),
        ({"ratio": 0.5, "criterion": "l3"}, "unknown criterion 'l3'.*choose l1, l2"),
    ],
)
def test_what_makes_no_sense_is_refused(wide_run, tmp_path, options, said):
    with pytest.raises(RecipeError, match=said):
        finetune(wide_run.path, runs=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def _altered(run, folder, change):
    shutil.copytree(run.bundle, folder)
    about = json.loads((folder / "bundle.json").read_text())
    del about["sha256"]
    change(about)
    (folder / "bundle.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))
    return folder


def test_another_dataset_none_and_an_ensemble_are_refused(wide_run, dataset_folder, tmp_path):
    with pytest.raises(
        DatasetError, match="name the folder where the dataset that it was trained on, .*, was prepared"
    ):
        finetune(shutil.copytree(wide_run.bundle, tmp_path / "alone"), ratio=0.5, runs=tmp_path)
    elsewhere = _altered(wide_run, tmp_path / "elsewhere", lambda a: a["provenance"].update(dataset="other"))
    with pytest.raises(DatasetError, match="nothing proves that no patient crosses its folds"):
        finetune(elsewhere, dataset_folder, ratio=0.5)
    silent = _altered(wide_run, tmp_path / "silent", lambda a: a["provenance"].pop("recipe"))
    with pytest.raises(RecipeError, match="does not say by which recipe it was trained"):
        finetune(silent, dataset_folder, ratio=0.5)


def test_an_ensemble_is_refused(wide_run, monkeypatch):
    several = load_bundle(wide_run.path)
    several.about["network"]["ensemble"] = []
    monkeypatch.setattr("einthoven.workflow.finetuning.load_bundle", lambda _: several)
    with pytest.raises(RecipeError, match="tiny is an ensemble, .* distil it into one network first"):
        finetune(wide_run.path, ratio=0.5)


def test_widths_that_do_not_fit_are_named(pruned_run, tmp_path):
    def widen(about):
        about["network"]["pruned"]["widths"]["body.0"][0] = 999

    with pytest.raises(BundleError, match=r"widths of the pruned fcn_wang do not fit it: weight of shape"):
        load_bundle(_altered(pruned_run, tmp_path / "wide", widen), backend="torch")


def test_pruning_needs_weights_that_were_trained(dataset_folder):
    with pytest.raises(RecipeError, match="prune takes the least channels of trained weights; name a bundle or run in"):
        parse_recipe(f"name: x\ndata: {{dataset: {dataset_folder}}}\nmodel: {{prune: {{ratio: 0.5}}}}")
