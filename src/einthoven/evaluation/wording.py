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
    "cohort",
    "counted",
    "decimal",
    "duration",
    "estimate",
    "fold_range",
    "key_label",
    "linked",
    "percent",
    "sentence",
]

ABSENT = "–"


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
