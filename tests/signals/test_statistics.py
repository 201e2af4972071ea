"""Features of records: finite whatever comes, and each seeing what it is named for."""

import numpy as np
import pytest

from einthoven.leads import TWELVE_LEADS
from einthoven.signals.statistics import (
    feature_names,
    feature_parts,
    record_features,
    segment_features,
    segment_starts,
)

FS = 100.0
NAMES = feature_names(TWELVE_LEADS)


def ecg(seconds=10.0, fs=FS, rate=1.25):
    t = np.arange(round(seconds * fs)) / fs
    phase = (t * rate % 1) / rate
    beat = np.exp(-0.5 * ((phase - 0.2) / 0.012) ** 2) + 0.3 * np.exp(-0.5 * ((phase - 0.48) / 0.04) ** 2)
    limb = np.array([0.6, 1.0, 0.4, -0.8, 0.1, 0.7])
    gains = np.concatenate([limb, np.linspace(-0.8, 1.2, 6)])
    noise = np.random.default_rng(0).normal(0, 0.01, (6, len(t)))
    return (np.outer(gains, beat) + np.vstack([np.zeros_like(noise), noise])).astype(np.float32)


def of(x, name, fs=FS):
    return float(record_features(x, fs, TWELVE_LEADS)[NAMES.index(name)])


def test_names_fit_the_numbers_and_the_parts_cover_them():
    assert record_features(ecg(), FS, TWELVE_LEADS).shape == (len(NAMES),) == (190,)
    assert len(set(NAMES)) == len(NAMES)
    by_lead, whole = feature_parts(TWELVE_LEADS)
    assert set(by_lead) | set(whole) == set(range(len(NAMES)))
    assert {NAMES[k].split()[0] for k in whole} == {"strength", "interval", "sharpness", "mean"}
    assert not any(NAMES[k].startswith("mean") for k in by_lead)


@pytest.mark.parametrize("leads", [("MLII",), ("I", "II"), ("V1", "V5"), ("vx", "vy", "vz"), TWELVE_LEADS])
@pytest.mark.parametrize("n", [1, 7, 40, 187, 1000, 2345])
def test_every_set_of_leads_and_length_has_finite_features(leads, n):
    x = np.random.default_rng(0).normal(size=(len(leads), n)).astype(np.float32)
    for signal in (x, x * 0, np.full_like(x, np.nan), x * 1e4):
        features = record_features(signal, 250.0, leads)
        assert features.shape == (len(feature_names(leads)),)
        assert np.isfinite(features).all()


def test_a_batch_has_the_features_of_its_records():
    x = np.stack([ecg(), ecg(rate=1.0)[::-1].copy()])
    single = [record_features(each, FS, TWELVE_LEADS) for each in x]
    np.testing.assert_allclose(record_features(x, FS, TWELVE_LEADS), single, atol=1e-5)


def test_long_records_are_looked_at_in_six_places_and_give_what_a_short_one_gives():
    starts, length = segment_starts(180_000, FS)
    assert (length, len(starts), starts[0], starts[-1]) == (1000, 6, 0, 179_000)
    assert segment_starts(700, FS)[1] == 700
    short, long = (record_features(ecg(seconds), FS, TWELVE_LEADS) for seconds in (10, 1800))
    assert np.abs(short - long)[[NAMES.index("amplitude of II"), NAMES.index("interval of the beat")]].max() < 0.02


def test_features_see_what_they_are_named_for():
    x = ecg()
    assert of(10 * x, "amplitude of II") - of(x, "amplitude of II") == pytest.approx(1, abs=1e-3)
    assert of(10 * x, "peakedness of II") == pytest.approx(of(x, "peakedness of II"), abs=1e-3)
    assert 2 ** of(x, "interval of the beat") == pytest.approx(0.8, abs=0.011)
    assert 2 ** of(ecg(rate=2.0), "interval of the beat") % 0.5 == pytest.approx(0, abs=0.011)
    assert of(-x, "skewness of II") == pytest.approx(-of(x, "skewness of II"), abs=1e-4)
    assert of(x[:, ::-1], "asymmetry in time of II") == pytest.approx(-of(x, "asymmetry in time of II"), abs=1e-4)
    assert of(x, "correlation of I and II") > 3
    assert of(x, "correlation of II and aVR") < -3
    hum = (0.1 * np.sin(2 * np.pi * 40 * np.arange(1000) / FS)).astype(np.float32)
    assert of(x + hum, "content above 35 Hz of V6") > of(x, "content above 35 Hz of V6") + 0.5
    noise = np.random.default_rng(1).normal(size=(12, 1000)).astype(np.float32)
    assert of(noise, "strength of the beat") < 0.5 < of(x, "strength of the beat")


def test_einthovens_law_is_felt_when_broken_and_not_by_rounding():
    x = ecg()
    rounded = (np.rint(x / 0.005) * 0.005).astype(np.float32)
    assert of(x, "Einthoven's law in III") == of(rounded, "Einthoven's law in III") == pytest.approx(-1)
    broken = x.copy()
    broken[2] *= -1
    assert of(broken, "Einthoven's law in III") > -0.5


def test_means_are_over_the_leads():
    features = segment_features(ecg()[None], FS, TWELVE_LEADS)[0]
    assert features[NAMES.index("mean amplitude")] == pytest.approx(features[:12].mean())
