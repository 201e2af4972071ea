"""Do the checks tell a good attribution from one that knows nothing?"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from einthoven.errors import EinthovenError
from einthoven.explain import Settings, label_waves, methods
from einthoven.explain.checks import faithfulness, mean_interval, randomisation, randomised, rank_correlation, stability
from einthoven.explain.explaining import explain_subject
from einthoven.explain.explanation import wave_shares
from einthoven.explain.population import Population
from einthoven.explain.waves import WAVES, runs_of


@pytest.fixture(scope="module")
def found(subject):
    return explain_subject(subject, classes=["CD"], settings=Settings(steps=16))


def test_a_good_order_beats_chance_both_ways_and_its_reverse_loses(subject, found):
    good = faithfulness(subject, found.of("CD"), "CD").gains
    bad = faithfulness(subject, -found.of("CD"), "CD").gains
    for what in ("deletion over random", "insertion over random"):
        assert good[what] > 1 > 0 > bad[what]


def test_a_random_attribution_is_no_better_than_chance(subject, rng):
    chance = [faithfulness(subject, rng.normal(size=(12, 1000)), "CD", seed) for seed in range(4)]
    assert abs(np.mean([each.gains["insertion over random"] for each in chance])) < 0.7


def test_the_order_of_voltage_gains_nothing_over_itself(subject):
    gains = faithfulness(subject, subject.x.abs().numpy(), "CD").gains
    assert gains["deletion over voltage"] == pytest.approx(0, abs=1e-6)
    assert gains["insertion over voltage"] == pytest.approx(0, abs=1e-6)


def test_shuffled_weights_change_the_attribution_and_nothing_else(subject, model):
    before = {name: weights.clone() for name, weights in model.named_parameters()}
    correlations = randomisation(subject, "ig", "CD", Settings(steps=8))
    assert abs(correlations["all"]) < 0.3
    assert correlations["head"] < 0.7
    for name, weights in model.named_parameters():
        torch.testing.assert_close(weights, before[name])


def test_a_method_that_shows_only_voltage_fails_the_randomisation_check(subject, monkeypatch):
    monkeypatch.setitem(methods._RUNS, "ig", lambda subject, *_: subject.x)
    assert randomisation(subject, "ig", "CD") == pytest.approx(
        {"head": 1, "absolute head": 1, "all": 1, "absolute all": 1}
    )


def test_shuffling_keeps_the_values_of_every_tensor(model):
    for part in ("head", "all"):
        other = dict(randomised(model, part, 3).named_parameters())
        changed = [name for name, weights in model.named_parameters() if not torch.equal(weights, other[name])]
        assert changed
        assert (len(changed) <= 2) == (part == "head")
        for name, weights in model.named_parameters():
            torch.testing.assert_close(weights.flatten().sort().values, other[name].flatten().sort().values)
    with pytest.raises(ValueError, match="part must be"):
        randomised(model, "tail")


def test_rank_correlation_is_scipys(rng):
    from scipy.stats import spearmanr

    a, b = rng.integers(0, 5, 200), rng.normal(size=200)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))


def test_the_stability_table_has_mean_error_and_variation_of_every_lead(subject):
    table = stability(subject, "deeplift", "CD", 3, Settings(n_background=2))
    rows = table.rows()
    assert [row["lead"] for row in rows] == list(subject.record.leads)
    assert sum(row["mean"] for row in rows) == pytest.approx(1)
    deviation = table.values.std(axis=0, ddof=1)
    assert rows[0]["sem"] == pytest.approx(deviation[0] / np.sqrt(3))
    assert rows[0]["cv"] == pytest.approx(deviation[0] / table.values[:, 0].mean())
    assert table.varied == "synthetic backgrounds"
    assert stability(subject, "occlusion-leads", "CD", 2).varied == "white noise of 0.02 mV"
    for repeats, method in ((1, "ig"), (3, "gradcam")):
        with pytest.raises(EinthovenError, match="at least 2 repeats"):
            stability(subject, method, "CD", repeats)


def test_the_interval_of_a_mean_covers_it_and_needs_ten_records(rng):
    values = rng.normal(1, 0.2, 50)
    found = mean_interval(values.tolist())
    assert found["low"] < found["mean"] < found["high"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.2 / np.sqrt(50), rel=0.3)
    assert mean_interval([1.0, np.nan])["n"] == 1
    assert mean_interval([1.0] * 9)["low"] is None
    assert mean_interval([])["mean"] is None


def test_shares_of_waves_count_what_is_positive_where_somebody_looked():
    labels = np.array([0, 2, 2, -1, 3], np.int8)
    attribution = np.array([[1.0, 2.0, 1.0, 9.0, -5.0], [0.0, 0.0, 0.0, 9.0, 0.0]])
    rest, p, qrs, t = wave_shares(attribution, labels)
    assert (rest.positive, qrs.positive, t.positive) == (0.25, 0.75, 0)
    assert (rest.time, qrs.time, t.time) == (0.25, 0.5, 0.25)
    assert qrs.ratio == 1.5
    assert np.isnan(p.ratio)
    assert np.isnan(wave_shares(-np.ones((2, 5)), labels)[0].positive)


def test_waves_lie_where_the_synthetic_heart_put_them(subject):
    pytest.importorskip("neurokit2")
    found = label_waves(subject.record)
    assert found is not None
    assert len(found.peaks) > 8
    assert (found.labels[found.peaks] == WAVES.index("QRS")).mean() > 0.9
    runs = [(WAVES[label], b - a) for label, a, b in runs_of(found.labels)]
    widths = [width / subject.record.fs for wave, width in runs if wave == "QRS"]
    assert 0.1 < np.median(widths) < 0.2  # a bundle branch block
    assert runs_of(found.labels)[-1][2] == subject.record.n_samples
    assert found.delineated.all()
    assert found.n_left_out == 0
    silent = subject.record.with_(signal=np.zeros((12, 1000), np.float32))
    assert label_waves(silent) is None


def test_beats_of_another_shape_get_no_waves_and_are_counted(subject):
    pytest.importorskip("neurokit2")
    plain = label_waves(subject.record)
    signal, peak = subject.record.signal.copy(), plain.peaks[4]
    wide = np.hanning(40).astype(np.float32) * np.linspace(-2.5, 2.5, 12, dtype=np.float32)[:, None]
    signal[:, peak - 20 : peak + 20] = wide
    found = label_waves(subject.record.with_(signal=signal))
    assert found.n_left_out == 1
    assert not found.delineated[np.abs(found.peaks - peak).argmin()]
    assert found.labels[peak] == WAVES.index("rest")


def test_a_population_of_one_record_has_no_standard_error_and_is_plain_json(subject, found):
    population = Population(subject.record.leads, subject.record.fs)
    population.add(found)
    (summary,) = population.summaries().values()
    assert summary.sem is None
    told = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert {row["sem"] for row in told["leads"]} == {None}
    assert told["beats"]["delineated"] == len(found.waves.peaks)
    population.add(dataclasses.replace(found, waves=None))
    (summary,) = population.summaries().values()
    assert summary.beats["records_without_waves"] == 1
    assert summary.waves["QRS"]["n"] == 1


def test_a_population_is_the_mean_over_records(subject, found):
    population = Population(subject.record.leads, subject.record.fs)
    doubled = dataclasses.replace(found, attribution=3 * found.attribution)
    population.add(found)
    population.add(doubled)
    (summary,) = population.summaries().values()
    own = np.abs(found.of("CD")).sum(axis=1)
    np.testing.assert_allclose(summary.mean_absolute, 2 * own, rtol=1e-5)
    np.testing.assert_allclose(summary.sem, own, rtol=1e-5)  # deviation of 1 and 3 over the root of 2
    assert summary.n_records == 2
    assert summary.beat.shape == (12, 80)
    peak = np.abs(summary.signal).max(axis=0).argmax()
    assert abs(peak - 30) <= 8
    qrs = summary.waves["QRS"]
    assert qrs["n"] == 2
    assert qrs["mean"] > 1.5
