import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.cli.main import app
from einthoven.decisions import fit_decisions
from einthoven.errors import BundleError, DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.predictions import read_predictions
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.workflow.deciding import plan_of
from einthoven.workflow.evaluate import part_of
from einthoven.workflow.writing import locked

RECIPE = """
name: small
data: {{dataset: {dataset}}}
model: {{options: {{width: 16}}}}
training: {{epochs: 2, batch_size: 16, ema: 0.9, precision: fp32, threads: 1}}
evaluation: {{n_resamples: 120}}
"""


class Silent:
    def step(self, epoch, step, n_steps, loss):
        pass

    def epoch(self, row):
        pass


@pytest.fixture(scope="module")
def runs(dataset_folder, tmp_path_factory):
    """Two runs of one recipe with different seeds."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    for seed in (0, 1):
        recipe = parse_recipe(
            RECIPE.format(dataset=dataset_folder), overrides=[f"seed={seed}", f"training.epochs={2 - seed}"]
        )
        workflow.train(recipe, folder, reporter=Silent())
    return folder


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the first, to be written into."""
    shutil.copytree(runs / "small" / "001", tmp_path / "runs" / "small" / "001")
    return Run(tmp_path / "runs" / "small" / "001")


def _metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_the_last_epoch_is_judged_with_averaged_weights_and_decisions_of_its_own(run):
    before = (run.bundle / "bundle.json").read_text(), (run.path / "metrics.json").read_text()
    done = workflow.evaluate(run.path, split="test", prefer="latest")
    assert done.folder == run.path / "evaluation-latest"
    bundle = load_bundle(run.path / "bundle-latest")
    assert bundle.about["provenance"]["chosen_epoch"] == 2
    assert {**bundle.about["provenance"], "chosen_epoch": 0} == {
        **load_bundle(run.path).about["provenance"],
        "chosen_epoch": 0,
    }
    kept, shipped = load_checkpoint(run.checkpoint)["average"], load_file(bundle.path / "model.safetensors")
    assert all(torch.equal(kept[name], shipped[name]) for name in kept)
    assert done.judgement["decisions"] == "thresholds come with the bundle"
    assert set(bundle.about["metrics"]) == set(_metrics(done.folder)) == {"test"}
    # Its decisions are what its own scores of the validation records give.
    seen = workflow.evaluate(bundle.path, run.recipe().data.dataset, split="validation", out=run.path / "v")
    fitted = fit_decisions(seen.predictions.targets, seen.predictions.probabilities, plan_of(bundle, seen.selected))
    assert bundle.thresholds == pytest.approx(dict(zip(fitted.classes, fitted.thresholds, strict=True)))
    assert ((run.bundle / "bundle.json").read_text(), (run.path / "metrics.json").read_text()) == before
    assert "--prefer latest" in (done.folder / "report.html").read_text()


@pytest.mark.parametrize("criterion", ["loss", pytest.param("accuracy", marks=pytest.mark.slow)])
def test_the_best_epoch_by_another_criterion_is_the_one_that_history_tells(run, criterion):
    done = workflow.evaluate(run.path, split="validation", prefer=criterion)
    column = [row[f"validation_{criterion}"] for row in run.read_history()]
    chosen = int(np.argmin(column) if criterion == "loss" else np.argmax(column)) + 1
    assert done.bundle.about["provenance"]["chosen_epoch"] == chosen
    kept, shipped = load_file(run.best(criterion)), load_file(done.bundle.path / "model.safetensors")
    assert all(torch.equal(kept[name], shipped[name]) for name in kept)
    made = (done.bundle.path / "model.onnx").stat().st_mtime_ns
    again = workflow.evaluate(run.path, split="validation", prefer=criterion)
    assert (again.bundle.path / "model.onnx").stat().st_mtime_ns == made
    assert again.judgement["macro"] == done.judgement["macro"]


def test_the_criterion_of_the_recipe_is_the_runs_own_bundle(run):
    done = workflow.evaluate(run.path, split="test", prefer="auroc")
    assert (done.folder, done.bundle.path) == (run.path, run.bundle)
    assert not (run.path / "bundle-auroc").exists()


def test_checkpoints_that_cannot_be_preferred_are_named(run, dataset_folder):
    with pytest.raises(
        RecipeError, match=r"unknown checkpoint 'los' \(did you mean 'loss'\?\); --prefer is one of auroc"
    ):
        workflow.evaluate(run.path, prefer="los")
    with pytest.raises(RecipeError, match="no run folder; only a run has other checkpoints"):
        workflow.evaluate(run.bundle, dataset_folder, prefer="loss")
    run.checkpoint.unlink()
    with pytest.raises(BundleError, match=r"last.pt: missing"):
        workflow.evaluate(run.path, prefer="latest")
    run.best("loss").unlink()
    with pytest.raises(BundleError, match=r"best-loss.safetensors: missing"):
        workflow.evaluate(run.path, prefer="loss")
    (run.path / "history.csv").unlink()
    with pytest.raises(BundleError, match=r"no history.csv"):
        workflow.evaluate(run.path, prefer="loss")
    assert not list(run.path.glob("bundle-*"))


def test_one_fold_of_a_split_is_judged_alone(run):
    done = workflow.evaluate(run.path, split="train", fold=3)
    assert done.judgement["split"] == "train-fold-3"
    assert (done.judgement["folds"], set(done.predictions.fold)) == ([3], {3})
    y, p = done.predictions.targets, done.predictions.probabilities
    defined = ((y == 1).any(axis=0)) & ((y == 0).any(axis=0))
    area = roc_auc_score(y[:, defined], p[:, defined], average="macro")
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(area, abs=1e-12)
    assert list(_metrics(run.path)) == ["validation", "train-fold-3"]
    assert "fold 3" in (run.path / "report.html").read_text()
    every = [part_of(done.selected, done.bundle, "train", k) for k in range(1, 9)]
    whole = part_of(done.selected, done.bundle, "train")
    assert sorted(row for part in every for row in part.rows) == whole.rows.tolist()
    assert sum(part.n_unlabelled for part in every) == whole.n_unlabelled
    assert len(every[2].rows) == done.judgement["n_records"]


def test_the_only_fold_of_a_split_is_the_split(run):
    assert workflow.evaluate(run.path, split="test", fold=10, n_resamples=0).judgement["split"] == "test"


@pytest.mark.slow
def test_a_part_of_the_validation_records_does_not_change_the_bundle(runs, dataset_folder, tmp_path):
    recipe = parse_recipe(
        RECIPE.format(dataset=dataset_folder),
        overrides=["training.epochs=1", "data.folds.validation=[8, 9]", "data.folds.train=[1, 2, 3, 4, 5, 6]"],
    )
    run = workflow.train(recipe, tmp_path, reporter=Silent())
    thresholds = load_bundle(run.path).thresholds
    judgement = workflow.evaluate(run.path, split="validation", fold=8).judgement
    assert judgement["decisions"].endswith("5-fold cross-fitting, grouped by patient")
    assert load_bundle(run.path).thresholds == thresholds


def test_a_fold_of_another_split_is_refused(run):
    with pytest.raises(
        DatasetError, match=r"fold 3 is not in the test split \(fold 10\); it is in train: --split train"
    ):
        workflow.evaluate(run.path, split="test", fold=3)
    with pytest.raises(DatasetError, match=r"fold 77 is not in the train split \(folds 1 to 8\)$"):
        workflow.evaluate(run.path, split="train", fold=77)


def test_resamples_are_those_asked_for_or_the_recipes(run):
    assert workflow.evaluate(run.path, split="validation").judgement["interval"]["n_resamples"] == 120
    asked = workflow.evaluate(run.path, split="validation", n_resamples=130, seed=5).judgement["interval"]
    assert (asked["n_resamples"], asked["seed"]) == (130, 5)


def test_two_judgements_of_one_run_do_not_meet(run, dataset_folder):
    with locked(run.path):
        with pytest.raises(EinthovenError, match="another process is judging into this folder; wait for it"):
            workflow.evaluate(run.path, split="test")
        with pytest.raises(EinthovenError, match="another process"):
            workflow.evaluate(run.path, dataset_folder, split="test", prefer="loss")
    workflow.evaluate(run.path, split="test", n_resamples=0)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_ensemble_is_the_mean_of_its_members_judged_like_one_model(runs, tmp_path, monkeypatch, split):
    monkeypatch.chdir(tmp_path)
    members = workflow.evaluate_several([str(runs / "small" / k) for k in ("001", "002")], split=split)
    assert list(members) == ["small-001", "small-002"]
    done = workflow.ensemble_of(members)
    one, two = (each.predictions for each in members.values())
    np.testing.assert_allclose(done.predictions.probabilities, (one.probabilities + two.probabilities) / 2, atol=1e-12)
    y, p = done.predictions.targets, done.predictions.probabilities
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    beside = done.judgement["ensemble"]
    assert [row["name"] for row in beside["members"]] == ["small-001", "small-002"]
    areas = {name: each.judgement["macro"]["auroc"]["value"] for name, each in members.items()}
    assert beside["best"] == max(areas, key=areas.get)
    gain = done.judgement["macro"]["auroc"]["value"] - max(areas.values())
    assert beside["difference"]["difference"]["value"] == pytest.approx(gain, abs=1e-12)
    assert (beside["difference"]["a"], beside["difference"]["b"]) == ("ensemble", beside["best"])
    how = (
        "cross-fitting, grouped by patient" if split == "validation" else "members' mean scores of the validation split"
    )
    assert done.judgement["decisions"].endswith(how)
    assert done.folder.name == "evaluation-ensemble-small-001+small-002"
    assert "mean of the scores of small-001, small-002" in (done.folder / "report.html").read_text()
    workflow.ensemble_of(members)


@pytest.mark.slow
def test_an_ensembles_thresholds_are_fitted_on_the_mean_of_the_validation_scores(runs, tmp_path):
    models = [str(runs / "small" / k) for k in ("001", "002")]
    done = workflow.ensemble_of(workflow.evaluate_several(models, split="test"), out=tmp_path / "e")
    stored = [read_predictions(runs / "small" / k / "predictions-validation.parquet") for k in ("001", "002")]
    bundle, first = load_bundle(models[0]), workflow.evaluate(models[0], split="test")
    mean = np.mean([each.probabilities for each in stored], axis=0)
    fitted = fit_decisions(stored[0].targets, mean, plan_of(bundle, first.selected))
    found = [row["threshold"] for row in done.judgement["per_class"]]
    assert found == pytest.approx(list(fitted.thresholds), abs=1e-5)


def test_models_that_make_no_ensemble_are_refused(runs, run, dataset_folder, tmp_path):
    models = [str(runs / "small" / k) for k in ("001", "002")]
    members = workflow.evaluate_several(models, split="validation", n_resamples=0)
    with pytest.raises(RecipeError, match="an ensemble needs two models or more, got 1"):
        workflow.ensemble_of({"one": members["small-001"]})
    other = workflow.evaluate(models[0], split="test", n_resamples=0)
    with pytest.raises(DatasetError, match="records differ"):
        workflow.ensemble_of({"one": members["small-001"], "two": other}, out=tmp_path / "e")
    shutil.copy(runs / "small" / "001" / "metrics.json", tmp_path)
    with pytest.raises(EinthovenError, match="holds the judgement of something else"):
        workflow.ensemble_of(members, out=tmp_path)
    no_intervals = workflow.ensemble_of(members, out=tmp_path / "n").judgement
    assert no_intervals["ensemble"]["difference"] is None


def test_models_on_a_named_dataset_get_folders_of_their_own(runs, dataset_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = [str(runs / "small" / k) for k in ("001", "002")]
    members = workflow.evaluate_several(models, dataset_folder, split="test", n_resamples=0)
    names = [f"evaluation-small-{k}-on-{dataset_folder.name}" for k in ("001", "002")]
    assert [each.folder.name for each in members.values()] == names
    assert all((tmp_path / name / "report.html").is_file() for name in names)


def test_arguments_are_told_apart(runs, run, dataset_folder, tmp_path):
    first, second = (str(runs / "small" / k) for k in ("001", "002"))
    assert workflow.find_models([first, second], runs) == ([first, second], None)
    assert workflow.find_models([first, str(dataset_folder)], runs) == ([first], dataset_folder)
    assert workflow.find_models(["ptbxl-superdiagnostic"], runs) == (["ptbxl-superdiagnostic"], None)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "small.yaml").write_text(RECIPE.format(dataset=dataset_folder))
    assert workflow.find_models([str(recipes / "small.yaml")], runs) == ([second], None)
    assert workflow.find_models([str(recipes)], runs) == ([second], None)
    (run.path.parent / "002").mkdir()  # begun, not finished
    assert workflow.find_models([str(recipes)], run.path.parents[1]) == ([str(run.path)], None)


def test_arguments_that_mean_nothing_are_named(runs, dataset_folder, tmp_path):
    first = str(runs / "small" / "001")
    for names, message in (
        ([first, str(dataset_folder), str(dataset_folder)], "judged on one dataset at a time"),
        ([str(dataset_folder)], "which model shall be judged"),
        ([], "which model shall be judged"),
        ([first, f"{first}/bundle"], "named twice"),
        ([str(tmp_path / "nowhere")], "no such run, bundle, recipe or dataset"),
        (["absent.yaml"], "no such run, bundle, recipe or dataset"),
    ):
        with pytest.raises(DatasetError, match=message):
            workflow.find_models(names, runs)
    with pytest.raises(RecipeError, match="neither a run, a bundle nor a dataset, and no recipe is in this folder"):
        workflow.find_models([str(tmp_path)], runs)
    with pytest.raises(BundleError, match=f"a folder of runs; name one of them, as {runs / 'small'}/002"):
        workflow.find_models([str(runs / "small")], runs)
    (tmp_path / "r.yaml").write_text(RECIPE.format(dataset=dataset_folder).replace("small", "large"))
    with pytest.raises(RecipeError, match="no finished run of recipe large in .*; train it first"):
        workflow.find_models([str(tmp_path / "r.yaml")], runs)


def test_the_command_prints_a_table_of_models_and_their_ensemble(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = [str(runs / "small" / k) for k in ("001", "002")]
    done = CliRunner().invoke(app, ["evaluate", *models, "--split", "validation", "--ensemble"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["model", "macro", "AUROC", "macro", "AUPRC", "Fmax"]
    assert [line.split()[0] for line in lines[1:4]] == ["small-001", "small-002", "ensemble"]
    assert "ensemble" in lines[4]
    assert "small-00" in lines[4]
    assert lines[5:7] == [f"report  {model}/report.html" for model in models]
    assert lines[-1] == "report  evaluation-ensemble-small-001+small-002/report.html"


@pytest.mark.slow
def test_members_may_read_the_same_records_in_forms_of_their_own(runs, corpus_folder, tmp_path):
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare
    from einthoven.spec import SignalSpec

    prepare(open_corpus("ptb-xl", corpus_folder), tmp_path / "slow", SignalSpec(fs=50.0), workers=1)
    recipe = parse_recipe(RECIPE.format(dataset=tmp_path / "slow"), overrides=["training.epochs=1"])
    other = workflow.train(recipe, tmp_path / "runs", reporter=Silent())
    members = workflow.evaluate_several([str(runs / "small" / "001"), str(other.path)], split="test", n_resamples=0)
    assert list(members) == ["small-001-1", "small-001-2"]
    done = workflow.ensemble_of(members, out=tmp_path / "e")
    scores = [each.predictions.probabilities for each in members.values()]
    np.testing.assert_allclose(done.predictions.probabilities, np.mean(scores, axis=0), atol=1e-12)


def test_a_judgement_written_elsewhere_leaves_the_run_and_its_bundle_as_they_are(run, tmp_path):
    before = (run.bundle / "bundle.json").read_bytes(), (run.bundle / "README.md").read_bytes()
    workflow.evaluate(run.path, split="validation", n_resamples=0, out=tmp_path / "elsewhere")
    assert ((run.bundle / "bundle.json").read_bytes(), (run.bundle / "README.md").read_bytes()) == before
    assert (tmp_path / "elsewhere" / "metrics.json").is_file()
