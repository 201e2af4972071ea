"""Heartbeats rebuilt from records: against a plain loop over the published steps, and with patients and folds kept."""

import numpy as np
import pytest
from mit_writer import FS, regular, write_record

from einthoven.corpora import open_corpus
from einthoven.corpora.heartbeats import cut_heartbeats, heartbeat_lengths
from einthoven.corpora.mitdb import RR_FEATURES
from einthoven.errors import DatasetError, RecordError
from einthoven.formats import read_record
from einthoven.labels import make_task
from einthoven.preparation import prepare
from einthoven.signals import resample
from einthoven.spec import SignalSpec


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mitdb"
    root.mkdir()
    return root


def one_by_one(signal, samples, fs):
    """The published steps, a beat at a time."""
    beats = []
    for sample in samples:
        tile = int(sample / fs // 10)
        window = signal[tile * 1250 : (tile + 1) * 1250]
        peaks = [s / fs for s in samples if int(s / fs // 10) == tile]
        period = np.median(np.diff(peaks if len(peaks) > 1 else np.array(samples) / fs))
        start = round(sample * 125 / fs)
        part = signal[start : start + min(187, round(1.2 * period * 125))]
        part = (part - window.min()) / (window.max() - window.min())
        beats.append(np.pad(part.clip(0, 1), (0, 187 - len(part)), constant_values=np.nan))
    return np.array(beats)


def test_beats_are_those_of_a_plain_loop():
    rng = np.random.default_rng(3)
    signal = rng.normal(size=125 * 60 + 300).astype(np.float32).cumsum().astype(np.float32)
    samples = np.cumsum(rng.integers(150, 600, 55))
    beats = cut_heartbeats(signal, samples, FS)
    np.testing.assert_allclose(beats, one_by_one(signal, samples, FS), atol=1e-6)
    assert np.isfinite(beats[:, 0]).all()
    assert (np.isfinite(beats).sum(axis=1) == heartbeat_lengths(samples, FS, len(signal))).all()


def test_a_slow_heart_fills_the_row_and_the_end_of_the_record_cuts_it():
    assert heartbeat_lengths(np.array([0, 720, 1440]), FS, 100_000).tolist() == [187, 187, 187]
    assert heartbeat_lengths(np.array([0, 180, 360]), FS, 140).tolist() == [75, 75, 15]


def test_a_window_with_one_beat_takes_the_median_of_the_record_and_a_lone_beat_all_there_is():
    samples = np.array([100, 280, 460, 640, 4000])
    assert heartbeat_lengths(samples, FS, 100_000).tolist() == [75, 75, 75, 75, 75]
    assert heartbeat_lengths(np.array([100]), FS, 100_000).tolist() == [187]


def test_a_flat_window_is_zero_not_missing():
    beats = cut_heartbeats(np.full(1250, 0.3, np.float32), np.array([100, 280]), FS)
    assert (beats[:, :75] == 0).all()
    assert np.isnan(beats[:, 75:]).all()


def test_records_become_rows_with_their_patients_folds_and_lengths(folder, tmp_path):
    write_record(folder, "101", regular("NAV"), leads=("V5", "MLII"))
    write_record(folder, "202", regular("NN"))
    corpus = open_corpus("heartbeats", folder)
    assert corpus.spec == SignalSpec(leads=("MLII",), fs=125, unit="normalised")
    assert [(entry.record_id, entry.patient_id, entry.fold) for entry in corpus.entries] == [
        *[(f"101-000{sample:03d}", "101", 9) for sample in (50, 350, 650)],
        *[(f"202-000{sample:03d}", "201", 10) for sample in (50, 350)],
    ]
    assert "201" in corpus.shared_patients
    assert make_task("aami", corpus.label_table).classes == ("N", "S", "V")
    assert corpus.features.names == ("beat_length_s", *RR_FEATURES)
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    whole = read_record(folder / "101.hea").signal[[1]]
    want = cut_heartbeats(resample(whole, FS, 125)[0], np.array([50, 350, 650]), FS)
    found = np.stack([dataset.signal(row)[0] for row in range(3)])
    np.testing.assert_allclose(found, want, atol=5.1e-4)
    assert dataset.features().values[:, 0] == pytest.approx(np.isfinite(want).sum(axis=1)[[0, 1, 2, 0, 0]] / 125)


def test_several_processes_give_the_same_beats(folder, tmp_path, monkeypatch):
    from einthoven import preparation

    monkeypatch.setattr(preparation, "_SHARD_BYTES", 187 * 2 * 20)
    write_record(folder, "101", regular("N" * 45))
    corpus = open_corpus("heartbeats", folder)
    datasets = [prepare(corpus, tmp_path / str(workers), corpus.spec, workers=workers) for workers in (1, 2)]
    assert len(datasets[0].shards) == 3
    assert datasets[0].shards == datasets[1].shards


def test_a_record_without_the_lead_is_named_before_anything_is_written(folder):
    write_record(folder, "124", regular("NN"), leads=("MLII", "V4"))
    with pytest.raises(
        DatasetError, match=r"record 124 has no lead V1; it has MLII, V4; choose another with --set lead"
    ):
        open_corpus("heartbeats", folder, lead="v1")


def test_files_that_vanish_after_the_listing_are_named(folder, tmp_path):
    write_record(folder, "101", regular("NN"))
    corpus = open_corpus("heartbeats", folder)
    (folder / "101.atr").unlink()
    with pytest.raises(RecordError, match=r"101.hea: its annotations have vanished since they were listed"):
        prepare(corpus, tmp_path / "d", corpus.spec, workers=1)


@pytest.mark.real
def test_all_beats_of_ds1_are_cut(real_data):
    corpus = open_corpus("heartbeats", real_data / "mitdb")
    task = make_task("aami", corpus.label_table)
    counts = task.targets([entry.statements for entry in corpus.entries]).sum(axis=0).astype(int).tolist()
    assert dict(zip(task.classes, counts, strict=True)) == {"N": 45866, "S": 944, "V": 3788, "F": 415, "Q": 8}
    some = corpus.entries[:1865]  # record 101
    signals = np.stack([record.signal[0] for record in corpus.read(some)])
    assert signals.shape == (1865, 187)
    assert (np.nanmin(signals), np.nanmax(signals)) == (0, 1)
    # an annotated R peak is near the top of its window
    assert np.nanmedian(signals[:, :4].max(axis=1)) > 0.8
    np.testing.assert_allclose(np.isfinite(signals).sum(axis=1) / 125, corpus.features.values[:1865, 0], atol=1e-6)
