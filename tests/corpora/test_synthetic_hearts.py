"""Do synthetic hearts obey physiology? Laws of the leads, territories, widths, rates and voltages."""

from functools import cache

import numpy as np
import pytest

from einthoven.corpora.synthetic import STATEMENTS, example_record
from einthoven.corpora.synthetic.heart import WAVES, normal_heart, wave_index
from einthoven.corpora.synthetic.noise import electrodes_to_leads
from einthoven.corpora.synthetic.render import decimate
from einthoven.corpora.synthetic.rhythm import beat_times
from einthoven.errors import DatasetError
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

PEOPLE = range(8)


@cache
def quiet(code: str, person: int, severity: float = 1.0) -> Record:
    return example_record(code, severity, seed=person, fs=500, noise=0.0)


def r_times(record: Record) -> np.ndarray:
    """QRS positions in samples by the energy of the slope of all leads."""
    energy = np.convolve((np.diff(record.signal, axis=1) ** 2).sum(0), np.ones(40) / 40, "same")
    peaks = np.flatnonzero(energy == np.array([energy[max(0, k - 120) : k + 120].max() for k in range(len(energy))]))
    peaks = peaks[energy[peaks] > 0.25 * energy.max()]
    return peaks[(peaks > 200) & (peaks < len(energy) - 300)]


@cache
def mean_beat(record: Record) -> np.ndarray:
    """Median beat from 0.3 s before to 0.5 s after QRS, (12, 400); without noise the baseline is 0 mV."""
    beats = np.stack([record.signal[:, k - 150 : k + 250] for k in r_times(record)])
    return np.median(beats, axis=0)


def qrs_width_ms(record: Record) -> float:
    slope = np.sqrt((np.diff(mean_beat(record)[:, 90:240], axis=1) ** 2).sum(0))
    active = np.flatnonzero(slope > 0.10 * slope.max())
    return 2.0 * (active[-1] - active[0])


def lead(record: Record, name: str) -> np.ndarray:
    return mean_beat(record)[TWELVE_LEADS.index(name)]


def st_level(record: Record, name: str) -> float:
    return float(lead(record, name)[190:205].mean())  # 80-110 ms after the middle of QRS


@pytest.mark.parametrize("code", ["NORM", "CLBBB", "AFIB", "PACE"])
def test_einthoven_and_goldberger_hold_with_all_noise(code: str) -> None:
    i, ii, iii, avr, avl, avf = example_record(code, seed=2).signal[:6].astype(float)
    np.testing.assert_allclose(iii, ii - i, atol=1e-5)
    np.testing.assert_allclose(avr, -(i + ii) / 2, atol=1e-5)
    np.testing.assert_allclose(avl, i - ii / 2, atol=1e-5)
    np.testing.assert_allclose(avf, ii - i / 2, atol=1e-5)


def test_noise_common_to_all_electrodes_is_seen_in_no_lead() -> None:
    common = np.tile(np.sin(np.arange(100, dtype=np.float32)), (9, 1))
    assert np.abs(electrodes_to_leads(common)).max() < 1e-6


@pytest.mark.parametrize(("code", "low", "high"), [("SR", 55, 80), ("SBRAD", 38, 54), ("STACH", 100, 125)])
def test_the_heart_rate_is_what_the_rhythm_says(code: str, low: float, high: float) -> None:
    for person in PEOPLE:
        rate = 60 * 500 / np.diff(r_times(quiet(code, person))).mean()
        assert low <= rate <= high


@pytest.mark.parametrize("code", ["CLBBB", "CRBBB"])
def test_a_bundle_branch_block_widens_qrs(code: str) -> None:
    gained = [qrs_width_ms(quiet(code, p)) - qrs_width_ms(quiet("NORM", p)) for p in PEOPLE]
    assert min(gained) > 10
    assert np.median(gained) > 35


def test_right_bundle_branch_block_ends_in_r_in_v1_and_s_in_v6() -> None:
    for person in PEOPLE:
        record = quiet("CRBBB", person)
        late = slice(160, 195)
        assert lead(record, "V1")[late].max() > 0.25
        assert lead(record, "V6")[late].min() < -0.1


def test_left_bundle_branch_block_is_negative_in_v1_positive_in_v6_with_opposite_t() -> None:
    for person in PEOPLE:
        record = quiet("CLBBB", person)
        v1 = lead(record, "V1")
        assert v1[130:200].min() < -0.8
        assert v1[230:360].max() > 0.15
        assert lead(record, "V6")[130:200].max() > 0.4


def test_left_anterior_fascicular_block_turns_the_axis_up() -> None:
    for person in PEOPLE:
        change = [lead(quiet(code, person), "aVF")[120:190] for code in ("NORM", "LAFB")]
        assert change[1].max() + change[1].min() < change[0].max() + change[0].min() - 0.4


@pytest.mark.parametrize(
    ("code", "over", "away"),
    [("IMI", ("II", "III", "aVF"), ("I", "aVL")), ("ASMI", ("V2", "V3"), ("III",)), ("LMI", ("I", "V6"), ("V1",))],
)
def test_fresh_infarcts_raise_st_over_their_wall(code: str, over: tuple[str, ...], away: tuple[str, ...]) -> None:
    # Whether an infarct is fresh is chance: among many people the largest rise is that of a fresh one.
    rise = {
        name: np.array([st_level(quiet(code, p), name) - st_level(quiet("NORM", p), name) for p in range(30)])
        for name in (*over, *away)
    }
    fresh = int(np.argmax(sum(rise[name] for name in over)))
    assert min(rise[name][fresh] for name in over) > 0.04
    assert max(rise[name][fresh] for name in away) < min(rise[name][fresh] for name in over)


def test_an_inferior_infarct_leaves_q_waves_in_iii_and_avf() -> None:
    for name in ("III", "aVF"):
        deeper = [
            lead(quiet("NORM", p), name)[125:150].min() - lead(quiet("IMI", p), name)[125:150].min() for p in PEOPLE
        ]
        assert min(deeper) > 0.08


def test_an_anteroseptal_infarct_takes_r_from_v2_and_v3() -> None:
    for name in ("V2", "V3"):
        kept = [
            lead(quiet("ASMI", p), name)[120:180].max() / lead(quiet("NORM", p), name)[120:180].max() for p in PEOPLE
        ]
        assert np.median(kept) < 0.6


def test_left_ventricular_hypertrophy_has_larger_voltages() -> None:
    def sokolow_lyon(code: str, person: int) -> float:
        record = quiet(code, person)
        return float(lead(record, "V5")[110:200].max() - lead(record, "V1")[110:200].min())

    ratio = [sokolow_lyon("LVH", p) / sokolow_lyon("NORM", p) for p in PEOPLE]
    assert min(ratio) > 1.25


def test_severity_is_continuous_and_none_at_zero() -> None:
    peaks = [np.abs(lead(quiet("LVH", 1, s), "V5")).max() for s in (0.0, 0.3, 0.6, 1.0)]
    assert peaks == sorted(peaks)
    np.testing.assert_allclose(quiet("LVH", 1, 0.0).signal, quiet("NORM", 1).signal, atol=1e-6)


def test_first_degree_block_delays_qrs_after_p() -> None:
    for person in PEOPLE:
        normal, blocked = (lead(quiet(code, person), "II")[:120] for code in ("NORM", "1AVB"))
        assert np.argmax(normal) - np.argmax(blocked) > 25  # samples of 2 ms


def test_atrial_fibrillation_is_irregular_and_has_no_p() -> None:
    for person in PEOPLE:
        sinus, fibrillating = quiet("SR", person), quiet("AFIB", person)
        spread = [np.std(r) / np.mean(r) for r in (np.diff(r_times(sinus)), np.diff(r_times(fibrillating)))]
        assert spread[1] > 0.10 > 2 * spread[0]
        before = [np.abs(lead(record, "II")[40:115]).max() for record in (sinus, fibrillating)]
        assert before[1] < before[0]


def test_flutter_waves_come_at_their_own_rate() -> None:
    record = quiet("AFLT", 3)
    spectrum = np.abs(np.fft.rfft(record.signal[5] - record.signal[5].mean())) ** 2
    f = np.fft.rfftfreq(record.n_samples, 1 / 500)
    assert spectrum[np.abs(f - 4.88) < 0.15].max() > 5 * np.median(spectrum[(f > 4) & (f < 6)])


def test_a_ventricular_premature_beat_is_early_and_wide_and_is_followed_by_a_pause() -> None:
    beating = beat_times("SR", 60.0, 0.25, 0.0, {"V": 1}, np.random.default_rng(1))
    (k,) = np.flatnonzero(beating.kinds == "V")
    before, after = np.diff(beating.times_s)[k - 1 : k + 1]
    assert before < 0.85
    assert before + after == pytest.approx(2.0, abs=0.01)  # compensatory


def test_qt_follows_the_cube_root_of_the_interval() -> None:
    def t_peak_s(code: str) -> float:
        return float(np.argmax(lead(quiet(code, 0), "V4")[210:380]) + 60) / 500

    assert t_peak_s("SBRAD") / t_peak_s("STACH") == pytest.approx((112 / 46) ** (1 / 3), rel=0.08)


def test_every_wave_of_the_normal_heart_lies_within_its_group() -> None:
    heart = normal_heart()
    assert [WAVES[k].group for k in wave_index("QRS")] == ["QRS"] * 8
    assert heart.qrs_area()[0] > 0  # to the left


def test_decimation_keeps_what_fits_and_takes_away_what_would_fold() -> None:
    t = (np.arange(5500) - 250) / 500
    for rate, expected in ((10.0, 1.0), (30.0, 1.0), (65.0, 0.0), (90.0, 0.0)):
        low = decimate(np.sin(2 * np.pi * rate * t).astype(np.float32)[None], 100)[0]
        assert np.sqrt(2) * low.std() == pytest.approx(expected, abs=0.01)


def test_an_example_exists_for_every_statement() -> None:
    for code in STATEMENTS:
        record = example_record(code, seed=1, fs=100)
        assert record.signal.shape == (12, 1000)
        assert 0.3 < np.abs(record.signal).max() < 12
        assert code in record.statements


def test_an_unknown_statement_names_the_nearest() -> None:
    with pytest.raises(DatasetError, match="did you mean 'CLBBB'"):
        example_record("CLBB")


def test_another_rate_is_refused() -> None:
    with pytest.raises(DatasetError, match="100 or 500 Hz, not at 250"):
        example_record("NORM", fs=250)
