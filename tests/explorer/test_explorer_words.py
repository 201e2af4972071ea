"""What the Explorer says: a normal ECG is no abnormality, nothing found is not normal, and strangers' text is escaped."""

import json
import re

import numpy as np
import pytest

from einthoven.bundle import Finding, Prediction, load_bundle
from einthoven.corpora.synthetic import example_record
from einthoven.evaluation.finding_words import calibration_of, headline_of, is_normal, verdict_of
from einthoven.explorer import markup
from einthoven.explorer.plain_words import HELP
from einthoven.explorer.show_judgement import class_table
from einthoven.explorer.show_second import agreement, side_by_side
from einthoven.record import Record
from einthoven.signals import Flag
from einthoven.workflow.record_report import NOT_A_DEVICE, picture, report_json, report_pdf


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("ptbxl-superdiagnostic", threads=1)


def finding(name, probability=0.2, *, present=False, threshold=0.4, **more):
    words = {"NORM": "normal ECG", "MI": "myocardial infarction", "CD": "conduction disturbance"}
    return Finding(name, words.get(name, ""), probability, threshold, present, **more)


def prediction(*findings, flags=()):
    return Prediction("x", findings, tuple(flags))


def test_a_normal_ecg_is_reported_without_the_tone_of_an_abnormality(bundle):
    found = prediction(finding("MI"), finding("NORM", 0.9, present=True, sure="present"))
    said = headline_of(found)
    assert said.tone == "normal"
    assert said.text == "Reported: normal ECG."
    assert "does not exclude disease" in said.more
    assert verdict_of(found.findings[1], bundle).tone == "normal"
    html = markup.findings(found, bundle)
    before, after = html.split("Normal findings that it knows")
    assert "Normal ECG" in after
    assert "Normal ECG" not in before
    assert "ein-abnormal" not in html


def test_beside_an_abnormality_a_normal_class_is_called_no_abnormality():
    said = headline_of(prediction(finding("CD", 0.8, present=True), finding("NORM", 0.5, present=True)))
    assert said.text == "Reported: conduction disturbance."
    assert "no abnormality: normal ECG" in said.more


def test_nothing_found_is_not_called_normal():
    said = headline_of(prediction(finding("MI"), finding("NORM")))
    assert said.tone == "nothing"
    assert "not the finding of a normal ECG" in said.more
    assert "normal" not in said.text.lower()
    rhythm = headline_of(prediction(finding("MI"), finding("SR", 0.9, present=True)))
    assert rhythm.tone == "normal"
    assert "does not exclude disease" in rhythm.more


def test_a_model_of_classes_that_exclude_each_other_names_the_likeliest():
    some = prediction(finding("MI", 0.7, present=True, threshold=None), finding("NORM", 0.3, threshold=None))
    assert headline_of(some).text == "Likeliest of 2 classes: myocardial infarction."
    assert headline_of(some).tone == "abnormal"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"present": True, "sure": "undecided"}, "Present"),
        ({"present": False, "sure": "undecided"}, "Undecided"),
        ({"present": False, "sure": "absent"}, "Absent"),
        ({"present": False, "overruled": True}, "Overruled"),
        ({"present": None, "threshold": None}, "No threshold"),
        ({"present": False, "sure": None}, "Not reported"),
    ],
)
def test_every_decision_has_its_word_and_absence_is_never_promised_without_a_rate(bundle, more, word):
    found = verdict_of(finding("MI", 0.3, **more), bundle)
    assert found.word == word
    if word == "Not reported":
        assert "does not exclude" in found.more
    if "rate" in found.more:
        assert "error rate of 10" in found.more


def test_a_refused_record_says_why_and_shows_no_finding():
    refused = prediction(flags=[Flag("flat", "every lead is <flat>", True)])
    assert headline_of(refused).tone == "refused"
    assert "every lead is &lt;flat&gt;" in markup.flags(refused.flags)


def test_names_of_files_leads_and_classes_are_escaped(bundle):
    evil = "<script>alert(1)</script>"
    record = Record(np.zeros((1, 500), np.float32), 100.0, (evil,), evil)
    for html in (
        markup.record_facts(record, evil),
        markup.findings(prediction(finding(evil)), bundle),
        markup.table((evil,), [(evil,)], evil),
        markup.bars_table({evil: 1.0}, ".1f", evil),
        markup.notes([evil]),
        markup.headline(prediction(finding(evil, present=True))),
    ):
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_of_many_classes_the_quiet_ones_fold_away_and_none_is_lost(bundle):
    many = [finding(f"C{k:02d}", k / 100, present=k > 27) for k in range(30)]
    html = markup.findings(prediction(*many), bundle)
    assert "28 more classes" in html
    assert all(f">C{k:02d}<" in html for k in range(30))


def test_bars_end_at_the_probability_and_the_mark_stands_at_the_threshold(bundle):
    html = markup.findings(prediction(finding("MI", 0.25, threshold=0.41)), bundle)
    assert "width:25.0%" in html
    assert "left:41.0%" in html
    assert 'aria-label="probability 25\u00a0%, reported from 41\u00a0%"' in html


def test_calibration_is_told_with_its_limits(bundle):
    assert calibration_of(bundle.about).startswith("Calibrated on the validation records.")
    assert calibration_of({"calibration": {"method": "none"}}).startswith("Not calibrated.")


def test_two_models_are_compared_on_the_classes_that_both_know():
    one = prediction(finding("MI", 0.9, present=True), finding("CD"), finding("NORM"))
    other = prediction(finding("MI"), finding("CD", 0.8, present=True), finding("AFIB", 0.9, present=True))
    said = agreement(one, other, "a", "b")
    assert (
        said
        == "Of 2 classes that both know: only a reports MI; only b reports CD. 2 classes are known to one of them only."
    )
    quiet = agreement(prediction(finding("MI")), prediction(finding("MI")), "a", "b")
    assert "not the finding of a normal ECG" in quiet
    assert "refuses" in agreement(one, prediction(flags=[Flag("flat", "flat", True)]), "a", "b")


def test_one_class_in_common_is_told_in_the_singular():
    said = agreement(prediction(finding("MI")), prediction(finding("MI"), finding("CD")), "a", "b")
    assert said == (
        "Of 1 class that both know: neither reports it, which is not the finding of a normal ECG. "
        "1 class is known to one of them only."
    )


def test_of_many_classes_side_by_side_the_reported_come_first_and_the_rest_folds_away(bundle):
    one = prediction(*(finding(f"C{k}", 0.001 * k) for k in range(40)), finding("MI", 0.9, present=True))
    other = prediction(finding("C7", 0.2, present=True), finding("C3", 0.004))
    rows, first = side_by_side(one, other, bundle, bundle)
    assert [row[0] for row in rows[:4]] == ["MI", "C7", "C3", "C39"]  # reported, known to both, the likeliest
    assert first == 2
    assert rows[1][2:] == ("under 1\u00a0%", "40\u00a0%", "Not reported", "20\u00a0%", "40\u00a0%", "Present")
    html = markup.folded([""] * 8, rows, "side by side", words=2, first=first)
    seen, hidden = html.split("<details")
    assert (seen.count("<tr"), hidden.count("<tr")) == (3, 40)
    assert "39 more classes" in hidden
    quiet, three = side_by_side(prediction(finding("MI", 0.1)), prediction(finding("MI", 0.2)), bundle, bundle)
    assert three == 3
    assert "<details" not in markup.folded([""] * 8, quiet, "few", words=2, first=three)


def test_what_folds_away_tells_how_much_of_it_is_undecided(bundle):
    some = [finding(f"C{k}", 0.1, sure="undecided" if k < 5 else "absent") for k in range(20)]
    html = markup.findings(prediction(finding("MI", 0.9, present=True), *some), bundle)
    assert "20 more classes, 5 of them undecided" in html


def test_every_section_has_a_short_help():
    assert all(question.endswith("?") and 60 < len(answer) < 700 for question, answer in HELP.values())


def test_the_report_is_a_pdf_of_two_pages_and_json_with_the_same_findings(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    record = example_record("CLBBB", seed=1)
    found = bundle.predict(record)
    pdf = report_pdf(record, found, bundle)
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 2
    told = json.loads(report_json(record, found, bundle, "a.csv"))
    assert told["prediction"] == found.to_dict()
    assert told["note"] == NOT_A_DEVICE
    assert told["file"] == "a.csv"
    assert told["headline"]["text"] == "Reported: conduction disturbance."
    assert picture(record, "png").startswith(b"\x89PNG")
    assert b"<svg" in picture(record, "svg")
    assert not any(tmp_path.iterdir()), "a report is made in memory"


def test_normal_classes_are_known_in_every_system():
    assert all(is_normal(finding(name)) for name in ("NORM", "SR", "426783006", "N"))
    assert not is_normal(finding("MI"))


def test_a_model_of_classes_that_exclude_each_other_has_no_column_of_thresholds():
    row = {
        "class": "A",
        "positives": 3,
        "auroc": None,
        "auprc": None,
        "sensitivity": 0.5,
        "specificity": 0.5,
        "f1": 0.5,
    }
    many = [row | {"class": f"C{k}", "positives": k} for k in range(30)]
    seen, hidden = class_table({"per_class": many}).split("<details")
    assert seen.index("C29") < seen.index("C18")  # the most frequent first, twelve of them
    assert "C17" not in seen
    assert "18 more classes" in hidden
    assert "Threshold" not in class_table({"per_class": [row | {"threshold": None}]})
    assert "Threshold" in class_table({"per_class": [row | {"threshold": 0.3}, row | {"threshold": None}]})
