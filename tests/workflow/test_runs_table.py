"""The table of runs in every state, and the drawing of their histories."""

import csv
import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.errors import EinthovenError, RecipeError
from einthoven.plots.histories import histories_figure, search_figure
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import begin_run
from einthoven.workflow.runs_table import runs_table


def history(n, best=0.9, loss=0.4):
    """AUROC that rises to ``best`` in the last epoch but one."""
    aurocs = [best - 0.01 * abs(n - 1 - e) for e in range(1, n + 1)]
    return [
        {
            "epoch": e + 1,
            "train_loss": 0.5 / (e + 1),
            "validation_loss": loss + 0.1 / (e + 1),
            "validation_auroc": aurocs[e],
            "validation_accuracy": 0.7 + 0.01 * e,
            "lr": 0.01 / (e + 1),
            "train_seconds": 1.0,
            "seconds": 1.5,
        }
        for e in range(n)
    ]


def make(folder, name, rows, *, finished=True, short=False, keep_lock=False, **facts):
    recipe = parse_recipe(f"name: {name}\ndata: {{dataset: x}}\ntraining: {{epochs: 5}}\n")
    run = begin_run(folder, recipe, short=short, **facts)
    if rows:
        run.write_history(rows)
    if finished:
        (run.path / "report.html").write_text("")
    if not keep_lock:
        run._lock.close()
    return run


@pytest.fixture
def folder(tmp_path):
    make(tmp_path, "good", history(5, 0.93), parameters=1000)
    make(tmp_path, "good", history(5, 0.91), parameters=1000)
    make(tmp_path, "cut", history(3, 0.92), finished=False, parameters=10)
    make(tmp_path, "young", [], finished=False)
    make(tmp_path, "try-short", history(1, 0.5), short=True)
    make(tmp_path, "tried", history(2, 0.6), finished=False, trial=3)
    broken = tmp_path / "broken" / "001"
    broken.mkdir(parents=True)
    (broken / "recipe.yaml").write_text("nonsense: 1\n")
    (tmp_path / "good-ensemble" / "bundle").mkdir(parents=True)
    return tmp_path


def test_runs_are_listed_in_every_state_best_first(folder):
    rows = runs_table(folder)
    assert [(row["run"], row["state"]) for row in rows] == [
        ("good/001", "finished"),
        ("cut/001", "interrupted"),
        ("good/002", "finished"),
        ("tried/001", "trial"),
        ("try-short/001", "short, finished"),
        ("broken/001", "unreadable"),
        ("young/001", "interrupted"),
    ]
    first = rows[0]
    assert (first["auroc"], first["best_epoch"], first["epochs"], first["epochs_wanted"]) == (0.93, 4, 5, 5)
    assert first["loss"] == pytest.approx(0.42)
    assert (first["accuracy"], first["parameters"], first["seconds"]) == (pytest.approx(0.74), 1000, 7.5)
    assert first["model"] == "resnet1d_wang"


def test_a_run_in_training_is_told_from_an_interrupted_one(tmp_path):
    run = make(tmp_path, "busy", history(2), finished=False, keep_lock=True)
    assert runs_table(tmp_path)[0]["state"] == "training"
    run._lock.close()
    assert runs_table(tmp_path)[0]["state"] == "interrupted"


def test_epochs_without_a_figure_do_not_choose_the_best(tmp_path):
    rows = history(3)
    rows[0]["validation_auroc"] = rows[2]["validation_auroc"] = float("nan")
    make(tmp_path, "odd", rows)
    assert runs_table(tmp_path)[0]["best_epoch"] == 2


def test_runs_are_filtered_and_sorted(folder):
    assert [row["run"] for row in runs_table(folder, "good", "run")] == ["good/001", "good/002"]
    assert [row["run"] for row in runs_table(folder, "*/002")] == ["good/002"]
    assert runs_table(folder, sort="parameters")[0]["run"] == "cut/001"
    with pytest.raises(RecipeError, match=r"cannot sort by 'auc' \(did you mean 'auroc'\?\); columns are auroc, acc"):
        runs_table(folder, sort="auc")
    with pytest.raises(EinthovenError, match="none of its 7 runs matches 'bad'"):
        runs_table(folder, "bad")
    with pytest.raises(EinthovenError, match="no such folder"):
        runs_table(folder / "absent")


def test_the_command_prints_a_table_json_and_csv_that_agree(folder):
    plain = CliRunner().invoke(app, ["runs", str(folder)]).stdout.splitlines()
    assert plain[0].split()[:4] == ["run", "state", "model", "epochs"]
    assert len(plain) == 8
    assert "0.9300      4  0.4200    0.7400       1,000      7.5" in plain[1]
    rows = json.loads(CliRunner().invoke(app, ["runs", str(folder), "--json"]).stdout)
    table = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, ["runs", str(folder), "--csv"]).stdout)))
    assert [row["run"] for row in table] == [row["run"] for row in rows]
    assert [float(row["auroc"]) for row in table if row["auroc"]] == [
        r["auroc"] for r in rows if r["auroc"] is not None
    ]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_command_draws_the_histories(folder, tmp_path, suffix):
    path = tmp_path / f"runs.{suffix}"
    done = CliRunner().invoke(app, ["runs", str(folder), "--plot", str(path)])
    assert done.exit_code == 0, done.output
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")


def names_in(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_run_has_a_line_in_each_panel_and_a_name_with_its_best_figure():
    runs = {f"run-{k}/001": history(4 + k, 0.9 + 0.001 * k) for k in range(12)}
    figure = histories_figure(runs | {"without/001": []})
    assert names_in(figure) == [f"{0.9 + 0.001 * k:.4f}  run-{k}/001" for k in reversed(range(12))]
    styles = set()
    for ax, key in zip(figure.axes, ("validation_auroc", "validation_loss", "train_loss", "lr"), strict=True):
        lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
        assert len(lines) == 12
        drawn = sorted(tuple(np.round(line.get_ydata(), 12)) for line in lines)
        assert drawn == sorted(tuple(np.round([row[key] for row in rows], 12)) for rows in runs.values())
        styles |= {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(styles) == 12


def test_of_many_runs_the_best_have_colours_and_the_others_are_counted():
    figure = histories_figure({f"run-{k}/001": history(4, 0.8 + 0.001 * k) for k in range(30)})
    found = names_in(figure)
    assert len(found) == 13
    assert found[0].endswith("run-29/001")
    assert found[-1] == "18 more runs, best 0.8170"


def test_one_epoch_and_names_with_signs_are_drawn_and_nothing_is_refused():
    histories_figure({"a$x_1$/001": history(1)}).canvas.draw()
    with pytest.raises(ValueError, match="no run has an epoch"):
        histories_figure({"a/001": []})


def test_the_drawing_of_a_search_follows_the_best_value():
    trials = [
        {"number": k, "state": state, "value": value}
        for k, (state, value) in enumerate([("complete", 0.5), ("pruned", 0.9), ("complete", 0.4), ("failed", None)])
    ]
    steps = search_figure(trials, "loss", larger_is_better=False).axes[0].lines[0]
    assert list(steps.get_ydata()) == [0.5, 0.4, 0.4]
    assert list(steps.get_xdata()) == [0, 2, 3]
    with pytest.raises(ValueError, match="no trial has a value"):
        search_figure(trials[3:], "loss")
