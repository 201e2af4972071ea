"""The worst mistakes, by hand, and strips that are small and right."""

import dataclasses

import numpy as np
import pytest

from einthoven.dataset import open_dataset
from einthoven.decisions import Calibration, Decisions
from einthoven.evaluation.errors import FALSE_ALARM, MISS, caption, choose_mistakes, draw_mistakes, worst_mistakes
from einthoven.evaluation.predictions import Predictions


def _predictions(y, p, patients=None, classes=("A", "B"), **facts):
    n = len(y)
    ids = [f"r{k}" for k in range(n)]
    targets, scores = np.array(y, dtype=float), np.array(p, dtype=float)
    return Predictions(classes, targets, scores, ids, patients or [None] * n, ["s"] * n, [9] * n, facts)


def _steps(thresholds=(0.5, 0.2), kind="multilabel", exclusions=None):
    nothing = (None,) * len(thresholds)
    names = tuple("ABC"[: len(thresholds)])
    return Decisions(names, kind, Calibration("none", nothing), "f1", tuple(thresholds), None, exclusions or {})


def _worst(data, steps, **options):
    return worst_mistakes(data, steps.decide(data.probabilities), steps, **options)


def _logit(p):
    return np.log(p / (1 - p))


def test_mistakes_are_those_of_the_decisions_ranked_by_log_odds_beyond_the_threshold():
    y = [[0, 1], [0, 0], [1, 1], [1, 0], [0, np.nan]]
    p = [[0.6, 0.1], [0.9, 0.1], [0.1, 0.15], [0.4, 0.1], [0.2, 0.99]]
    found = _worst(_predictions(y, p), _steps())
    assert [(m.class_name, m.kind, m.record_id) for m in found] == [
        ("A", FALSE_ALARM, "r1"),
        ("A", FALSE_ALARM, "r0"),
        ("A", MISS, "r2"),
        ("A", MISS, "r3"),
        ("B", MISS, "r0"),
        ("B", MISS, "r2"),
    ]
    first, missed = found[0], found[4]
    assert first.margin == pytest.approx(_logit(0.9) - _logit(0.5))
    assert missed.margin == pytest.approx(_logit(0.2) - _logit(0.1))
    assert (first.probability, first.threshold, first.row, first.truth) == (0.9, 0.5, 1, ())
    assert found[2].truth == ("A", "B")
    assert [m.record_id for m in _worst(_predictions(y, p), _steps(), top=1)] == ["r1", "r2", "r0"]


def test_a_class_without_a_threshold_was_not_decided_and_has_no_mistakes():
    found = _worst(_predictions([[0, 1], [1, 0]], [[0.9, 0.1], [0.1, 0.9]]), _steps((None, 0.5)))
    assert {m.class_name for m in found} == {"B"}


def test_a_finding_that_gave_way_to_another_is_a_miss_with_a_margin_below_zero():
    steps = _steps((0.5, 0.5), exclusions={"A": ("B",)})
    (alarm, missed) = sorted(_worst(_predictions([[1, 0]], [[0.6, 0.9]]), steps), key=lambda m: -m.margin)
    assert (alarm.class_name, alarm.kind) == ("B", FALSE_ALARM)
    assert (missed.class_name, missed.kind) == ("A", MISS)
    assert missed.margin < 0


def test_in_a_multi_class_model_the_threshold_is_the_likeliest_other_class():
    data = _predictions([[0, 1, 0], [1, 0, 0]], [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], classes=("A", "B", "C"))
    alarm, missed = _worst(data, _steps((None, None, None), "multiclass"))
    assert (alarm.class_name, alarm.kind, alarm.threshold) == ("A", FALSE_ALARM, 0.2)
    assert alarm.margin == pytest.approx(_logit(0.7) - _logit(0.2))
    assert (missed.class_name, missed.kind, missed.threshold) == ("B", MISS, 0.7)
    assert missed.margin == pytest.approx(_logit(0.7) - _logit(0.2))
    assert "Probability 0.700, that of the likeliest other class 0.200. Record r0" in caption(alarm, data)


def test_certain_scores_have_finite_margins():
    (alarm, missed) = _worst(_predictions([[0, 0], [1, 0]], [[1.0, 0], [0.0, 0]]), _steps())
    assert np.isfinite([alarm.margin, missed.margin]).all()
    assert alarm.margin > 10


def test_no_patient_is_chosen_twice_within_a_class_and_kind():
    y, p = [[0, 0]] * 4, [[0.99, 0.9], [0.98, 0.1], [0.97, 0.1], [0.96, 0.1]]
    data = _predictions(y, p, ["x", "x", "y", None])
    chosen = choose_mistakes(_worst(data, _steps()), data, each=2)
    assert [(m.class_name, m.record_id) for m in chosen] == [("A", "r0"), ("A", "r2"), ("B", "r0")]
    alone = dataclasses.replace(data, patient_id=[None] * 4)
    assert len([m for m in choose_mistakes(_worst(alone, _steps()), alone, each=3) if m.class_name == "A"]) == 3


def test_a_caption_says_who_was_misjudged_and_how():
    data = _predictions([[0, 1], [0, 0]], [[0.9, 0.5], [0.7, 0.1]], age=[61.0, None], sex=["female", None])
    first, second = _worst(data, _steps())
    assert caption(first, data) == (
        "A: false positive. Probability 0.900, threshold 0.500. Record r0, 61 years, female. Truth: B."
    )
    assert caption(second, data).endswith("Record r1, age unknown, sex unknown. Truth: –.")


def test_strips_are_small_repeatable_and_show_the_record(dataset_folder, tmp_path):
    from PIL import Image

    dataset, rows = open_dataset(dataset_folder), np.array([11, 3])
    data = _predictions([[0, 0], [1, 0]], [[0.9, 0], [0.1, 0]], age=[50.0, 60.0], sex=["male", None])
    data = dataclasses.replace(data, classes=("A/V block", "B"))
    steps = dataclasses.replace(_steps(), classes=data.classes)
    mistakes = choose_mistakes(_worst(data, steps), data)
    drawn = draw_mistakes(mistakes, data, dataset, rows, tmp_path / "one")
    assert [strip["file"] for strip in drawn] == ["A_V_block-fp-1.png", "A_V_block-fn-1.png"]
    assert [(strip["class"], strip["kind"]) for strip in drawn] == [("A/V block", FALSE_ALARM), ("A/V block", MISS)]
    draw_mistakes(mistakes, data, dataset, rows, tmp_path / "two")
    swapped = draw_mistakes(mistakes, data, dataset, rows[::-1], tmp_path / "other")
    for strip in drawn:
        file = (tmp_path / "one" / strip["file"]).read_bytes()
        assert file == (tmp_path / "two" / strip["file"]).read_bytes()
        assert file != (tmp_path / "other" / strip["file"]).read_bytes()
        assert 10_000 < len(file) < 80_000
        with Image.open(tmp_path / "one" / strip["file"]) as picture:
            assert picture.mode == "P"
            assert picture.width == pytest.approx(270 / 25.4 * 120, abs=12)
    assert len(swapped) == 2
