"""The sections about belief: calibration, stated error rates, contradictions, abstention and confusions, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from einthoven.decisions.calibration import MIN_CASES
from einthoven.evaluation.report_parts import MANY_CLASSES, Json, drawing
from einthoven.evaluation.wording import ABSENT, CALIBRATION_WORDS, counted, decimal, in_words, percent
from einthoven.plots.trust import reliability_figure, risk_coverage_figure

__all__ = ["abstention", "calibration", "conformal", "confusion", "contradictions", "counts"]

_FITS = {
    "ece": ("Calibration error", "mean gap between predicted and observed frequency, 15 bins"),
    "brier": ("Brier score", "mean squared error of the probability"),
    "log_loss": ("Log loss", "mean surprise, in nats; sure mistakes cost most"),
}
_KEPT = 0.8  # of the records, in the sentence about abstention
_TOP_CONFUSIONS = 5
_STRONGEST = 0.45  # opacity of a full cell: text on it keeps its contrast, on white and on black


def calibration(judgement: Json) -> dict[str, Any] | None:
    """Calibration before and after, and the reliability diagrams of the most frequent classes."""
    found = judgement.get("calibration")
    if not found:
        return None
    before, after = found["before"], found["after"]
    fitted = found["method"] != "none"
    rows = [
        {"name": name, "means": means, "before": decimal(before.get(key), 4), "after": decimal(after.get(key), 4)}
        for key, (name, means) in _FITS.items()
    ]
    drawn = _diagrams(judgement, found["reliability"])
    return {
        "fitted": fitted,
        "words": CALIBRATION_WORDS.get(found["method"], f"Method: {found['method']}."),
        "gap": percent(after.get("ece")),
        "gap_before": percent(before.get("ece")) if fitted else "",
        "rows": rows,
        "uncalibrated": list(found.get("uncalibrated") or []),
        "min_cases": MIN_CASES,
        "drawings": drawn,
        "n_drawn": len(drawn),
        "all_drawn": len(drawn) == len(judgement["classes"]),
    }


def _diagrams(judgement: Json, reliability: Sequence[Json]) -> list[Any]:
    ranked = sorted(enumerate(judgement["per_class"]), key=lambda pair: -pair[1]["positives"])
    shown = [k for k, row in ranked if row["positives"] and row["negatives"]][:MANY_CLASSES]
    split, names = judgement["split"], judgement["classes"]
    return [
        drawing(
            reliability_figure(reliability[k], names[k]),
            f"Reliability diagram and histogram, {names[k]}, {split} split",
        )
        for k in shown
    ]


def conformal(judgement: Json) -> dict[str, Any] | None:
    """Coverage of the sets with a stated error rate, per class."""
    found = judgement.get("conformal")
    if not found:
        return None
    keys = ["positives_covered", "negatives_covered", "undecided"]
    pairs = zip(judgement["per_class"], found["per_class"], strict=True)
    ranked = sorted(pairs, key=lambda pair: -pair[0]["positives"])
    rows = [{"class": row["class"], "cells": [percent(share[key]) for key in keys]} for row, share in ranked]
    error = found["error"]
    return {
        "error": _whole_percent(error),
        "kept": _whole_percent(1 - error),
        "covered": percent(found["covered"]),
        "fewest": int(1 / error - 1 - 1e-9) + 1,
        "rows": rows,
        "example": _coverage_example(ranked),
        "folded": len(rows) > MANY_CLASSES,
    }


def _whole_percent(share: float) -> str:
    return f"{100 * share:.3g}"


def _coverage_example(ranked: Sequence[tuple[Json, Json]]) -> str:
    told = [(row, share) for row, share in ranked if None not in share.values()]
    if not told:
        return ""
    row, share = next(((r, s) for r, s in told if r["class"] != "NORM"), told[0])
    kept, undecided = percent(share["positives_covered"]), percent(share["undecided"])
    return (
        f"of the {counted(row['positives'], 'record')} with {row['class']}, {kept}\u00a0% keep “present” as a possible "
        f"answer; {undecided}\u00a0% of all records are undecided about it."
    )


def contradictions(judgement: Json) -> dict[str, Any] | None:
    """The rule for findings that contradict each other, and how often it was needed."""
    found = judgement.get("contradictions")
    if not found or not found["rules"]:
        return None
    withdrawn = {name: n for name, n in zip(judgement["classes"], found["overruled"], strict=True) if n}
    ranked = sorted(withdrawn.items(), key=lambda pair: -pair[1])
    total = judgement["n_records"]
    return {
        "rules": [
            {"name": name, "others": in_words(others, "or"), "n": len(others), "long": len(others) > MANY_CLASSES}
            for name, others in found["rules"].items()
        ],
        "records": counted(found["records"], "record"),
        "share": percent(found["records"] / total if total else None),
        "none": not found["records"],
        "withdrawn": _most(ranked),
    }


def _most(ranked: Sequence[tuple[str, int]]) -> str:
    """The largest counts by name, and how many more there are."""
    told = ", ".join(f"{name} {n:,}" for name, n in ranked[:MANY_CLASSES])
    return told if len(ranked) <= MANY_CLASSES else f"{told} and {len(ranked) - MANY_CLASSES} others less often"


def abstention(judgement: Json) -> dict[str, Any] | None:
    """What leaving the least certain records to a human would gain."""
    found = judgement.get("abstention")
    if not found:
        return None
    coverage, risk = found["coverage"], found["risk"]
    at = min(range(len(coverage)), key=lambda k: abs(coverage[k] - _KEPT))
    left, before, after = _whole_percent(1 - coverage[at]), risk[-1], risk[at]
    moved = "lowers" if after < before else "does not lower"
    fig = risk_coverage_figure(coverage, risk, coverage[at])
    return {
        "sentence": f"Leaving the least certain {left}\u00a0% to a human {moved} the share of records with any wrong "
        f"decision from {percent(before)}\u00a0% to {percent(after)}\u00a0%.",
        "area": decimal(found["area"]),
        "multiclass": judgement["kind"] == "multiclass",
        "drawing": drawing(fig, f"Share of wrong records by share of records decided, {judgement['split']} split"),
    }


def confusion(judgement: Json) -> dict[str, Any] | None:
    """The matrix of a multi-class model, shaded by the share of each row, and the most frequent confusions."""
    matrix = judgement.get("confusion")
    if not matrix:
        return None
    names = judgement["classes"]
    mistakes = [(n, names[i], names[j]) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    top = sorted(mistakes, key=lambda found: -found[0])[:_TOP_CONFUSIONS]
    return {
        "names": names,
        "rows": [{"class": name, "cells": _shaded(row)} for name, row in zip(names, matrix, strict=True)],
        "top": [f"{true} taken for {said}: {counted(n, 'record')}" for n, true, said in top],
        "folded": len(names) > MANY_CLASSES,
    }


def _shaded(row: Sequence[int]) -> list[dict[str, Any]]:
    total = sum(row)
    return [{"n": f"{n:,}", "shade": round(_STRONGEST * n / total, 3) if total else 0} for n in row]


def counts(judgement: Json) -> list[dict[str, Any]]:
    """The four counts behind a multi-label class's rates, most frequent class first."""
    ranked = sorted(judgement["per_class"], key=lambda row: -row["positives"])
    return [{"class": row["class"], "cells": _four(row), "more": _more(row)} for row in ranked]


def _four(row: Mapping[str, Any]) -> list[str]:
    """Found, missed, falsely reported, rightly not reported."""
    if row.get("sensitivity") is None and row.get("specificity") is None:
        return [ABSENT] * 4
    found = round((row["sensitivity"] or 0.0) * row["positives"])
    quiet = round((row["specificity"] or 0.0) * row["negatives"])
    return [f"{n:,}" for n in (found, row["positives"] - found, row["negatives"] - quiet, quiet)]


def _more(row: Mapping[str, Any]) -> list[str]:
    return [
        percent(row.get("balanced_accuracy")),
        decimal(row.get("mcc")),
        percent(row.get("sensitivity_at_0.9_specificity")),
        decimal(row.get("brier")),
        percent(row.get("ece")),
    ]
