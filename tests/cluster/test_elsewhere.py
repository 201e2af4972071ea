"""Sweeps and runs on other machines, played by this process: what is drawn, judged, repeated and stored once."""

import csv

import pytest
from optuna.trial import TrialState

from einthoven.errors import EinthovenError
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run, list_runs
from einthoven.training.sweep_schema import load_sweep
from einthoven.workflow import together, trials
from einthoven.workflow.sweep import sweep

SEARCH = """
name: s
data: {{dataset: {dataset}, folds: {{train: [1], validation: [9]}}}}
model: {{options: {{width: 4}}}}
training: {{epochs: {epochs}, batch_size: 8, threads: 1, precision: fp32}}
sweep:
  parameters: {{training.lr: {{low: 1e-4, high: 1e-1, log: true}}}}
  pruner: {pruner}
  sampler: random
  trials: {trials}
"""


class Twice:
    """Other machines that die after each job, so that it is done again: the second result counts."""

    def divide(self, needs):
        assert needs.threads == 1

        def divided(work, jobs, workers=None):
            for job in jobs:
                work(*job)
                yield job, work(*job)

        return divided

    def host(self, make):
        return make()


def table(found):
    with (found.folder / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture
def search(tmp_path, dataset_folder):
    def write(epochs=1, pruner="none", n=2):
        path = tmp_path / "s.yaml"
        path.write_text(SEARCH.format(dataset=dataset_folder, epochs=epochs, pruner=pruner, trials=n))
        return path

    return write


def test_trials_of_machines_that_die_are_those_of_an_undisturbed_search(search, tmp_path):
    path = search()
    found = sweep(path, runs=tmp_path / "elsewhere", elsewhere=Twice())
    assert table(found) == table(sweep(path, runs=tmp_path / "here"))
    assert [row["state"] for row in found.trials] == ["complete"] * 2
    assert len(list((found.folder / "trials").glob("*/*/recipe.yaml"))) == 2


def test_trials_are_stopped_by_the_judge_and_failures_are_named(search, tmp_path, monkeypatch):
    def train(recipe, plan, folder, number, watcher):
        if number == 3:
            raise EinthovenError("the loss became nan")
        for epoch in range(1, 5):
            watcher.epoch({"epoch": epoch, "validation_auroc": 0.9 - 0.1 * number})
        return 0.9 - 0.1 * number

    monkeypatch.setattr(trials, "_train_recipe", train)
    monkeypatch.setattr("einthoven.plots.inline.save_figure", lambda figure, path: None)
    found = sweep(search(epochs=4, pruner="asha", n=5), runs=tmp_path, elsewhere=Twice())
    assert [row["state"] for row in found.trials] == ["complete", "complete", "pruned", "failed", "pruned"]
    assert found.trials[3]["reason"] == "the loss became nan"
    assert [row["epochs"] for row in found.trials] == [4, 4, 1, 0, 1]


def test_a_killed_driver_repeats_the_trials_that_were_under_way(search, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "_train_recipe", lambda recipe, plan, folder, number, watcher: recipe.training.lr)
    monkeypatch.setattr("einthoven.plots.inline.save_figure", lambda figure, path: None)
    path = search(n=4)

    class Killed(Twice):
        def divide(self, needs):
            def divided(work, jobs, workers=None):
                waiting = iter(jobs)
                job, _ = next(waiting), next(waiting)
                yield job, work(*job)
                raise KeyboardInterrupt

            return divided

    with pytest.raises(KeyboardInterrupt):
        sweep(path, runs=tmp_path, elsewhere=Killed())
    found = sweep(path, runs=tmp_path, elsewhere=Twice())
    study = trials.open_study(load_sweep(path), found.folder)
    lost = [t.params for t in study.get_trials() if trials.state_of(t) == "interrupted"]
    done = [t.params for t in study.get_trials(states=[TrialState.COMPLETE])]
    assert (len(lost), len(done)) == (1, 4)
    assert lost[0] in done


RECIPE = """
name: {name}
data: {{dataset: {dataset}, folds: {folds}}}
model: {{name: fcn_wang, options: {{width: 4}}}}
training: {{epochs: 1, batch_size: 8, threads: 1, precision: fp32}}
"""


@pytest.fixture
def recipe_of(dataset_folder):
    def make(name, folds="{}"):
        return parse_recipe(RECIPE.format(name=name, dataset=dataset_folder, folds=folds))

    return make


def test_runs_are_numbered_before_they_start_and_one_done_twice_is_one(recipe_of, tmp_path, monkeypatch):
    began = []

    def train(recipe, runs, *, version, short):
        began.append((recipe.name, version))
        run = Run(runs / recipe.name / f"{version:03d}")
        assert not run.locked
        if recipe.name == "bad":
            raise EinthovenError("no record of class MI")
        (run.path / "report.html").touch()
        return run

    monkeypatch.setattr(together, "train", train)
    said = []
    recipes = [recipe_of("good"), recipe_of("bad"), recipe_of("fold", "{rotate: true}")]
    give = together.train_together(Twice().divide, None, recipes, tmp_path, "new", False, said.append)
    folds = [name for name, _ in began if name.startswith("fold-fold")]
    assert len(folds) == len(set(folds)) == 10  # the second time each was finished already
    assert [name for name, _ in began[:3]] == ["good", "bad", "bad"]
    assert give(recipes[0], tmp_path).path == tmp_path.absolute() / "good" / "001"
    with pytest.raises(EinthovenError, match="no record of class MI"):
        give(recipes[1], tmp_path)
    assert [len(list_runs(tmp_path, name)) for name in ("good", "bad", "fold-fold1")] == [1, 1, 1]
    assert said[0] == "12 runs are trained, as many at a time as there is room for"
    assert "bad: no record of class MI (2 of 12)" in said
    # A run that an interrupted command has left is continued, a wish that cannot be is told in its turn.
    again = together.train_together(Twice().divide, None, [recipe_of("bad")], tmp_path, None, False, said.append)
    assert began[-1] == ("bad", 1)
    give = together.train_together(Twice().divide, None, [recipe_of("none")], tmp_path, 7, False, said.append)
    with pytest.raises(EinthovenError, match="no run of recipe none"):
        give(recipe_of("none"), tmp_path)
    with pytest.raises(EinthovenError, match="no record of class MI"):
        again(recipe_of("bad"), tmp_path)
