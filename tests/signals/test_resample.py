import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from einthoven.errors import ConformError
from einthoven.signals.resample import resample, resampled_length

RATES = [
    (500, 100),
    (360, 500),
    (257, 100),
    (1000, 100),
    (100, 500),
    (128.13, 100),
    (499.7, 100),
    (250, 360),
    (125, 100),
]


@pytest.mark.parametrize(("fs_in", "fs_out"), RATES)
def test_tones_below_the_new_band_are_kept(fs_in, fs_out):
    time_in = np.arange(int(10 * fs_in)) / fs_in
    tones = [f for f in (1, 5, 20, 35) if f < 0.38 * min(fs_in, fs_out)]
    x = np.stack([np.sin(2 * np.pi * f * time_in + 0.3) for f in tones])
    y = resample(x, fs_in, fs_out)
    time_out = np.arange(y.shape[1]) / fs_out
    truth = np.stack([np.sin(2 * np.pi * f * time_out + 0.3) for f in tones])
    inner = slice(int(fs_out), -int(fs_out))
    assert np.abs(y - truth)[:, inner].max() < 2e-4


@pytest.mark.parametrize(("fs_in", "fs_out"), [pair for pair in RATES if pair[1] < pair[0]])
def test_tones_above_the_new_nyquist_frequency_are_removed(fs_in, fs_out):
    time_in = np.arange(int(10 * fs_in)) / fs_in
    y = resample(np.sin(2 * np.pi * 0.6 * fs_out * time_in), fs_in, fs_out)
    assert np.abs(y[int(fs_out) : -int(fs_out)]).max() < 1e-3


def test_it_agrees_with_scipy_on_an_ecg_like_signal():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(12, 5000)), axis=1) / 50
    smooth = resample_poly(resample_poly(x, 1, 10, axis=1), 10, 1, axis=1)  # band-limited
    ours, theirs = resample(smooth, 500, 100), resample_poly(smooth, 1, 5, axis=1)
    assert np.abs(ours - theirs)[:, 100:-100].max() < 0.01 * np.abs(theirs).max()


def test_a_constant_stays_constant_up_to_the_edges():
    assert np.abs(resample(np.full((3, 777), 2.5), 257, 100) - 2.5).max() < 1e-5


def test_a_batch_equals_its_members():
    x = np.random.default_rng(1).normal(size=(4, 12, 500)).astype(np.float32)
    np.testing.assert_allclose(resample(x, 500, 360), np.stack([resample(one, 500, 360) for one in x]), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 900), st.floats(20, 2000), st.floats(20, 2000))
def test_any_rate_to_any_rate_has_the_stated_length_and_is_finite(n, fs_in, fs_out):
    y = resample(np.random.default_rng(n).normal(size=(2, n)), round(fs_in, 2), round(fs_out, 2))
    assert y.shape == (2, resampled_length(n, round(fs_in, 2), round(fs_out, 2)))
    assert np.isfinite(y).all()


def test_an_absurd_ratio_is_refused():
    with pytest.raises(ConformError, match="within 1:1000"):
        resample(np.zeros((1, 10)), 1, 5000)
