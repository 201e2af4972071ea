"""All that a report says about one split, as words, formatted numbers and drawings for the template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray

from einthoven.evaluation import report_limits, report_trust
from einthoven.evaluation.report_parts import MANY_CLASSES, Json, axis_floor, drawing, figure
from einthoven.evaluation.wording import cohort, counted, decimal, fold_range, key_label, percent, sentence
from einthoven.metrics.ranking import defined_classes
from einthoven.plots.curves import roc_pr_figure

__all__ = ["split_view"]

Array = NDArray[Any]

_METRICS = {"auroc": "AUROC", "auprc": "AUPRC", "fmax": "Fmax"}

# Of the sections about one split: where they are, and their titles in its list of contents.
_SECTIONS = {
    "members": "Members",
    "figures": "Classes",
    "curves": "Curves",
    "calibration": "Calibration",
    "decisions": "Decisions",
    "confusion": "Confusions",
    "conformal": "Stated error rate",
    "contradictions": "Contradictions",
    "abstention": "Leaving cases to a human",
    "subgroups": "Groups of patients",
    "robustness": "Faulty recordings",
    "novelty": "Foreign signals",
    "worst_errors": "Worst errors",
    "interval": "Intervals",
}


def split_view(judgement: Json, pair: tuple[Array, Array] | None, context: Json, folder: Path) -> dict[str, Any]:
    """Return all that the page says about one split.

    Args:
        judgement: as in ``metrics.json``.
        pair: targets and probabilities, both of shape (records, classes); None draws no curves.
        context: see ``write_report``.
        folder: where the report is written, and drawings of errors lie.
    """
    name = judgement["split"]
    view: dict[str, Any] = {"name": name, "id": re.sub(r"[^a-z0-9]+", "-", name.lower()), "empty": True, "who": ""}
    if "macro" not in judgement:
        return {**view, "reason": judgement["reason"]}
    view |= {"empty": False, **_summary(judgement, context), **_discrimination(judgement, pair)}
    view |= {
        "confusion": report_trust.confusion(judgement),
        "calibration": report_trust.calibration(judgement),
        "conformal": report_trust.conformal(judgement),
        "contradictions": report_trust.contradictions(judgement),
        "abstention": report_trust.abstention(judgement),
        "subgroups": report_limits.subgroups(judgement),
        "robustness": report_limits.robustness(judgement),
        "novelty": report_limits.novelty(judgement),
        "worst_errors": report_limits.worst_errors(judgement, folder),
        "members": _members(judgement.get("ensemble")),
    }
    always = ("figures", "curves", "decisions", "interval")
    view["contents"] = {key: title for key, title in _SECTIONS.items() if key in always or view[key]}
    return view


def _summary(judgement: Json, context: Json) -> dict[str, Any]:
    """Who was judged, and the figures over all classes."""
    macro = judgement["macro"]
    drawn = (macro.get("auroc") or {}).get("low") is not None
    interval = judgement.get("interval") if drawn else None
    undefined = judgement.get("undefined") or []
    n_classes = len(judgement["classes"])
    return {
        "who": cohort(judgement),
        "where": ", ".join(filter(None, [judgement["dataset"]["name"], fold_range(judgement.get("folds"))])),
        "seen": _seen(judgement, context.get("trained_on") or {}),
        "unlabelled": judgement.get("n_unlabelled") or 0,
        "kind": judgement["kind"],
        "macro": {key: {"name": word, **figure(macro.get(key))} for key, word in _METRICS.items()},
        "averages": {
            name: {key: decimal(value) for key, value in values.items()}
            for name, values in (judgement.get("averages") or {}).items()
        },
        "fmax_threshold": decimal(judgement.get("fmax_threshold"), 2),
        "auroc_percent": percent((macro.get("auroc") or {}).get("value")),
        "n_classes": n_classes,
        "n_defined": n_classes - len(undefined),
        "undefined": _grouped(undefined),
        "caution": list(judgement.get("caution") or []),
        "interval": _method(interval),
        "level": _level(interval),
        "judged": {
            key_label(key): value for key, value in (judgement.get("judged") or {}).items() if isinstance(value, str)
        },
    }


def _discrimination(judgement: Json, pair: tuple[Array, Array] | None) -> dict[str, Any]:
    """The classes: figures, curves and decisions."""
    rows = sorted(judgement["per_class"], key=lambda row: -row["positives"])
    words = judgement.get("descriptions") or {}
    floor = axis_floor(row["auroc"] for row in rows)
    folded = len(rows) > MANY_CLASSES
    return {
        "rows": [_row(row, words, floor) for row in rows],
        "floor": floor,
        "baseline": _baseline(rows),
        "folded": folded,
        "n_shown": MANY_CLASSES if folded else len(rows),
        "curves": _curves(judgement["split"], pair, judgement["classes"]) if pair else None,
        "thresholds": any(row.get("threshold") is not None for row in rows),
        "decisions": sentence(judgement.get("decisions") or ""),
        "example": _example(rows, words),
        "counts": report_trust.counts(judgement),
    }


def _members(ensemble: Json | None) -> list[dict[str, Any]] | None:
    if not ensemble:
        return None
    return [
        {"name": row["name"], "macro": {key: figure(row["macro"].get(key)) for key in _METRICS}}
        for row in ensemble["members"]
    ]


def _row(row: Json, words: Mapping[str, str], floor: float) -> dict[str, Any]:
    known = row["positives"] + row["negatives"]
    share = row["positives"] / known if known else 0.0
    return {
        "class": row["class"],
        "description": words.get(row["class"], ""),
        "positives": f"{row['positives']:,}",
        "share": percent(share),
        "auroc": figure(row["auroc"], floor),
        "auprc": figure(row["auprc"], baseline=share),
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
    return [drawing(roc_pr_figure(targets, probabilities, classes, [panel]), said) for panel, said in spoken.items()]
