import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score, roc_curve

from einthoven.errors import DatasetError
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, read_predictions, write_predictions
from einthoven.evaluation.thresholds import cross_fitted_decisions, decide, decision_figures, fit_thresholds


def _predictions(n=300, seed=0, patients=True):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < (0.4, 0.2, 0.1)).astype(float)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    ids = [str(k // 2) if patients else None for k in range(n)]
    return Predictions(("A", "B", "C"), y, p, [f"r{k}" for k in range(n)], ids, ["s"] * n, [9] * n)


@pytest.mark.parametrize("seed", range(4))
def test_f1_thresholds_reach_the_best_f1_of_any_threshold(seed):
    data = _predictions(seed=seed)
    fitted = fit_thresholds(data.targets, data.probabilities, "f1")
    for k in range(3):
        y, p = data.targets[:, k], data.probabilities[:, k]
        best = max(f1_score(y, p >= t) for t in p)
        assert f1_score(y, p >= fitted[k]) == pytest.approx(best, abs=1e-12)


def test_youden_thresholds_reach_the_best_index():
    data = _predictions()
    fitted = fit_thresholds(data.targets, data.probabilities, "youden")
    for k in range(3):
        fpr, tpr, _ = roc_curve(data.targets[:, k], data.probabilities[:, k])
        said, y = data.probabilities[:, k] >= fitted[k], data.targets[:, k] == 1
        assert said[y].mean() - said[~y].mean() == pytest.approx((tpr - fpr).max(), abs=1e-12)


def test_a_class_without_positives_has_no_threshold_and_is_never_decided():
    y, p = np.zeros((5, 1)), np.linspace(0, 1, 5)[:, None]
    fitted = fit_thresholds(y, p, "f1")
    assert np.isnan(fitted[0])
    assert not decide(p, fitted, "multilabel").any()


def test_cross_fitting_never_uses_a_patients_own_records():
    data = _predictions()
    decided = cross_fitted_decisions(data.targets, data.probabilities, data.groups, "f1")
    flipped = data.targets.copy()
    flipped[:2] = 1 - flipped[:2]  # both records of patient 0
    again = cross_fitted_decisions(flipped, data.probabilities, data.groups, "f1")
    np.testing.assert_array_equal(decided[:2], again[:2])


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
    }
    assert decision_figures(np.zeros((2, 1)), np.zeros((2, 1), bool))[0]["sensitivity"] is None


def test_a_judgement_is_plain_and_right():
    data = _predictions()
    judged = judge("validation", data, kind="multilabel", thresholds=dict.fromkeys("ABC", 0.5), n_resamples=150)
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged
    assert judged["macro"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(data.targets, data.probabilities), abs=1e-12
    )
    assert (judged["n_records"], judged["n_patients"], judged["interval"]["unit"]) == (300, 150, "patient")
    assert judged["per_class"][1]["positives"] == int(data.targets[:, 1].sum())
    assert judged["decisions"] == "thresholds come with the bundle"


def test_unknown_patients_are_not_counted_as_one():
    judged = judge("test", _predictions(patients=False), kind="multilabel", thresholds={}, n_resamples=120)
    assert judged["n_patients"] is None
    assert judged["interval"]["unit"] == "record"


def test_absent_classes_are_named_and_the_macro_figure_is_over_the_rest():
    data = _predictions()
    data.targets[:, 2] = 0
    judged = judge("test", data, kind="multilabel", thresholds={}, n_resamples=120)
    assert judged["undefined"] == [{"class": "C", "reason": "no positive record"}]
    assert judged["per_class"][2]["auroc"] is None
    assert judged["macro"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(data.targets[:, :2], data.probabilities[:, :2]), abs=1e-12
    )


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
