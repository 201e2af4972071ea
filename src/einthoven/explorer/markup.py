"""Pieces of a page as HTML: findings, facts and tables that a screen reader, a phone and a keyboard can use.

One idea: pure functions of values; every text is escaped here, because file and lead names come from strangers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from einthoven.bundle import Bundle, Finding, Prediction
from einthoven.evaluation.finding_words import (
    headline_of,
    is_normal,
    rest_of,
    share_of,
    title_of,
    verdict_of,
    word_of,
)
from einthoven.record import Record
from einthoven.signals import Flag

__all__ = ["bars_table", "facts", "findings", "flags", "folded", "headline", "notes", "record_facts", "table"]

_MANY = 12  # classes; of more, those that are quiet fold away


def headline(prediction: Prediction) -> str:
    """The answer in one or two sentences."""
    said = headline_of(prediction)
    more = f'<p class="ein-more">{escape(said.more)}</p>' if said.more else ""
    return f'<div role="status"><p class="ein-headline ein-{said.tone}">{escape(said.text)}</p>{more}</div>'


def findings(prediction: Prediction, bundle: Bundle) -> str:
    """Every class with its probability as a bar, the threshold as a mark, and the verdict in words."""
    abnormal = sorted((f for f in prediction.findings if not is_normal(f)), key=lambda f: -f.probability)
    normal = [f for f in prediction.findings if is_normal(f)]
    parts = []
    for title, some in (("Abnormalities that the model knows", abnormal), ("Normal findings that it knows", normal)):
        if some:
            parts.append(f'<h3 class="ein-small">{title}</h3>{_listed(some, bundle)}')
    return "".join(parts)


def _listed(some: Sequence[Finding], bundle: Bundle) -> str:
    if len(some) <= _MANY:
        return _list(some, bundle)
    first = [finding for finding in some if word_of(finding) == "Present"] or some[:3]
    rest = [finding for finding in some if finding not in first]
    return _list(first, bundle) + _fold(rest_of(rest), _list(rest, bundle))


def _list(some: Sequence[Finding], bundle: Bundle) -> str:
    return f'<ul class="ein-findings">{"".join(_finding(finding, bundle) for finding in some)}</ul>'


def _fold(summary: str, html: str) -> str:
    return f'<details class="ein-fold"><summary>{summary}</summary>{html}</details>'


def _finding(finding: Finding, bundle: Bundle) -> str:
    verdict, share = verdict_of(finding, bundle), share_of(finding.probability)
    mark, limit = "", ""
    if finding.threshold is not None:
        mark = f'<span class="ein-mark" style="left:{100 * finding.threshold:.1f}%"></span>'
        limit = f", reported from {share_of(finding.threshold)}"
    return (
        f'<li class="ein-finding ein-{verdict.tone}"><span class="ein-name">{escape(title_of(finding))} '
        f'<span class="ein-code">{escape(finding.name)}</span></span>'
        f'<span class="ein-verdict">{verdict.word}</span>'
        f'<span class="ein-bar" role="img" aria-label="probability {share}{limit}">'
        f'<span class="ein-fill" style="width:{100 * finding.probability:.1f}%"></span>{mark}</span>'
        f'<span class="ein-share">{share}</span><span class="ein-why">{escape(verdict.more)}</span></li>'
    )


def flags(found: Iterable[Flag]) -> str:
    """What is doubtful about a record, and what makes a model refuse it."""
    boxes = []
    for refuse, title in ((True, "Not fit to be judged"), (False, "To be careful about")):
        some = [escape(flag.text) for flag in found if flag.refuse == refuse]
        if some:
            items = "".join(f"<li>{text}</li>" for text in some)
            tone, role = ("bad", ' role="alert"') if refuse else ("open", "")
            boxes.append(f'<div class="ein-box ein-{tone}"{role}><strong>{title}</strong><ul>{items}</ul></div>')
    return "".join(boxes)


def record_facts(record: Record, file: str) -> str:
    """What was understood of a recording."""
    unit = "mV" if record.unit == "mV" else "none (normalised)"
    person = [f"{record.age:g} years" if record.age is not None else "", record.sex or ""]
    rows = {
        "File": file,
        "Leads": f"{len(record.leads)}: {', '.join(record.leads)}",
        "Rate": f"{record.fs:g} Hz",
        "Unit": unit,
        "Length": f"{record.duration_s:.1f} s, {record.n_samples:,} samples",
        "Person": ", ".join(filter(None, person)) or "not told",
    }
    return facts(rows)


def facts(rows: Mapping[str, str]) -> str:
    """Names and values."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<dl class="ein-facts">{cells}</dl>'


def notes(sentences: Sequence[str], title: str = "Notes") -> str:
    """Sentences as a list; nothing where there are none."""
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in sentences)
    return f'<h3 class="ein-small">{escape(title)}</h3><ul class="ein-notes">{items}</ul>'


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, words: int = 1, marked: int | None = None
) -> str:
    """A table that scrolls sideways where it is too wide.

    Args:
        columns: headings.
        rows: cells as text.
        caption: what the table is, read out and shown small.
        words: how many columns, from the left, are words; the others are figures, flush right.
        marked: a row to stand out.
    """
    head = "".join(f'<th scope="col"{_side(k, words)}>{escape(name)}</th>' for k, name in enumerate(columns))
    body = "".join(_row(row, words, k == marked) for k, row in enumerate(rows))
    return (
        f'<div class="ein-scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="ein-table">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(
    columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, words: int = 1, first: int = _MANY
) -> str:
    """A table of classes; where there are many, those after the first so many fold away.

    Args:
        columns: as of ``table``, like ``rows``, ``caption`` and ``words``.
        rows: the most telling ones first.
        caption: see there.
        words: see there.
        first: how many stay in sight where there are many.
    """
    if len(rows) <= max(_MANY, first):
        return table(columns, rows, caption, words=words)
    rest = table(columns, rows[first:], f"{caption}: the rest", words=words)
    return table(columns, rows[:first], caption, words=words) + _fold(f"{len(rows) - first} more classes", rest)


def _row(row: Sequence[str], words: int, marked: bool) -> str:
    cells = "".join(
        f'<th scope="row">{escape(cell)}</th>' if k == 0 else f"<td{_side(k, words)}>{escape(cell)}</td>"
        for k, cell in enumerate(row)
    )
    return f"<tr{' class=ein-marked' if marked else ''}>{cells}</tr>"


def _side(k: int, words: int) -> str:
    return "" if k < words else ' class="ein-number"'


def bars_table(values: Mapping[str, float], form: str, caption: str, *, counts: bool = False) -> str:
    """Names with a number and a bar each; where some are below zero, bars begin in the middle.

    Args:
        values: by name.
        form: of the numbers.
        caption: what they are.
        counts: whether they are counts, which speak for and against nothing.
    """
    full = max((abs(value) for value in values.values()), default=0.0) or 1.0
    signed = any(value < 0 for value in values.values())
    rows = "".join(_bar_row(name, value, full, form, signed, counts) for name, value in values.items())
    return f'<table class="ein-table ein-bars"><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>'


def _bar_row(name: str, value: float, full: float, form: str, signed: bool, counts: bool) -> str:
    share = min(abs(value) / full, 1.0) * (50 if signed else 100)
    left = 0.0 if not signed else 50.0 if value >= 0 else 50.0 - share
    tone = "count" if counts else "against" if value < 0 else "for"
    number = format(value, form).replace("-", "−")
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="ein-number">{number}</td><td class="ein-cell">'
        f'<span class="ein-line"><span class="ein-{tone}" style="left:{left:.1f}%;width:{share:.1f}%"></span></span>'
        "</td></tr>"
    )
