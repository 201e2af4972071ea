"""Rows of the tables of a dataset's page: figures in words, and how wide their bars are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from einthoven.describe.label_statistics import AGE_EDGES, LIKELIHOODS, ClassStatistics, LabelStatistics
from einthoven.plots.interactive import viewer_fragment
from einthoven.plots.sheet_text import statement_words
from einthoven.record import Record

__all__ = [
    "bars",
    "by_frequency",
    "category",
    "class_row",
    "counted",
    "group_table",
    "likelihoods",
    "person_row",
    "share",
]

_MOST_SOURCES = 12
_MOST_CODES = 12
_SEXES = ("female", "male", "unknown")


def by_frequency(labels: LabelStatistics) -> list[ClassStatistics]:
    """Classes, those with most records first."""
    return sorted(labels.classes, key=lambda one: -one.records)


def share(n: float, of: float) -> str:
    """A part in percent, with two significant digits where it is small; a dash where there is no whole."""
    if not of:
        return "–"
    percent = 100 * n / of
    return "0 %" if not n else f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"


def counted(n: int | None) -> str:
    """A number, or that it is unknown."""
    return "unknown" if n is None else f"{n:,}"


def bars(counts: Mapping[str, int], of: int) -> list[dict[str, Any]]:
    """Rows of a table of counts; the largest bar is full."""
    most = max(counts.values(), default=0) or 1
    return [
        {"name": name, "n": f"{n:,}", "share": share(n, of), "width": round(100 * n / most, 2)}
        for name, n in counts.items()
    ]


def _words(one: ClassStatistics) -> str:
    return "" if one.description == one.name else one.description


def class_row(one: ClassStatistics, labels: LabelStatistics) -> dict[str, Any]:
    """The row of a class in the table of labels; its bar is in two parts, alone and with others."""
    most = max((each.records for each in labels.classes), default=0) or 1
    return {
        "name": one.name,
        "description": _words(one),
        "records": one.records,
        "share": share(one.records, labels.n_records),
        "alone": one.alone,
        "alone_share": share(one.alone, one.records),
        "width": round(100 * one.alone / most, 2),
        "rest": round(100 * (one.records - one.alone) / most, 2),
        "patients": one.patients,
        "unknown": one.unknown,
    }


def person_row(one: ClassStatistics) -> dict[str, Any]:
    """Age and sex of a class."""
    quantiles = one.age["quantiles"]
    n = sum(one.sex.values())
    known = n > one.sex["unknown"]
    return {
        "name": one.name,
        "records": one.records,
        "age": [round(2 * q, 1) for q in quantiles] if quantiles else None,  # 2 units of the drawing per year
        "median": f"{quantiles[2]:.0f}" if quantiles else "unknown",
        "middle": f"{quantiles[1]:.0f} to {quantiles[3]:.0f}" if quantiles else "",
        "ages_unknown": one.age["unknown"],
        "sex": [
            {
                "name": sex,
                "n": one.sex[sex],
                "share": share(one.sex[sex], n) if known else "unknown",
                "width": 100 * one.sex[sex] / max(n, 1),
            }
            for sex in _SEXES
        ],
    }


def group_table(labels: LabelStatistics, kind: str) -> dict[str, Any]:
    """Records and prevalence by source or by fold."""
    totals: Mapping[str, int] = getattr(labels.everyone, kind)
    shown = list(totals)[:_MOST_SOURCES] if kind == "sources" else list(totals)
    classes = by_frequency(labels)[:_MOST_SOURCES]
    rows = []
    for name in shown:
        cells = [(share(getattr(one, kind).get(name, 0), totals[name]), one.name) for one in classes]
        rows.append({"name": name, "n": totals[name], "share": share(totals[name], labels.n_records), "cells": cells})
    return {
        "kind": kind,
        "rows": rows,
        "classes": [one.name for one in classes],
        "left_out": len(totals) - len(shown),
        "fewer_classes": len(labels.classes) - len(classes),
        "known": set(totals) not in ({"none"}, {"unknown"}, {""}),
    }


def likelihoods(labels: LabelStatistics) -> dict[str, Any] | None:
    """Statements of each class by likelihood; None where no statement has one."""
    stated = sum(n for key, n in labels.everyone.likelihoods.items() if key != LIKELIHOODS[0])
    if not stated:
        return None
    rows = []
    for one in by_frequency(labels):
        n = sum(one.likelihoods.values())
        parts = [
            {"name": key, "n": k, "share": share(k, n), "width": 100 * k / max(n, 1)}
            for key, k in one.likelihoods.items()
        ]
        rows.append({"name": one.name, "n": n, "parts": parts})
    return {"names": LIKELIHOODS, "rows": rows}


def category(one: ClassStatistics, labels: LabelStatistics, records: Sequence[Record]) -> dict[str, Any]:
    """Everything that is shown of one class, with its ECGs."""
    k = next(k for k, each in enumerate(labels.classes) if each is one)
    others = {labels.classes[j].name: int(n) for j, n in enumerate(labels.together[k]) if j != k and n}
    often = dict(sorted(others.items(), key=lambda item: -item[1])[:_MOST_CODES])
    figures = [Markup(viewer_fragment(record, title=f"{one.name}, record {record.record_id}")) for record in records]
    return {
        "name": one.name,
        "description": _words(one),
        "summary": _summary(one, labels),
        "ages": _ages(one, labels.everyone),
        "often": bars(often, one.records),
        "codes": bars(dict(list(one.codes.items())[:_MOST_CODES]), one.records),
        "more_codes": max(0, len(one.codes) - _MOST_CODES),
        "examples": [
            {"words": _record_words(record), "figure": figure} for record, figure in zip(records, figures, strict=True)
        ],
    }


def _summary(one: ClassStatistics, labels: LabelStatistics) -> str:
    n = one.records
    words = [f"{n:,} records ({share(n, labels.n_records)})", f"of {counted(one.patients)} patients"]
    if one.patients is None:
        words[1] = "patients unknown"
    words.append(f"{share(one.alone, n)} have no other class")
    known = one.sex["female"] + one.sex["male"]
    words.append(f"{share(one.sex['female'], known)} women" if known else "sex unknown")
    age = one.age["quantiles"]
    words.append(f"median age {age[2]:.0f}" if age else "age unknown")
    return ", ".join(words)


def _ages(one: ClassStatistics, everyone: ClassStatistics) -> list[dict[str, Any]]:
    """Share of each decade in the class and in all records; empty where no age is known."""
    own, every = one.age, everyone.age
    if not own["known"]:
        return []
    shares = [
        (100 * a / own["known"], 100 * b / every["known"]) for a, b in zip(own["groups"], every["groups"], strict=True)
    ]
    most = max(max(pair) for pair in shares)
    names = [*(f"{a} to {a + 9}" for a in AGE_EDGES[:-1]), f"{AGE_EDGES[-1]} and above"]
    return [
        {
            "name": name,
            "n": n,
            "share": f"{a:.1f} %",
            "all": f"{b:.1f} %",
            "width": round(100 * a / most, 2),
            "mark": round(100 * b / most, 2),
        }
        for name, n, (a, b) in zip(names, own["groups"], shares, strict=True)
    ]


def _record_words(record: Record) -> str:
    age = None if record.age is None else f"{record.age:g} years"
    words = [f"Record {record.record_id}", age, record.sex, record.source, ", ".join(statement_words(record))]
    return "; ".join(filter(None, words))
