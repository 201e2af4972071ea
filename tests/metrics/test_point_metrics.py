import numpy as np
import pytest
from sklearn import metrics as peer
from sklearn.calibration import calibration_curve

from einthoven import metrics
from einthoven.metrics import Counts
from einthoven.metrics.challenge import challenge_table, merge_equivalent


def _data(n=400, classes=5, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < rng.uniform(0.05, 0.6, classes)).astype(float)
    y[0], y[1] = 1, 0
    p = 1 / (1 + np.exp(-rng.normal(1.5 * y - 1, 1)))
    return y, p.round(1) if ties else p


def _holed(y, share=0.2):
    holed = y.copy()
    holed[np.random.default_rng(9).random(y.shape) < share] = np.nan
    return holed


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("ties", [False, True])
def test_averages_equal_scikit_learn(average, ties):
    y, p = _data(ties=ties)
    area = metrics.averaged(metrics.auroc, y, p, average)
    assert area == pytest.approx(peer.roc_auc_score(y, p, average=average), abs=1e-12)
    precision = metrics.averaged(metrics.auprc, y, p, average)
    assert precision == pytest.approx(peer.average_precision_score(y, p, average=average), abs=1e-12)


def test_a_micro_average_pools_known_pairs_only():
    y, p = _data()
    holed = _holed(y)
    known = ~np.isnan(holed)
    expected = peer.roc_auc_score(holed[known], p[known])
    assert metrics.averaged(metrics.auroc, holed, p, "micro") == pytest.approx(expected, abs=1e-12)


def test_undefined_classes_are_left_out_of_averages_and_unknown_averages_refused():
    y, p = _data()
    y[:, 2] = 0
    rest = [0, 1, 3, 4]
    for average in ("macro", "weighted"):
        expected = peer.roc_auc_score(y[:, rest], p[:, rest], average=average)
        assert metrics.averaged(metrics.auroc, y, p, average) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(metrics.averaged(metrics.auroc, np.zeros((3, 1)), np.zeros((3, 1))))
    with pytest.raises(ValueError, match="unknown average 'mean'; averages are macro, micro and weighted"):
        metrics.averaged(metrics.auroc, y, p, "mean")


@pytest.mark.parametrize("holes", [False, True])
def test_brier_and_log_loss_equal_scikit_learn(holes):
    y, p = _data()
    p[3, :] = [0, 1, 0, 1, 0.5]  # certain, and for some classes wrong
    y = _holed(y) if holes else y
    for k in range(y.shape[1]):
        known = ~np.isnan(y[:, k])
        t, s = y[known, k], p[known, k]
        assert metrics.brier(y, p)[k] == pytest.approx(peer.brier_score_loss(t, s), abs=1e-12)
        assert metrics.log_loss(y, p)[k] == pytest.approx(peer.log_loss(t, s), abs=1e-12)


def _reference_ece(y, p, n_bins):
    """The definition, literally: share of the bin times the gap, bins (k/n, (k+1)/n], zero in the first."""
    total = 0.0
    for k in range(n_bins):
        inside = (p > k / n_bins) & (p <= (k + 1) / n_bins) | ((p == 0) & (k == 0))
        if inside.any():
            total += inside.mean() * abs(y[inside].mean() - p[inside].mean())
    return total


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_calibration_error_is_its_definition(n_bins):
    y, p = _data(n=700)
    p[:4, 0] = [0, 1, 0.2, 0.5]
    holed = _holed(y)
    for k in range(y.shape[1]):
        known = ~np.isnan(holed[:, k])
        expected = _reference_ece(holed[known, k], p[known, k], n_bins)
        assert metrics.calibration_error(holed, p, n_bins)[k] == pytest.approx(expected, abs=1e-12)


def test_reliability_equals_scikit_learns_curve():
    y, p = _data(ties=True)
    count, mean_score, share = metrics.reliability(y, p, 10)
    for k in range(y.shape[1]):
        true, predicted = calibration_curve(y[:, k], p[:, k], n_bins=10)
        filled = count[k] > 0
        np.testing.assert_allclose(share[k, filled], true, atol=1e-12)
        np.testing.assert_allclose(mean_score[k, filled], predicted, atol=1e-12)
    assert (count.sum(axis=1) == len(y)).all()


def test_calibration_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="probabilities from 0 to 1, got 0.5 to 1.5"):
        metrics.brier([[1], [0]], [[1.5], [0.5]])
    with pytest.raises(ValueError, match="n_bins must be at least 1"):
        metrics.reliability([[1], [0]], [[0.5], [0.5]], 0)
    assert np.isnan(metrics.brier([[np.nan]], [[0.5]])).all()
    assert np.isnan(metrics.calibration_error([[np.nan]], [[0.5]])).all()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_best_f1_is_the_highest_of_all_thresholds(ties, seed):
    y, p = _data(n=120, ties=ties, seed=seed)
    values, thresholds = metrics.best_f1(y, p)
    for k in range(y.shape[1]):
        assert values[k] == pytest.approx(max(peer.f1_score(y[:, k], p[:, k] >= t) for t in p[:, k]), abs=1e-12)
        assert values[k] == pytest.approx(peer.f1_score(y[:, k], p[:, k] >= thresholds[k]), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("specificity", [0.0, 0.5, 0.8, 0.9, 0.95, 1.0])
def test_sensitivity_at_a_specificity_is_the_best_of_the_curve(ties, specificity):
    y, p = _data(ties=ties)
    found = metrics.sensitivity_at_specificity(y, p, specificity)
    for k in range(y.shape[1]):
        fpr, tpr, _ = peer.roc_curve(y[:, k], p[:, k], drop_intermediate=False)
        assert found[k] == pytest.approx(tpr[1 - fpr >= specificity - 1e-12].max(), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("max_fpr", [0.01, 0.1, 0.37, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_partial_areas_equal_scikit_learn(ties, max_fpr, seed):
    y, p = _data(ties=ties, seed=seed)
    found = metrics.partial_auroc(y, p, max_fpr)
    for k in range(y.shape[1]):
        assert found[k] == pytest.approx(peer.roc_auc_score(y[:, k], p[:, k], max_fpr=max_fpr), abs=1e-12)


def test_a_whole_partial_area_is_the_area():
    y, p = _data(ties=True)
    np.testing.assert_allclose(metrics.partial_auroc(y, p, 1.0), metrics.auroc(y, p), atol=1e-12)


def test_one_sort_gives_the_same_as_each_function_alone():
    y, p = _data(ties=True)
    y = _holed(y)
    found = metrics.curve_metrics(y, p, specificity=0.8, max_fpr=0.2)
    np.testing.assert_array_equal(found["auroc"], metrics.auroc(y, p))
    np.testing.assert_array_equal(found["auprc"], metrics.auprc(y, p))
    np.testing.assert_array_equal([found["best_f1"], found["best_f1_threshold"]], metrics.best_f1(y, p))
    np.testing.assert_array_equal(found["sensitivity_at_specificity"], metrics.sensitivity_at_specificity(y, p, 0.8))
    np.testing.assert_array_equal(found["partial_auroc"], metrics.partial_auroc(y, p, 0.2))
    undefined = metrics.curve_metrics(np.zeros((4, 1)), np.zeros((4, 1)))
    assert all(np.isnan(values).all() for values in undefined.values())


def test_rates_out_of_range_are_refused():
    y, p = _data()
    with pytest.raises(ValueError, match="specificity must lie between 0 and 1, got 90"):
        metrics.sensitivity_at_specificity(y, p, 90)
    with pytest.raises(ValueError, match="max_fpr must lie above 0"):
        metrics.partial_auroc(y, p, 0)
    with pytest.raises(ValueError, match="ascending"):
        metrics.threshold_sweep(y, p, [0.5, 0.2])


@pytest.mark.parametrize("ties", [False, True])
def test_the_sweep_is_the_decision_at_each_threshold(ties):
    y, p = _data(ties=ties)
    y = _holed(y)
    thresholds, rates = metrics.threshold_sweep(y, p)
    np.testing.assert_array_equal(thresholds, np.linspace(0, 1, 101))
    for j in (0, 10, 30, 50, 77, 100):
        alone = metrics.decision_metrics(metrics.confusion_counts(y, p >= thresholds[j]))
        for name, values in alone.items():
            np.testing.assert_allclose(rates[name][:, j], values, atol=1e-12)


def test_decision_figures_equal_scikit_learn():
    y, p = _data()
    said = p >= 0.5
    counts = metrics.confusion_counts(y, said)
    rates = metrics.decision_metrics(counts, beta=2)
    expected = {
        "sensitivity": peer.recall_score,
        "specificity": lambda t, s: peer.recall_score(1 - t, ~s),
        "ppv": peer.precision_score,
        "npv": lambda t, s: peer.precision_score(1 - t, ~s),
        "f1": peer.f1_score,
        "f_beta": lambda t, s: peer.fbeta_score(t, s, beta=2),
        "mcc": peer.matthews_corrcoef,
        "accuracy": peer.accuracy_score,
        "balanced_accuracy": peer.balanced_accuracy_score,
    }
    for k in range(y.shape[1]):
        tn, fp, fn, tp = peer.confusion_matrix(y[:, k], said[:, k]).ravel()
        assert (counts.tp[k], counts.fp[k], counts.fn[k], counts.tn[k]) == (tp, fp, fn, tn)
        for name, reference in expected.items():
            assert rates[name][k] == pytest.approx(reference(y[:, k], said[:, k]), abs=1e-12)
        assert rates["g_beta"][k] == pytest.approx(tp / (tp + fp + 2 * fn), abs=1e-12)
    assert set(rates) == {*expected, "g_beta"}


def test_counts_leave_out_unknown_targets_and_span_blocks():
    y, p = _data(n=20_000, classes=2)
    y, said = _holed(y), p >= 0.5
    counts = metrics.confusion_counts(y, said)
    for k in range(2):
        known = ~np.isnan(y[:, k])
        tn, fp, fn, tp = peer.confusion_matrix(y[known, k], said[known, k]).ravel()
        assert (counts.tp[k], counts.fp[k], counts.fn[k], counts.tn[k]) == (tp, fp, fn, tn)


def test_rates_without_a_denominator_are_undefined():
    rates = metrics.decision_metrics(Counts(*(np.array([n]) for n in (0.0, 0.0, 0.0, 3.0))))
    undefined = {name for name, values in rates.items() if np.isnan(values[0])}
    assert undefined == {"sensitivity", "ppv", "f1", "f_beta", "g_beta", "mcc", "balanced_accuracy"}
    with pytest.raises(ValueError, match="decisions must be true or false"):
        metrics.confusion_counts([[1]], [[0.7]])


def test_multiclass_confusion_equals_scikit_learn():
    rng = np.random.default_rng(0)
    true, said = rng.integers(0, 4, 500).astype(float), rng.integers(0, 4, 500)
    true[:20] = np.nan
    found = metrics.multiclass_confusion(true, said, 4)
    np.testing.assert_array_equal(found, peer.confusion_matrix(true[20:], said[20:]))
    rates = metrics.beat_metrics(found)
    np.testing.assert_allclose(rates["se"], peer.recall_score(true[20:], said[20:], average=None), atol=1e-12)
    np.testing.assert_allclose(rates["ppv"], peer.precision_score(true[20:], said[20:], average=None), atol=1e-12)
    with pytest.raises(ValueError, match="class numbers from 0 to 3"):
        metrics.multiclass_confusion([4], [0], 4)
    with pytest.raises(ValueError, match="one shape"):
        metrics.multiclass_confusion([1, 2], [0], 4)


def test_the_aami_summary_of_de_chazals_table_is_what_they_report():
    """de Chazal, O'Dwyer and Reilly 2004, DS2, rows N S V F Q: Se and +P of SVEB 75.9 and 38.5, of VEB 77.7 and 81.9 %.

    How the seven Q beats are spread over columns does not count, and is not theirs here.
    """
    table = [
        [38444, 1904, 303, 3509, 99],
        [173, 1395, 252, 16, 1],
        [117, 321, 2504, 176, 103],
        [33, 1, 7, 347, 0],
        [2, 1, 1, 3, 0],
    ]
    found = metrics.aami_summary(table)
    rounded = {name: [round(100 * each[key], 1) for key in ("se", "ppv")] for name, each in found.items()}
    assert rounded == {"SVEB": [75.9, 38.5], "VEB": [77.7, 81.9]}
    false_alarms = 1904 + 321 + 1  # N, V and F called S; Q called S is left out
    others = 44259 + 3221 + 388 + 7 - 1
    assert found["SVEB"]["fpr"] == pytest.approx(false_alarms / others)
    assert found["SVEB"]["accuracy"] == pytest.approx((1395 + others - false_alarms) / (1837 + others))
    false_alarms = 303 + 252  # N and S called V; F and Q called V are left out
    others = 44259 + 1837 + 388 - 7 + 7 - 1
    assert found["VEB"]["fpr"] == pytest.approx(false_alarms / others)
    shuffled = [4, 2, 0, 1, 3]
    again = metrics.aami_summary(np.array(table)[np.ix_(shuffled, shuffled)], [*"QVNSF"])
    assert again == found


def test_an_aami_summary_needs_its_classes():
    with pytest.raises(ValueError, match="AAMI's N, S, V, F, Q with S and V, got N, X"):
        metrics.aami_summary(np.eye(2), ["N", "X"])
    with pytest.raises(ValueError, match="must be 5 x 5, got shape \\(4, 4\\)"):
        metrics.aami_summary(np.eye(4))


def _reference_challenge(labels, outputs, weights, normal):
    """The official scorers' loops, written out."""

    def score(said):
        total = 0.0
        for truth, decided in zip(labels, said, strict=True):
            n = max(np.sum(truth | decided), 1)
            total += sum(weights[j, k] / n for j in np.flatnonzero(truth) for k in np.flatnonzero(decided))
        return total

    inactive = np.zeros_like(outputs)
    inactive[:, normal] = True
    observed, perfect, always_normal = score(outputs), score(labels), score(inactive)
    return (observed - always_normal) / (perfect - always_normal)


def _reference_betas(labels, outputs, beta):
    """Macro F-beta and G-beta of the 2020 scorer, written out: a record counts one over its number of labels."""
    f, g = [], []
    for k in range(labels.shape[1]):
        tp = fp = fn = 0.0
        for truth, decided in zip(labels, outputs, strict=True):
            share = 1 / max(truth.sum(), 1)
            tp += share * (truth[k] and decided[k])
            fp += share * (not truth[k] and decided[k])
            fn += share * (truth[k] and not decided[k])
        if tp + fp + fn:
            f.append((1 + beta**2) * tp / ((1 + beta**2) * tp + fp + beta**2 * fn))
            g.append(tp / (tp + fp + beta * fn))
    return np.mean(f), np.mean(g)


def _codes(year):
    return [code for names in challenge_table(year).classes for code in names]


@pytest.mark.parametrize("year", [2020, 2021])
@pytest.mark.parametrize("seed", range(3))
def test_challenge_scores_are_the_official_definition(year, seed):
    rng = np.random.default_rng(seed)
    table, codes = challenge_table(year), [*_codes(year), "164951009"]
    y = rng.random((150, len(codes))) < 0.08
    said = y ^ (rng.random(y.shape) < 0.05)
    rows = [[codes.index(code) for code in names] for names in table.classes]
    labels, outputs = (np.stack([part[:, row].any(axis=1) for row in rows], axis=1) for part in (y, said))
    expected = _reference_challenge(labels, outputs, table.weights, table.normal)
    assert metrics.challenge_score(y, said, codes, year) == pytest.approx(expected, abs=1e-12)
    expected = _reference_betas(labels, outputs, 2)
    assert metrics.challenge_beta(y, said, codes, year) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("year", [2020, 2021])
def test_perfect_scores_one_and_always_normal_zero(year):
    codes = _codes(year)
    y = np.random.default_rng(0).random((80, len(codes))) < 0.1
    assert metrics.challenge_score(y, y, codes, year) == 1
    normal = np.zeros_like(y)
    normal[:, codes.index("426783006")] = True
    assert metrics.challenge_score(y, normal, codes, year) == 0
    assert metrics.challenge_beta(y, y, codes, year) == (1, 1)


@pytest.mark.parametrize("year", [2020, 2021])
def test_equivalent_diagnoses_are_one(year):
    codes = ["713427006", "59118001", "426783006", "164889003"]
    complete, right, normal, fibrillation = np.eye(4, dtype=bool)
    truth = np.array([complete, normal, fibrillation])
    assert metrics.challenge_score(truth, np.array([right, normal, fibrillation]), codes, year) == 1
    assert metrics.challenge_score(truth, np.array([complete | right, normal, fibrillation]), codes, year) == 1


def test_the_tables_are_the_published_ones():
    for year, n_classes, n_codes, joined in ((2020, 24, 27, 3), (2021, 26, 30, 4)):
        table = challenge_table(year)
        assert (len(table.classes), len(_codes(year))) == (n_classes, n_codes)
        assert sum(len(names) > 1 for names in table.classes) == joined
        np.testing.assert_array_equal(table.weights, table.weights.T)
        np.testing.assert_array_equal(np.diag(table.weights), 1)
        assert table.classes[table.normal] == ("426783006",)
    sinus, brady = (next(k for k, c in enumerate(table.classes) if code in c) for code in ("426783006", "426627000"))
    assert table.weights[sinus, brady] == 0.45


def test_unknown_targets_are_left_out_of_their_record():
    codes = ["426783006", "164889003", "270492004"]
    y = np.array([[1, 0, np.nan], [0, 1, 0], [0, 0, 1]], dtype=float)
    said = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]], dtype=bool)
    assert metrics.challenge_score(y, said, codes) == 1
    merged, _ = merge_equivalent([[np.nan, 1], [np.nan, 0]], np.zeros((2, 2)), ["713427006", "59118001"], 2021)
    joined = next(k for k, names in enumerate(challenge_table(2021).classes) if "59118001" in names)
    assert merged[0, joined] == 1
    assert np.isnan(merged[1, joined])


def test_a_challenge_score_needs_scored_codes():
    with pytest.raises(ValueError, match="none of the codes NORM, MI is scored in 2021; name SNOMED CT codes"):
        metrics.challenge_score(np.eye(2), np.eye(2), ["NORM", "MI"])
    with pytest.raises(ValueError, match="2 columns need as many different SNOMED CT codes, got 1"):
        metrics.challenge_score(np.eye(2), np.eye(2), ["426783006"])
    with pytest.raises(ValueError, match="tables of 2020 and 2021, not 2019"):
        metrics.challenge_score(np.eye(2), np.eye(2), ["426783006", "164889003"], 2019)
