"""Do the words of a check say what its figures say?"""

import numpy as np
import pytest

from einthoven.explain.population import ClassSummary
from einthoven.explain.verdicts import MEANINGS, record_verdicts, split_verdicts
from einthoven.explain.wording import QRS_CLASSES, qrs_check, rest_sentence

NONE = {"n": 0, "mean": None, "low": None, "high": None}


def row(mean, low=None, high=None, n=20):
    return {"n": n, "mean": mean, "low": low, "high": high}


def summary(name, ratio):
    waves = {
        wave: {**row(ratio, ratio - 0.2, ratio + 0.2), "share_of_positive": 0.3, "share_of_time": 0.3}
        for wave in ("rest", "P", "QRS", "ST-T")
    }
    flat = np.ones(2)
    return ClassSummary(name, 20, ("I", "II"), flat, flat, flat, None, None, 0, 100.0, waves, {})


def verdict_of(checks, which, **more):
    given = {"completeness": {"n": 0}, "faithfulness": {}, "randomisation": {}, **checks}
    found = split_verdicts(given, more.get("summaries", {}), more.get("stability", {}), more.get("method", "ig"))
    return [each for each in found if each.check == which]


@pytest.mark.parametrize(
    ("figures", "word", "words"),
    [
        (
            row(2.6, 2.4, 2.8),
            "held",
            "deletion against random order gains +2.60 log-odds (95 % interval +2.40 to +2.80), 20 findings",
        ),
        (row(0.1, -0.2, 0.4), "not held", "the interval holds 0"),
        (row(-0.5, -0.8, -0.2), "not held", "it is worse"),
        (row(2.6, n=1), "not known", "1 finding; too few for an interval"),
        (NONE, "not known", "no finding was checked"),
    ],
)
def test_faithfulness_holds_only_where_the_interval_is_above_chance(figures, word, words):
    (found,) = verdict_of({"faithfulness": {"deletion over random": figures}}, "faithfulness")
    assert found.word == word
    assert words in found.sentence


@pytest.mark.parametrize(
    ("of", "figures", "word", "words"),
    [
        ("all", row(-0.02, -0.1, 0.06), "held", "with all weights shuffled, the rank correlation is -0.02"),
        ("head", row(0.9, 0.8, 0.95), "not held", "with the last layer shuffled"),
        ("absolute all", row(0.7, 0.6, 0.8), "not held", "read signs, not sizes alone"),
        ("all", row(0.0, n=4), "not known", "too few"),
    ],
)
def test_a_picture_that_survives_shuffled_weights_is_not_believed(of, figures, word, words):
    (found,) = verdict_of({"randomisation": {of: figures}}, "randomisation")
    assert found.word == word
    assert words in found.sentence


def test_a_sum_is_judged_only_where_it_is_promised():
    sums = {"completeness": {"n": 3, "median_gap": 0.01, "largest_gap": 0.04}}
    (found,) = verdict_of(sums, "completeness")
    assert found.word == "held"
    assert "0.010 log-odds in the median and 0.040 at most" in found.sentence
    (found,) = verdict_of(sums, "completeness", method="gradcam")
    assert found.word == "not known"


def test_a_lead_that_matters_and_moves_is_not_stable_and_one_that_does_not_matter_may_move():
    steady = {"lead": "V1", "mean": 0.9, "sem": 0.01, "cv": 0.05}
    moving = {"lead": "III", "mean": 0.1, "sem": 0.05, "cv": 2.0}
    (found,) = verdict_of({}, "stability", stability={"CD": [steady, moving]})
    assert (found.word, "V1" in found.sentence) == ("held", True)
    (found,) = verdict_of({}, "stability", stability={"CD": [{**steady, "cv": 0.6}, moving]})
    assert found.word == "not held"


def test_conduction_in_the_qrs_complex_is_judged_and_other_classes_that_lie_there_are_named():
    found = verdict_of({}, "waves", summaries={"CD": summary("CD", 3.6), "STTC": summary("STTC", 5.0)})
    assert [(each.of, each.word) for each in found] == [("CD", "held")]
    assert "STTC 5.0 in the same split" in found[0].sentence
    assert "not that it reads conduction" in found[0].sentence
    assert "95 % interval 3.4 to 3.8" in found[0].sentence
    (found,) = verdict_of({}, "waves", summaries={"CD": summary("CD", 1.2)})
    assert found.word == "not held"
    assert "only 1.2 times" in found.sentence


def test_the_qrs_complex_is_asked_only_of_disturbances_of_conduction():
    assert qrs_check("STTC", 3.0) is None
    assert qrs_check("CLBBB", 1.5)["met"] is True
    assert qrs_check("CD", 1.49)["met"] is False
    assert qrs_check("CD", None) == {
        "ratio": None, "least": 1.5, "met": None,
        "sentence": "whether what speaks for CD lies in the QRS complex is not known, for no waves are",
    }  # fmt: skip
    assert "NORM" not in QRS_CLASSES


def test_a_rest_above_a_half_is_a_sentence():
    assert rest_sentence(0.5) == ""
    assert rest_sentence(float("nan")) == ""
    assert rest_sentence(0.62).startswith("62 % of what speaks for it, more than a half") or "62%" in rest_sentence(
        0.62
    )


def test_every_check_of_a_record_has_a_meaning_and_a_verdict(subject):
    from einthoven.explain.explaining import explain_subject

    found = explain_subject(subject, method="occlusion-waves", classes=["CD", "MI"])
    good = dict.fromkeys(
        ("deletion over random", "insertion over random", "deletion over voltage", "insertion over voltage"), 1.0
    )
    verdicts = record_verdicts(found, {"CD": good, "MI": {**good, "insertion over voltage": -0.1}})
    assert {each.check for each in verdicts} <= set(MEANINGS)
    words = {each.of: each.word for each in verdicts if each.check == "faithfulness"}
    assert words == {"CD, random": "held", "CD, voltage": "held", "MI, random": "held", "MI, voltage": "not held"}
    assert [each.of for each in verdicts if each.check == "waves"] == ["CD"]
