import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, matthews_corrcoef, roc_auc_score

from einthoven.decisions import Plan, Rule, fit_decisions
from einthoven.errors import DatasetError
from einthoven.evaluation.judge import decision_figures, judge
from einthoven.evaluation.predictions import Predictions, read_predictions, write_predictions
from einthoven.workflow.deciding import decide_split


def _predictions(n=300, seed=0, patients=True):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < (0.4, 0.2, 0.1)).astype(float)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    ids = [str(k // 2) if patients else None for k in range(n)]
    return Predictions(("A", "B", "C"), y, p, [f"r{k}" for k in range(n)], ids, ["s"] * n, [9] * n)


def test_decision_figures_are_the_confusion_matrix():
    y = np.array([[1.0], [1], [0], [0], [0], [np.nan]])
    said = np.array([[True], [False], [True], [False], [False], [True]])
    (row,) = decision_figures(y, said)
    assert row == {
        "sensitivity": 0.5,
        "specificity": pytest.approx(2 / 3),
        "ppv": 0.5,
        "npv": pytest.approx(2 / 3),
        "f1": 0.5,
        "mcc": pytest.approx(matthews_corrcoef(y[:5, 0], said[:5, 0])),
        "accuracy": pytest.approx(3 / 5),
        "balanced_accuracy": pytest.approx((1 / 2 + 2 / 3) / 2),
    }
    assert decision_figures(np.zeros((2, 1)), np.zeros((2, 1), bool))[0]["sensitivity"] is None


PLAN = Plan(("A", "B", "C"), "multilabel", "platt", Rule("f1"), 0.1, {"A": ("B",)})


def _judge(data, split="validation", plan=PLAN, fitted=None, n_resamples=120):
    judged = decide_split(data, plan, fitted)
    return judge(split, data, judged.decided, judged.decisions, how_decided=judged.how, n_resamples=n_resamples), judged


def test_a_judgement_is_plain_and_right():
    data = _predictions()
    judged, _ = _judge(data, n_resamples=150)
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged
    assert judged["macro"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(data.targets, data.probabilities), abs=1e-12
    )
    assert judged["averages"]["micro"]["auroc"] == pytest.approx(
        roc_auc_score(data.targets, data.probabilities, average="micro"), abs=1e-12
    )
    assert (judged["n_records"], judged["n_patients"], judged["interval"]["unit"]) == (300, 150, "patient")
    assert judged["per_class"][1]["positives"] == int(data.targets[:, 1].sum())
    assert judged["decisions"].startswith("thresholds maximise each class's F1; calibration, thresholds")
    assert judged["decisions"].endswith("5-fold cross-fitting, grouped by patient")


def test_calibration_is_judged_on_what_the_user_is_shown():
    data = _predictions(2000)
    sharp = dataclasses.replace(data, probabilities=data.probabilities**3)  # far too low
    judged, found = _judge(sharp)
    calibration = judged["calibration"]
    assert calibration["method"] == "platt"
    assert calibration["after"]["ece"] < 0.04 < calibration["before"]["ece"]
    expected = np.mean([brier_score_loss(data.targets[:, k], found.decided.probabilities[:, k]) for k in range(3)])
    assert calibration["after"]["brier"] == pytest.approx(expected, abs=1e-12)
    assert judged["per_class"][0]["ece"] < 0.05


def test_conformal_sets_cover_what_they_promise_and_the_judgement_says_so():
    judged, _ = _judge(_predictions(3000))
    conformal = judged["conformal"]
    assert conformal["error"] == 0.1
    assert conformal["covered"] > 0.88
    for row in conformal["per_class"]:
        assert row["positives_covered"] > 0.84
        assert row["negatives_covered"] > 0.87
        assert 0 <= row["undecided"] <= 1


def test_contradictions_are_counted_and_none_is_left():
    judged, found = _judge(_predictions(500))
    present = found.decided.present
    assert not (present[:, 0] & present[:, 1]).any()
    assert judged["contradictions"]["records"] == int(found.decided.overruled.any(axis=1).sum()) > 0
    assert judged["contradictions"]["rules"] == {"A": ["B"]}


def test_abstaining_lowers_the_risk():
    abstention = _judge(_predictions(3000))[0]["abstention"]
    assert abstention["coverage"][-1] == 1
    assert abstention["risk"][4] < 0.7 * abstention["risk"][-1]
    assert abstention["area"] < abstention["risk"][-1]


def test_steps_fitted_elsewhere_are_taken_as_they_are():
    data = _predictions()
    fitted = fit_decisions(data.targets, data.probabilities, PLAN)
    judged, found = _judge(_predictions(seed=1), "test", fitted=fitted)
    assert judged["decisions"] == "thresholds come with the bundle"
    assert found.decisions is fitted
    assert judged["per_class"][0]["threshold"] == fitted.thresholds[0]


def test_unknown_patients_are_not_counted_as_one():
    judged, _ = _judge(_predictions(patients=False))
    assert judged["n_patients"] is None
    assert judged["interval"]["unit"] == "record"
    assert judged["decisions"].endswith("grouped by record")


def test_absent_classes_are_named_and_the_macro_figure_is_over_the_rest():
    data = _predictions()
    data.targets[:, 2] = 0
    judged, _ = _judge(data)
    assert judged["undefined"] == [{"class": "C", "reason": "no positive record"}]
    assert judged["per_class"][2]["auroc"] is None
    assert judged["per_class"][2]["sensitivity"] is None
    assert judged["macro"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(data.targets[:, :2], data.probabilities[:, :2]), abs=1e-12
    )


def test_a_multi_class_model_has_a_confusion_matrix_of_the_likeliest_class():
    data = _predictions()
    one = np.eye(3)[np.random.default_rng(0).integers(0, 3, len(data.targets))]
    soft = data.probabilities / data.probabilities.sum(axis=1, keepdims=True)
    data = dataclasses.replace(data, targets=one, probabilities=soft)
    judged, found = _judge(data, plan=dataclasses.replace(PLAN, kind="multiclass", exclusions={}))
    assert np.sum(judged["confusion"]) == len(one)
    assert judged["confusion"][0][1] == int((one[:, 0] * found.decided.present[:, 1]).sum())
    assert judged["decisions"].startswith("the likeliest class is chosen")
    assert found.decided.probabilities.sum(axis=1) == pytest.approx(1)


def test_predictions_survive_parquet(tmp_path):
    data = _predictions()
    data.targets[3, 1] = np.nan
    write_predictions(tmp_path / "p.parquet", data)
    again = read_predictions(tmp_path / "p.parquet")
    np.testing.assert_array_equal(again.targets, data.targets)
    np.testing.assert_allclose(again.probabilities, data.probabilities, atol=1e-6)
    assert (again.classes, again.record_id, again.patient_id) == (data.classes, data.record_id, data.patient_id)
    (tmp_path / "p.parquet").write_bytes(b"no")
    with pytest.raises(DatasetError, match="cannot be read as predictions"):
        read_predictions(tmp_path / "p.parquet")


def test_beats_have_the_aami_summary():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    p = rng.dirichlet((1, 1, 1), 600) * 0.5 + np.eye(3)[truth] * 0.5
    data = dataclasses.replace(
        _predictions(600), classes=("N", "S", "V"), targets=np.eye(3)[truth], probabilities=p / p.sum(axis=1)[:, None]
    )
    plan = dataclasses.replace(PLAN, classes=("N", "S", "V"), kind="multiclass", exclusions={})
    judged, found = _judge(data, plan=plan)
    said = found.decided.present.argmax(axis=1)
    assert judged["beats"]["VEB"]["se"] == pytest.approx(((said == 2) & (truth == 2)).sum() / (truth == 2).sum())
    assert judged["beats"]["SVEB"]["ppv"] == pytest.approx(((said == 1) & (truth == 1)).sum() / (said == 1).sum())
