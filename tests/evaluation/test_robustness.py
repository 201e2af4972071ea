"""Robustness and detection, judged of a model whose answers are known: classes are amplitudes of two leads."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from einthoven.bundle import Bundle
from einthoven.dataset import open_dataset
from einthoven.decisions import Calibration, Decisions
from einthoven.errors import DatasetError
from einthoven.evaluation.batches import dataset_features, signal_batches
from einthoven.evaluation.novelty import fit_dataset_novelty, judge_novelty
from einthoven.evaluation.robustness import all_conditions, judge_robustness, write_robustness_table
from einthoven.leads import TWELVE_LEADS
from einthoven.plots.inline import figure_svg
from einthoven.plots.robustness import robustness_figure
from einthoven.signals import record_features
from einthoven.spec import SignalSpec

CLASSES = ("V2", "V5")
COLUMNS = [7, 10]
ROWS = np.arange(180, 240)


def _network(x, facts=None):
    """A class is likely where its lead is large."""
    return np.log(x[:, COLUMNS].std(axis=-1) + 1e-3).astype(np.float32) + np.float32(2)


@pytest.fixture(scope="module")
def dataset(dataset_folder):
    return open_dataset(dataset_folder)


@pytest.fixture(scope="module")
def bundle(dataset):
    decisions = Decisions(CLASSES, "multilabel", Calibration("none", (None, None)), "f1", (0.5, 0.5), None, {})
    return Bundle(
        path=Path("nowhere"),
        name="amplitudes",
        spec=SignalSpec(),
        window=500,
        stride=500,
        how="mean",
        kind="multilabel",
        classes=CLASSES,
        descriptions={},
        decisions=decisions,
        about={},
        network=_network,
        novelty=fit_dataset_novelty(dataset, np.arange(180), ROWS),
    )


@pytest.fixture(scope="module")
def targets(dataset):
    """Whether the lead is larger than half of the records', with a tenth of the answers wrong."""
    size = np.array([np.nan_to_num(dataset.signal(row))[COLUMNS].std(axis=1) for row in ROWS])
    y = size > np.median(size, axis=0)
    wrong = np.random.default_rng(0).random(y.shape) < 0.1
    return (y ^ wrong).astype(np.float32)


CONDITIONS = [
    ("gain", 2.0),
    ("gain", 1000.0),
    ("white_noise", -20.0),
    ("missing_leads", "V2"),
    ("lead_reversal", "V4-V5"),
    ("sampling_rate", 100.0),
]


@pytest.fixture(scope="module")
def judged(bundle, dataset, targets):
    return judge_robustness(bundle, dataset, ROWS, targets, conditions=CONDITIONS, n_resamples=200)


def test_the_judgement_is_plain_and_complete(judged):
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged
    assert (judged["n_records"], judged["n_all"], judged["classes"]) == (60, 60, ["V2", "V5"])
    assert judged["interval"]["unit"] == "patient"
    assert [row["condition"] for row in judged["conditions"]] == [
        "gain × 2",
        "gain × 1000",
        "white noise -20 dB",
        "missing leads V2",
        "exchanged cables V4-V5",
    ]
    assert judged["skipped"] == [
        {"perturbation": "sampling_rate", "level": 100.0, "reason": "the signal already has 100 Hz"}
    ]


def test_the_clean_figures_are_those_of_the_records_as_they_are(judged, dataset, targets):
    p = np.array([_network(np.nan_to_num(dataset.signal(row)).reshape(12, 2, 500).transpose(1, 0, 2)) for row in ROWS])
    scores = (1 / (1 + np.exp(-p.astype(float)))).mean(axis=1)
    assert judged["clean"]["auroc"] == pytest.approx(roc_auc_score(targets, scores), abs=1e-9)
    assert judged["clean"]["per_class"]["V5"] == pytest.approx(roc_auc_score(targets[:, 1], scores[:, 1]), abs=1e-9)
    assert judged["clean"]["refused"] == 0


def test_each_fault_does_what_it_must_to_a_model_of_amplitudes(judged):
    row = {each["condition"]: each for each in judged["conditions"]}
    same = row["gain × 2"]  # the order of amplitudes stays, the decisions do not
    assert same["difference"]["value"] == pytest.approx(0, abs=0.005)
    assert same["decided_otherwise"] > 0.1
    assert row["gain × 1000"]["refused"] == 1
    noise = row["white noise -20 dB"]["difference"]
    assert noise["low"] <= noise["value"] <= noise["high"]
    lost = row["missing leads V2"]
    assert lost["per_class"]["V2"]["auroc"] == 0.5
    assert lost["per_class"]["V2"]["difference"]["high"] < 0
    assert lost["per_class"]["V5"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    assert lost["refused"] == 1
    assert row["exchanged cables V4-V5"]["per_class"]["V2"]["difference"]["value"] == 0


def test_a_condition_gives_the_same_alone_and_repeats(judged, bundle, dataset, targets):
    alone = judge_robustness(bundle, dataset, ROWS, targets, conditions=CONDITIONS[2:3], n_resamples=200)
    assert alone["conditions"][0] == judged["conditions"][2]


def test_some_records_are_chosen_by_the_seed_and_progress_is_told(bundle, dataset, targets):
    told = []
    some = [
        judge_robustness(
            bundle,
            dataset,
            ROWS,
            targets,
            conditions=CONDITIONS[:1],
            n_records=40,
            n_resamples=0,
            seed=seed,
            progress=lambda done, of: told.append((done, of)),
        )
        for seed in (1, 1, 2)
    ]
    assert {(each["n_records"], each["n_all"]) for each in some} == {(40, 60)}
    assert some[0]["clean"] == some[1]["clean"] != some[2]["clean"]
    assert some[0]["conditions"][0]["difference"]["low"] is None
    assert told == [(80, 80)] * 3


def test_every_condition_is_judged_by_default():
    conditions = all_conditions()
    assert len(conditions) == len(set(conditions)) > 50
    assert ("lead_reversal", "LA-RA") in conditions


def test_the_table_holds_a_line_per_condition(judged, tmp_path):
    write_robustness_table(tmp_path / "r.csv", judged)
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["condition"] for row in rows] == ["as recorded", *(row["condition"] for row in judged["conditions"])]
    assert float(rows[0]["auroc_V2"]) == pytest.approx(judged["clean"]["per_class"]["V2"], abs=1e-6)
    assert float(rows[1]["high"]) == pytest.approx(judged["conditions"][0]["difference"]["high"], abs=1e-6)
    assert (rows[0]["decided_otherwise"], rows[4]["refused"]) == ("", "1.000000")


def test_the_drawing_names_every_condition_and_class(judged):
    svg = figure_svg(robustness_figure(judged), "robustness")
    for words in ("gain × 1000", "exchanged cables V4-V5", ">V2<", "Macro AUROC", "refused", "100 %"):
        assert words in svg
    many = {**judged, "classes": [f"class {k}" for k in range(9)]}
    assert "AUROC difference" not in figure_svg(robustness_figure(many), "robustness")
    with pytest.raises(ValueError, match="no condition was judged"):
        robustness_figure({**judged, "conditions": []})


def test_what_cannot_be_judged_is_refused(bundle, dataset, targets):
    other = dataclasses.replace(bundle, spec=SignalSpec(fs=250.0))
    with pytest.raises(DatasetError, match="not in the form that amplitudes needs"):
        judge_robustness(other, dataset, ROWS, targets)
    with pytest.raises(DatasetError, match="no class has both a positive and a negative among 60 records"):
        judge_robustness(bundle, dataset, ROWS, targets * 0)
    with pytest.raises(DatasetError, match="no records in the form that amplitudes needs"):
        judge_novelty(bundle, dataset, ROWS[:0], targets[:0])
    bare = dataclasses.replace(bundle, novelty=None)
    with pytest.raises(DatasetError, match="amplitudes has no detector of unlike records"):
        judge_novelty(bare, dataset, ROWS, targets)
    assert judge_robustness(bare, dataset, ROWS, targets, conditions=[], n_resamples=0)["conditions"] == []


def test_batches_hold_every_record_once_and_features_are_the_records_own(dataset):
    rows = np.array([5, 3, 200])
    seen = {int(k): x for at, batch in signal_batches(dataset, rows) for k, x in zip(at, batch, strict=True)}
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(seen[k], dataset.signal(int(row)))
    own = [record_features(dataset.signal(int(row)), 100.0, TWELVE_LEADS) for row in rows]
    np.testing.assert_allclose(dataset_features(dataset, rows), own, atol=1e-4)


def test_a_detector_sees_foreign_signals_and_says_what_it_misses(bundle, dataset, targets):
    targets = np.column_stack([targets[:, 0], np.zeros(60)])
    found = judge_novelty(bundle, dataset, ROWS, targets, n_records=20)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    rates = found["false_alarms"]
    assert (rates["stated"], rates["here"]) == (0.05, pytest.approx(2 / 60))
    score = bundle.novelty.score(dataset_features(dataset, ROWS[targets[:, 0] == 1]))
    assert rates["per_class"] == {"V2": pytest.approx((score > bundle.novelty.threshold).mean()), "V5": None}
    kinds = {row["name"]: row for row in found["kinds"]}
    for name in ("white", "random_walk", "sinus", "square", "breath", "shuffled", "one_lead", "gain 1000.0"):
        assert kinds[name]["seen"] == 1
        assert kinds[name]["auroc"] > 0.95
    assert kinds["gain 1000.0"]["refused"] == 1
    assert found["poorly_detected"] == [row["title"] for row in found["kinds"] if row["seen"] < 0.5]
    assert found["n_made"] == 20
