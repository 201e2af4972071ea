import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from einthoven.metrics import auprc, auroc, bootstrap_metrics, fmax, resampling_weights
from einthoven.metrics.fmax import weighted_fmax
from einthoven.metrics.ranking import weighted_ranking


def _data(n=300, classes=6, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < rng.uniform(0.03, 0.6, classes)).astype(float)
    y[0], y[1] = 1, 0
    p = 1 / (1 + np.exp(-rng.normal(1.5 * y - 1, 1)))
    return y, p.round(1) if ties else p


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_ranking_metrics_equal_scikit_learn(ties, seed):
    y, p = _data(ties=ties, seed=seed)
    np.testing.assert_allclose(auroc(y, p), roc_auc_score(y, p, average=None), atol=1e-12)
    np.testing.assert_allclose(auprc(y, p), average_precision_score(y, p, average=None), atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_ranking_equals_scikit_learn_with_sample_weights(ties):
    y, p = _data(ties=ties)
    weights = np.random.default_rng(3).integers(0, 4, (len(y), 7)).astype(np.float32)
    for k in range(y.shape[1]):
        area, average = weighted_ranking(y[:, k], p[:, k], weights)
        for j in range(weights.shape[1]):
            w = weights[:, j]
            assert area[j] == pytest.approx(roc_auc_score(y[:, k], p[:, k], sample_weight=w), abs=1e-12)
            assert average[j] == pytest.approx(average_precision_score(y[:, k], p[:, k], sample_weight=w), abs=1e-12)


def test_extreme_scores_are_exact():
    y = np.array([[1], [1], [0], [0]])
    assert auroc(y, y).tolist() == [1.0]
    assert auroc(y, 1 - y).tolist() == [0.0]
    assert auroc(y, 0.5 * np.ones((4, 1))).tolist() == [0.5]
    assert auprc(y, 0.5 * np.ones((4, 1))).tolist() == [0.5]


def test_a_class_without_positives_or_negatives_is_undefined():
    y = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 1]])
    p = np.random.default_rng(0).random((3, 3))
    assert np.isnan(auroc(y, p)).tolist() == [True, True, False]
    assert np.isnan(auprc(y, p)).tolist() == [True, True, False]


def test_unknown_targets_are_left_out():
    y, p = _data()
    holed = y.copy()
    holed[5:60, 2] = np.nan
    keep = ~np.isnan(holed[:, 2])
    assert auroc(holed, p)[2] == pytest.approx(roc_auc_score(y[keep, 2], p[keep, 2]), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([[1, 0]], [[0.5]], "one shape"),
        ([[2]], [[0.5]], "0, 1 or NaN"),
        ([[1], [0]], [[np.nan], [0.2]], "1 records have a score that is NaN"),
    ],
)
def test_unusable_input_is_refused(y, p, message):
    with pytest.raises(ValueError, match=message):
        auroc(y, p)


def _reference_fmax(y, p):
    """The benchmark's definition, literally: thresholds 0, 0.01 ... 1; precision over records with a prediction."""
    best = 0.0
    for t in np.linspace(0, 1, 101):
        precisions, recalls = [], []
        for truth, scores in zip(y, p, strict=True):
            said = scores >= t
            if said.any():
                precisions.append((truth[said] == 1).mean())
            if truth.sum():
                recalls.append((truth[said] == 1).sum() / truth.sum())
        if precisions and np.mean(precisions) + np.mean(recalls):
            a, b = np.mean(precisions), np.mean(recalls)
            best = max(best, 2 * a * b / (a + b))
    return best


@pytest.mark.parametrize("ties", [False, True])
def test_fmax_is_the_benchmarks(ties):
    y, p = _data(ties=ties)
    y = y[y.any(axis=1)]
    p = p[: len(y)]
    value, threshold = fmax(y, p)
    assert value == pytest.approx(_reference_fmax(y, p), abs=1e-12)
    assert 0 <= threshold <= 1


def test_fmax_of_a_resample_is_that_of_repeated_records():
    y, p = _data(n=80)
    weights = np.random.default_rng(0).integers(0, 3, (80, 3)).astype(float)
    values, _ = weighted_fmax(y, p, weights)
    for j in range(3):
        rows = np.repeat(np.arange(80), weights[:, j].astype(int))
        assert values[j] == pytest.approx(fmax(y[rows], p[rows])[0], abs=1e-12)


def test_resamples_draw_whole_patients_and_keep_every_class():
    y, _ = _data(n=120)
    patients = np.arange(120) // 3
    weights, n_groups, drawn = resampling_weights(y, patients, 200, seed=0)
    assert n_groups == 40
    assert weights.shape == (120, 200)
    assert drawn >= 200
    per_patient = weights.reshape(40, 3, 200)
    assert (per_patient == per_patient[:, :1]).all()
    assert (per_patient[:, 0].sum(axis=0) == 40).all()
    assert (((y == 1).T.astype(float) @ weights) > 0).all()
    assert (((y == 0).T.astype(float) @ weights) > 0).all()


def test_intervals_equal_a_loop_over_scikit_learn():
    y, p = _data(n=150, classes=3)
    macro, per_class, how = bootstrap_metrics(y, p, n_resamples=200, seed=5)
    weights, _, _ = resampling_weights(y, None, 200, seed=5)
    draws = np.array([roc_auc_score(y, p, average=None, sample_weight=w) for w in weights.T])
    assert macro["auroc"].value == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert [macro["auroc"].low, macro["auroc"].high] == pytest.approx(np.quantile(draws.mean(axis=1), [0.025, 0.975]))
    assert [per_class["auroc"][1].low, per_class["auroc"][1].high] == pytest.approx(
        np.quantile(draws[:, 1], [0.025, 0.975])
    )
    assert (how.unit, how.n_resamples, how.n_units) == ("record", 200, 150)


def test_clustered_intervals_are_wider_where_patients_repeat():
    y, p = _data(n=100, classes=2)
    y, p = np.repeat(y, 8, axis=0), np.repeat(p, 8, axis=0)
    by_record, _, _ = bootstrap_metrics(y, p, None, n_resamples=300)
    by_patient, _, _ = bootstrap_metrics(y, p, np.arange(800) // 8, n_resamples=300)
    width = {k: m["auroc"].high - m["auroc"].low for k, m in (("record", by_record), ("patient", by_patient))}
    assert width["patient"] > 2 * width["record"]


def test_undefined_classes_are_left_out_of_the_macro_figure():
    y, p = _data()
    y[:, 4] = 0
    macro, per_class, _ = bootstrap_metrics(y, p, n_resamples=150)
    assert per_class["auroc"][4] is None
    rest = [k for k in range(6) if k != 4]
    assert macro["auroc"].value == pytest.approx(roc_auc_score(y[:, rest], p[:, rest]), abs=1e-12)


def test_the_same_seed_gives_the_same_interval():
    y, p = _data()
    assert bootstrap_metrics(y, p, n_resamples=150, seed=1) == bootstrap_metrics(y, p, n_resamples=150, seed=1)


def test_without_resamples_there_are_figures_but_no_intervals():
    y, p = _data()
    macro, _, how = bootstrap_metrics(y, p, n_resamples=0)
    assert (macro["auroc"].low, macro["auroc"].high, how.n_resamples) == (None, None, 0)
    assert macro["auroc"].value == pytest.approx(roc_auc_score(y, p), abs=1e-12)


def test_classes_too_rare_to_keep_give_no_interval_instead_of_a_wrong_one():
    y = np.eye(40)  # every class has one record: a resample that keeps all is one in 40!/40**40
    macro, _, how = bootstrap_metrics(y, np.random.default_rng(0).random((40, 40)), n_resamples=10)
    assert how.n_resamples == 0
    assert macro["auroc"].low is None
