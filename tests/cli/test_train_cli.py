"""``einthoven train`` and ``sweep`` as users type them: versions, checkpoints, short runs, Ctrl-C, and what they print."""

import json
import signal
import subprocess
import sys
import time

import pytest

from einthoven import workflow
from einthoven.cli.main import run as run_command
from einthoven.cli.train import split_arguments
from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, RecipeError
from einthoven.files import read_json
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.resuming import resume_run
from einthoven.training.runs import begin_run, choose_run, list_runs, open_run
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for

TIMES = ("train_seconds", "seconds")


@pytest.fixture
def typed(capsys, monkeypatch, tmp_path):
    """Run a command in this process, in a folder of its own; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("einthoven.workflow.extras.write_mistakes", lambda *a: [])  # drawings that take seconds

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["einthoven", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run_command()
        return stop.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def refused(typed):
    """Run a command that must fail with one sentence and exit code 2."""

    def call(*arguments):
        code, _, errors = typed(*arguments)
        (error,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert code == 2
        return error

    return call


def text_of(dataset_folder, name="small", **training):
    options = {"epochs": 2, "batch_size": 16, "threads": 1, "precision": "fp32"} | training
    return (
        f"name: {name}\ndata: {{dataset: {dataset_folder}}}\nmodel: {{options: {{width: 8}}}}\n"
        f"training: {json.dumps(options)}\nevaluation: {{n_resamples: 0}}\n"
    )


def figures(run):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in run.read_history()]


def fit(recipe, run):
    """Train without bundle and report, which other tests look at."""
    problem = make_problem(recipe, select_for(recipe, open_dataset(recipe.data.dataset)))
    Trainer(recipe, problem, make_engine("cpu", "fp32", 1)).fit(run)
    run._lock.close()


@pytest.fixture(scope="module")
def trained(dataset_folder, tmp_path_factory):
    """A run of four epochs with a checkpoint of each second, taken for finished."""
    recipe = parse_recipe(text_of(dataset_folder, epochs=4, keep_every=2, lr=1e-2))
    runs = tmp_path_factory.mktemp("runs")
    run = begin_run(runs, recipe)
    fit(recipe, run)
    (run.path / "report.html").write_text("")
    return run


def test_files_are_told_from_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1.yaml").write_text("")
    places, overrides = split_arguments(["a.yaml", "training.lr=1", "lr=1.yaml", "folder", "seed=[0,1]"])
    assert [str(place) for place in places] == ["a.yaml", "lr=1.yaml", "folder"]
    assert overrides == ["training.lr=1", "seed=[0,1]"]
    with pytest.raises(RecipeError, match=r"which recipe\? got overrides only: seed=1"):
        split_arguments(["seed=1"])


def test_a_short_run_tries_everything_and_is_judged_on_test_where_asked(dataset_folder, tmp_path, typed, refused):
    (tmp_path / "r.yaml").write_text(text_of(dataset_folder, epochs=50))
    code, output, errors = typed("train", "r.yaml", "--short-run")
    assert code == 0, errors
    run = tmp_path / "runs" / "small-short" / "001"
    assert "bundle  runs/small-short/001/bundle" in output
    assert json.loads((run / "environment.json").read_text())["short"] is True
    assert len((run / "history.csv").read_text().splitlines()) == 2
    assert "no finished run of recipe small " in refused("train", "r.yaml", "--test-only")
    code, output, errors = typed("train", "r.yaml", "--test-only", "--short-run")
    assert code == 0, errors
    assert output.startswith("test: ")
    assert set(read_json(run / "metrics.json", EinthovenError, "")) == {"validation", "test"}
    assert len(list((tmp_path / "runs").glob("*/*"))) == 1


def test_wrong_options_get_a_sentence(dataset_folder, trained, tmp_path, refused):
    path, runs = tmp_path / "r.yaml", trained.path.parents[1]
    path.write_text(trained.recipe().to_yaml())
    where = ("train", path, "--runs", runs)
    assert "--version 'newest': write new, latest or a number" in refused(*where, "--version", "newest")
    assert "--resume 'worst': write best, latest or the number" in refused(*where, "--resume", "worst")
    assert "no version 7 of recipe small" in refused(*where, "--version", "7")
    error = refused(*where, "--version", "1", "training.lr=0.5", "seed=3")
    assert "001: made by another recipe: seed: 0 -> 3; training.lr: 0.01 -> 0.5; set these back" in error
    assert error.rstrip().endswith(f"from its weights with model.weights={trained.path}")
    assert "001: made by another recipe: training.ema: null -> 0.9" in refused(
        *where, "--resume", "2", "training.ema=0.9"
    )
    assert "001: finished, so there is nothing to continue; --version new" in refused(*where, "--version", "latest")
    assert "has no checkpoint of epoch 3; it has 2, 4, best, latest; training.keep_every" in refused(
        *where, "--resume", "3"
    )
    assert "finished after epoch 4, so nothing is left to train from there; --resume with an earlier" in refused(
        *where, "--resume", "latest"
    )
    assert "a new version has no checkpoint" in refused(*where, "--resume", "best", "--version", "new")
    assert "use  einthoven sweep" in refused(*where, "sweep={}")
    assert "where one is needed" in refused("split", dataset_folder, "--method", "kfold", "--name", "k", "--like", _grid(path), "--recipes", tmp_path)  # fmt: skip
    assert [run.path.name for run in list_runs(runs, "small")] == ["001"]


def _grid(path):
    grid = path.with_name("grid.yaml")
    grid.write_text("name: x\ndata: {dataset: y}\nseed: [0, 1]\n")
    return grid


def test_a_resumed_run_repeats_the_epochs_of_the_first_under_a_new_number(trained):
    recipe, runs = trained.recipe(), trained.path.parents[1]
    run = resume_run(runs, choose_run(runs, recipe), 2)
    assert run.path.name == "002"
    assert figures(run) == figures(trained)[:2]
    assert run.environment()["resumed"] == {"run": "001", "epoch": 2, "from": "epoch-002.pt"}
    fit(recipe, run)
    assert figures(run) == figures(trained)
    for criterion in ("auroc", "accuracy", "loss"):
        assert run.best(criterion).read_bytes() == trained.best(criterion).read_bytes()


def test_resuming_the_best_epoch_begins_after_it(trained):
    from einthoven.training.runs import best_epoch

    runs, best = trained.path.parents[1], best_epoch(trained.read_history(), "auroc")
    if best == 4:
        with pytest.raises(RecipeError, match="nothing is left to train"):
            resume_run(runs, trained, "best")
    else:
        run = resume_run(runs, trained, "best")
        run._lock.close()
        assert len(run.read_history()) == best


def test_the_latest_checkpoint_of_an_unfinished_run_goes_on_in_place(dataset_folder, tmp_path):
    recipe = parse_recipe(text_of(dataset_folder))
    run = begin_run(tmp_path, recipe)

    class StopError(Exception):
        pass

    class Reporter:
        def step(self, *arguments):
            pass

        def epoch(self, row):
            raise StopError

    problem = make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))
    with pytest.raises(StopError):
        Trainer(recipe, problem, make_engine("cpu", "fp32", 1)).fit(run, Reporter())
    run._lock.close()
    again = resume_run(tmp_path, run, "latest")
    assert again.path == run.path
    again._lock.close()
    assert open_run(tmp_path, recipe, version=1)[1]


def test_a_checkpoint_of_another_architecture_is_named(trained, tmp_path, refused):
    recipe = trained.recipe()
    other = recipe.model_copy(update={"model": recipe.model.model_copy(update={"options": {"width": 16}})})
    run = begin_run(tmp_path, other)
    run._lock.close()
    run.checkpoint.parent.mkdir()
    run.checkpoint.write_bytes(trained.checkpoint.read_bytes())
    (tmp_path / "r.yaml").write_text(other.to_yaml())
    error = refused("train", tmp_path / "r.yaml", "--runs", tmp_path)
    assert "last.pt is a checkpoint of another network" in error


def test_ctrl_c_keeps_the_checkpoint_and_says_exactly_how_to_go_on(dataset_folder, tmp_path):
    (tmp_path / "r.yaml").write_text(text_of(dataset_folder, name="long"))
    typed = ["train", "r.yaml", "training.epochs=500", "--version", "new", "--runs", "my runs"]
    process = subprocess.Popen(
        [sys.executable, "-m", "einthoven.cli", *typed], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "my runs" / "long" / "001"
    while not (folder / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    (last,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert last.startswith("error: interrupted; epoch ")
    assert "of 500 is kept in my runs/long/001/checkpoints/last.pt" in last
    assert last.endswith("go on with  einthoven train r.yaml training.epochs=500 --runs 'my runs'")
    recipe = parse_recipe(text_of(dataset_folder, name="long", epochs=500))
    run, continued = open_run(tmp_path / "my runs", recipe)
    assert continued
    assert run.path == folder


def test_what_failed_of_several_ends_the_command_with_2(dataset_folder, tmp_path, refused):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "a.yaml").write_text(text_of(dataset_folder, name="a") + "seed: [0, 1]\n")
    (folder / "b.yaml").write_text("name: b\ndata: {dataset: nowhere}\n")
    error = refused("train", folder, "model.name=resnet9")
    assert error.startswith("error: 3 of 3 failed: a-seed0: unknown model 'resnet9'")
    assert "; b: nowhere" in error
    assert not (tmp_path / "runs").exists()


def test_the_sweep_command_finds_a_recipe_that_train_reads(dataset_folder, tmp_path, typed):
    section = "sweep: {trials: 1, pruner: none, parameters: {training.lr: {low: 1e-3, high: 1e-1, log: true}}}\n"
    (tmp_path / "s.yaml").write_text(text_of(dataset_folder, name="s", epochs=1) + section)
    code, output, errors = typed("sweep", "s.yaml")
    assert code == 0, errors
    assert "1 trials: 1 complete" in output
    assert "next    einthoven train runs/s-sweep/best.yaml" in output
    (grid,) = workflow.read_queue([tmp_path / "runs" / "s-sweep" / "best.yaml"]).grids.values()
    assert grid.recipes[0].name == "s-best"


@pytest.mark.slow
def test_a_grid_with_its_ensemble_runs_from_end_to_end(dataset_folder, tmp_path, typed):
    (tmp_path / "r.yaml").write_text(text_of(dataset_folder, epochs=1) + "seed: [0, 1]\nensemble: true\n")
    code, output, errors = typed("train", "r.yaml")
    assert code == 0, errors
    assert "r.yaml: a grid of 2 recipes: seed 2" in errors
    assert [line.split()[0] for line in output.splitlines()[1:4]] == [
        "small-seed0",
        "small-seed1",
        "small-ensemble",
    ]
    assert (tmp_path / "runs" / "small-ensemble" / "bundle" / "bundle.json").is_file()
    assert "small-seed0-001" in typed("evaluate", "r.yaml", "--split", "validation")[1]
