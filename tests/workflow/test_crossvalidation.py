"""Cross-validation: who tests, validates and trains; the tables; and the out-of-fold predictions."""

import csv
import shutil

import numpy as np
import pytest

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import predict_dataset, read_predictions
from einthoven.files import read_json, write_json
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run, list_runs, open_run
from einthoven.workflow import crossvalidation
from einthoven.workflow.crossvalidation import cross_validate, fold_recipes, folder_of, is_complete
from einthoven.workflow.deciding import decide_split, plan_of
from einthoven.workflow.evaluate import Evaluated, Part
from einthoven.workflow.selection import select_for
from einthoven.workflow.splitting import make_split

SHIPPED = "ptbxl-superdiagnostic"


@pytest.fixture(scope="module")
def folded(dataset_folder, tmp_path_factory):
    """A dataset folder of its own, with a split of four folds."""
    folder = tmp_path_factory.mktemp("folded") / "data"
    shutil.copytree(dataset_folder, folder)
    make_split(open_dataset(folder), "kfold", name="four", folds=4)
    return folder


def recipe_of(folded, *overrides):
    text = f"name: cv\ndata: {{dataset: {folded}, folds: {{split: four, rotate: true}}}}\n"
    text += "model: {options: {width: 8}}\ntraining: {epochs: 1, batch_size: 16, threads: 1}\nevaluation: {n_resamples: 0}\n"
    return parse_recipe(text, overrides=overrides)


@pytest.fixture
def quick(monkeypatch):
    """Runs whose bundle is the shipped model, judged as ``evaluate`` would but without reports."""
    monkeypatch.setattr("einthoven.workflow.extras.write_mistakes", lambda *a: [])
    trained = []

    def train_one(recipe, runs, *, version=None, short=False, announce=None):
        run, _ = open_run(runs, recipe, version=version, short=short)
        run._lock.close()
        trained.append(run.path)
        shutil.copytree(load_bundle(SHIPPED).path, run.bundle)
        (run.path / "report.html").write_text("")
        return run

    def evaluate(path, split, announce):
        assert split == "test"
        bundle, recipe = load_bundle(Run(path).bundle), Run(path).recipe()
        selected = select_for(recipe, open_dataset(recipe.data.dataset))
        rows = selected.rows["test"]
        seen = predict_dataset(bundle, selected.dataset, rows, selected.targets[rows])
        judged = decide_split(seen, plan_of(bundle, selected), bundle.decisions)
        judgement = judge("test", seen, judged.decided, judged.decisions, how_decided="", n_resamples=0)
        judgement["dataset"] = {"name": selected.dataset.name}
        part = Part("test", "test", rows, list(recipe.data.folds.test), selected.n_unlabelled["test"])
        return Evaluated(path, judgement, seen, bundle, selected, part, 0)

    monkeypatch.setattr(crossvalidation, "evaluate", evaluate)
    train_one.trained = trained
    return train_one


@pytest.fixture
def tables_only(monkeypatch):
    """No pictures and no report, where only the folders matter."""

    def write(folder, judgement, predictions, **context):
        write_json(folder / "metrics.json", {"oof": judgement})

    monkeypatch.setattr(crossvalidation, "write_judgement", write)
    monkeypatch.setattr(crossvalidation, "write_extras", lambda *a: [])
    monkeypatch.setattr(crossvalidation, "judge_extras", lambda *a, **k: None)


def test_each_fold_tests_once_the_next_validates_and_the_others_train(folded):
    recipes = fold_recipes(recipe_of(folded), open_dataset(folded))
    assert {k: (r.data.folds.test, r.data.folds.validation, r.data.folds.train) for k, r in recipes.items()} == {
        1: ((1,), (2,), (3, 4)),
        2: ((2,), (3,), (1, 4)),
        3: ((3,), (4,), (1, 2)),
        4: ((4,), (1,), (2, 3)),
    }
    assert [r.name for r in recipes.values()] == ["cv-fold1", "cv-fold2", "cv-fold3", "cv-fold4"]
    assert not any(r.data.folds.rotate for r in recipes.values())
    own = fold_recipes(recipe_of(folded, "data.folds.split=null"), open_dataset(folded))
    assert list(own) == list(range(1, 11))


def test_folds_that_cannot_rotate_are_refused(folded, tmp_path):
    with pytest.raises(RecipeError, match="rotate uses every fold for everything; leave out data.folds.test"):
        fold_recipes(recipe_of(folded, "data.folds.test=[11]"), open_dataset(folded))
    (folded / "splits" / "two.csv").write_text(
        "record_id,fold\n" + "".join(f"{r},{k % 2}\n" for k, r in enumerate(open_dataset(folded).records.record_id))
    )
    with pytest.raises(DatasetError, match="the split two has 2 folds; cross-validation needs three or more"):
        fold_recipes(recipe_of(folded, "data.folds.split=two"), open_dataset(folded))
    with pytest.raises(RecipeError, match="makes several runs"):
        workflow.train(recipe_of(folded), tmp_path)


def test_every_record_is_predicted_once_by_the_model_that_did_not_see_it(folded, tmp_path, quick):
    found = cross_validate(recipe_of(folded), tmp_path, train_one=quick)
    assert found.folder == tmp_path / "cv-crossvalidation"
    stored = read_predictions(found.folder / "predictions-oof.parquet")
    dataset = open_dataset(folded)
    everyone = select_for(fold_recipes(recipe_of(folded), dataset)[1], dataset)
    wanted = {dataset.records.record_id[row] for rows in everyone.rows.values() for row in rows}
    assert sorted(stored.record_id) == sorted(wanted)
    fold = dict(zip(dataset.records.record_id, dataset.folds("four"), strict=True))
    assert stored.fold == [fold[name] for name in stored.record_id]
    # The model of all folds is the same here, so the pooled scores are those of one prediction of everything.
    rows = np.array([dataset.records.record_id.index(name) for name in stored.record_id])
    at_once = predict_dataset(load_bundle(SHIPPED), dataset, rows, everyone.targets[rows])
    np.testing.assert_allclose(stored.probabilities, at_once.probabilities, atol=1e-6)
    assert found.judgement["n_records"] == len(wanted)
    assert "The scores of 4 models are pooled" in " ".join(found.judgement["caution"])
    assert set(read_json(found.folder / "metrics.json", EinthovenError, "")) == {"oof"}


def test_the_tables_hold_each_fold_and_their_mean_deviation_and_interval(folded, tmp_path, quick, tables_only):
    found = cross_validate(recipe_of(folded), tmp_path, train_one=quick)
    with (found.folder / "folds.csv").open(newline="") as file:
        folds = list(csv.DictReader(file))
    assert [(row["fold"], row["run"]) for row in folds] == [(str(k), f"cv-fold{k}/001") for k in range(1, 5)]
    values = [float(row["auroc"]) for row in folds]
    with (found.folder / "summary.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["class"], first["figure"], first["n"]) == ("(macro)", "auroc", "4")
    assert float(first["mean"]) == pytest.approx(np.mean(values), abs=1e-5)
    assert float(first["deviation"]) == pytest.approx(np.std(values, ddof=1), rel=1e-3)
    half = 3.182446 * np.std(values, ddof=1) / 2  # Student's t, 3 degrees of freedom
    assert float(first["high"]) == pytest.approx(np.mean(values) + half, abs=1e-4)
    assert sum(int(row["records"]) for row in folds) == found.judgement["n_records"]


def test_an_interrupted_cross_validation_goes_on_and_a_done_one_begins_anew(folded, tmp_path, quick, tables_only):
    recipe = recipe_of(folded)

    def stops(each, runs, **options):
        if len(quick.trained) == 2:
            raise KeyboardInterrupt
        return quick(each, runs, **options)

    with pytest.raises(KeyboardInterrupt):
        cross_validate(recipe, tmp_path, train_one=stops)
    assert not is_complete(recipe, tmp_path)
    cross_validate(recipe, tmp_path, train_one=quick)
    assert [path.parent.name for path in quick.trained] == [f"cv-fold{k}" for k in range(1, 5)]
    assert is_complete(recipe, tmp_path)
    cross_validate(recipe, tmp_path, test_only=True, train_one=quick)
    assert len(quick.trained) == 4
    cross_validate(recipe, tmp_path, train_one=quick)
    assert all(len(list_runs(tmp_path, f"cv-fold{k}")) == 2 for k in range(1, 5))


def test_a_grid_of_cross_validations_keeps_them_apart(folded, tmp_path, quick, tables_only):
    (tmp_path / "r.yaml").write_text(recipe_of(folded).to_yaml())
    queue = workflow.read_queue([tmp_path / "r.yaml"], ["seed=[0, 1]"])
    outcomes = workflow.work_off(queue, tmp_path / "runs", train_one=quick)
    assert [each.crossvalidation.folder.name for each in outcomes] == [f"cv-seed{k}-crossvalidation" for k in (0, 1)]
    assert len(quick.trained) == 8
    # One that is done waits for the others of an interrupted round.
    shutil.rmtree(tmp_path / "runs" / "cv-seed1-crossvalidation")
    shutil.rmtree(tmp_path / "runs" / "cv-seed1-fold4")
    outcomes = workflow.work_off(queue, tmp_path / "runs", train_one=quick)
    assert [path.parent.name for path in quick.trained[8:]] == ["cv-seed1-fold4"]
    assert outcomes[0].judgement["split"] == "oof"


@pytest.mark.slow
def test_a_short_cross_validation_runs_from_end_to_end(folded, tmp_path):
    recipe = recipe_of(folded, "evaluation.n_resamples=100")
    found = cross_validate(recipe, tmp_path, short=True)
    assert found.folder == folder_of(recipe, tmp_path, short=True) == tmp_path / "cv-short-crossvalidation"
    assert [run.path.parent.name for run in found.runs.values()] == [f"cv-fold{k}-short" for k in range(1, 5)]
    dataset, patients = open_dataset(folded), {}
    stored = read_predictions(found.folder / "predictions-oof.parquet")
    for fold, run in found.runs.items():
        selected = select_for(run.recipe(), dataset)
        patients[fold] = {
            dataset.records.patient_id[row] for part in ("train", "validation") for row in selected.rows[part]
        }
        tested = read_predictions(run.path / "predictions-test.parquet")
        place = {name: k for k, name in enumerate(stored.record_id)}
        np.testing.assert_array_equal(stored.probabilities[[place[n] for n in tested.record_id]], tested.probabilities)
    for patient, fold in zip(stored.patient_id, stored.fold, strict=True):
        assert patient not in patients[fold]
    assert (found.folder / "report.html").is_file()
    assert is_complete(recipe, tmp_path, short=True)
