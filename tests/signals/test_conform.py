import time

import numpy as np
import pytest
from scipy import signal as scipy_signal

from einthoven.errors import ConformError
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record
from einthoven.signals import check_signal, conform, conform_signals, window_starts, windows
from einthoven.signals.windows import aggregate
from einthoven.spec import SignalSpec


def _record(leads=TWELVE_LEADS, fs=500.0, seconds=10.0, seed=0, **more):
    t = np.arange(int(fs * seconds)) / fs
    rng = np.random.default_rng(seed)
    rows = [np.sin(2 * np.pi * (1 + k / 7) * t) * (0.5 + rng.random()) for k in range(len(leads))]
    return Record(np.array(rows, dtype=np.float32), fs, tuple(leads), record_id="x", **more)


def test_leads_are_reordered_by_name():
    record = _record()
    shuffled = record.with_(signal=record.signal[::-1].copy(), leads=record.leads[::-1])
    spec = SignalSpec(fs=500)
    np.testing.assert_array_equal(conform(shuffled, spec).signal, conform(record, spec).signal)


def test_missing_limb_leads_are_derived_and_named():
    record = _record(("II", "V1", "I", "V2", "V3", "V4", "V5", "V6"))
    got = conform(record, SignalSpec(fs=500))
    one, two = record.signal[2], record.signal[0]
    np.testing.assert_allclose(got.signal[2], two - one, atol=1e-6)
    np.testing.assert_allclose(got.signal[3], -(one + two) / 2, atol=1e-6)
    assert got.notes == ("derived from the other limb leads: III, aVR, aVL, aVF",)


def test_a_lead_that_cannot_be_derived_is_named():
    with pytest.raises(ConformError, match=r"x: missing leads V1, V2, .*the record has I, II"):
        conform(_record(("I", "II")), SignalSpec())


def test_another_unit_is_refused():
    with pytest.raises(ConformError, match="the signal is in normalised, mV is needed"):
        conform(_record(unit="normalised"), SignalSpec())


def test_same_form_is_left_untouched():
    record = _record(fs=100.0)
    assert conform(record, SignalSpec()).signal is record.signal


def test_filters_are_zero_phase_and_equal_scipys():
    record = _record(fs=500.0)
    got = conform(record, SignalSpec(fs=500, band_hz=(0.5, 40), notch_hz=50)).signal
    b, a = scipy_signal.iirnotch(50, 30, fs=500)
    want = scipy_signal.filtfilt(b, a, record.signal, axis=-1, padtype="even", padlen=500)
    sos = scipy_signal.butter(2, (0.5, 40), "bandpass", fs=500, output="sos")
    want = scipy_signal.sosfiltfilt(sos, want, axis=-1, padtype="even", padlen=500)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_the_notch_acts_before_the_rate_falls():
    t = np.arange(5000) / 500
    hum = np.tile(np.sin(2 * np.pi * 60 * t), (12, 1)).astype(np.float32)
    record = Record(hum, 500.0, TWELVE_LEADS)
    kept = conform(record, SignalSpec(fs=200)).signal
    removed = conform(record, SignalSpec(fs=200, notch_hz=60)).signal
    assert np.abs(kept[:, 400:-400]).max() > 0.9
    assert np.abs(removed[:, 400:-400]).max() < 0.05


def test_missing_samples_stay_missing_and_do_not_spread():
    record = _record()
    holed = record.signal.copy()
    holed[3, 1000:1500] = np.nan
    whole = conform(record, SignalSpec()).signal
    got = conform(record.with_(signal=holed), SignalSpec()).signal
    assert np.isnan(got[3, 201:299]).all()
    assert np.isfinite(got[3, :199]).all()
    others = [k for k in range(12) if k != 3]
    np.testing.assert_allclose(got[others], whole[others], atol=1e-6)


def test_a_batch_goes_through_at_once_and_equals_its_members():
    records = [_record(seed=k) for k in range(5)]
    spec = SignalSpec(fs=100, band_hz=(0.5, 40))
    batch = conform_signals(np.stack([r.signal for r in records]), TWELVE_LEADS, 500.0, spec)
    np.testing.assert_allclose(batch, np.stack([conform(r, spec).signal for r in records]), atol=1e-5)


def test_thousands_of_records_at_500_hz_conform_in_seconds():
    x = np.random.default_rng(0).normal(size=(400, 12, 5000)).astype(np.float32)
    began = time.perf_counter()
    conform_signals(x, TWELVE_LEADS, 500.0, SignalSpec())
    assert time.perf_counter() - began < 4  # 0.3 s on a quiet core


def test_windows_cover_the_signal_and_mask_what_was_not_recorded():
    x = np.arange(2 * 1100, dtype=np.float32).reshape(2, 1100)
    x[1, 5] = np.nan
    cut, mask, starts = windows(x, 500, 250)
    assert starts.tolist() == [0, 250, 500, 600]
    np.testing.assert_array_equal(cut[3, 0], x[0, 600:1100])
    assert not mask[0, 1, 5]
    assert cut[0, 1, 5] == 0


def test_a_short_signal_has_one_padded_window():
    cut, mask, starts = windows(np.ones((3, 100), np.float32), 250, 125)
    assert cut.shape == (1, 3, 250)
    assert starts.tolist() == [0]
    assert mask[0, :, :100].all()
    assert not mask[0, :, 100:].any()
    assert not cut[0, :, 100:].any()


def test_windows_are_summarised_per_record():
    p = np.array([[0.1], [0.3], [0.8], [0.4]])
    np.testing.assert_allclose(aggregate(p, np.array([0, 2, 3]), "mean"), [[0.2], [0.8], [0.4]])
    np.testing.assert_allclose(aggregate(p, np.array([0, 2, 3]), "max"), [[0.3], [0.8], [0.4]])
    assert window_starts(1000, 250, 125).tolist() == list(range(0, 751, 125))


@pytest.mark.parametrize(
    ("change", "code", "refuse"),
    [
        (lambda x: x * 1000, "wrong_unit", True),
        (lambda x: x / 1000, "wrong_unit", True),
        (lambda x: x * 0, "flat", True),
        (lambda x: x[:, :150], "too_short", True),
        (lambda x: np.where(np.arange(12)[:, None] == 4, np.nan, x), "missing_leads", True),
        (lambda x: np.where(np.arange(1000) < 300, np.nan, x), "missing_samples", True),
        (lambda x: np.where(np.arange(1000) < 30, np.nan, x), "missing_samples", False),
        (lambda x: np.where(np.arange(12)[:, None] == 4, 0, x), "flat_leads", False),
    ],
)
def test_faults_are_named(change, code, refuse):
    x = _record(fs=100.0).signal
    flags = check_signal(change(x).astype(np.float32), 100.0, TWELVE_LEADS)
    assert [(flag.code, flag.refuse) for flag in flags] == [(code, refuse)]


def test_a_good_signal_has_no_flags():
    assert check_signal(_record(fs=100.0).signal, 100.0, TWELVE_LEADS) == []
