"""The sections about limits: groups of patients, faulty recordings, foreign signals and the worst errors, in words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from einthoven.errors import EinthovenError
from einthoven.evaluation.report_parts import AXIS_WIDTH, Json, axis_floor, figure
from einthoven.evaluation.wording import (
    ABSENT,
    COLUMN_WORDS,
    counted,
    decimal,
    gap_sentence,
    in_words,
    key_label,
    loss_of,
    loss_sentence,
    percent,
    signed,
)

__all__ = ["novelty", "robustness", "subgroups", "worst_errors"]

_LARGE = 0.05
_MOST_STRIPS = 20  # in the page, which is to stay below 3 MB
_SEEN = 0.5  # share of records refused or called unlike training, from which a fault does not go unnoticed


def subgroups(judgement: Json) -> dict[str, Any] | None:
    """Figures of each group of patients, and the gap between groups."""
    columns = judgement.get("subgroups")
    if not columns:
        return None
    floor = axis_floor(row["macro"]["auroc"] for column in columns for row in column["groups"])
    return {
        "floor": floor,
        "columns": [_column(column, floor) for column in columns],
        "caution": list(dict.fromkeys(column["caution"] for column in columns if column.get("caution"))),
    }


def _column(column: Json, floor: float) -> dict[str, Any]:
    groups = column["groups"]
    differing = len({row["n_classes"] for row in groups if row["judged"]}) > 1
    judged = [row for row in groups if row["judged"]]
    return {
        "title": COLUMN_WORDS.get(column["column"], key_label(column["column"])),
        "gap": gap_sentence(column),
        "correction": column.get("correction") or "",
        "differing": differing,
        "rows": [_group(row, floor, differing) for row in groups],
        "names": [row["group"] for row in judged],
        "classes": _per_class(judged),
    }


def _group(row: Json, floor: float, differing: bool) -> dict[str, Any]:
    rates = row["macro"]
    return {
        "group": row["group"],
        "who": f"{row['n_records']:,}",
        "patients": "" if row["n_patients"] is None else counted(row["n_patients"], "patient"),
        "reason": row["reason"] or "",
        "classes": counted(row["n_classes"], "class") if differing else "",
        "auroc": figure(rates["auroc"], floor),
        "rates": [percent((rates[key] or {}).get("value")) for key in ("sensitivity", "specificity")],
        "difference": signed(row["difference"]),
        "apart": bool(row.get("apart")),
    }


def _per_class(judged: Sequence[Json]) -> list[dict[str, Any]]:
    """AUROC of each class in each judged group: one row per class that is judged in one of them."""
    columns = [{row["class"]: row["auroc"] for row in group["per_class"]} for group in judged]
    names = list(columns[0]) if columns else []
    return [
        {"class": name, "cells": [decimal((column[name] or {}).get("value")) for column in columns]}
        for name in names
        if any(column[name] for column in columns)
    ]


def robustness(judgement: Json) -> dict[str, Any] | None:
    """Loss of macro AUROC under each fault: one line of dots per fault, and every condition in a table."""
    found = judgement.get("robustness")
    if not found or not found["conditions"]:
        return None
    rows = found["conditions"]
    low, high = _ends(rows)
    faults: dict[str, list[Json]] = {}
    for row in rows:
        faults.setdefault(row["perturbation"], []).append(row)
    return {
        "who": f"{found['n_records']:,}" + (f" of {found['n_all']:,}" if found["n_all"] != found["n_records"] else ""),
        "clean": decimal(found["clean"]["auroc"]),
        "sentence": loss_sentence(rows),
        "unseen": in_words([loss_of(row) for row in rows if _unseen(row)]),
        "drawn": any(row["difference"]["low"] is not None for row in rows),
        "axis": {"low": _tick(low), "zero": round(_place(0.0, low, high), 1), "high": _tick(high)},
        "faults": [_fault(group, low, high) for group in faults.values()],
        "rows": [_condition(row) for row in rows],
        "skipped": [f"{row['perturbation']} {row['level']}: {row['reason']}" for row in found.get("skipped") or []],
    }


def _unseen(row: Json) -> bool:
    seen = max(row["refused"], row["unlike_training"], row["flagged"])
    return bool(row["difference"]["value"] <= -_LARGE and seen < _SEEN)


def _ends(rows: Sequence[Json]) -> tuple[float, float]:
    values = [v for row in rows for v in (row["difference"][key] for key in ("value", "low", "high")) if v is not None]
    return float(min(np.floor(20 * min(values)) / 20, -0.05)), float(max(np.ceil(100 * max(values)) / 100, 0.01))


def _tick(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


def _place(value: float, low: float, high: float) -> float:
    return AXIS_WIDTH * (value - low) / (high - low)


def _fault(rows: Sequence[Json], low: float, high: float) -> dict[str, Any]:
    title = rows[0]["title"]
    levels = [row["condition"].removeprefix(title).strip() for row in rows]
    worst = min(rows, key=lambda row: float(row["difference"]["value"]))
    marks = []
    for row in rows:
        ends = {key: row["difference"][key] for key in ("value", "low", "high")}
        marks.append({key: None if v is None else round(_place(v, low, high), 1) for key, v in ends.items()})
    return {
        "title": title[:1].upper() + title[1:],
        "levels": ", ".join(levels),
        "marks": marks,
        "worst": worst["condition"].removeprefix(title).strip(),
        "difference": signed(worst["difference"]),
        "refused": percent(worst["refused"]),
        "otherwise": percent(worst["decided_otherwise"]),
    }


def _condition(row: Json) -> dict[str, Any]:
    shares = ("refused", "flagged", "unlike_training", "decided_otherwise")
    cells = [decimal(row["auroc"]), signed(row["difference"]), *(percent(row[key]) for key in shares)]
    return {"condition": row["condition"], "cells": cells}


def novelty(judgement: Json) -> dict[str, Any] | None:
    """What the detector of unlike records sees, per kind of foreign or faulty signal."""
    found = judgement.get("novelty")
    if not found or not found["kinds"]:
        return None
    groups = {"foreign": "Foreign signals", "fault": "ECGs with a fault"}
    made = found["n_made"]
    return {
        "stated": percent(found["false_alarms"]["stated"]),
        "here": percent(found["false_alarms"]["here"]),
        "who": counted(found["n_records"], "record"),
        "made": f"{made:,}",
        "poor": in_words(found.get("poorly_detected") or []),
        "groups": [
            {"title": title, "rows": [_kind(row) for row in found["kinds"] if row["group"] == group]}
            for group, title in groups.items()
            if any(row["group"] == group for row in found["kinds"])
        ],
        "skipped": [f"{row['name']}: {row['reason']}" for row in found.get("skipped") or []],
    }


def _kind(row: Json) -> dict[str, Any]:
    shares = [percent(row[key]) for key in ("flagged", "refused", "seen")]
    return {"title": row["title"], "auroc": figure({"value": row["auroc"]}), "shares": shares}


def worst_errors(judgement: Json, folder: Path) -> dict[str, Any] | None:
    """The worst errors as ECGs, put into the page, class by class.

    Args:
        judgement: its ``worst_errors`` have a ``file`` (PNG, from ``folder`` on), ``class``, ``kind`` and ``caption``.
        folder: where the report is written.

    Raises:
        EinthovenError: a drawing cannot be read.
    """
    drawn = judgement.get("worst_errors")
    if not drawn:
        return None
    words = judgement.get("descriptions") or {}
    classes = _strips(judgement)
    left_out = [strip["file"] for strip in drawn if strip not in classes.get(strip["class"], [])]
    return {
        "left_out": len(left_out),
        "place": str(Path(left_out[0]).parent) if left_out else "",
        "classes": [
            {
                "class": name,
                "description": words.get(name, ""),
                "kinds": _kinds(strips),
                "strips": [{"caption": s["caption"], "picture": _picture(folder / s["file"])} for s in strips],
            }
            for name, strips in classes.items()
        ],
    }


def _strips(judgement: Json) -> dict[str, list[Mapping[str, str]]]:
    """Strips to show, by class: all of a few; of many the worst of either kind of the most frequent classes."""
    drawn, classes = judgement["worst_errors"], dict[str, list[Mapping[str, str]]]()
    if len(drawn) > _MOST_STRIPS:
        worst = {(strip["class"], strip["kind"]): strip for strip in reversed(drawn)}
        frequent = {row["class"]: k for k, row in enumerate(sorted(judgement["per_class"], key=_rarity))}
        ranked = sorted(worst.values(), key=lambda strip: (frequent[strip["class"]], strip["kind"] != drawn[0]["kind"]))
        drawn = ranked[:_MOST_STRIPS]
    for strip in drawn:
        classes.setdefault(strip["class"], []).append(strip)
    return classes


def _rarity(row: Json) -> int:
    return -int(row["positives"])


def _kinds(strips: Sequence[Mapping[str, str]]) -> str:
    kinds = [strip["kind"] for strip in strips]
    return ", ".join(counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)) or ABSENT


def _picture(path: Path) -> Markup:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EinthovenError(
            f"cannot read the drawing {path}: {error.strerror}; judge again to draw the worst errors"
        ) from None
    return Markup(f"data:image/png;base64,{base64.b64encode(data).decode()}")
