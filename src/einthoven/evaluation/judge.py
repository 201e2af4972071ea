"""The judgement of one split, as plain values: what ``metrics.json`` holds and the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.thresholds import cross_fitted_decisions, decide, decision_figures
from einthoven.metrics import Interval, bootstrap_metrics, defined_classes, fmax

__all__ = ["empty_judgement", "judge"]


def judge(
    split: str,
    predictions: Predictions,
    *,
    kind: str,
    thresholds: Mapping[str, float | None],
    fitted_here: str | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    caution: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge predictions.

    Args:
        split: its name.
        predictions: of the split.
        kind: ``"multilabel"`` or ``"multiclass"``.
        thresholds: per class.
        fitted_here: the fitting method if the thresholds come from this very split: decisions are then cross-fitted.
        n_resamples: of the bootstrap; 0 gives no intervals.
        seed: of the bootstrap.
        caution: what makes the figures optimistic.

    Returns:
        Plain values for JSON.
    """
    y, p = predictions.targets, predictions.probabilities
    if not len(y):
        return empty_judgement(split, "no records")
    if not defined_classes(y).any():
        return empty_judgement(split, "no class has both a positive and a negative record", len(y))
    macro, per_class, how = bootstrap_metrics(y, p, predictions.groups, n_resamples=n_resamples, seed=seed)
    limits = np.array([np.nan if (t := thresholds.get(c)) is None else t for c in predictions.classes])
    if fitted_here and kind == "multilabel":
        decided = cross_fitted_decisions(y, p, predictions.groups, fitted_here)
        decisions = (
            f"thresholds maximise {_METHODS[fitted_here]} on this split; sensitivity and the rest are judged by 5-fold "
            "cross-fitting, grouped by patient"
        )
    else:
        decided = decide(p, limits, kind)
        decisions = "the likeliest class is chosen" if kind == "multiclass" else "thresholds come with the bundle"
    defined = defined_classes(y)
    known = [patient for patient in predictions.patient_id if patient is not None]
    return {
        "split": split,
        "n_records": len(y),
        "n_patients": len(set(known)) if len(known) == len(y) else None,
        "kind": kind,
        "classes": list(predictions.classes),
        "macro": {name: asdict(value) for name, value in macro.items()},
        "fmax_threshold": fmax(y[:, defined], p[:, defined])[1],
        "per_class": _rows(predictions.classes, y, per_class, limits, decision_figures(y, decided), kind),
        "undefined": [
            {"class": c, "reason": _reason(y[:, k])} for k, c in enumerate(predictions.classes) if not defined[k]
        ],
        "interval": asdict(how),
        "decisions": decisions,
        "caution": [*caution, *_conditions(how.n_resamples, n_resamples, int(defined.sum()), len(defined))],
    }


def _conditions(accepted: int, wanted: int, n_defined: int, n_classes: int) -> list[str]:
    """What a reader must know about the figures themselves."""
    said = []
    if accepted < wanted:
        said.append(
            f"Only {accepted:,} of {wanted:,} resamples were found that keep every class: the intervals rest on these."
        )
    if n_defined < n_classes:
        said.append(
            f"Macro figures and Fmax are over the {n_defined} of {n_classes} classes that have positives and negatives "
            "here; alarms in the others do not count."
        )
    return said


_METHODS = {"f1": "each class's F1", "youden": "Youden's index of each class"}


def empty_judgement(split: str, reason: str, n_records: int = 0) -> dict[str, Any]:
    """Say that a split cannot be judged, and why."""
    return {"split": split, "n_records": n_records, "reason": reason}


def _rows(
    classes: Sequence[str],
    y: NDArray[np.float64],
    per_class: Mapping[str, list[Interval | None]],
    limits: NDArray[np.float64],
    figures: list[dict[str, float | None]],
    kind: str,
) -> list[dict[str, Any]]:
    rows = []
    for k, name in enumerate(classes):
        area, average = per_class["auroc"][k], per_class["auprc"][k]
        undecided = bool(np.isnan(limits[k])) and kind == "multilabel"
        rows.append(
            {
                "class": name,
                "positives": int((y[:, k] == 1).sum()),
                "negatives": int((y[:, k] == 0).sum()),
                "auroc": asdict(area) if area else None,
                "auprc": asdict(average) if average else None,
                "threshold": None if np.isnan(limits[k]) else float(limits[k]),
                **(dict.fromkeys(figures[k]) if undecided else figures[k]),
            }
        )
    return rows


def _reason(y: NDArray[np.float64]) -> str:
    return "no positive record" if not (y == 1).any() else "no negative record"
