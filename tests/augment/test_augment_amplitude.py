"""Gains, noise and filters, against their formulas, SciPy and their statistics."""

import numpy as np
import pytest
import torch
from scipy import signal, stats

from einthoven.augment import Chain, Context, Step
from einthoven.leads import TWELVE_LEADS
from einthoven.signals.perturb import snr_db as measured_snr

FS = 250.0
TWELVE = Context(FS, TWELVE_LEADS)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _apply(name, x, context=TWELVE, seed=0, **parameters):
    return Chain([Step(name, 1.0, parameters)], context)(x, _generator(seed))


def _x(n=64, leads=12, time=500):
    return torch.randn(n, leads, time, generator=_generator(9))


def _spectrum(x, fs=FS):
    return torch.fft.rfftfreq(x.shape[-1], 1 / fs), torch.fft.rfft(x - x.mean(-1, keepdim=True)).abs()


def test_scale_multiplies_by_a_lognormal_factor():
    x = _x(5000, time=20)
    ratio = _apply("scale", x, sigma=0.2) / x
    assert torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-4)
    logs = ratio[:, 0, 0].log()
    assert logs.mean().abs() < 0.01
    assert float(logs.std()) == pytest.approx(0.2, abs=0.01)


def test_scale_can_change_every_lead_for_itself():
    x = _x(3000, time=20)
    logs = (_apply("scale", x, sigma=0.2, lead_sigma=0.1) / x).log()[:, :, 0]
    assert float((logs - logs.mean(1, keepdim=True)).std()) == pytest.approx(0.1, abs=0.01)
    assert float(logs.mean(1).std()) == pytest.approx((0.2**2 + 0.1**2 / 12) ** 0.5, abs=0.01)


@pytest.mark.parametrize("name", ["sign_flip", "time_flip"])
def test_flipping_twice_changes_nothing(name):
    x = _x()
    once = _apply(name, x)
    assert torch.equal(once, -x if name == "sign_flip" else x.flip(-1))
    assert torch.equal(_apply(name, once), x)


def test_multiply_sine_swings_at_a_rate_in_hertz():
    gain = _apply("multiply_sine", torch.ones(200, 12, 2500), max_hz=8.0, max_depth=0.5)
    assert gain.min() >= 0.5
    assert gain.max() <= 1.5
    hz, power = _spectrum(gain)
    peak = hz[power.argmax(-1)]
    assert float(peak.max()) == pytest.approx(8.0, abs=0.2)
    assert float(peak.mean()) == pytest.approx(4.0, abs=0.3)
    assert not torch.equal(gain[:, 0], gain[:, 1])
    # At the first sample the sinus is 0, and it goes up or not at all.
    assert torch.equal(gain[..., 0], torch.ones(200, 12))


def test_multiply_linear_is_a_straight_gain():
    gain = _apply("multiply_linear", torch.ones(500, 12, 100), scale=3.0)
    expected = np.linspace(gain[..., 0].numpy(), gain[..., -1].numpy(), 100, axis=-1)
    np.testing.assert_allclose(gain.numpy(), expected, rtol=1e-5)
    for end in (gain[..., 0], gain[..., -1]):
        assert stats.kstest(end.flatten().numpy(), stats.uniform(1, 2).cdf).pvalue > 1e-3


def test_multiply_triangle_is_exactly_two_ramps():
    gain = _apply("multiply_triangle", torch.ones(300, 12, 100), scale=4.0).numpy().reshape(-1, 100)
    away = np.abs(gain - 1)
    turn = away.argmax(axis=1)  # the peak stands twice, at turn and turn + 1 or at turn - 1 and turn
    peaks = gain[np.arange(len(gain)), turn]
    assert 0.25 <= peaks.min() < 0.3
    assert 3.9 < peaks.max() <= 4.0
    for row, k, m in zip(gain, turn, peaks, strict=True):
        candidates = [np.r_[np.linspace(1, m, j), np.linspace(m, 1, 100 - j)] for j in (k, k + 1) if 2 <= j <= 98]
        assert min(np.abs(row - each).max() for each in candidates) < 2e-6
    assert stats.kstest(turn / 100, stats.uniform(0, 1).cdf).statistic < 0.045


def test_noise_has_the_stated_level():
    added = _apply("noise", torch.zeros(3000, 12, 100), sigma_mv=0.06)
    levels = added.flatten(1).std(1)
    assert float(levels.mean()) == pytest.approx(0.03, abs=0.002)
    assert 0.055 < levels.max() < 0.065


def test_noise_has_the_stated_ratio_to_the_signal():
    x = _x(200) * torch.rand(200, 1, 1, generator=_generator(2))
    x[:, 3] = 0  # a lead without a signal does not count
    added = (_apply("noise", x, snr_db=[6, 12]) - x).numpy()
    got = measured_snr(np.delete(x.numpy(), 3, axis=1), np.delete(added, 3, axis=1))
    assert 5.8 < got.min() < 6.3
    assert 11.7 < got.max() < 12.2


def _wander(**parameters):
    return _apply("baseline_wander", torch.zeros(64, 12, 5000), **parameters)


def test_wander_has_its_peak_at_the_stated_frequency_in_hertz():
    wander = _wander(hz=[0.4, 0.4], tones=1)
    hz, power = _spectrum(wander)
    assert torch.allclose(hz[power.argmax(-1)], torch.tensor(0.4), atol=0.03)
    slow = _spectrum(_wander(hz=[0.05, 0.5]))[1]
    assert float(slow[..., hz > 0.6].square().sum() / slow.square().sum()) < 0.02


def test_wander_reaches_but_never_exceeds_its_size():
    most = _wander(max_mv=0.3, hz=[0.5, 0.5], tones=1).abs().amax((1, 2))
    assert most.max() <= 0.3
    assert stats.kstest(most.numpy(), stats.uniform(0, 0.3).cdf).pvalue > 1e-3
    assert _wander(max_mv=0.3).abs().max() <= 0.3


@pytest.mark.parametrize("name", ["baseline_wander", "power_line", "muscle_noise"])
def test_noise_of_electrodes_obeys_einthovens_law(name):
    added = dict(zip(TWELVE_LEADS, _apply(name, torch.zeros(8, 12, 500)).unbind(1), strict=True))
    assert added["II"].abs().max() > 1e-3
    torch.testing.assert_close(added["I"] + added["III"], added["II"], atol=1e-6, rtol=0)
    torch.testing.assert_close(added["aVR"] + added["aVL"] + added["aVF"], torch.zeros(8, 500), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_power_line_has_its_frequency_and_size(mains):
    hum = _apply("power_line", torch.zeros(100, 12, 2500), hz=[mains], max_mv=0.2)
    hz, power = _spectrum(hum)
    assert torch.allclose(hz[power.argmax(-1)], torch.tensor(mains), atol=0.11)
    most = hum.abs().amax((1, 2))
    assert most.max() <= 0.2
    assert stats.kstest(most.numpy(), stats.uniform(0, 0.2).cdf).pvalue > 1e-3


def test_power_line_takes_only_what_is_below_half_the_rate_and_drifts():
    context = Context(110.0, TWELVE_LEADS)
    hz, power = _spectrum(_apply("power_line", torch.zeros(50, 12, 1100), context), 110.0)
    assert torch.allclose(hz[power.argmax(-1)], torch.tensor(50.0), atol=0.2)
    both = _apply("power_line", torch.zeros(100, 12, 2500))
    peak = _spectrum(both)[0][_spectrum(both)[1][:, 1].argmax(-1)].round()
    assert 20 < int((peak == 50).sum()) < 80
    assert int((peak == 50).sum() + (peak == 60).sum()) == 100
    steady, drifting = (
        _apply("power_line", torch.zeros(9, 12, 2500), hz=[50], drift=d)[:, 1].numpy() for d in (0.0, 0.02)
    )
    rate = np.diff(np.unwrap(np.angle(signal.hilbert(drifting))), axis=1)[:, 250:-250] * FS / 2 / np.pi
    assert np.abs(rate[:, -100:].mean(1) - rate[:, :100].mean(1)).max() > 0.3
    assert np.abs(rate.mean(1) - 50).max() < 1.0
    rate = np.diff(np.unwrap(np.angle(signal.hilbert(steady))), axis=1)[:, 250:-250] * FS / 2 / np.pi
    assert np.abs(rate[:, -100:].mean(1) - rate[:, :100].mean(1)).max() < 0.02


@pytest.mark.parametrize("time", [500, 501])
def test_muscle_noise_stays_in_its_band_and_has_its_level(time):
    added = _apply("muscle_noise", torch.zeros(400, 12, time), hz=[20, 60], max_mv=0.1)
    hz, power = _spectrum(added)
    inside = (hz > 19) & (hz < 61)
    assert float(power[..., ~inside].square().sum() / power.square().sum()) < 1e-8
    flat = power.square().sum((0, 1))[(hz > 20.5) & (hz < 59.5)]
    assert float(flat.std() / flat.mean()) < 0.1
    loudest = added.square().mean(-1).sqrt().amax(1)
    assert 0.09 < float(loudest.max()) < 0.115
    assert float(loudest.mean()) == pytest.approx(0.05, abs=0.006)


def _middle(x):
    return x[..., 250:-250]


def test_notch_equals_scipys_filter_applied_forwards_and_backwards():
    x = _x(3, time=1500)
    got = _apply("notch", x, hz=[20, 20.0001], quality=2.0)
    b, a = signal.iirnotch(20, 2.0, fs=FS)
    expected = signal.filtfilt(b, a, x.numpy(), padtype="even", padlen=250)
    np.testing.assert_allclose(_middle(got).numpy(), _middle(expected), atol=2e-4)


def test_notch_removes_a_frequency_that_is_drawn_per_record():
    hz, power = _spectrum(_apply("notch", _x(300, time=1000), hz=[10, 60], quality=3.0))
    power = power.square().mean(1)
    smooth = torch.nn.functional.avg_pool1d(power[:, None], 5, 1, 2)[:, 0]
    centre = hz[40:241][smooth[:, 40:241].argmin(-1)]
    assert stats.kstest(centre.numpy(), stats.uniform(10, 50).cdf).statistic < 0.12


def test_band_limit_equals_scipys_butterworth_edges():
    x = _x(3, time=2500)
    got = _apply("band_limit", x, low_hz=[1, 1], high_hz=[30, 30])
    high = signal.sosfiltfilt(
        signal.butter(2, 1, "highpass", fs=FS, output="sos"), x.numpy(), padtype="even", padlen=250
    )
    expected = signal.sosfiltfilt(signal.butter(2, 30, fs=FS, output="sos"), high, padtype="even", padlen=250)
    np.testing.assert_allclose(got.numpy()[..., 700:-700], expected[..., 700:-700], atol=3e-3)


def test_band_limit_leaves_open_what_lies_beyond_half_the_rate():
    x = _x(3)
    open_above = _apply("band_limit", x, low_hz=[0, 0], high_hz=[200, 300])
    torch.testing.assert_close(open_above, x, atol=1e-5, rtol=0)
    assert _apply("band_limit", x, low_hz=[0, 0], high_hz=[20, 20]).std() < 0.6 * x.std()
