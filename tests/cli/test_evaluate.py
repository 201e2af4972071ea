import json
import subprocess
import sys

import numpy as np
import pytest


def _einthoven(*arguments, cwd):
    command = [sys.executable, "-m", "einthoven.cli", "evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables of made-up predictions, and one of them as arrays."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name, first in (("mine", 0), ("validation", 1000)):
        y = (rng.random((200, 2)) < (0.4, 0.2)).astype(int)
        p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
        rows = [f"{first + k},{y[k, 0]},{y[k, 1]},{p[k, 0]},{p[k, 1]}" for k in range(200)]
        (folder / f"{name}.csv").write_text("\n".join(["record_id,y_A,y_B,p_A,p_B", *rows]))
        np.save(folder / f"{name}-p.npy", p)
        np.save(folder / f"{name}-y.npy", y)
    return folder


def test_a_file_of_predictions_is_judged_and_the_headline_printed(folder):
    done = _einthoven("--predictions", "mine.csv", "--n-resamples", 120, "--seed", 3, cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "mine: 200 records (patients unknown)"
    assert lines[1].startswith("  macro AUROC  0.")
    assert lines[-2] == "  intervals: 95%, 120 resamples by record"
    assert lines[-1] == "report  evaluation-mine/report.html"
    assert json.loads((folder / "evaluation-mine" / "metrics.json").read_text())["mine"]["interval"]["seed"] == 3


def test_arrays_other_rules_and_another_file_to_fit_on(folder):
    arrays = ("--predictions", "mine-p.npy", "--targets", "mine-y.npy", "--classes", "A,B")
    fitted = ("--fit-on", "validation-p.npy", "--fit-on-targets", "validation-y.npy")
    wishes = ("--thresholds", "youden", "--calibration", "isotonic", "--out", "o", "--n-resamples", 0)
    done = _einthoven(*arrays, *fitted, *wishes, cwd=folder)
    assert done.returncode == 0, done.stderr
    judgement = json.loads((folder / "o" / "metrics.json").read_text())["mine-p"]
    assert judgement["classes"] == ["A", "B"]
    assert judgement["decisions"].startswith("thresholds maximise Youden's index of each class; calibration")
    assert "200 records of validation-p.npy" in judgement["decisions"]
    assert judgement["calibration"]["method"] == "isotonic"
    command = "--thresholds youden --calibration isotonic --fit-on validation-p.npy --fit-on-targets validation-y.npy"
    assert command in (folder / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which model shall be judged? name a run, a bundle or a pretrained model"),
        (("RUN", "--predictions", "mine.csv"), "either models or --predictions are judged, got RUN too"),
        (("RUN", "--fit-on", "mine.csv"), "--fit-on judges a file of predictions; name it with --predictions"),
        (("--predictions", "mine.csv", "--ensemble"), "--ensemble is about models; leave it out with --predictions"),
        (("--predictions", "mine.csv", "--fold", "3"), "--fold is about models"),
        (("--predictions", "mine.csv", "--fit-on", "mine.csv"), "thresholds from the same split: 200 records"),
        (("--predictions", "none.csv"), "none.csv: cannot be read as predictions"),
        (("ptbxl-superdiagnostic", "--ensemble"), "an ensemble needs two models or more, got ptbxl-superdiagnostic"),
        (("ptbxl-superdiagnostic",), "name a prepared dataset to judge this bundle on"),
        (("some/where",), "some/where: no such run, bundle, recipe or dataset"),
    ],
)
def test_what_cannot_be_meant_gets_a_sentence(folder, arguments, message):
    done = _einthoven(*arguments, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message in error


def test_the_rules_of_intervals_are_printed_with_them_and_others_refused(folder):
    wishes = ("--interval", "bca", "--absent", "skip", "--n-resamples", 120, "--out", "rules")
    done = _einthoven("--predictions", "mine.csv", *wishes, cwd=folder)
    assert done.returncode == 0, done.stderr
    how = json.loads((folder / "rules" / "metrics.json").read_text())["mine"]["interval"]
    assert how["method"] == "BCa bootstrap"
    assert how["absent_classes"] == "the class is left out of that resample's mean"
    wrong = _einthoven("--predictions", "mine.csv", "--absent", "skp", cwd=folder)
    assert wrong.returncode == 2
    assert "unknown rule absent='skp' (did you mean 'skip'?); choose redraw, skip, half" in wrong.stderr


def _refused(*arguments, cwd):
    done = _einthoven(*arguments, cwd=cwd)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_zero_is_an_answer(folder):
    done = _einthoven("--predictions", "mine.csv", "--n-resamples", 0, "--out", "zero", cwd=folder)
    assert "no intervals: they need at least 100 resamples" in done.stdout
    assert "--fold is about models" in _refused("--predictions", "mine.csv", "--fold", 0, cwd=folder)


def test_classes_that_exclude_each_other_are_checked_for_it(folder):
    assert "but with --single-label classes exclude each other" in _refused(
        "--predictions", "mine.csv", "--single-label", cwd=folder
    )
    (folder / "sum.csv").write_text("record_id,y_A,y_B,p_A,p_B\nr1,1,0,0.9,0.1\nr2,0,1,0.9,0.9\n")
    assert "the probabilities of record r2 sum to 1.8" in _refused(
        "--predictions", "sum.csv", "--single-label", cwd=folder
    )


def test_what_cannot_be_judged_ends_with_2_and_a_column_is_named(folder):
    (folder / "none.csv").write_text("record_id,y_A,p_A\nr1,1,0.9\n")
    done = _einthoven("--predictions", "none.csv", cwd=folder)
    assert done.returncode == 2
    assert "not judged: no class has both a positive and a negative record" in done.stdout
    (folder / "text.csv").write_text("record_id,y_A,p_A\nr1,1,high\n")
    assert "column p_A" in _refused("--predictions", "text.csv", cwd=folder)


def test_the_same_scores_under_another_format_are_not_fitted_on(folder):
    arrays = ("--fit-on", "mine-p.npy", "--fit-on-targets", "mine-y.npy", "--classes", "A,B")
    assert "thresholds from the same split: the files are equal" in _refused(
        "--predictions", "mine-p.npy", "--targets", "mine-y.npy", *arrays, cwd=folder
    )
