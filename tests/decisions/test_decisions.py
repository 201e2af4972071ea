"""Calibration, thresholds, conformal sets and contradictions: each against its definition."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score, fbeta_score, roc_curve

from einthoven.decisions import (
    CALIBRATIONS,
    Calibration,
    Decisions,
    Plan,
    Rule,
    cross_fit,
    fit_calibration,
    fit_conformal,
    fit_decisions,
    fit_thresholds,
    parse_rule,
    patient_folds,
)
from einthoven.errors import RecipeError
from einthoven.metrics import challenge_score

METHODS = tuple(CALIBRATIONS)


def made(n=4000, seed=0, slope=1.0, shift=0.0):
    """Scores whose log-odds are ``slope * z + shift`` where z are the true log-odds; shape (n, 2)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 2, (n, 2))
    y = (rng.random((n, 2)) < expit(z)).astype(float)
    return y, expit(slope * z + shift)


def plan(**changes):
    usual = {"classes": ("A", "B"), "kind": "multilabel", "calibration": "platt", "rule": Rule("f1"), "error": 0.1}
    return Plan(**{**usual, "exclusions": {}, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_calibration_mends_scores_that_are_twice_too_sharp(method):
    y, p = made(slope=2.0)
    q = fit_calibration(y, p, method).apply(p)
    truth = expit(logit(p) / 2)
    assert np.abs(q - truth).mean() < 0.03 < np.abs(p - truth).mean()
    for k in range(2):
        order = np.argsort(p[:, k])
        assert (np.diff(q[order, k]) >= 0).all()


def test_platt_is_the_maximum_likelihood_fit_of_smoothed_targets():
    y, p = made(600, slope=0.5, shift=1.0)
    peer = _SigmoidCalibration().fit(logit(p[:, 0]), y[:, 0])
    np.testing.assert_allclose(fit_calibration(y, p, "platt").apply(p)[:, 0], peer.predict(logit(p[:, 0])), atol=2e-4)


def test_isotonic_agrees_with_scikit_learn():
    y, p = made(500)
    p = p.round(2)  # ties
    peer = IsotonicRegression(out_of_bounds="clip").fit(p[:, 1], y[:, 1])
    np.testing.assert_allclose(fit_calibration(y, p, "isotonic").apply(p)[:, 1], peer.predict(p[:, 1]), atol=1e-12)


def test_temperature_and_beta_contain_the_identity():
    y, p = made(20000)
    assert fit_calibration(y, p, "temperature").maps[0]["temperature"] == pytest.approx(1, abs=0.05)
    found = fit_calibration(y, p, "beta").maps[0]
    assert (found["a"], found["b"], found["c"]) == pytest.approx((1, 1, 0), abs=0.1)


def test_a_multi_class_temperature_keeps_the_sum_and_the_order():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (5000, 3))
    y = np.eye(3)[[rng.choice(3, p=row) for row in np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)]]
    sharp = np.exp(3 * z) / np.exp(3 * z).sum(axis=1, keepdims=True)
    found = fit_calibration(y, sharp, "platt", "multiclass")
    assert found.maps[0]["temperature"] == pytest.approx(3, rel=0.1)
    q = found.apply(sharp)
    np.testing.assert_allclose(q.sum(axis=1), 1)
    np.testing.assert_array_equal(q.argmax(axis=1), sharp.argmax(axis=1))


def test_classes_with_few_cases_keep_their_scores_and_extremes_stay_finite():
    y, p = made(200)
    y[:, 1] = 0
    y[:5, 1] = 1
    p[0, 0], p[1, 0] = 0.0, 1.0
    for method in METHODS:
        found = fit_calibration(y, p, method)
        assert found.maps[1] is None
        q = found.apply(p)
        np.testing.assert_array_equal(q[:, 1], p[:, 1])
        assert np.isfinite(q).all()
        assert Calibration.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))).apply(p).tolist() == (
            q.tolist()
        )


def test_unknown_targets_are_left_out_of_every_fit():
    y, p = made(400)
    holes = y.copy()
    holes[:100, 0] = np.nan
    whole, part = fit_decisions(holes, p, plan()), fit_decisions(y[100:], p[100:], plan())
    assert whole.calibration.maps[0] == part.calibration.maps[0]
    assert whole.thresholds[0] == part.thresholds[0]
    assert whole.conformal.lowest_positive[0] == part.conformal.lowest_positive[0]


def test_an_unknown_calibration_is_named():
    with pytest.raises(ValueError, match="unknown calibration 'plat'; there are none, temperature"):
        fit_calibration(*made(50), "plat")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", ["f1", "fbeta:2", "fbeta:0.5"])
def test_f_beta_thresholds_reach_the_best_of_any_threshold(seed, rule):
    y, p = made(300, seed)
    beta = parse_rule(rule).value or 1
    fitted = fit_thresholds(y, p, parse_rule(rule))
    for k in range(2):
        best = max(fbeta_score(y[:, k], p[:, k] >= t, beta=beta) for t in p[:, k])
        assert fbeta_score(y[:, k], p[:, k] >= fitted[k], beta=beta) == pytest.approx(best, abs=1e-12)


def test_youden_thresholds_reach_the_best_index():
    y, p = made(300)
    fitted = fit_thresholds(y, p, Rule("youden"))
    for k in range(2):
        fpr, tpr, _ = roc_curve(y[:, k], p[:, k])
        said, there = p[:, k] >= fitted[k], y[:, k] == 1
        assert said[there].mean() - said[~there].mean() == pytest.approx((tpr - fpr).max(), abs=1e-12)


def test_fixed_sensitivity_and_specificity_are_reached_and_not_overshot():
    y, p = made(1000)
    for k, limit in enumerate(fit_thresholds(y, p, parse_rule("sensitivity:0.95"))):
        there = p[y[:, k] == 1, k]
        assert (there >= limit).mean() >= 0.95 > (there >= np.nextafter(there[there >= limit].min(), 2)).mean()
    for k, limit in enumerate(fit_thresholds(y, p, parse_rule("specificity:0.9"))):
        absent = p[y[:, k] == 0, k]
        assert (absent < limit).mean() >= 0.9
        fpr, tpr, _ = roc_curve(y[:, k], p[:, k])
        assert (p[y[:, k] == 1, k] >= limit).mean() == pytest.approx(tpr[fpr <= 0.1 + 1e-12].max())


def test_costs_are_minimal():
    y, p = made(400)
    limit = fit_thresholds(y, p, parse_rule("cost:5"))[0]

    def cost(t):
        return 5 * ((p[:, 0] < t) & (y[:, 0] == 1)).sum() + ((p[:, 0] >= t) & (y[:, 0] == 0)).sum()

    assert cost(limit) == min(cost(t) for t in p[:, 0])


def test_challenge_thresholds_score_no_worse_than_f1_ones_and_need_codes():
    codes = ("426783006", "164889003", "427393009")
    rng = np.random.default_rng(0)
    y = (rng.random((400, 3)) < (0.6, 0.2, 0.2)).astype(float)
    p = expit(rng.normal(2 * y - 1, 1.2))
    plain = challenge_score(y, p >= fit_thresholds(y, p, Rule("f1")), codes, 2021)
    best = challenge_score(y, p >= fit_thresholds(y, p, parse_rule("challenge:2021"), codes), codes, 2021)
    assert best > plain
    with pytest.raises(RecipeError, match="need SNOMED CT classes"):
        fit_thresholds(y, p, parse_rule("challenge"))


def test_a_class_without_positives_has_no_threshold_and_is_never_decided():
    y, p = made(100)
    y[:, 0] = 0
    fitted = fit_decisions(y, p, plan())
    assert fitted.thresholds[0] is None
    assert not fitted.decide(p).present[:, 0].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f2", r"unknown threshold rule 'f2' \(did you mean 'f1'\?\); rules are f1, fbeta"),
        ("f1:3", "f1 takes no number"),
        ("sensitivity:1.5", "1.5 is no share; write sensitivity:0.9"),
        ("cost:x", "write cost:5"),
        ("challenge:2019", "2019 is no year; write challenge:2021"),
    ],
)
def test_rules_that_cannot_be_are_named(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_rule(text)


def test_rules_are_written_as_they_are_read():
    for text in ("f1", "youden", "fbeta:2", "sensitivity:0.95", "cost:5", "challenge:2021"):
        assert str(parse_rule(text)) == text
        assert parse_rule(text).words


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
def test_conformal_sets_cover_new_records_at_the_stated_rate(error):
    y, p = made(40000)
    conformal = fit_conformal(y[:20000], p[:20000], error)
    may_be, may_not_be = conformal.sets(p[20000:])
    for k in range(2):
        there = y[20000:, k] == 1
        # exactly the rate by the bounds alone; sets that would be empty hold both answers, so more is covered
        assert (p[20000:, k] >= conformal.lowest_positive[k])[there].mean() == pytest.approx(1 - error, abs=0.025)
        assert (p[20000:, k] <= conformal.highest_negative[k])[~there].mean() == pytest.approx(1 - error, abs=0.025)
        assert may_be[there, k].mean() > 1 - error - 0.025
        assert may_not_be[~there, k].mean() > 1 - error - 0.025
    assert (may_be | may_not_be).all()


def test_too_few_cases_promise_nothing():
    y, p = made(50)
    y[:, 0] = 0
    y[:5, 0] = 1
    may_be, _ = fit_conformal(y, p, 0.1).sets(p)
    assert may_be[:, 0].all()


def test_the_stronger_of_two_contradicting_findings_stands():
    keep = Calibration("none", (None, None, None))
    decisions = Decisions(("NORM", "MI", "CD"), "multilabel", keep, "f1", (0.5, 0.2, 0.5), None, {"NORM": ("MI", "CD")})
    decided = decisions.decide(np.array([[0.6, 0.5, 0.1], [0.9, 0.3, 0.6], [0.9, 0.1, 0.1], [0.1, 0.9, 0.9]]))
    assert decided.present.tolist() == [
        [False, True, False],
        [True, False, False],
        [True, False, False],
        [False, True, True],
    ]
    assert decided.overruled.tolist() == [[True, False, False], [False, True, True], [False] * 3, [False] * 3]


def test_decisions_survive_json():
    y, p = made(300)
    fitted = fit_decisions(y, p, plan(exclusions={"A": ("B",)}))
    again = Decisions.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)), ("A", "B"), "multilabel")
    assert again == fitted


def test_cross_fitting_never_uses_a_patients_own_records():
    y, p = made(300)
    groups = [str(k // 2) for k in range(300)]
    decided = cross_fit(y, p, groups, plan())
    flipped = y.copy()
    flipped[:2] = 1 - flipped[:2]  # both records of patient 0
    again = cross_fit(flipped, p, groups, plan())
    np.testing.assert_array_equal(decided.probabilities[:2], again.probabilities[:2])
    assert (decided.probabilities != again.probabilities).any()
    fold = patient_folds(groups, 300)
    assert all(fold[2 * k] == fold[2 * k + 1] for k in range(150))
    assert f1_score(y[:, 0], decided.present[:, 0]) > 0.5


def test_a_rare_class_that_scores_backwards_is_not_reported_always():
    y, p = made(200)
    y[:, 0] = 0
    y[p[:, 0].argmin(), 0] = 1
    assert fit_decisions(y, p, plan(calibration="none")).thresholds[0] is None


@pytest.mark.parametrize("method", METHODS)
def test_a_class_is_calibrated_as_if_it_were_alone_and_one_without_a_map_keeps_its_scores(method):
    y, p = made(400)
    y, p = np.column_stack([y, np.zeros(400)]), np.column_stack([p, p[:, 0]])
    found = fit_calibration(y, p, method)
    assert found.maps[2] is None
    np.testing.assert_array_equal(found.apply(p)[:, 2], p[:, 2])
    for k in range(2):
        alone = Calibration(method, found.maps[k : k + 1]).apply(p[:, k : k + 1])[:, 0]
        np.testing.assert_array_equal(found.apply(p)[:, k], alone)


def test_a_rare_class_that_the_scores_do_not_tell_from_chance_has_no_threshold():
    rare = np.zeros(400)
    p = np.linspace(0.001, 0.999, 400)
    rare[[30, 150, 200]] = 1  # an AUROC of 0.32, though one of them scores like the best of many others
    assert np.isnan(fit_thresholds(rare[:, None], p[:, None], parse_rule("f1"))[0])
    rare[:] = 0
    rare[[330, 350, 399]] = 1
    assert 0.8 < fit_thresholds(rare[:, None], p[:, None], parse_rule("f1"))[0] < 1
    common = np.tile([0.0, 1.0], 200)  # of many cases a threshold is fitted, however poor
    assert np.isfinite(fit_thresholds(common[:, None], p[:, None], parse_rule("f1"))[0])
