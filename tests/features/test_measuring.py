"""Measurements of an ECG whose waves are known, of broken ones, and of what is no ECG at all."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from einthoven.features import measure, measured_names
from einthoven.leads import TWELVE_LEADS

pytest.importorskip("neurokit2", reason="needs einthoven[features]")

FS = 500.0
GAINS = dict(zip(TWELVE_LEADS, [0.6, 1.0, 0.4, -0.8, 0.1, 0.7, -0.5, -0.3, 0.3, 0.8, 1.0, 0.8], strict=True))
P_S, T_S = 0.025, 0.045  # standard deviations


def bell(t, centre, width):
    return np.exp(-0.5 * ((t - centre) / width) ** 2)


def ecg(leads=TWELVE_LEADS, seconds=10.0, fs=FS, rr=0.8, pr=0.16, p=0.12, odd=(), noise=0.005, seed=0):
    """P at ``pr`` before the R peak, R wave of 1 mV times the lead's gain, T 0.28 s after it; odd beats are wide."""
    t = np.arange(round(seconds * fs)) / fs
    one = np.zeros_like(t)
    for k, r in enumerate(np.arange(0.5, seconds, rr)):
        if k in odd:
            one += 1.5 * bell(t, r, 0.05) - 0.5 * bell(t, r + 0.25, 0.06)
        else:
            one += p * bell(t, r - pr, P_S) + bell(t, r, 0.012) + 0.3 * bell(t, r + 0.28, T_S)
    gains = np.array([GAINS[lead] for lead in leads])
    return (np.outer(gains, one) + np.random.default_rng(seed).normal(0, noise, (len(leads), len(t)))).astype(
        np.float32
    )


def of(signal, leads=TWELVE_LEADS, fs=FS):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = measure(signal, fs, leads)
    assert tuple(numbers) == measured_names(leads)
    assert not np.isinf(list(numbers.values())).any()
    return numbers


def test_a_known_beat_is_measured():
    found = of(ecg())
    assert found["rate_bpm"] == pytest.approx(75, abs=0.1)
    assert (found["n_beats"], found["p_share"], found["dominant_share"]) == (12, 1, 1)
    assert found["sdnn_ms"] < 3
    assert found["irregular_share"] == 0
    # A bell curve ends where its slope is a share of the steepest, at 2 to 2.6 standard deviations.
    assert found["pr_ms"] == pytest.approx(160 + 2.2 * 25 - 30, abs=15)
    assert found["p_ms"] == pytest.approx(2 * 2.1 * 25, abs=15)
    assert found["qt_ms"] == pytest.approx(280 + 30 + 2.4 * 45, abs=15)
    assert found["jt_ms"] == pytest.approx(found["qt_ms"] - found["qrs_ms"])
    assert found["qtc_bazett_ms"] == pytest.approx(found["qt_ms"] / 0.8**0.5, rel=0.002)
    assert found["qtc_fridericia_ms"] == pytest.approx(found["qt_ms"] / 0.8 ** (1 / 3), rel=0.002)


def test_axes_and_amplitudes_are_those_of_the_leads():
    found = of(ecg())
    axis = np.degrees(np.arctan2(0.7 * 2 / np.sqrt(3), 0.6))
    for wave in ("p", "qrs", "t"):
        assert found[f"{wave}_axis_deg"] == pytest.approx(axis, abs=4)
        assert found[f"{wave}_axis_cos"] == pytest.approx(np.cos(np.radians(found[f"{wave}_axis_deg"])), abs=1e-6)
    for lead, gain in GAINS.items():
        height = found[f"r_mv_{lead}"] if gain > 0 else min(found[f"q_mv_{lead}"], found[f"s_mv_{lead}"])
        assert height == pytest.approx(gain, abs=0.08)
        assert found[f"t_mv_{lead}"] == pytest.approx(0.3 * gain, abs=0.05)
        assert found[f"p_mv_{lead}"] == pytest.approx(0.12 * gain, abs=0.04)
    assert found["sokolow_lyon_mv"] == pytest.approx(0.5 + 1.0, abs=0.1)
    assert found["rs_share_II"] > 0.9 > 0.1 > found["rs_share_aVR"]


@pytest.mark.parametrize("fs", [100.0, 250.0, 360.0, 1000.0])
def test_the_rate_of_sampling_hardly_matters(fs):
    reference, found = of(ecg()), of(ecg(fs=fs), fs=fs)
    for name in ("p_ms", "pr_ms", "qrs_ms", "qt_ms"):
        assert found[name] == pytest.approx(reference[name], abs=12), name
    assert found["r_mv_V5"] == pytest.approx(reference["r_mv_V5"], rel=0.1)


def test_a_gain_scales_amplitudes_and_leaves_times():
    one, two = of(ecg()), of(2 * ecg())
    assert two["qt_ms"] == one["qt_ms"]
    assert two["cornell_mv"] == pytest.approx(2 * one["cornell_mv"], rel=1e-3)


def test_a_longer_pr_interval_is_longer_by_as_much():
    assert of(ecg(pr=0.24))["pr_ms"] - of(ecg(pr=0.16))["pr_ms"] == pytest.approx(80, abs=6)


def test_a_p_wave_that_is_not_there_is_not_invented():
    found = of(ecg(p=0.0))
    assert found["p_share"] == 0
    assert np.isnan([found[name] for name in ("p_ms", "pr_ms", "p_axis_deg", "p_mv_II")]).all()
    assert np.isfinite(found["qt_ms"])


def test_a_p_wave_out_of_step_with_the_qrs_complex_does_not_count():
    waves = ecg(p=0.0)
    t = np.arange(waves.shape[1]) / FS
    atria = sum(0.12 * bell(t, at, P_S) for at in np.arange(0.2, 10, 0.61))
    assert of(waves + np.outer(list(GAINS.values()), atria).astype(np.float32))["p_share"] < 0.5


def test_odd_beats_are_counted_and_left_out_of_the_rest():
    plain, odd = of(ecg()), of(ecg(odd=(3, 7)))
    assert odd["dominant_share"] == pytest.approx(10 / 12)
    assert odd["p_share"] <= 10 / 12
    for name in ("pr_ms", "qrs_ms", "qt_ms"):
        assert odd[name] == pytest.approx(plain[name], abs=6)


def test_irregular_beats_show_in_the_statistics_of_rr():
    t = np.arange(5000) / FS
    beats = np.array([0.6, 1.4, 1.9, 3.1, 3.6, 4.7, 5.2, 6.3, 7.2, 7.7, 8.9])
    x = np.outer(list(GAINS.values()), sum(bell(t, r, 0.012) for r in beats)).astype(np.float32)
    found, rr = of(x), np.diff(beats) * 1000
    assert found["sdnn_ms"] == pytest.approx(rr.std(ddof=1), abs=3)
    assert found["rmssd_ms"] == pytest.approx(np.sqrt((np.diff(rr) ** 2).mean()), abs=5)
    assert found["pnn50"] == pytest.approx((np.abs(np.diff(rr)) > 50).mean())
    assert found["irregular_share"] == pytest.approx((np.abs(rr / np.median(rr) - 1) > 0.1).mean())


@pytest.mark.parametrize("lead", ["II", "V1", "aVR"])
def test_one_lead_has_times_but_no_axes(lead):
    found = of(ecg((lead,)), (lead,))
    assert np.isfinite([found[name] for name in ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms", f"t_mv_{lead}")]).all()
    assert np.isnan([found[name] for name in ("qrs_axis_deg", "sokolow_lyon_mv", "cornell_mv")]).all()


def test_axes_need_two_limb_leads_only():
    whole, two = of(ecg()), of(ecg(("II", "III")), ("II", "III"))
    assert two["qrs_axis_deg"] == pytest.approx(whole["qrs_axis_deg"], abs=5)


def test_flat_and_missing_leads_are_left_out():
    x = ecg()
    x[1], x[6] = 0.0, np.nan
    found, whole = of(x), of(ecg())
    assert np.isnan([found["r_mv_II"], found["t_mv_V1"], found["sokolow_lyon_mv"]]).all()
    assert found["qrs_ms"] == pytest.approx(whole["qrs_ms"], abs=4)
    assert found["qrs_axis_deg"] == pytest.approx(whole["qrs_axis_deg"], abs=2)


def test_a_gap_costs_its_beats_only():
    x, whole = ecg(), of(ecg())
    x[:, 1500:2100] = np.nan
    found = of(x)
    assert 9 <= found["n_beats"] <= 11
    assert found["rate_bpm"] == pytest.approx(75, abs=1)
    assert found["qt_ms"] == pytest.approx(whole["qt_ms"], abs=4)


def test_two_and_a_half_seconds_are_enough_for_intervals():
    found = of(ecg(seconds=2.5))
    assert np.isfinite([found[name] for name in ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms")]).all()


@pytest.mark.parametrize("n_leads", [1, 2, 12])
@pytest.mark.parametrize("what", ["noise", "flat", "missing", "asystole", "one beat", "short", "one sample"])
def test_what_is_no_heartbeat_has_no_measurements(what, n_leads):
    leads = TWELVE_LEADS[:n_leads]
    noise = np.random.default_rng(1).normal(0, 0.2, (n_leads, 5000)).astype(np.float32)
    signal = {
        "noise": noise,
        "flat": np.full_like(noise, 0.3),
        "missing": np.full_like(noise, np.nan),
        "asystole": noise * 0.01,
        "one beat": ecg(leads, rr=20.0),
        "short": ecg(leads)[:, :300],
        "one sample": noise[:, :1],
    }[what]
    assert np.isnan(list(of(signal, leads).values())).all()


def test_a_signal_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="one row for each of 12 leads"):
        measure(np.zeros((3, 1000), np.float32), FS, TWELVE_LEADS)


def test_the_room_loads_no_heavy_package_until_something_is_measured():
    code = "import sys, einthoven.features as f; print([m for m in ('torch', 'pandas', 'neurokit2', 'scipy.signal') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
