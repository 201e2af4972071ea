import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from einthoven import metrics
from einthoven.metrics.bootstrap import bca_bounds


def _data(n=200, classes=3, seed=0, rare=None):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < rng.uniform(0.2, 0.6, classes)).astype(float)
    if rare is not None:
        y[:, 0] = 0
        y[:rare, 0] = 1
    p = 1 / (1 + np.exp(-rng.normal(1.5 * y - 1, 1)))
    return y, p


def test_bca_equals_scipy_on_the_same_draws():
    sample = np.random.default_rng(0).exponential(size=40)
    first = stats.bootstrap((sample,), np.mean, n_resamples=999, method="percentile", rng=np.random.default_rng(1))
    scipys = stats.bootstrap((sample,), np.mean, n_resamples=0, method="BCa", bootstrap_result=first)
    left_out = np.array([np.delete(sample, k).mean() for k in range(40)])
    ours = bca_bounds(sample.mean(), first.bootstrap_distribution, left_out, 0.95)
    assert ours == pytest.approx(tuple(scipys.confidence_interval), abs=1e-12)


def test_bca_of_auroc_leaves_out_patients_and_shares_the_resamples():
    y, p = _data(n=90)
    patients = np.arange(90) // 3
    _, per_class, how = metrics.bootstrap_metrics(y, p, patients, n_resamples=300, seed=2, method="bca")
    weights, _, _ = metrics.resampling_weights(y, patients, 300, 2)
    draws = np.array([roc_auc_score(y[:, 1], p[:, 1], sample_weight=w) for w in weights.T])
    left_out = np.array([roc_auc_score(y[patients != g, 1], p[patients != g, 1]) for g in range(30)])
    expected = bca_bounds(roc_auc_score(y[:, 1], p[:, 1]), draws, left_out, 0.95)
    assert (per_class["auroc"][1].low, per_class["auroc"][1].high) == pytest.approx(expected, abs=1e-9)
    assert how.method == "BCa bootstrap"


def test_bca_and_percentile_agree_on_the_figure_and_differ_in_the_tails():
    y, p = _data(n=120)
    plain = metrics.bootstrap_metrics(y, p, n_resamples=300)[0]
    corrected = metrics.bootstrap_metrics(y, p, n_resamples=300, method="bca")[0]
    for name, figure in plain.items():
        assert corrected[name].value == figure.value
        assert corrected[name].low != figure.low
        assert corrected[name].low < figure.value < corrected[name].high


def test_bca_says_nothing_where_every_draw_lies_on_one_side():
    assert bca_bounds(1.0, np.linspace(0, 0.9, 200), np.linspace(0, 1, 20), 0.95) is None
    assert bca_bounds(1.0, np.ones(200), np.ones(20), 0.95) == (1.0, 1.0)


def test_a_patient_without_whom_a_class_is_lost_does_not_spoil_the_bca_interval():
    y, p = _data(n=60, rare=1)
    macro, per_class, _ = metrics.bootstrap_metrics(y, p, n_resamples=200, method="bca")
    assert macro["auroc"].low < macro["auroc"].high
    assert per_class["auroc"][0].low <= per_class["auroc"][0].high


@pytest.mark.parametrize(("absent", "words"), [("skip", "left out of that resample"), ("half", "counts at chance")])
def test_rules_for_absent_classes_are_a_loop_over_scikit_learn(absent, words):
    y, p = _data(n=60, rare=2)
    macro, per_class, how = metrics.bootstrap_metrics(y, p, n_resamples=200, seed=4, absent=absent)
    weights, _, _ = metrics.resampling_weights(y, None, 200, 4, absent)
    lost = (y[:, 0] @ weights) == 0
    assert 10 < lost.sum() < 60
    areas = np.full((200, 3), 0.5 if absent == "half" else np.nan)
    averages = np.full((200, 3), 0.0 if absent == "half" else np.nan)
    for j, w in enumerate(weights.T):
        for k in range(3):
            if k or not lost[j]:
                areas[j, k] = roc_auc_score(y[:, k], p[:, k], sample_weight=w)
                averages[j, k] = average_precision_score(y[:, k], p[:, k], sample_weight=w)
    for name, draws in (("auroc", areas), ("auprc", averages)):
        expected = np.quantile(np.nanmean(draws, axis=1), [0.025, 0.975])
        assert (macro[name].low, macro[name].high) == pytest.approx(expected, abs=1e-9)
        expected = np.nanquantile(draws[:, 0], [0.025, 0.975])
        assert (per_class[name][0].low, per_class[name][0].high) == pytest.approx(expected, abs=1e-9)
    assert words in how.absent_classes
    assert how.n_resamples == 200


def test_redrawing_keeps_every_class_and_says_so():
    y, p = _data(n=60, rare=2)
    _, _, how = metrics.bootstrap_metrics(y, p, n_resamples=200)
    assert (how.absent_classes, how.method) == (
        "redraw until every class has a positive and a negative",
        "percentile bootstrap",
    )
    assert how.n_drawn > 200


def test_unknown_rules_are_refused():
    y, p = _data()
    for wrong in ({"method": "basic"}, {"absent": "zero"}):
        with pytest.raises(ValueError, match="method must be one of percentile, bca and absent one of redraw, skip"):
            metrics.bootstrap_metrics(y, p, **wrong)


def _reference_delong(y, scores):
    """DeLong, DeLong and Clarke-Pearson 1988, literally: the kernel over every pair of a positive and a negative."""
    kernels = []
    for p in np.transpose(scores):
        x, z = p[y == 1][:, None], p[y == 0][None, :]
        kernels.append((x > z) + 0.5 * (x == z))
    v10 = np.array([k.mean(axis=1) for k in kernels])
    v01 = np.array([k.mean(axis=0) for k in kernels])
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    return v10.mean(axis=1), covariance


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_delong_is_its_definition(ties, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random(150) < 0.3).astype(float)
    scores = rng.normal(y[:, None], 1, (150, 3))
    scores = scores.round(0) if ties else scores
    areas, covariance = metrics.delong(y, scores)
    expected_areas, expected = _reference_delong(y, scores)
    np.testing.assert_allclose(areas, expected_areas, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)
    assert areas[0] == pytest.approx(roc_auc_score(y, scores[:, 0]), abs=1e-12)
    holed = np.append(y, np.nan)
    np.testing.assert_allclose(metrics.delong(holed, np.vstack([scores, [9, 9, 9]]))[1], expected, atol=1e-12)


def test_the_paired_test_is_the_normal_test_of_the_difference():
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.4).astype(float)
    scores = rng.normal(y[:, None] * [1.2, 0.8], 1)
    areas, covariance = _reference_delong(y, scores)
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = metrics.delong_test(y, scores[:, 0], scores[:, 1], level=0.9)
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.9, areas[0] - areas[1], deviation))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(areas[0] - areas[1]) / deviation))
    single = metrics.delong_interval(y, scores[:, 0])
    assert (single.low, single.high) == pytest.approx(stats.norm.interval(0.95, areas[0], covariance[0, 0] ** 0.5))


def test_repeating_every_record_does_not_narrow_a_clustered_interval():
    """Obuchowski 1997: one record per patient is DeLong; copies of it, as one patient, add no knowledge."""
    rng = np.random.default_rng(0)
    y = (rng.random(120) < 0.4).astype(float)
    scores = rng.normal(y, 1)
    _, alone = metrics.delong(y, scores, np.arange(120))
    assert alone == pytest.approx(metrics.delong(y, scores)[1], abs=1e-15)
    patients = np.tile(np.arange(120), 5)
    _, clustered = metrics.delong(np.tile(y, 5), np.tile(scores, 5), patients)
    _, naive = metrics.delong(np.tile(y, 5), np.tile(scores, 5))
    assert clustered == pytest.approx(alone, rel=1e-9)
    assert naive < alone / 4


def test_clustered_delong_covers_patients_with_both_kinds_of_records():
    """The standard error of simulated patients, with shared effects, is what repeated sampling shows."""
    rng = np.random.default_rng(0)
    areas, variances = [], []
    for _ in range(300):
        effect = np.repeat(rng.normal(0, 1, 60), 4)
        y = (rng.random(240) < 0.4).astype(float)
        p = effect + rng.normal(y, 1)
        area, covariance = metrics.delong(y, p, np.arange(240) // 4)
        areas.append(area[0])
        variances.append(covariance[0, 0])
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)


def test_delong_without_enough_groups_has_no_variance():
    areas, covariance = metrics.delong([1, 0, 0], [0.9, 0.2, 0.95])
    assert areas == pytest.approx([0.5])
    assert np.isnan(covariance).all()
    assert metrics.delong_interval([1, 0, 0], [0.9, 0.2, 0.95]).low is None
    assert metrics.delong_test([1, 0, 0], [0.9, 0.2, 0.95], [0.9, 0.2, 0.1]).p is None
    assert np.isnan(metrics.delong([1, 1], [0.1, 0.2])[0]).all()


def test_models_that_order_records_alike_cannot_be_told_apart():
    rng = np.random.default_rng(0)
    y = (rng.random(80) < 0.4).astype(float)
    p = rng.random(80)
    same = metrics.delong_test(y, p, p**3)
    assert (same.value, same.p) == (0, 1)
    perfect, reversed_ = metrics.delong_test(y, y, 1 - y).p, metrics.delong_test(y, 1 - y, y).value
    assert (perfect, reversed_) == (0, -1)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [([1, 0], [0.1], "do not fit"), ([2, 0], [0.1, 0.2], "0, 1 or NaN"), ([1, 0], [np.nan, 0.2], "must not be NaN")],
)
def test_delong_refuses_unusable_input(y, p, message):
    with pytest.raises(ValueError, match=message):
        metrics.delong(y, p)


def test_holm_is_its_definition():
    p = np.array([0.012, 0.2, 0.001, 0.03, 0.03])
    adjusted = metrics.holm(list(p))
    for level in (0.004, 0.01, 0.05, 0.06, 0.1, 0.3):
        rejected = set()
        for step, k in enumerate(np.argsort(p, kind="stable")):  # step down until one holds
            if p[k] * (len(p) - step) > level:
                break
            rejected.add(int(k))
        assert {k for k in range(5) if adjusted[k] <= level} == rejected


def test_paired_differences_use_the_same_resamples():
    y, p = _data(n=150)
    q = p + np.random.default_rng(1).normal(0, 0.1, p.shape)
    weights, _, _ = metrics.resampling_weights(y, None, 300, 0)
    a, b = (metrics.macro_auroc_draws(y, s, weights) for s in (p, q))
    assert a[0] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert b[271] == pytest.approx(roc_auc_score(y, q, sample_weight=weights[:, 270]), abs=1e-12)
    found = metrics.paired_difference(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile((a - b)[1:], [0.025, 0.975])))
    below = ((a - b)[1:] <= 0).sum()
    assert found.p == pytest.approx(min(1, 2 * (min(below, 300 - below) + 1) / 301))
    assert metrics.paired_difference(a[:50], b[:50]).p is None
