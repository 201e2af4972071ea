import json
import sys

import numpy as np
import pytest

from einthoven.errors import DatasetError, MissingExtraError
from einthoven.labels import SINUS_RHYTHM, fit_sinus_rhythm, load_system, make_task

AF, RBBB, TAB, LPR, IAVB = "164889003", "59118001", "164934002", "164947007", "270492004"


def cohort(n=3000, seed=0):
    """Records of which those in atrial fibrillation are never in sinus rhythm."""
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(n):
        rhythm = AF if rng.random() < 0.5 else SINUS_RHYTHM
        others = [code for code in (RBBB, TAB, LPR) if rng.random() < 0.3]
        records.append(dict.fromkeys([rhythm, *others]))
    return records


def test_sinus_rhythm_is_learnt_from_the_other_labels_and_marked():
    model = fit_sinus_rhythm(cohort())
    assert model.agreement == 1
    assert model.coefficients["AF"] < -0.5 < min(v for name, v in model.coefficients.items() if name != "AF")
    before = [{RBBB: None}, {AF: None}, {SINUS_RHYTHM: None}, {}, {AF: float("nan"), RBBB: None}, {"164865005": None}]
    done = model.impute(before)
    assert done.rows == (0, 5)
    assert done.n_unanswered == 2
    assert 50 < done.statements[0][SINUS_RHYTHM] <= 100
    assert done.statements[1:5] == before[1:5]
    assert before[0] == {RBBB: None}


def test_the_fit_is_that_of_scikit_learn_on_the_sixteen_other_classes():
    from sklearn.linear_model import LogisticRegression

    records = cohort(seed=3)
    task = make_task("dl-ecg-17", load_system("snomed").table)
    targets = task.targets(records)
    k = task.classes.index("NSR")
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit(np.delete(targets, k, 1), targets[:, k])
    model = fit_sinus_rhythm(records)
    np.testing.assert_allclose(list(model.coefficients.values()), fitted.coef_[0], atol=1e-6)
    assert list(model.coefficients) == [name for name in task.classes if name != "NSR"]
    assert len(model.coefficients) == 16
    new = [{AF: None, TAB: None}, {LPR: None}, {IAVB: None}]
    x = np.delete(task.targets(new), k, 1)
    np.testing.assert_array_equal(fitted.predict(x), [0, 1, 1])
    done = model.impute(new)
    assert done.rows == (1, 2)
    assert done.statements[1][SINUS_RHYTHM] == pytest.approx(100 * fitted.predict_proba(x)[1, 1], abs=0.06)


def test_the_model_is_plain_numbers():
    model = fit_sinus_rhythm(cohort(50))
    kept = json.loads(json.dumps(model.to_dict()))
    assert kept["predicts"] == SINUS_RHYTHM
    assert kept["coefficients"] == dict(model.coefficients)
    assert (kept["n_records"], kept["task"]) == (50, "dl-ecg-17")


def test_records_that_tell_nothing_are_not_learnt_from():
    useless = [{}, {"164865005": None}, {AF: float("nan")}, {SINUS_RHYTHM: float("nan"), RBBB: None}]
    assert fit_sinus_rhythm(cohort() + useless) == fit_sinus_rhythm(cohort())


def test_records_of_one_kind_teach_nothing():
    with pytest.raises(DatasetError, match="of 3 records, 3 have it and 0 state another class"):
        fit_sinus_rhythm([{SINUS_RHYTHM: None}] * 3)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match=r"imputing sinus rhythm needs.*einthoven\[labels\]"):
        fit_sinus_rhythm(cohort(10))
