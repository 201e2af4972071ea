"""Numbers as a reader meets them in a report: one place decides digits, plurals and what stands for "unknown"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "ABSENT",
    "CALIBRATION_WORDS",
    "COLUMN_WORDS",
    "cohort",
    "counted",
    "decimal",
    "duration",
    "estimate",
    "fold_range",
    "gap_sentence",
    "in_words",
    "key_label",
    "linked",
    "loss_of",
    "loss_sentence",
    "percent",
    "sentence",
    "signed",
]

ABSENT = "–"
COLUMN_WORDS = {"sex": "Sex", "age": "Age", "source": "Source", "quality": "Signal quality"}
CALIBRATION_WORDS = {
    "none": "No calibration was fitted: the probabilities are the network’s own scores.",
    "softmax": "One temperature was fitted for all classes together (Guo et al. 2017).",
    "temperature": "The log-odds of each class were divided by a fitted temperature (Guo et al. 2017).",
    "platt": "The log-odds of each class were stretched and shifted by a fitted line (Platt 1999).",
    "beta": "The scores of each class were mapped by a fitted beta curve (Kull et al. 2017).",
    "isotonic": "The scores of each class were mapped by a fitted rising staircase (Zadrozny and Elkan 2002).",
}
_SMALL = 0.01  # a loss of macro AUROC that changes little


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a figure with fixed decimals.

    >>> decimal(0.93251), decimal(None)
    ('0.933', '–')
    """
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def estimate(figure: Mapping[str, float | None] | None) -> str:
    """Return a figure with its interval, to four decimals.

    >>> estimate({"value": 0.93731, "low": 0.9312, "high": 0.9429}), estimate(None)
    ('0.9373 [0.9312, 0.9429]', 'undefined')
    """
    if figure is None:
        return "undefined"
    if figure["low"] is None:
        return decimal(figure["value"], 4)
    return f"{decimal(figure['value'], 4)} [{decimal(figure['low'], 4)}, {decimal(figure['high'], 4)}]"


def percent(value: float | None) -> str:
    """Return a share as percent with one decimal, without the sign.

    >>> percent(0.83149)
    '83.1'
    """
    return ABSENT if value is None or not math.isfinite(value) else f"{100 * value:.1f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "record"), counted(2146, "record"), counted(5, "class")
    ('1 record', '2,146 records', '5 classes')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def cohort(part: Mapping[str, Any]) -> str:
    """Return how many records of how many patients; ``n_patients`` None is unknown."""
    patients = part.get("n_patients")
    of = " (patients unknown)" if patients is None else f" of {counted(patients, 'patient')}"
    return counted(part["n_records"], "record") + of


def fold_range(folds: Sequence[int] | None) -> str:
    """Return fold numbers in words.

    >>> fold_range([1, 2, 3]), fold_range([9]), fold_range([1, 4])
    ('folds 1 to 3', 'fold 9', 'folds 1 and 4')
    """
    if not folds:
        return ""
    if len(folds) > 2 and list(folds) == list(range(folds[0], folds[-1] + 1)):
        return f"folds {folds[0]} to {folds[-1]}"
    if len(folds) == 1:
        return f"fold {folds[0]}"
    return f"folds {', '.join(str(fold) for fold in folds[:-1])} and {folds[-1]}"


def duration(seconds: float) -> str:
    """Return seconds as they are said.

    >>> duration(12.34), duration(95), duration(4125.2)
    ('12.3 s', '1 min 35 s', '1 h 08 min')
    """
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def key_label(key: str) -> str:
    """Return a key as a label.

    >>> key_label("first_epoch_s")
    'First epoch'
    """
    words = re.sub(r"_(s|seconds)$", "", key).replace("_", " ")
    return words[:1].upper() + words[1:]


def sentence(text: str) -> str:
    """Return a text with a capital first letter and a full stop.

    >>> sentence("thresholds come with the bundle")
    'Thresholds come with the bundle.'
    """
    return text and text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def linked(text: str) -> Markup:
    """Escape a text and make its web addresses links: the only ones that lead out of the page."""
    from markupsafe import Markup, escape

    pieces = re.split(r"(https?://[^\s<>\"']*[^\s<>\"'.,;:)\]])", text)
    link = Markup('<a href="{0}" rel="noreferrer">{0}</a>')
    return Markup("").join(link.format(piece) if k % 2 else escape(piece) for k, piece in enumerate(pieces))


def signed(interval: Mapping[str, Any] | None) -> str:
    """Return a difference with its sign and interval.

    >>> signed({"value": -0.0312, "low": -0.04, "high": -0.02}), signed(None)
    ('−0.031 [−0.040, −0.020]', '–')
    """
    if interval is None or interval.get("value") is None:
        return ABSENT
    value, low, high = (_signed(interval.get(key)) for key in ("value", "low", "high"))
    return value if interval.get("low") is None else f"{value} [{low}, {high}]"


def _signed(value: float | None) -> str:
    if value is None:
        return ABSENT
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text.replace("-", "−")


def in_words(names: Sequence[str], joint: str = "and") -> str:
    """Return names as a sentence lists them.

    >>> in_words(["CD", "HYP", "MI"]), in_words(["CD"], "or")
    ('CD, HYP and MI', 'CD')
    """
    return f" {joint} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def gap_sentence(column: Mapping[str, Any]) -> str:
    """Say how far the groups of a column lie apart, and which of them beyond chance."""
    gap = column["gap"]
    if gap is None:
        return "Too few groups could be judged to compare them."
    apart = [row["group"] for row in column["groups"] if row.get("apart")]
    n = len(column["gap_classes"])
    over = "the one class" if n == 1 else f"the {n} classes"
    first = (
        f"Over {over} judged in every group, macro AUROC is highest in “{gap['highest']}” and lowest in "
        f"“{gap['lowest']}”: a gap of {decimal(gap['value'])}."
    )
    if all(row.get("apart") is None for row in column["groups"]):
        return first
    if not apart:
        return f"{first} No group differs from the other records by more than chance."
    quoted = in_words([f"“{name}”" for name in apart])
    return f"{first} Beyond chance, {quoted} {'differs' if len(apart) == 1 else 'differ'} from the other records."


def loss_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many conditions cost little, and which cost most."""
    small = sum(row["difference"]["value"] > -_SMALL for row in rows)
    ranked = sorted(rows, key=lambda row: float(row["difference"]["value"]))[:3]
    worst = [loss_of(row) for row in ranked if row["difference"]["value"] <= -_SMALL]
    first = f"Of {len(rows)} simulated recording faults, {small} cost less than {_SMALL:g} of macro AUROC."
    return f"{first} The costliest: {in_words(worst)}." if worst else first


def loss_of(row: Mapping[str, Any]) -> str:
    """Return a condition with what it costs."""
    return f"{row['condition']} ({signed({'value': row['difference']['value']})})"
