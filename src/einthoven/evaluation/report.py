"""The page people read: ``report.html``, one file that explains a judged model without its code.

Everything is brought into words and formatted numbers here; the template beside this file only lays it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from einthoven.evaluation.wording import (
    ABSENT,
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
from einthoven.files import atomic_write
from einthoven.metrics.ranking import defined_classes
from einthoven.plots.curves import chosen_epoch, figure_svg, history_figure, roc_pr_figure

__all__ = ["write_report"]

Json = Mapping[str, Any]
Array = NDArray[Any]

_METRICS = {"auroc": "AUROC", "auprc": "AUPRC", "fmax": "Fmax"}
_AXIS_WIDTH = 160  # of the bars in the template
_MANY_CLASSES = 12  # beyond this, the tables that few need are folded away


def write_report(
    path: Path,
    *,
    title: str,
    judgements: list[dict[str, Any]],
    scores: dict[str, tuple[Array, Array]],
    history: list[dict[str, Any]],
    context: dict[str, Any],
) -> None:
    """Write the report as one HTML file that needs nothing else: styles and drawings are inside.

    Args:
        path: the file to write, whole or not at all.
        title: the heading.
        judgements: one per split, as in ``metrics.json``; the test split makes the headline, else validation. One
            without ``macro`` was not judged and has a ``reason``.
        scores: targets and probabilities of each split, both of shape (records, classes), for the curves; a split
            without them has no curves, and the page says so.
        history: figures per epoch; empty where nothing was trained.
        context: ``model``, ``trained_on``, ``recipe``, ``environment``, ``commands``, ``timing`` (seconds), ``bundle``
            and ``chosen_epoch``, each as far as known.

    Raises:
        EinthovenError: the file cannot be written.
        ValueError: scores do not have the shape of their judgement's classes.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    splits = [_split(judgement, scores.get(judgement["split"]), context) for judgement in judgements]
    page = environment.get_template("report.html.j2").render(
        title=title,
        splits=splits,
        headline=_headline(splits),
        trained=_trained_on(context),
        learning=_learning(history, context),
        recipe=context.get("recipe") or "",
        environment={key: str(value) for key, value in (context.get("environment") or {}).items()},
        commands=list(context.get("commands") or []),
        timing={key_label(key): duration(value) for key, value in (context.get("timing") or {}).items()},
        sources=_sources(judgements, context),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _figure(interval: Json | None, floor: float = 0.0, baseline: float | None = None) -> dict[str, Any]:
    """A figure as text, and as places on an axis from ``floor`` to 1."""
    if interval is None or interval.get("value") is None:
        return {"value": ABSENT, "interval": "", "dot": None}
    low, high = interval.get("low"), interval.get("high")
    known = low is not None and high is not None

    def place(value: float) -> float:
        return round(_AXIS_WIDTH * min(1.0, max(0.0, (value - floor) / (1 - floor))), 1)

    return {
        "value": decimal(interval["value"]),
        "interval": f"[{decimal(low)}, {decimal(high)}]" if known else "",
        "dot": place(interval["value"]),
        "low": place(low) if low is not None and known else None,
        "high": place(high) if high is not None and known else None,
        "baseline": None if baseline is None else place(baseline),
    }


def _floor(rows: Sequence[Json]) -> float:
    """Where the AUROC axis starts: at the tenth below all that is shown, never between 0 and chance."""
    figures = [row["auroc"] for row in rows if row["auroc"]]
    ends = [f["value"] if f.get("low") is None else f["low"] for f in figures]
    lowest = np.floor(10 * min(ends, default=0.5)) / 10
    return float(min(lowest, 0.9)) if lowest >= 0.5 else 0.0


def _split(judgement: Json, pair: tuple[Array, Array] | None, context: Json) -> dict[str, Any]:
    """All that the page says about one split."""
    name = judgement["split"]
    view: dict[str, Any] = {"name": name, "id": re.sub(r"[^a-z0-9]+", "-", name.lower()), "empty": True}
    if "macro" not in judgement:
        return {**view, "reason": judgement["reason"]}
    rows = sorted(judgement["per_class"], key=lambda row: -row["positives"])
    words = judgement.get("descriptions") or {}
    floor = _floor(rows)
    drawn = (judgement["macro"].get("auroc") or {}).get("low") is not None
    interval = judgement.get("interval") if drawn else None
    n_classes, undefined = len(judgement["classes"]), judgement.get("undefined") or []
    return {
        **view,
        "empty": False,
        "who": cohort(judgement),
        "where": ", ".join(filter(None, [judgement["dataset"]["name"], fold_range(judgement.get("folds"))])),
        "seen": _seen(judgement, context.get("trained_on") or {}),
        "unlabelled": judgement.get("n_unlabelled") or 0,
        "kind": judgement["kind"],
        "macro": {key: {"name": word, **_figure(judgement["macro"].get(key))} for key, word in _METRICS.items()},
        "fmax_threshold": decimal(judgement.get("fmax_threshold"), 2),
        "auroc_percent": percent((judgement["macro"].get("auroc") or {}).get("value")),
        "n_classes": n_classes,
        "n_defined": n_classes - len(undefined),
        "undefined": _grouped(undefined),
        "rows": [_row(row, words, floor) for row in rows],
        "floor": floor,
        "example": _example(rows, words),
        "baseline": _baseline(rows),
        "folded": n_classes > _MANY_CLASSES,
        "thresholds": any(row.get("threshold") is not None for row in rows),
        "decisions": sentence(judgement.get("decisions") or ""),
        "caution": list(judgement.get("caution") or []),
        "interval": _method(interval),
        "level": _level(interval),
        "curves": _curves(name, pair, judgement["classes"]) if pair else None,
    }


def _row(row: Json, words: Mapping[str, str], floor: float) -> dict[str, Any]:
    known = row["positives"] + row["negatives"]
    share = row["positives"] / known if known else 0.0
    return {
        "class": row["class"],
        "description": words.get(row["class"], ""),
        "positives": f"{row['positives']:,}",
        "share": percent(share),
        "auroc": _figure(row["auroc"], floor),
        "auprc": _figure(row["auprc"], baseline=share),
        "threshold": decimal(row.get("threshold")),
        "rates": [percent(row.get(key)) for key in ("sensitivity", "specificity", "ppv", "npv")],
        "f1": decimal(row.get("f1")),
    }


def _grouped(undefined: Sequence[Json]) -> dict[str, list[str]]:
    """Undefined classes by the reason they share."""
    groups: dict[str, list[str]] = {}
    for entry in undefined:
        groups.setdefault(entry["reason"], []).append(entry["class"])
    return groups


def _seen(judgement: Json, trained_on: Json) -> str:
    """What may be claimed about the judged records and training; nothing where it is not known."""
    if not trained_on.get("name"):
        return ""
    if trained_on["name"] != judgement["dataset"]["name"]:
        return f"from another data set than it was trained on ({trained_on['name']})"
    folds, trained = set(judgement.get("folds") or []), set(trained_on.get("folds") or [])
    if not folds or not trained:
        return ""
    return "that it was trained on, so the figure is not evidence" if folds & trained else "never seen in training"


def _baseline(rows: Sequence[Json]) -> str:
    first = rows[0]
    share = first["positives"] / (first["positives"] + first["negatives"])
    return f"{percent(share)}\u00a0% of these records carry {first['class']}, so its baseline is {decimal(share)}"


def _example(rows: Sequence[Json], words: Mapping[str, str]) -> str:
    """One row of the decisions table read aloud; a finding is a better example than its absence."""
    full = [r for r in rows if all(r.get(key) is not None for key in ("sensitivity", "specificity", "ppv"))]
    if not full:
        return ""
    row = next((r for r in full if r["class"] != "NORM"), full[0])
    name = f"{row['class']} ({words[row['class']]})" if row["class"] in words else row["class"]
    rates = {key: f"{percent(row[key])}\u00a0%" for key in ("sensitivity", "specificity", "ppv")}
    return (
        f"{name} is reported in {rates['sensitivity']} of the records that carry it (sensitivity), and not reported in "
        f"{rates['specificity']} of those that do not (specificity); where it is reported, that is right in "
        f"{rates['ppv']} of cases (PPV)."
    )


def _level(interval: Json | None) -> str:
    return f"{100 * interval['level']:g}\u00a0%" if interval else ""


def _method(interval: Json | None) -> str:
    """How the interval was made, in sentences."""
    if not interval:
        return "No interval was drawn for this split: read the figures as single observations."
    unit = interval["unit"]
    together = "; all records of a drawn patient come together" if unit == "patient" else ""
    return (
        f"{_level(interval)} {interval['method']}: {interval['n_resamples']:,} resamples of "
        f"{counted(interval['n_units'], unit)} with replacement{together}. Classes that a resample loses: "
        f"{interval['absent_classes']} ({interval['n_drawn']:,} drawn). Seed {interval['seed']}."
    )


def _curves(split: str, pair: tuple[Array, Array], classes: Sequence[str]) -> list[Markup]:
    """ROC and precision-recall drawings; none where no class has both positives and negatives."""
    targets, probabilities = pair
    if not defined_classes(targets).any():
        return []
    spoken = {"roc": f"ROC curves, {split} split", "pr": f"Precision-recall curves, {split} split"}
    return [
        Markup(figure_svg(roc_pr_figure(targets, probabilities, classes, [panel]), label))
        for panel, label in spoken.items()
    ]


def _learning(history: Sequence[Json], context: Json) -> dict[str, Any] | None:
    if not history:
        return None
    told = context.get("chosen_epoch")
    epoch = chosen_epoch(history) if told is None else told
    spoken = {"loss": "Loss by epoch", "score": "Validation figures by epoch", "rate": "Learning rate by epoch"}
    return {
        "epoch": epoch,
        "why": "" if told is not None else "the highest validation AUROC",
        "plots": [Markup(figure_svg(history_figure(history, [p], epoch), t)) for p, t in spoken.items()],
        "rows": [_epoch(row) for row in history],
    }


def _epoch(row: Json) -> dict[str, str]:
    figures = ("train_loss", "validation_loss", "validation_auroc", "validation_accuracy")
    rate = row.get("lr")
    return {
        "epoch": str(int(row["epoch"])),
        **{key: decimal(row.get(key), 4) for key in figures},
        "lr": ABSENT if rate is None else f"{rate:.3g}",
        "seconds": decimal(row.get("seconds"), 1),
    }


def _trained_on(context: Json) -> dict[str, str]:
    """What was trained on what: label and words, only what is known."""
    model, data = context.get("model") or {}, context.get("trained_on") or {}
    parameters = model.get("n_parameters")
    facts = {
        "Model": model.get("name"),
        "Parameters": None if parameters is None else f"{parameters:,}",
        "Input": model.get("input"),
        "Trained on": data.get("name"),
        "Training records": cohort(data) if data.get("n_records") is not None else None,
        "Training folds": fold_range(data.get("folds")).removeprefix("folds ").removeprefix("fold "),
        "Bundle": context.get("bundle"),
    }
    return {label: str(words) for label, words in facts.items() if words}


def _headline(splits: Sequence[Json]) -> Json | None:
    judged = [split for split in splits if not split["empty"]]
    wanted = {"test": 0, "validation": 1}
    return min(judged, key=lambda split: wanted.get(split["name"], 2), default=None)


def _sources(judgements: Sequence[Json], context: Json) -> list[tuple[str, Markup]]:
    """Name and attribution of every data set, once each."""
    parts = [context.get("trained_on") or {}, *(j.get("dataset") or {} for j in judgements)]
    found = {part.get("name") or "": part["attribution"] for part in parts if part.get("attribution")}
    return [(name, linked(text)) for name, text in found.items()]
