"""What a prediction says, in words.

Two rules: "normal ECG" is never worded as an abnormality, and nothing found is never worded as normal. The web page of
``einthoven export --to web`` says the same (``edge/web_page/words.js``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from einthoven.bundle import Bundle, Finding, Prediction
from einthoven.evaluation.wording import CALIBRATION_WORDS, in_words
from einthoven.labels import NORMAL_CLASSES

__all__ = [
    "Headline",
    "Verdict",
    "calibration_of",
    "headline_of",
    "is_normal",
    "rest_of",
    "share_of",
    "title_of",
    "verdict_of",
    "word_of",
]


class Headline(NamedTuple):
    """The answer in one or two sentences; ``tone`` is refused, abnormal, normal or nothing."""

    tone: str
    text: str
    more: str = ""


class Verdict(NamedTuple):
    """The verdict on one class: a word, a sentence, and a tone: abnormal, normal, open or quiet."""

    tone: str
    word: str
    more: str


def is_normal(finding: Finding) -> bool:
    """Whether a class is that of a normal ECG, a normal rhythm or a normal beat."""
    return finding.name in NORMAL_CLASSES


def title_of(finding: Finding) -> str:
    """A class in words, with a capital."""
    text = _lower(finding)
    return text[0].upper() + text[1:]


def _lower(finding: Finding) -> str:
    return finding.description or finding.name


def share_of(p: float) -> str:
    r"""Return a probability as a person reads it.

    >>> share_of(0.123), share_of(0.001), share_of(0.9999)
    ('12\xa0%', 'under 1\xa0%', 'over 99\xa0%')
    """
    if 0 < p < 0.01:
        return "under 1\u00a0%"
    if 0.99 < p < 1:
        return "over 99\u00a0%"
    return f"{100 * p:.0f}\u00a0%"


def headline_of(prediction: Prediction) -> Headline:
    """Say what a model found."""
    if prediction.refused:
        return Headline("refused", "Not judged.", "The recording is not fit for this model, for the reasons below.")
    present = [finding for finding in prediction.findings if finding.present]
    if present and present[0].threshold is None:  # of classes that exclude each other one is always present
        (found,) = present
        more = f"It was chosen with a probability of {share_of(found.probability)}. Other conditions are unknown to it."
        tone = "normal" if is_normal(found) else "abnormal"
        return Headline(tone, f"Likeliest of {len(prediction.findings)} classes: {_lower(found)}.", more)
    return _of_many(
        [_lower(finding) for finding in present if not is_normal(finding)],
        [_lower(finding) for finding in present if is_normal(finding)],
    )


def _of_many(abnormal: list[str], normal: list[str]) -> Headline:
    if abnormal:
        aside = f"Also reported, and no abnormality: {in_words(normal)}." if normal else ""
        return Headline("abnormal", f"Reported: {in_words(abnormal)}.", aside)
    if normal:
        more = "This does not exclude disease: the model knows the classes below and no others."
        return Headline("normal", f"Reported: {in_words(normal)}.", more)
    return Headline(
        "nothing",
        "Nothing is reported: no class reached its threshold.",
        "That is not the finding of a normal ECG: no abnormality was found, and none was excluded.",
    )


def verdict_of(finding: Finding, bundle: Bundle) -> Verdict:
    """Say what was decided about a class, and how sure that is."""
    error = bundle.decisions.conformal.error if bundle.decisions.conformal else None
    rate = "" if error is None else f"an error rate of {share_of(error)}"
    word = word_of(finding)
    if word == "Present":
        tone = "normal" if is_normal(finding) else "abnormal"
        reason = "The likeliest class" if finding.threshold is None else "Reaches its threshold"
        return Verdict(tone, word, reason + _PRESENT[finding.sure].format(rate=rate))
    tone, more = _OTHERS[word]
    return Verdict(tone, word, more.format(rate=rate))


def word_of(finding: Finding) -> str:
    """The decision on a class in a word or two, the same wherever it is shown."""
    if finding.overruled:
        return "Overruled"
    if finding.present is None:
        return "No threshold"
    if finding.present:
        return "Present"
    return {"absent": "Absent", None: "Not reported"}.get(finding.sure, "Undecided")


def rest_of(hidden: Sequence[Finding]) -> str:
    """What to call the classes that fold away where a model knows many."""
    n_open = sum(word_of(finding) == "Undecided" for finding in hidden)
    return f"{len(hidden)} more classes" + (f", {n_open} of them undecided" if n_open else "")


_OTHERS = {
    "Overruled": ("open", "Reaches its threshold, but contradicts a stronger finding."),
    "No threshold": ("open", "Too few cases to fit one; the probability alone is shown."),
    "Undecided": ("open", "Not reported, but at {rate} it cannot be called absent."),
    "Absent": ("quiet", "Not reported; absent at {rate}."),
    "Not reported": ("quiet", "That does not exclude it."),
}
_PRESENT = {
    "present": "; present at {rate}.",
    "undecided": ", but at {rate} absence stays possible.",
    "absent": ", though at {rate} it would be called absent.",
    None: ".",
}


def calibration_of(about: Any) -> str:
    """Say whether probabilities can be taken at their word."""
    found = about["calibration"]
    said = CALIBRATION_WORDS[found["method"]]
    if found["method"] == "none":
        return f"Not calibrated. {said}"
    return f"Calibrated on the validation records. {said} Elsewhere the probabilities need not hold."
