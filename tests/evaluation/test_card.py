"""A model card says what was fitted and judged, and nothing that is not so."""

import copy

import pytest

from einthoven.bundle import list_pretrained, load_bundle
from einthoven.evaluation.card import model_card

BASE = load_bundle(list_pretrained()[0]).about


@pytest.fixture
def about():
    return copy.deepcopy(dict(BASE))


def judgement(about, **more):
    figure = {"value": 0.91, "low": 0.9, "high": 0.92}
    rows = [
        {"class": c, "positives": 12, "auroc": figure, "auprc": None, "sensitivity": 0.5, "specificity": None}
        for c in about["task"]["classes"]
    ]
    return {
        "split": "test", "n_records": 2158, "n_patients": 1900, "macro": dict.fromkeys(("auroc", "auprc", "fmax"), figure),
        "interval": {"level": 0.95, "n_resamples": 1000, "unit": "patient"}, "caution": ["Look twice."],
        "per_class": rows, "decisions": "thresholds come with the bundle", **more,
    }  # fmt: skip


def test_calibration_is_told_as_it_is(about):
    classes = about["task"]["classes"]
    about["calibration"] = {"method": "platt", "maps": [None, *({"slope": 1.0, "shift": 0.0} for _ in classes[1:])]}
    card = model_card(about, [])
    assert "stretched and shifted by a fitted line (Platt 1999)" in card
    assert f"1 of {len(classes)} classes had too few cases and keep their scores: {classes[0]}." in card
    assert "not calibrated" not in card
    about["calibration"] = {"method": "none", "maps": [None] * len(classes)}
    card = model_card(about, [])
    assert "Probabilities are not calibrated" in card
    assert "No calibration was fitted" in card
    assert "keep their scores" not in card


def test_promise_rule_and_thresholds_are_told_where_there_are_some(about):
    first, *rest = about["task"]["classes"]
    about["conformal"], about["exclusions"] = {"error": 0.05}, {first: rest}
    about["thresholds"] = {"method": "sensitivity:0.9", "values": {first: None, **dict.fromkeys(rest, 0.25)}}
    card = model_card(about, [])
    assert f"{first} is not reported beside {', '.join(rest[:-1])} or {rest[-1]}: the finding farther above" in card
    assert "in at least 95 % of those with it and of those without it" in card
    assert "Thresholds reach a sensitivity of 90% in each class at the highest specificity, fitted on the val" in card
    assert f"folds: {first} none, {rest[0]} 0.250" in card
    about["conformal"], about["exclusions"] = None, {first: [f"C{k}" for k in range(20)]}
    card = model_card(about, [])
    assert "stated error rate" not in card
    assert "C10, C11 or 8 more: the finding" in card


def test_a_multi_class_model_has_no_thresholds(about):
    about["task"] = {**about["task"], "kind": "multiclass"}
    assert "* The likeliest class is chosen." in model_card(about, [])


def test_figures_and_what_was_judged_beside_them(about):
    row = {"condition": "muscle noise 0 dB", "difference": {"value": -0.08, "low": None, "high": None}}
    gap = {"value": 0.02, "highest": "female", "lowest": "male"}
    groups = [{"group": "female", "apart": False}, {"group": "male", "apart": False}]
    more = {
        "calibration": {"method": "platt", "before": {"ece": 0.031}, "after": {"ece": 0.012}},
        "conformal": {"error": 0.1, "covered": 0.9007},
        "contradictions": {"rules": {"NORM": ["MI"]}, "records": 1130},
        "subgroups": [{"column": "sex", "gap": gap, "gap_classes": ["MI"], "groups": groups}, {"gap": None}],
        "robustness": {"conditions": [row]},
        "novelty": {"false_alarms": {"here": 0.049}, "poorly_detected": ["gain x2"]},
    }
    card = model_card(about, [judgement(about, **more), {"split": "train", "reason": "no records"}])
    assert "Macro AUROC 0.9100 [0.9000, 0.9200]" in card
    assert "Calibration error (mean over classes): 1.2 percentage points, 3.1 before calibration." in card
    assert "At a stated error rate of 10 %, 90.1 % of the true answers" in card
    assert "Contradicting findings were settled in 1,130 records." in card
    assert "Sex: Over the one class judged in every group, macro AUROC is highest in “female”" in card
    assert "Of 1 simulated recording faults, 0 cost less than 0.01" in card
    assert "flags 4.9 % of these records. Of foreign and faulty signals it sees fewer than half of: gain x2." in card
    assert "## Figures on the train split\n\nNot judged: no records." in card
    plain = model_card(about, [judgement(about)])
    for words in ("Calibration error", "At a stated", "settled in", "Sex:", "simulated", "flags"):
        assert words not in plain
