"""One judged run: its figures with intervals, class by class, confusion, subgroups, and its worst mistakes as ECGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from einthoven.errors import EinthovenError
from einthoven.evaluation.wording import (
    ABSENT,
    COLUMN_WORDS,
    cohort,
    decimal,
    estimate,
    gap_sentence,
    key_label,
)
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import facts, folded, notes, table
from einthoven.files import read_json

__all__ = ["class_table", "confusion_rows", "show_judgement"]

Json = Mapping[str, Any]
_AVERAGES = {"auroc": "Macro AUROC", "auprc": "Macro AUPRC", "fmax": "Fmax"}
# A model of classes that exclude each other names the likeliest and has no thresholds.
_DECIDED = (("threshold", "Threshold"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("f1", "F1"))
_STRIPS = 6  # shown at once


def show_judgement(run: Path) -> None:
    """Draw what ``metrics.json`` of a run says about one of its splits.

    Raises:
        EinthovenError: it cannot be read.
    """
    judged = read_json(run / "metrics.json", EinthovenError, "a judged run")
    order = sorted(judged, key=lambda split: (split != "test", split != "validation", split))
    split = order[0]
    if len(order) > 1:
        split = st.segmented_control("Split", order, default=order[0], required=True, key=f"split {run}")
    judgement = judged[split]
    if "macro" not in judgement:
        note(f"The {split} split was not judged: {judgement.get('reason', 'no reason is given')}.", "open")
        return
    put(facts(_summary(judgement)))
    put(notes(judgement["caution"], "To be careful about"))
    section("Class by class", level=3)
    put(class_table(judgement))
    section("Confusion", level=3)
    put(_confusion(judgement))
    _subgroups(judgement)
    _mistakes(run, judgement)


def _summary(judgement: Json) -> dict[str, str]:
    interval = judgement["interval"]
    rows = {"Records": f"{cohort(judgement)}, {judgement['split']} split"}
    rows |= {words: estimate(judgement["macro"].get(key)) for key, words in _AVERAGES.items()}
    if interval["n_resamples"]:
        rows["Intervals"] = f"{interval['level']:.0%}, {interval['n_resamples']:,} resamples of {interval['unit']}s"
    else:
        rows["Intervals"] = "none were computed for this run"
    if found := judgement.get("calibration"):
        rows["Calibration error"] = decimal(found["after"]["ece"])
    return rows


def class_table(judgement: Json) -> str:
    """Figures of each class; thresholds only where the model has some.

    Args:
        judgement: of one split.
    """
    figures = _DECIDED if any(row.get("threshold") is not None for row in judgement["per_class"]) else _DECIDED[1:]
    rows = [
        (
            row["class"],
            f"{row['positives']:,}",
            estimate(row["auroc"]),
            estimate(row["auprc"]),
            *(decimal(row.get(key)) for key, _ in figures),
        )
        for row in _frequent_first(judgement)
    ]
    columns = ("Class", "Positives", "AUROC", "AUPRC", *(words for _, words in figures))
    return folded(
        columns, rows, "Figures with intervals in brackets, where there are some; the most frequent class first"
    )


def _frequent_first(judgement: Json) -> list[Json]:
    return sorted(judgement["per_class"], key=lambda row: -row["positives"])


def _confusion(judgement: Json) -> str:
    columns, rows = confusion_rows(judgement)
    if judgement.get("confusion"):
        return table(columns, rows, "Records by truth and report; rows are the truth, columns what was said")
    return folded(columns, rows, "Records by truth and report; each class by itself, the most frequent first")


def confusion_rows(judgement: Json) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Headings and rows of a confusion table.

    Of classes that exclude each other it is one matrix; of the others each class has four counts of its own, which
    follow from its positives, negatives, sensitivity and specificity.

    Args:
        judgement: of one split.
    """
    names = judgement["classes"]
    if matrix := judgement.get("confusion"):
        counts = matrix["counts"] if isinstance(matrix, Mapping) else matrix
        return ("Truth", *names), [
            (name, *(f"{int(n):,}" for n in row)) for name, row in zip(names, counts, strict=True)
        ]
    return ("Class", "Found", "Missed", "False alarm", "Rightly not reported"), [
        (row["class"], *_counts(row)) for row in _frequent_first(judgement)
    ]


def _counts(row: Json) -> tuple[str, str, str, str]:
    if row.get("sensitivity") is None or row.get("specificity") is None:
        return (ABSENT,) * 4
    found = round(row["sensitivity"] * row["positives"])
    quiet = round(row["specificity"] * row["negatives"])
    counts = (found, row["positives"] - found, row["negatives"] - quiet, quiet)
    return tuple(f"{n:,}" for n in counts)  # type: ignore[return-value]


def _subgroups(judgement: Json) -> None:
    if not judgement.get("subgroups"):
        return
    section("Subgroups", level=3)
    for column in judgement["subgroups"]:
        name = COLUMN_WORDS.get(column["column"], key_label(column["column"]))
        rows = [
            (group["group"], f"{group['n_records']:,}", estimate(group["macro"].get("auroc")))
            for group in column["groups"]
            if group["judged"]
        ]
        if rows:
            put(table((name, "Records", "Macro AUROC"), rows, gap_sentence(column)))


def _mistakes(run: Path, judgement: Json) -> None:
    strips = [strip for strip in judgement.get("worst_errors") or [] if (run / strip["file"]).is_file()]
    if not strips:
        return
    section("Worst mistakes", level=3)
    names = list(dict.fromkeys(strip["class"] for strip in strips))
    name = st.segmented_control("Class", names, default=names[0], required=True, key=f"mistakes {run}")
    for strip in [strip for strip in strips if strip["class"] == name][:_STRIPS]:
        st.image(str(run / strip["file"]), caption=strip["caption"], alt=f"ECG. {strip['caption']}", width="stretch")
