"""Numbers in words, at their edges."""

import pytest

from einthoven.evaluation.wording import (
    cohort,
    counted,
    decimal,
    duration,
    fold_range,
    key_label,
    linked,
    percent,
    sentence,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0312, "0.0312 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.7, "1 h 00 min"), (90000, "25 h 00 min")],
)
def test_durations_never_say_sixty(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("folds", "words"),
    [(None, ""), ([], ""), ([9], "fold 9"), ([9, 10], "folds 9 and 10"), ([1, 2, 4], "folds 1, 2 and 4")],
)
def test_folds_are_joined_as_in_a_sentence(folds, words):
    assert fold_range(folds) == words


def test_unknown_figures_are_a_dash():
    assert [decimal(None), decimal(float("nan")), percent(None), percent(float("nan"))] == ["–"] * 4
    assert [decimal(0.9995), decimal(0.41, 2), percent(1.0)] == ["1.000", "0.41", "100.0"]


def test_counts_know_the_singular_and_unknown_patients():
    assert counted(1, "patient") == "1 patient"
    assert cohort({"n_records": 2146, "n_patients": 1886}) == "2,146 records of 1,886 patients"
    assert cohort({"n_records": 1, "n_patients": None}) == "1 record (patients unknown)"


def test_keys_lose_their_unit_and_underscores():
    assert [key_label("training_s"), key_label("first_epoch_seconds"), key_label("bias")] == [
        "Training",
        "First epoch",
        "Bias",
    ]


def test_only_web_addresses_become_links_and_the_rest_is_escaped():
    assert linked("<b> see https://example.org/a?b=1&c=2.") == (
        "&lt;b&gt; see "
        '<a href="https://example.org/a?b=1&amp;c=2" rel="noreferrer">https://example.org/a?b=1&amp;c=2</a>.'
    )
    assert linked("javascript:alert(1)") == "javascript:alert(1)"


@pytest.mark.parametrize(
    ("text", "said"), [("a b", "A b."), ("A b.", "A b."), ("", ""), ("eGFR is meant", "EGFR is meant.")]
)
def test_a_text_becomes_one_sentence(text, said):
    assert sentence(text) == said
