"""Sweeps: what may be searched, that a search repeats, goes on where it stopped, and never looks at test folds."""

import csv
import multiprocessing
import os
import signal
import time

import pytest
import yaml
from optuna.trial import TrialState

from einthoven.errors import EinthovenError, RecipeError
from einthoven.training.recipe import load_recipe
from einthoven.training.sweep_schema import load_sweep
from einthoven.workflow import trials
from einthoven.workflow.runs_table import runs_table
from einthoven.workflow.sweep import sweep

HEAD = "name: s\ndata: {dataset: somewhere}\n"


def text_of(dataset, **search):
    recipe = {
        "name": "s",
        "data": {"dataset": str(dataset), "folds": {"train": [1], "validation": [9]}},
        "model": {"options": {"width": 4}},
        "training": {"epochs": 1, "batch_size": 8, "threads": 1, "precision": "fp32"},
        "sweep": {"parameters": {"training.lr": {"low": 1e-4, "high": 1e-1, "log": True}}, "pruner": "none", **search},
    }
    return yaml.safe_dump(recipe, sort_keys=False)


@pytest.fixture
def recipe_file(tmp_path, dataset_folder):
    def write(**search):
        path = tmp_path / "s.yaml"
        path.write_text(text_of(dataset_folder, **search))
        return path

    return write


def table(found):
    with (found.folder / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("", "r.yaml: has no section sweep; write which parameters"),
        ("sweep: {}\n", "r.yaml:3: sweep.parameters: field required"),
        ("sweep:\n  parameters:\n    training.learning_rate: [1, 2]\n", r"r.yaml:5: unknown key 'training.learning_rate'.*allowed here: epochs"),
        ("sweep:\n  parameters:\n    training.lrr: [1, 2]\n", r"r.yaml:5: unknown key 'training.lrr' \(did you mean 'lr'\?\)"),
        ("sweep:\n  parameters:\n    seed: [1, 2]\n", "r.yaml:5: seed is not searched"),
        ("sweep:\n  parameters:\n    data.folds.validation: [[9], [10]]\n", "data.folds.validation is not searched: trials are compared on the same records"),
        ("sweep:\n  parameters:\n    training.lr: {low: 1, high: 0.1}\n", "r.yaml:5: sweep.parameters.training.lr: low 1 is above high 0.1"),
        ("sweep:\n  parameters:\n    training.lr: {low: 0, high: 1, log: true}\n", "log needs a low above 0"),
        ("sweep:\n  parameters:\n    training.lr: {low: 0.1, hig: 1}\n", r"r.yaml:5: .*field required"),
        ("sweep:\n  parameters:\n    training.lr: [0.1]\n", "training.lr: write a range, as {low: 1e-4, high: 1e-1, log: true}, or a list of two"),
        ("sweep:\n  parameters:\n    training.lr: [0.1, -1]\n", "r.yaml:5: training.lr -1: .*greater than 0"),
        ("sweep:\n  parameters:\n    training.epochs: {low: 0, high: 9}\n", "r.yaml:5: training.epochs 0: .*greater than or equal to 1"),
        ("sweep:\n  parameters: {training.lr: [0.1, 1]}\n  sampler: tpa\n", r"r.yaml:5: sweep.sampler: input should be 'tpe'.*got 'tpa'"),
        ("sweep:\n  parameters: {training.lr: [0.1, 1]}\n  trial: 5\n", r"sweep.trial.*unknown key 'trial' \(did you mean 'trials'\?\)|unknown key 'trial' \(did you mean 'trials'"),
        ("sweep:\n  parameters: {training.lr: {low: 0.1, high: 1}}\n  sampler: grid\n", "r.yaml:4: training.lr: sampler grid needs a step"),
        ("seed: [0, 1]\nsweep:\n  parameters: {training.lr: [0.1, 1]}\n", "r.yaml:3: seed is a grid axis; list it in sweep.parameters"),
        ("training: {devices: 2}\nsweep:\n  parameters: {training.lr: [0.1, 1]}\n", "training.devices: a trial is one training on one device"),
    ],
)  # fmt: skip
def test_sweeps_that_cannot_be_name_file_line_and_key(tmp_path, monkeypatch, section, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(HEAD + section)
    with pytest.raises(RecipeError, match=message):
        load_sweep(tmp_path / "r.yaml")


def test_ranges_are_whole_where_their_key_is_and_lists_may_hold_anything(tmp_path):
    (tmp_path / "r.yaml").write_text(
        HEAD
        + "sweep:\n  parameters:\n    training.lr: {low: 1, high: 2}\n    training.epochs: {low: 5, high: 20, step: 5}\n"
        "    training.augment: [[], [noise, scale]]\n    model.name: [resnet1d_wang, xresnet1d50]\n"
    )
    plan = load_sweep(tmp_path / "r.yaml")
    assert (plan.is_whole("training.lr"), plan.is_whole("training.epochs")) == (False, True)
    recipe = plan.recipe_of({"training.augment": "[noise, scale]", "training.epochs": 10}, "t")
    assert [step.name for step in recipe.training.augment] == ["noise", "scale"]
    assert (recipe.training.epochs, recipe.name) == (10, "t")
    with pytest.raises(RecipeError, match=r"r.yaml:5: training.lr: sampler grid needs a step"):
        load_sweep(tmp_path / "r.yaml", ["sweep.sampler=grid"])
    plan = load_sweep(
        tmp_path / "r.yaml",
        ["sweep.sampler=grid", "sweep.parameters={training.epochs: {low: 5, high: 20, step: 5}, model.name: [a, b]}"],
    )
    assert [c["training.epochs"] for c in plan.combinations()] == [5, 5, 10, 10, 15, 15, 20, 20]


def test_a_search_writes_table_best_recipe_and_picture_and_goes_on_to_more_trials(recipe_file, tmp_path):
    path = recipe_file(trials=3, sampler="random")
    found = sweep(path, runs=tmp_path / "a")
    assert [row["state"] for row in found.trials] == ["complete"] * 3
    best = load_recipe(found.recipe)
    assert best.name == "s-best"
    assert best.training.lr == found.best["training.lr"]
    assert best.training.threads == 1
    assert found.best["value"] == max(row["value"] for row in found.trials)
    assert {p.name for p in found.folder.iterdir()} >= {
        "study.db",
        "trials.csv",
        "importance.csv",
        "search.png",
        "sweep.yaml",
    }
    assert found.importance == {}  # three trials tell nothing
    rows = runs_table(found.folder / "trials", sort="run")
    assert [(row["state"], row["auroc"]) for row in rows] == [("trial", row["value"]) for row in found.trials]
    assert not list(found.folder.rglob("*.pt")) + list(found.folder.rglob("predictions-test*"))
    # The same search at one go draws the same values and finds the same figures.
    more = sweep(path, ["sweep.trials=5"], runs=tmp_path / "a")
    once = sweep(path, ["sweep.trials=5"], runs=tmp_path / "b")
    assert table(more) == table(once)
    assert len({row["training.lr"] for row in table(more)}) == 5
    assert sum(more.importance.values()) == pytest.approx(1)
    with pytest.raises(RecipeError, match=r"holds another search: training.epochs: 1 -> 3; set these back"):
        sweep(path, ["training.epochs=3"], runs=tmp_path / "a")


def test_test_folds_are_not_looked_at(recipe_file, tmp_path, monkeypatch):
    looked = []
    make = trials.make_problem

    def watch(recipe, selected):
        problem = make(recipe, selected)
        looked.append(
            (set(problem.train.tolist()) | set(problem.validation.tolist()), set(selected.rows["test"].tolist()))
        )
        return problem

    monkeypatch.setattr(trials, "make_problem", watch)
    sweep(recipe_file(trials=1), runs=tmp_path)
    ((seen, test),) = looked
    assert test
    assert not seen & test


def test_a_grid_trains_every_combination_once_and_no_more(recipe_file, tmp_path):
    path = recipe_file(
        sampler="grid", trials=50, parameters={"training.lr": [0.01, 0.1], "training.epochs": {"low": 1, "high": 2}}
    )
    found = sweep(path, runs=tmp_path)
    assert [(row["training.lr"], row["training.epochs"]) for row in found.trials] == [
        (0.01, 1),
        (0.01, 2),
        (0.1, 1),
        (0.1, 2),
    ]
    assert len(sweep(path, runs=tmp_path).trials) == 4


def test_an_interrupted_trial_counts_as_failed_and_is_repeated(recipe_file, tmp_path, monkeypatch):
    path = recipe_file(trials=2)
    train, begun = trials._train, []

    def interrupt(trial, *arguments):
        begun.append(trial.params)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return train(trial, *arguments)

    monkeypatch.setattr(trials, "_train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep(path, runs=tmp_path)
    monkeypatch.setattr(trials, "_train", train)
    # A killed process leaves its trial as running.
    trials.open_study(load_sweep(path), tmp_path / "s-sweep").ask(
        {"training.lr": trials._distribution(load_sweep(path), "training.lr")}
    )
    found = sweep(path, runs=tmp_path)
    assert [row["state"] for row in found.trials].count("interrupted") == 2
    assert [row["state"] for row in found.trials].count("complete") == 2
    assert begun[1]["training.lr"] in [row["training.lr"] for row in found.trials if row["state"] == "complete"]


def test_trials_that_fail_are_named_and_a_search_of_failures_says_why(recipe_file, tmp_path, monkeypatch):
    def fail(trial, *arguments):
        raise EinthovenError("the loss became nan")

    monkeypatch.setattr(trials, "_train", fail)
    with pytest.raises(EinthovenError, match="no trial was completed: the loss became nan"):
        sweep(recipe_file(trials=2), runs=tmp_path)
    assert [row["state"] for row in csv.DictReader((tmp_path / "s-sweep" / "trials.csv").open())] == [
        "failed",
        "failed",
    ]


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("tpe", "median"), ("tpe", "hyperband"), ("random", "asha"), ("cmaes", "none")]
)
def test_every_sampler_and_pruner_works_without_training(recipe_file, tmp_path, monkeypatch, sampler, pruner):
    def train(trial, plan, folder, worker, workers):
        watcher = trials._Watcher(trials._judged_by(trial), "auroc", 8)
        worth = -abs(trial.params["training.lr"] - 0.01)
        for epoch in range(1, 9):
            watcher.epoch({"epoch": epoch, "validation_auroc": worth + 0.001 * epoch})
        return worth

    monkeypatch.setattr(trials, "_train", train)
    monkeypatch.setattr("einthoven.plots.inline.save_figure", lambda figure, path: None)
    found = sweep(recipe_file(trials=15, sampler=sampler, pruner=pruner), runs=tmp_path)
    states = [row["state"] for row in found.trials]
    assert len(states) == 15
    assert ("pruned" in states) == (pruner != "none")
    assert all(1 <= row["epochs"] < 8 for row in found.trials if row["state"] == "pruned")
    assert abs(found.best["training.lr"] - 0.01) < 0.02


def test_two_processes_do_not_search_in_one_folder(recipe_file, tmp_path):
    import fcntl

    path = recipe_file(trials=1)
    (tmp_path / "s-sweep").mkdir()
    with (tmp_path / "s-sweep" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EinthovenError, match="another process searches here"):
            sweep(path, runs=tmp_path)


@pytest.mark.slow
def test_workers_share_the_trials_and_a_killed_search_goes_on(recipe_file, tmp_path):
    path = recipe_file(trials=6, sampler="random")
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=sweep, args=(path,), kwargs={"runs": tmp_path})
    process.start()
    while len(list((tmp_path / "s-sweep" / "trials").glob("*/001/recipe.yaml"))) < 2:
        assert process.is_alive()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    found = sweep(path, runs=tmp_path, workers=2)
    study = trials.open_study(load_sweep(path), tmp_path / "s-sweep")
    assert len(study.get_trials(states=[TrialState.COMPLETE])) == 6
    assert len({row["training.lr"] for row in found.trials if row["state"] == "complete"}) == 6
