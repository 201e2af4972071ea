"""Recordings judged beat by beat: the beats are found, cut as in training, and named."""

import json

import numpy as np
import pytest

from einthoven.bundle import load_bundle
from einthoven.corpora import open_corpus
from einthoven.errors import BundleError, ConformError, RecordError
from einthoven.evaluation.predictions import predict_dataset
from einthoven.formats import read_record
from einthoven.preparation import prepare
from einthoven.training.recipe import parse_recipe
from einthoven.workflow.heartbeats import judge_beats, judges_beats
from einthoven.workflow.train import train

RECIPE = """
name: beats
data: {{dataset: {dataset}, task: aami, single_label: true, crop_s: 0.75, facts: ["features:rr_*"]}}
model: {{name: map583_cnn1d_3}}
training: {{epochs: 2, batch_size: 32, lr: 5e-3, threads: 1}}
evaluation: {{select: loss, n_resamples: 20}}
"""
FS, BEATS, SECONDS = 360, 40, 34


def _write(folder, name, kinds):
    """A record of QRS complexes on baseline noise; ventricular ones are wide and negative."""
    import wfdb

    generator = np.random.default_rng(int(name))
    t, at = np.arange(SECONDS * FS), 200 + 290 * np.arange(BEATS)
    signal = 0.01 * generator.standard_normal((len(t), 2))
    for sample, kind in zip(at, kinds, strict=True):
        width, size = (20.0, -1.2) if kind == "V" else (7.0, 1.0)
        signal += size * np.exp(-(((t - sample) / width) ** 2))[:, None] * [1.0, 0.7]
        signal += 0.2 * np.exp(-(((t - sample - 90) / 25) ** 2))[:, None]
    wfdb.wrsamp(
        name, fs=FS, units=["mV"] * 2, sig_name=["MLII", "V1"], p_signal=signal, fmt=["212"] * 2,
        adc_gain=[200.0] * 2, baseline=[0] * 2, write_dir=str(folder),
    )  # fmt: skip
    wfdb.wrann(name, "atr", at, symbol=list(kinds), fs=FS, write_dir=str(folder))
    return at


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("beats")
    corpus = root / "mitdb"
    corpus.mkdir()
    symbols = np.array(list("NNNNVNNSNF"))
    for k, name in enumerate(("106", "108", "109", "112", "101", "119")):
        kinds = np.roll(np.tile(symbols, 4), k)
        kinds[3] = "Q"
        _write(corpus, name, kinds.tolist())
    opened = open_corpus("mitdb", corpus, lead="each")
    dataset = prepare(opened, root / "dataset", opened.spec, workers=1)
    run = train(parse_recipe(RECIPE.format(dataset=root / "dataset")), root / "runs")
    return corpus, dataset, load_bundle(run.path)


def test_known_beats_are_judged_as_their_prepared_windows(made):
    corpus, dataset, bundle = made
    record = read_record(corpus / "119.hea", beats=True)
    for lead in ("MLII", "V1"):
        rows = np.array([k for k, name in enumerate(dataset.records.record_id) if name.startswith(f"119-{lead}-")])
        want = predict_dataset(bundle, dataset, rows, np.zeros((len(rows), len(bundle.classes)), np.float32))
        got = judge_beats(bundle, record, lead=lead, samples=record.beats.samples.tolist())
        calibrated = bundle.decisions.decide(want.probabilities).probabilities
        np.testing.assert_allclose(got.probabilities, calibrated, atol=2e-3)  # signals were stored in microvolts
        assert got.lead == lead


def test_beats_are_found_where_they_are(made):
    corpus, _, bundle = made
    record = read_record(corpus / "101.hea", beats=True)
    found = judge_beats(bundle, record)
    assert found.lead == "MLII"
    assert len(found.samples) == BEATS
    assert np.abs(found.samples - record.beats.samples).max() <= 0.03 * FS
    assert sum(found.counts().values()) == BEATS
    assert json.loads(json.dumps(found.to_dict()))["beats"][0]["class"] in bundle.classes


def test_a_bare_lead_of_another_rate_is_judged_too(made):
    _, _, bundle = made
    t = np.arange(20 * 250)
    wave = sum(np.exp(-(((t - at) / 5) ** 2)) for at in range(150, 5000, 200)).astype(np.float32)
    from einthoven.record import Record

    found = judge_beats(bundle, Record(wave[None], 250.0, ("lead",), record_id="patch"))
    assert found.lead == "lead"
    assert len(found.samples) == 25


def test_what_cannot_be_judged_is_said(made):
    corpus, _, bundle = made
    record = read_record(corpus / "101.hea")
    with pytest.raises(RecordError, match="no lead V5; it has MLII, V1"):
        judge_beats(bundle, record, lead="V5")
    with pytest.raises(ConformError, match="are found in 2 s or more, this is 1.00 s"):
        judge_beats(bundle, record.with_(signal=record.signal[:, :FS]))
    with pytest.raises(ConformError, match="no row of heartbeats was found"):
        judge_beats(bundle, record.with_(signal=np.zeros_like(record.signal)))
    whole = load_bundle("ptbxl-superdiagnostic")
    assert not judges_beats(whole)
    with pytest.raises(BundleError, match="does not judge single beats"):
        judge_beats(whole, record)
