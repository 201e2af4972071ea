import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.files import read_json
from einthoven.training.averaging import MovingAverage
from einthoven.training.batches import SignalStore, epoch_batches, fit_scaling
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.device import make_engine
from einthoven.training.losses import loss_of
from einthoven.training.runs import open_run

_TIMES = ("train_seconds", "seconds")


def _history(run):
    return [{k: v for k, v in row.items() if k not in _TIMES} for row in run.read_history()]


@pytest.fixture(scope="module")
def finished(dataset_folder, tmp_path_factory):
    from small_runs import Silent, small_recipe

    return workflow.train(small_recipe(dataset_folder), tmp_path_factory.mktemp("runs"), reporter=Silent())


def test_a_run_folder_has_everything_that_the_design_promises(finished):
    names = {str(path.relative_to(finished.path)) for path in finished.path.rglob("*") if path.is_file()}
    assert names >= {
        "recipe.yaml", "environment.json", "history.csv", "metrics.json", "report.html",
        "predictions-validation.parquet", "plots/roc-pr-validation.png", "checkpoints/last.pt",
        "checkpoints/best-auroc.safetensors", "checkpoints/best-accuracy.safetensors",
        "checkpoints/best-loss.safetensors", "bundle/bundle.json", "bundle/model.safetensors", "bundle/model.onnx",
        "bundle/README.md",
    }  # fmt: skip
    assert any(name.startswith("tensorboard/events") for name in names)
    assert len(finished.read_history()) == 3


def test_the_same_recipe_and_seed_give_the_same_numbers(finished, dataset_folder, tmp_path, recipe_of, silent):
    again = workflow.train(recipe_of(dataset_folder), tmp_path, reporter=silent)
    assert _history(again) == _history(finished)
    one, two = load_file(finished.best("auroc")), load_file(again.best("auroc"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    figures = [
        read_json(run.path / "metrics.json", EinthovenError, "")["validation"]["macro"] for run in (finished, again)
    ]
    assert figures[0] == figures[1]


def test_another_seed_gives_other_numbers(finished, dataset_folder, tmp_path, recipe_of, silent):
    other = workflow.train(recipe_of(dataset_folder, "seed=1", "training.epochs=1"), tmp_path, reporter=silent)
    assert _history(other)[0]["train_loss"] != _history(finished)[0]["train_loss"]


def test_a_run_killed_mid_epoch_ends_with_the_numbers_of_an_undisturbed_one(finished, dataset_folder, tmp_path, silent):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from einthoven import workflow
from einthoven.training.recipe import load_recipe
class Killer:
    def step(self, epoch, step, n_steps, loss):
        if epoch == 2 and step >= 10:
            os.kill(os.getpid(), signal.SIGKILL)
    def epoch(self, row):
        pass
workflow.train(load_recipe({str(finished.path / "recipe.yaml")!r}), Path({str(tmp_path)!r}), reporter=Killer())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    recipe = finished.recipe()
    run, continued = open_run(tmp_path, recipe)
    assert continued
    assert len(run.read_history()) == 1
    run._lock.close()
    resumed = workflow.train(recipe, tmp_path, reporter=silent)
    assert resumed.path == run.path
    assert _history(resumed) == _history(finished)
    one, two = load_checkpoint(finished.checkpoint), load_checkpoint(resumed.checkpoint)
    for part in ("model", "average"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def test_a_finished_run_is_followed_by_the_next_number(finished, dataset_folder, silent):
    run, continued = open_run(finished.path.parents[1], finished.recipe())
    assert (run.path.name, continued) == ("002", False)
    with pytest.raises(EinthovenError, match="another process is training this run"):
        open_run(finished.path.parents[1], finished.recipe())


def test_the_judged_bundle_is_the_deployed_bundle(finished, corpus_folder):
    from einthoven.corpora import open_corpus
    from einthoven.evaluation.predictions import read_predictions
    from einthoven.formats import read_record

    stored = read_predictions(finished.path / "predictions-validation.parquet")
    paths = {entry.record_id: entry.path for entry in open_corpus("ptb-xl", corpus_folder).entries}
    for backend in ("onnx", "torch"):
        bundle = load_bundle(finished.path, backend=backend)
        for row in range(0, len(stored.record_id), 5):
            findings = bundle.predict(read_record(paths[stored.record_id[row]])).findings
            shown = bundle.decisions.decide(stored.probabilities[row : row + 1]).probabilities[0]
            np.testing.assert_allclose([f.probability for f in findings], shown, atol=2e-3)


def test_a_split_without_records_is_said_so(finished, dataset_folder, tmp_path, recipe_of, silent):
    run = workflow.train(
        recipe_of(dataset_folder, "data.folds.test=[77]", "training.epochs=1"), tmp_path, reporter=silent
    )
    judged = workflow.evaluate(run.path, split="test")
    assert judged.judgement["reason"] == "no records in fold 77"
    assert "no records in fold 77" in (run.path / "report.html").read_text()


def test_the_test_split_is_judged_with_the_bundles_thresholds(finished):
    judgement = workflow.evaluate(finished.path, split="test").judgement
    assert judgement["decisions"] == "thresholds come with the bundle"
    assert set(read_json(finished.path / "metrics.json", EinthovenError, "")) == {"validation", "test"}


def test_folds_without_records_or_classes_are_named(dataset_folder, tmp_path, recipe_of, silent):
    with pytest.raises(DatasetError, match=r"train folds \(55\); the dataset has 1, 2, .*9, 10; name these in"):
        workflow.train(recipe_of(dataset_folder, "data.folds.train=[55]"), tmp_path, reporter=silent)
    with pytest.raises(DatasetError, match=r"no training record of class .*; choose other training folds"):
        workflow.train(recipe_of(dataset_folder, "data.folds.train=[1]", "data.task=all"), tmp_path, reporter=silent)
    assert not list(tmp_path.iterdir())


def test_windows_longer_than_every_record_are_told(dataset_folder, tmp_path, recipe_of, silent):
    said = []
    recipe = recipe_of(dataset_folder, "data.crop_s=12.5", "training.lr=1e30", "training.clip_norm=null")
    with pytest.raises(EinthovenError, match="the loss became"):  # nothing need be trained
        workflow.train(recipe, tmp_path, reporter=silent, announce=said.append)
    assert "warning: data.crop_s is 12.5 s, but the longest training record has 10 s: the rest of every window is zeros" in said  # fmt: skip


def test_a_diverging_loss_stops_with_advice(dataset_folder, tmp_path, recipe_of, silent):
    overrides = ("training.lr=1e30", "training.clip_norm=null", "training.epochs=2")
    with pytest.raises(EinthovenError, match=r"the loss became (nan|inf) in epoch 1; lower training.lr"):
        workflow.train(recipe_of(dataset_folder, *overrides), tmp_path, reporter=silent)


def test_early_stopping_stops(dataset_folder, tmp_path, recipe_of, silent):
    run = workflow.train(
        recipe_of(dataset_folder, "training.epochs=40", "training.lr=1e-9", "training.early_stopping=2"),
        tmp_path,
        reporter=silent,
    )
    assert len(run.read_history()) < 40


def test_single_label_models_are_multi_class(dataset_folder, tmp_path, recipe_of, silent):
    run = workflow.train(
        recipe_of(dataset_folder, "data.single_label=true", "training.epochs=1"), tmp_path, reporter=silent
    )
    judgement = read_json(run.path / "metrics.json", EinthovenError, "")["validation"]
    assert set(load_bundle(run.path).thresholds.values()) == {None}
    assert judgement["kind"] == "multiclass"
    assert judgement["decisions"].startswith("the likeliest class is chosen")


def test_mapped_and_resident_signals_give_the_same_batches(dataset_folder):
    dataset, cpu = open_dataset(dataset_folder), torch.device("cpu")
    rows = torch.arange(0, 240, 3)
    batches = []
    for residence in ("device", "map"):
        store = SignalStore(dataset, cpu, residence)
        assert store.resident == (residence == "device")
        drawn = list(epoch_batches(store, rows, 250, 16, torch.Generator().manual_seed(3)))
        assert len(drawn) == 5
        batches.append(drawn)
    for (a, x), (b, y) in zip(*batches, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)


def test_crops_come_from_the_record_they_are_labelled_with(dataset_folder):
    dataset = open_dataset(dataset_folder)
    store = SignalStore(dataset, torch.device("cpu"))
    chosen, x = next(epoch_batches(store, torch.arange(240), 250, 8, torch.Generator().manual_seed(0)))
    for row, crop in zip(chosen.tolist(), x.numpy(), strict=True):
        whole = dataset.signal(row)
        found = [s for s in range(751) if np.allclose(whole[:, s : s + 250], crop, atol=1e-6)]
        assert len(found) == 1


def test_windows_beyond_the_end_are_zero(dataset_folder):
    for residence in ("device", "map"):
        store = SignalStore(open_dataset(dataset_folder), torch.device("cpu"), residence)
        x = store.gather(torch.tensor([0, 1]), torch.tensor([0, 900]), 250)
        assert not x[1, :, 100:].any()
        assert x[1, :, :100].any()


def test_scaling_is_fitted_on_the_rows_given(dataset_folder):
    dataset, rows = open_dataset(dataset_folder), np.array([3, 40, 77])
    signals = np.stack([dataset.signal(row) for row in rows]).astype(np.float64)
    mean, deviation = fit_scaling(dataset, rows, "dataset")
    assert (mean[0], deviation[0]) == pytest.approx((signals.mean(), signals.std()), rel=1e-5)
    mean, deviation = fit_scaling(dataset, rows, "lead")
    np.testing.assert_allclose(mean, signals.mean(axis=(0, 2)), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(deviation, signals.std(axis=(0, 2)), rtol=1e-4)
    assert fit_scaling(dataset, rows, "none") == ([0.0], [1.0])


def test_the_moving_average_follows_with_its_decay():
    module = torch.nn.BatchNorm1d(2)
    average = MovingAverage(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.num_batches_tracked.fill_(7)
    average.update(module, step=1000)
    torch.testing.assert_close(average.module.weight, torch.full((2,), 2.0))
    assert average.module.num_batches_tracked == 7


def test_losses_leave_unknown_targets_out_and_smooth():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    targets = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.flatten()[[0, 2, 3]], torch.tensor([1.0, 0.0, 1.0]), reduction="mean"
    )
    torch.testing.assert_close(loss_of(logits, targets, "multilabel"), each)
    smooth = loss_of(logits, targets, "multilabel", 0.2)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.flatten()[[0, 2, 3]], torch.tensor([0.9, 0.1, 0.9]), reduction="mean"
    )
    torch.testing.assert_close(smooth, expected)


def test_a_checkpoint_that_holds_code_is_refused(tmp_path):
    import pickle

    (tmp_path / "last.pt").write_bytes(pickle.dumps(print))
    with pytest.raises(EinthovenError, match="not a usable checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("gpu",), "must be auto, cpu or cuda"), (("cpu", "fp16"), "fp16 needs a GPU")],
)
def test_impossible_engines_are_refused(arguments, message):
    with pytest.raises(RecipeError, match=message):
        make_engine(*arguments)


def test_the_bundle_says_where_it_comes_from(finished):
    about = json.loads((finished.bundle / "bundle.json").read_text())
    assert about["provenance"]["folds"]["validation"] == [9]
    assert about["provenance"]["n_records"] > 100
    assert str(finished.path.parents[2]) not in json.dumps(about)
    assert about["network"]["n_parameters"] > 1000
    assert all(t is None or 0 < t < 1 for t in about["thresholds"]["values"].values())


def test_a_full_disk_ends_training_with_a_sentence_and_a_rerun_continues(dataset_folder, tmp_path, recipe_of, silent):
    recipe = recipe_of(dataset_folder, "training.epochs=2")
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "from einthoven.cli.main import run; run()"
    )
    command = [sys.executable, "-c", limited, "train", str(tmp_path / "r.yaml"), "--runs", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing was half-written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    run = workflow.train(recipe, tmp_path / "runs", reporter=silent)
    assert run.path.name == "001"
    assert len(run.read_history()) == 2


def test_a_bundle_is_judged_on_any_dataset_of_its_form(finished, dataset_folder, corpus_folder, tmp_path, monkeypatch):
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare
    from einthoven.spec import SignalSpec

    monkeypatch.chdir(tmp_path)
    done = workflow.evaluate(finished.bundle, dataset_folder, split="validation", n_resamples=120)
    assert str(done.folder) == "evaluation-small-on-synthetic"
    assert (done.folder / "report.html").is_file()
    own = read_json(finished.path / "metrics.json", EinthovenError, "")["validation"]
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(own["macro"]["auroc"]["value"], abs=1e-12)
    with pytest.raises(DatasetError, match="name a prepared dataset"):
        workflow.evaluate(finished.bundle)
    prepare(open_corpus("ptb-xl", corpus_folder), tmp_path / "slow", SignalSpec(fs=50), workers=1)
    with pytest.raises(DatasetError, match=r"not in the form that small needs: fs is 50.0, not 100.0; prepare it so"):
        workflow.evaluate(finished.bundle, tmp_path / "slow")


@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
def test_a_schedule_of_few_steps_runs(dataset_folder, tmp_path, recipe_of, silent, epochs):
    overrides = (
        f"training.epochs={epochs}",
        "training.batch_size=2000",
        "training.warmup=0.1",
        "evaluation.n_resamples=0",
    )
    run = workflow.train(recipe_of(dataset_folder, *overrides), tmp_path, reporter=silent)
    assert len(run.read_history()) == epochs


def test_judgements_of_other_weights_do_not_stand_in_the_same_report(
    finished, dataset_folder, tmp_path, recipe_of, silent
):
    other = workflow.train(recipe_of(dataset_folder, "seed=5", "training.epochs=1"), tmp_path / "runs", reporter=silent)
    workflow.evaluate(finished.bundle, dataset_folder, split="validation", out=tmp_path / "mix", n_resamples=120)
    workflow.evaluate(finished.bundle, dataset_folder, split="test", out=tmp_path / "mix", n_resamples=120)
    assert set(read_json(tmp_path / "mix" / "metrics.json", EinthovenError, "")) == {"validation", "test"}
    workflow.evaluate(other.bundle, dataset_folder, split="test", out=tmp_path / "mix", n_resamples=120)
    assert set(read_json(tmp_path / "mix" / "metrics.json", EinthovenError, "")) == {"test"}


def test_a_validation_split_that_cannot_choose_is_named(dataset_folder, tmp_path, recipe_of, silent):
    import dataclasses

    from einthoven.workflow.selection import select_for
    from einthoven.workflow.train import check_trainable

    recipe = recipe_of(dataset_folder)
    selected = select_for(recipe, open_dataset(dataset_folder))
    one = dataclasses.replace(selected, rows={**selected.rows, "validation": selected.rows["validation"][:1]})
    with pytest.raises(DatasetError, match="no class has both a positive and a negative record in the validation"):
        check_trainable(one, recipe)
