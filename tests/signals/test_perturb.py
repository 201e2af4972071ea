"""Faults: what each promises, on made-up hearts with leads that obey Einthoven's law."""

import numpy as np
import pytest

from einthoven.errors import ConformError
from einthoven.leads import TWELVE_LEADS
from einthoven.signals.electrodes import ELECTRODES, electrode_weights, exchange_electrodes, exchange_weights
from einthoven.signals.foreign import FOREIGN, foreign_signals
from einthoven.signals.perturb import PERTURBATIONS, perturb, snr_db

FS = 100.0
ROW = {lead: k for k, lead in enumerate(TWELVE_LEADS)}
EVERY = [(each.name, level) for each in PERTURBATIONS.values() for level in each.levels]
SWAPS = [level for level in PERTURBATIONS["lead_reversal"].levels if level != "RA-RL"]


def hearts(n=5, fs=FS, seconds=10.0, seed=0):
    """Beats at nine electrodes, as twelve leads in mV, shape (n, 12, samples)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs)) / fs
    signals = []
    for _ in range(n):
        phase = t % rng.uniform(0.7, 1.1)
        waves = [np.exp(-0.5 * ((phase - at) / width) ** 2) for at, width in ((0.15, 0.02), (0.3, 0.012), (0.55, 0.05))]
        signals.append(electrode_weights(TWELVE_LEADS) @ rng.normal(0, 0.5, (9, 3)) @ np.array(waves))
    return np.array(signals, dtype=np.float32)


def law_residual(x):
    """Largest deviation from Einthoven's and Goldberger's laws in mV."""
    one, two = x[:, ROW["I"]], x[:, ROW["II"]]
    rests = [
        x[:, ROW["III"]] - (two - one),
        x[:, ROW["aVR"]] + (one + two) / 2,
        x[:, ROW["aVL"]] - (one - two / 2),
        x[:, ROW["aVF"]] - (two - one / 2),
    ]
    return float(np.abs(rests).max())


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_every_fault_keeps_the_form_changes_the_signal_and_repeats(name, level):
    x = 3 * hearts()
    before = x.copy()
    once, again = (perturb(x, FS, TWELVE_LEADS, name, level, seed=3) for _ in range(2))
    assert once.shape == x.shape
    assert once.dtype == np.float32
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(once, x)


@pytest.mark.parametrize("name", ["white_noise", "muscle", "electrode_motion"])
@pytest.mark.parametrize("level", [24.0, 6.0, 0.0])
def test_the_signal_to_noise_ratio_is_reached(name, level):
    x = hearts()
    noisy = perturb(x, FS, TWELVE_LEADS, name, level)
    np.testing.assert_allclose(snr_db(x, noisy - x), level, atol=0.2)


def test_the_ratio_is_reached_where_samples_are_missing_and_these_stay_missing():
    x = hearts()
    x[1, 3] = np.nan
    x[2, :, 500:700] = np.nan
    noisy = perturb(x, FS, TWELVE_LEADS, "white_noise", 6.0)
    np.testing.assert_array_equal(np.isnan(noisy), np.isnan(x))
    np.testing.assert_allclose(snr_db(x, noisy - x), 6, atol=0.2)


@pytest.mark.parametrize("name", ["white_noise", "muscle", "electrode_motion", "baseline_wander", "power_line_50"])
def test_the_noise_of_a_record_depends_on_its_key_and_the_seed_only(name):
    x, level = hearts(), PERTURBATIONS[name].levels[0]
    whole = perturb(x, FS, TWELVE_LEADS, name, level, seed=1, keys=[7, 8, 9, 10, 11])
    part = perturb(x[2:4], FS, TWELVE_LEADS, name, level, seed=1, keys=[9, 10])
    np.testing.assert_array_equal(whole[2:4], part)
    other = perturb(x[2:4], FS, TWELVE_LEADS, name, level, seed=2, keys=[9, 10])
    assert np.abs(other - part).max() > 0.001


def test_levels_of_one_fault_share_their_noise():
    x = hearts()
    weak, strong = (perturb(x, FS, TWELVE_LEADS, "muscle", level) - x for level in (20.0, 0.0))
    np.testing.assert_allclose(10 * weak, strong, atol=1e-4)


@pytest.mark.parametrize("name", ["muscle", "electrode_motion", "baseline_wander", "power_line_60", "lead_reversal"])
def test_what_happens_at_electrodes_obeys_einthovens_law(name):
    x = hearts()
    assert law_residual(x) < 1e-5
    for level in PERTURBATIONS[name].levels:
        assert law_residual(perturb(x, FS, TWELVE_LEADS, name, level)) < 1e-4


def test_noise_of_single_leads_breaks_the_law():
    assert law_residual(perturb(hearts(), FS, TWELVE_LEADS, "white_noise", 6.0)) > 0.05


def _share(noise, fs, low, high):
    power, hz = np.abs(np.fft.rfft(noise, axis=-1)) ** 2, np.fft.rfftfreq(noise.shape[-1], 1 / fs)
    return power[..., (hz >= low) & (hz <= high)].sum() / power.sum()


def test_spectra_are_those_named():
    x = hearts(fs=500.0)
    noise = {
        n: perturb(x, 500.0, TWELVE_LEADS, n, PERTURBATIONS[n].levels[-1]) - x for n in PERTURBATIONS if n != "gain"
    }
    assert _share(noise["muscle"], 500, 4.9, 100.1) > 0.999
    assert 0.45 < _share(noise["muscle"], 500, 4.9, 52.5) < 0.55
    assert _share(noise["electrode_motion"], 500, 0.0, 10.5) > 0.99
    assert _share(noise["baseline_wander"], 500, 0.0, 0.7) > 0.95
    assert _share(noise["power_line_50"], 500, 48, 52) > 0.98
    assert _share(noise["power_line_60"], 500, 58, 62) > 0.98


def test_a_mains_frequency_above_half_the_rate_appears_folded():
    x = hearts()
    noise = perturb(x, FS, TWELVE_LEADS, "power_line_60", 0.3) - x
    assert _share(noise, FS, 38, 42) > 0.98


@pytest.mark.parametrize("level", [0.2, 1.0])
def test_wander_and_hum_have_the_size_asked_for(level):
    x = hearts()
    wander = perturb(x, FS, TWELVE_LEADS, "baseline_wander", level) - x
    np.testing.assert_allclose(np.abs(wander).max(axis=(1, 2)), level, rtol=1e-3)
    hum = perturb(x, FS, TWELVE_LEADS, "power_line_60", level) - x
    np.testing.assert_allclose(np.sqrt(2) * hum.std(axis=2).max(axis=1), level, rtol=1e-3)


@pytest.mark.parametrize("exchange", SWAPS)
def test_exchanging_twice_is_no_exchange(exchange):
    x = hearts()
    x[0, 7, 3] = np.nan
    twice = exchange_electrodes(exchange_electrodes(x, TWELVE_LEADS, exchange), TWELVE_LEADS, exchange)
    np.testing.assert_array_equal(twice, x)


def _shown(exchange):
    """Each lead as sign and name of the true lead that it shows."""
    weights = exchange_weights(TWELVE_LEADS, exchange)
    assert (np.abs(weights).sum(axis=1) == 1).all()
    return {
        lead: ("-" if row.sum() < 0 else "") + TWELVE_LEADS[int(np.abs(row).argmax())]
        for lead, row in zip(TWELVE_LEADS, weights, strict=True)
        if row[ROW[lead]] != 1
    }


def test_exchanged_limb_cables_show_what_the_textbook_says():
    # Batchvarov, Malik and Camm, Europace 2007, table of single lead reversals
    assert _shown("LA-RA") == {"I": "-I", "II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}
    assert _shown("LA-LL") == {"I": "II", "II": "I", "III": "-III", "aVL": "aVF", "aVF": "aVL"}
    assert _shown("RA-LL") == {"I": "-III", "II": "-II", "III": "-I", "aVR": "aVF", "aVF": "aVR"}
    assert _shown("V1-V3") == {"V1": "V3", "V3": "V1"}


def test_the_right_arm_cable_on_the_right_leg_flattens_lead_two():
    x = hearts()
    shown = exchange_electrodes(x, TWELVE_LEADS, "RA-RL")
    assert np.abs(shown[:, ROW["II"]]).max() < 1e-5
    np.testing.assert_allclose(shown[:, ROW["I"]], -x[:, ROW["III"]], atol=1e-6)
    assert np.abs(shown[:, ROW["V1"]] - x[:, ROW["V1"]]).max() > 0.01


def test_eight_leads_determine_limb_exchanges_and_one_does_not():
    x = hearts()
    eight = ("I", "II", *TWELVE_LEADS[6:])
    rows = [ROW[lead] for lead in eight]
    whole = exchange_electrodes(x, TWELVE_LEADS, "LA-RA")[:, rows]
    np.testing.assert_allclose(exchange_electrodes(x[:, rows], eight, "LA-RA"), whole, atol=1e-5)
    with pytest.raises(ConformError, match="cannot be computed from the leads II, V1"):
        exchange_weights(("II", "V1"), "LA-RA")
    with pytest.raises(ConformError, match="cannot be computed from the leads MLII"):
        exchange_weights(("MLII",), "LA-RA")


@pytest.mark.parametrize("exchange", ["LA-XX", "LA", "LA-LA", "V1-V2-V3"])
def test_an_unknown_exchange_is_refused(exchange):
    with pytest.raises(ConformError, match=f"cannot exchange '{exchange}': name two of RA, LA, LL"):
        exchange_weights(TWELVE_LEADS, exchange)


def test_a_lead_outside_the_twelve_has_noise_of_its_own():
    weights = electrode_weights(("MLII", "V1", "V5R"))
    assert weights.shape == (3, len(ELECTRODES) + 2)
    x = hearts()[:, :3]
    np.testing.assert_allclose(snr_db(x, perturb(x, FS, ("MLII", "V1", "V5R"), "muscle", 6.0) - x), 6, atol=0.2)


def test_simple_faults_do_what_they_say():
    x = hearts()
    apply = {n: lambda level, n=n: perturb(x, FS, TWELVE_LEADS, n, level) for n in PERTURBATIONS}
    np.testing.assert_array_equal(apply["gain"](10.0), x * np.float32(10))
    np.testing.assert_array_equal(apply["polarity"]("all"), -x)
    assert np.isnan(apply["missing_leads"]("V2+V5")[:, [7, 10]]).all()
    assert np.isfinite(apply["missing_leads"]("V2+V5")[:, [0, 6, 8, 9, 11]]).all()
    assert np.abs(apply["clipping"](0.5)).max() == 0.5
    np.testing.assert_array_equal(apply["time_shift"](0.5)[..., 50:], x[..., :-50])
    coarse = apply["quantisation"](8.0)
    np.testing.assert_allclose(coarse * 25.6, np.rint(coarse * 25.6), atol=1e-3)
    assert np.abs(coarse - x).max() <= 5 / 256 + 1e-6


def test_a_higher_rate_loses_nothing_and_a_lower_one_what_lies_above_its_half():
    x = hearts()
    middle = slice(50, -50)
    assert np.abs(perturb(x, FS, TWELVE_LEADS, "sampling_rate", 500.0) - x)[..., middle].max() < 0.01
    low = perturb(x, FS, TWELVE_LEADS, "sampling_rate", 50.0)
    assert _share(low - low.mean(axis=-1, keepdims=True), FS, 26, 50) < 1e-3
    filtered = perturb(x, FS, TWELVE_LEADS, "device_filter", "0.5-25")
    assert np.abs(filtered.mean(axis=-1)).max() < 0.02


@pytest.mark.parametrize(
    ("name", "level", "message"),
    [
        ("musle", 6.0, "unknown perturbation 'musle' .did you mean 'muscle'."),
        ("muscle", "loud", "a level of this perturbation is a number, got 'loud'"),
        ("missing_leads", "V9", "no lead V9 among I, II"),
        ("sampling_rate", 100.0, "the signal already has 100 Hz"),
        ("device_filter", "0.5-60", "the band must lie within 0 and 50"),
    ],
)
def test_what_cannot_happen_to_a_signal_is_refused(name, level, message):
    with pytest.raises(ConformError, match=message):
        perturb(hearts(1), FS, TWELVE_LEADS, name, level)


def test_noise_that_does_not_fit_into_the_signal_is_refused():
    with pytest.raises(ConformError, match="0.125 s at 8 Hz hold no noise between 5 and 4 Hz"):
        perturb(hearts(1)[..., :1], 8.0, TWELVE_LEADS, "muscle", 6.0)


def test_labels_read_as_people_write_them():
    assert PERTURBATIONS["gain"].label(0.5) == "× 0.5"
    assert PERTURBATIONS["muscle"].label(6.0) == "6 dB"
    assert PERTURBATIONS["lead_reversal"].label("LA-RA") == "LA-RA"


@pytest.mark.parametrize("name", list(FOREIGN))
def test_foreign_signals_have_the_ecgs_size_and_repeat(name):
    x = hearts()
    made = foreign_signals(x, FS, name, seed=1, keys=[4, 5, 6, 7, 8])
    np.testing.assert_allclose(made.std(axis=(1, 2)), x.std(axis=(1, 2)), rtol=0.02)
    np.testing.assert_array_equal(made[1:3], foreign_signals(x[1:3], FS, name, seed=1, keys=[5, 6]))
    assert np.abs(made - x).max() > 0.05


def test_an_unknown_foreign_signal_is_refused():
    with pytest.raises(ConformError, match="unknown foreign signal 'sinu' .did you mean 'sinus'."):
        foreign_signals(hearts(1), FS, "sinu")


@pytest.mark.real
def test_a_real_record_survives_exchanges_and_noise_keeps_its_law(real_data):
    from einthoven.formats import read_record

    record = read_record(min((real_data / "ptb-xl").rglob("*_lr.hea")))
    x = record.signal[None]
    for exchange in SWAPS:
        twice = exchange_electrodes(exchange_electrodes(x, record.leads, exchange), record.leads, exchange)
        np.testing.assert_array_equal(twice, x)
    own = law_residual(x)
    noisy = perturb(x, record.fs, record.leads, "muscle", 6.0)
    np.testing.assert_allclose(snr_db(x, noisy - x), 6, atol=0.2)
    assert law_residual(noisy) < own + 1e-4
