"""Judgements by source, fold and run, against scikit-learn and NumPy."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from einthoven import workflow
from einthoven.cli.main import app
from einthoven.decisions import Calibration, Decisions
from einthoven.errors import DatasetError
from einthoven.evaluation.judge import empty_judgement, judge
from einthoven.evaluation.predictions import Predictions, write_predictions
from einthoven.evaluation.sources import cross_source_table, fold_summary, judge_sources, part_rows, summarise


def _data(sources, n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < (0.4, 0.25)).astype(float)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    names = [sources[k % len(sources)] for k in range(n)]
    return Predictions(("A", "B"), y, p, [f"r{k}" for k in range(n)], [str(k // 2) for k in range(n)], names, [9] * n)


def _judgement(data):
    steps = Decisions(data.classes, "multilabel", Calibration("none", (None, None)), "f1", (0.5, 0.5), None, {})
    return judge("test", data, steps.decide(data.probabilities), steps, how_decided="fixed", n_resamples=120)


def test_each_part_is_judged_by_itself():
    data = dataclasses.replace(_data(["s"]), fold=[None if k == 0 else k % 3 for k in range(300)])
    rows = part_rows(data, "fold")
    assert [row["fold"] for row in rows] == [0, 1, 2]
    for row in rows:
        own = np.array([fold == row["fold"] for fold in data.fold])
        assert row["records"] == own.sum()
        assert row["classes"] == 2
        assert row["auroc_low"] is None
        assert row["auroc"] == pytest.approx(roc_auc_score(data.targets[own], data.probabilities[own]), abs=1e-12)
        expected = average_precision_score(data.targets[own], data.probabilities[own])
        assert row["auprc"] == pytest.approx(expected, abs=1e-12)


def test_a_part_without_a_defined_class_has_no_figures():
    data = _data(["s", "t"])
    data.targets[1::2] = np.nan
    first, second = part_rows(data, "source", n_resamples=120)
    assert first["auroc_low"] < first["auroc"] < first["auroc_high"]
    assert second["classes"] == 0
    assert second["auroc"] is None
    assert second["records"] == 150


def test_leaving_one_source_out_is_one_row_per_run_and_their_mean():
    runs = {f"run-{s}": _data([s], seed=k) for k, s in enumerate("abc")}
    runs["run-c"].targets[:, 1] = 0  # not defined there
    found = judge_sources(runs, n_resamples=120, seed=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == judge_sources(runs, n_resamples=120, seed=1)
    assert [(row["model"], row["source"], row["classes"]) for row in found["rows"]] == [
        ("run-a", "a", 2),
        ("run-b", "b", 2),
        ("run-c", "c", 1),
    ]
    assert found["common_classes"] == ["A"]
    common = [roc_auc_score(each.targets[:, 0], each.probabilities[:, 0]) for each in runs.values()]
    assert [row["auroc_common"] for row in found["rows"]] == pytest.approx(common, abs=1e-12)
    summary = {row["figure"]: row for row in found["summary"]}
    assert {row["model"] for row in found["summary"]} == {"all"}
    assert summary["auroc_common"]["mean"] == pytest.approx(np.mean(common))
    assert summary["auroc_common"]["deviation"] == pytest.approx(np.std(common, ddof=1))
    assert summary["auroc"]["least"] == min(row["auroc"] for row in found["rows"])


def test_models_on_the_same_sources_have_a_mean_each():
    found = judge_sources({"m": _data(["a", "b"]), "n": _data(["a", "b"], seed=1)}, n_resamples=0)
    assert {row["model"] for row in found["summary"]} == {"m", "n"}
    assert len(found["rows"]) == 4
    only = judge_sources({"m": _data(["a"])}, n_resamples=0)
    assert only["summary"] == []
    assert len(only["rows"]) == 1


def test_predictions_that_do_not_go_together_are_refused():
    data = _data(["a"])
    with pytest.raises(DatasetError, match="no predictions to judge by source"):
        judge_sources({})
    with pytest.raises(DatasetError, match="classes differ: m has A, B; n has A, C"):
        judge_sources({"m": data, "n": dataclasses.replace(data, classes=("A", "C"))})
    with pytest.raises(DatasetError, match="m: 150 records tell no source"):
        judge_sources({"m": _data(["a", None])})


def test_judgements_of_several_datasets_stand_under_each_other():
    judgement = _judgement(_data(["a"])) | {"dataset": {"name": "ptb-xl"}}
    judged, empty = cross_source_table({"here": judgement, "there": empty_judgement("test", "no records")})
    assert (judged["name"], judged["dataset"], judged["classes"], judged["reason"]) == ("here", "ptb-xl", 2, None)
    assert judged["auroc_low"] == judgement["macro"]["auroc"]["low"]
    assert empty["auroc"] is None
    assert empty["classes"] == 0
    assert empty["reason"] == "no records"
    assert list(judged) == list(empty)


def test_folds_have_a_mean_and_a_deviation_of_every_figure():
    judgements = [_judgement(_data(["a"], seed=seed)) for seed in range(4)]
    rows = {(row["class"], row["figure"]): row for row in fold_summary([*judgements, empty_judgement("test", "none")])}
    values = [each["macro"]["auroc"]["value"] for each in judgements]
    row = rows["(macro)", "auroc"]
    assert (row["n"], row["mean"], row["deviation"]) == (4, pytest.approx(np.mean(values)), np.std(values, ddof=1))
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    f1 = [each["per_class"][1]["f1"] for each in judgements]
    assert rows["B", "f1"]["mean"] == pytest.approx(np.mean(f1))
    assert fold_summary([empty_judgement("test", "none")]) == []
    other = judgements[0] | {"classes": ["A", "C"]}
    with pytest.raises(DatasetError, match="the judgements have different classes"):
        fold_summary([judgements[0], other])


def test_a_mean_of_too_few_has_no_deviation():
    assert summarise([]) == {"n": 0, **dict.fromkeys(("mean", "deviation", "low", "high", "least", "most"))}
    one = summarise([0.5, None])
    assert (one["n"], one["mean"], one["deviation"], one["low"]) == (1, 0.5, None, None)


def test_the_command_prints_a_row_per_source_and_writes_the_table(tmp_path):
    for k, source in enumerate("ab"):
        write_predictions(tmp_path / source / "predictions-test.parquet", _data([source], seed=k))
    runs = [str(tmp_path / source) for source in "ab"]
    done = CliRunner().invoke(app, ["sources", *runs, "--n-resamples", "120", "--table", str(tmp_path / "t.csv")])
    assert done.exit_code == 0, done.output
    assert f"{runs[0]}  a: 300 records of 150 patients; macro AUROC of 2 classes 0." in done.output
    assert "common: the 2 classes that every row defines: A, B" in done.output
    assert "all: macro AUROC of the common classes of 2 sources" in done.output
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3
    done = CliRunner().invoke(app, ["sources", *runs, "--n-resamples", "0", "--json"])
    assert json.loads(done.output) == workflow.by_source(runs, n_resamples=0)
    with pytest.raises(DatasetError, match="the same predictions are named twice"):
        workflow.by_source([runs[0], runs[0]])
    with pytest.raises(DatasetError, match="no predictions on the validation split"):
        workflow.by_source(runs, split="validation")
