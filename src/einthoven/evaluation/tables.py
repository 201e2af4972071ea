"""Tables on disk: what ``metrics.json`` says and what lies behind it, as CSV that any program opens.

One idea: a table is a list of rows with the same keys; one writer decides digits, blanks and order.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.decisions import Decided
from einthoven.evaluation.errors import Mistake
from einthoven.evaluation.predictions import Predictions
from einthoven.files import atomic_write
from einthoven.metrics import threshold_sweep

__all__ = [
    "confusion_rows",
    "interval_columns",
    "mistake_rows",
    "per_class_rows",
    "subgroup_rows",
    "sweep_rows",
    "write_csv",
]

Json = Mapping[str, Any]
Row = dict[str, Any]

_DIGITS = 6
_INTERVALS = ("auroc", "auprc")
_SWEPT = {"ppv": "precision", "sensitivity": "recall", "f1": "f1", "accuracy": "accuracy", "specificity": "specificity"}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows in their order, the columns in the order in which they first come; whole or not at all.

    Numbers have six significant digits; what is unknown or undefined is left blank. No rows give an empty file.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if columns:
            writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.{_DIGITS}g}"
    return "" if value is None else value


def per_class_rows(judgements: Mapping[str, Json]) -> list[Row]:
    """One row per split and class of what ``metrics.json`` holds; a figure with an interval takes three columns."""
    return [
        {"split": split, **_flat(row)}
        for split, judgement in judgements.items()
        if "macro" in judgement
        for row in judgement["per_class"]
    ]


def subgroup_rows(judgements: Mapping[str, Json]) -> list[Row]:
    """One row per split, column, group and class; the class ``(macro)`` is the group as a whole, with its p-values."""
    return [
        {"split": split, "column": column["column"], "group": group["group"], **row}
        for split, judgement in judgements.items()
        for column in judgement.get("subgroups") or []
        for group in column["groups"]
        for row in _group_rows(group)
    ]


def _group_rows(group: Json) -> list[Row]:
    size = {"records": group["n_records"], "patients": group["n_patients"]}
    macro: Row = {"class": "(macro)", **size, "classes": group["n_classes"], "positives": None, "negatives": None}
    for name, figure in group["macro"].items():
        macro |= interval_columns(name, figure)
    macro |= interval_columns("difference_from_rest", group["difference"])
    macro |= {name: group[name] for name in ("p", "p_adjusted", "reason")}
    rows = []
    for row in group["per_class"]:
        figures = {name: row[name] for name in ("class", "positives", "negatives")} | size
        for name in group["macro"]:
            figures |= interval_columns(name, row[name])
        rows.append(figures)
    return [macro, *rows]


def _flat(row: Json) -> Row:
    flat: Row = {}
    for name, value in row.items():
        flat |= interval_columns(name, value) if name in _INTERVALS else {name: value}
    return flat


def interval_columns(name: str, figure: Json | None) -> Row:
    """A figure with its interval as three columns; all None where it is undefined."""
    figure = figure or {"value": None, "low": None, "high": None}
    return {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}


def sweep_rows(predictions: Predictions, decided: Decided) -> list[Row]:
    """Precision, recall, F1, accuracy and specificity of each class at probabilities of 0, 0.01 ... 1."""
    ladder, rates = threshold_sweep(predictions.targets, np.clip(decided.probabilities, 0, 1))
    return [
        {"class": name, "threshold": float(limit), **{word: float(rates[key][k, i]) for key, word in _SWEPT.items()}}
        for k, name in enumerate(predictions.classes)
        for i, limit in enumerate(ladder)
    ]


def mistake_rows(mistakes: Sequence[Mistake], predictions: Predictions) -> list[Row]:
    """One row per mistake of ``worst_mistakes``, with who it was and every further fact that is known."""
    return [
        {
            "class": m.class_name,
            "kind": m.kind,
            "record_id": m.record_id,
            "patient_id": predictions.patient_id[m.row],
            "source": predictions.source[m.row],
            "fold": predictions.fold[m.row],
            **{name: values[m.row] for name, values in predictions.facts.items()},
            "probability": m.probability,
            "threshold": m.threshold,
            "margin": m.margin,
            "truth": " ".join(m.truth),
        }
        for m in mistakes
    ]


def confusion_rows(judgement: Json) -> list[Row]:
    """The confusion matrix of a multi-class judgement: one row per true class, one column per decision."""
    classes = judgement["classes"]
    pairs = zip(classes, judgement["confusion"], strict=True)
    return [{"truth": name, **dict(zip(classes, counts, strict=True))} for name, counts in pairs]
