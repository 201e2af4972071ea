"""The judgement of one split, as plain values: what ``metrics.json`` holds and the report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.decisions import Decided, Decisions
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.trust import judge_trust, plain
from einthoven.metrics import (
    AAMI_CLASSES,
    Interval,
    aami_summary,
    auprc,
    auroc,
    averaged,
    bootstrap_metrics,
    brier,
    calibration_error,
    confusion_counts,
    decision_metrics,
    defined_classes,
    fmax,
    log_loss,
    multiclass_confusion,
    sensitivity_at_specificity,
)

__all__ = ["decision_figures", "empty_judgement", "judge"]

Array = NDArray[np.float64]

_RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "accuracy", "balanced_accuracy")
_SPECIFICITY = 0.9  # at which sensitivity is also told, whatever the threshold
_CALIBRATION = {"brier": brier, "log_loss": log_loss, "ece": calibration_error}


def judge(
    split: str,
    predictions: Predictions,
    decided: Decided,
    decisions: Decisions,
    *,
    how_decided: str,
    n_resamples: int = 1000,
    seed: int = 0,
    interval: str = "percentile",
    absent: str = "redraw",
    caution: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge predictions.

    Discrimination (AUROC, AUPRC, Fmax) is of the network's scores, so that it compares with published figures;
    everything else is of the calibrated probabilities and the decisions that a user is shown.

    Args:
        split: its name.
        predictions: of the split.
        decided: the decisions about them; cross-fitted where the steps were fitted on this very split.
        decisions: the fitted steps.
        how_decided: where the steps come from, in a sentence.
        n_resamples: of the bootstrap; 0 gives no intervals.
        seed: of the bootstrap.
        interval: ``"percentile"`` or ``"bca"``, see ``bootstrap_metrics``.
        absent: what a class that a resample loses counts: ``"redraw"``, ``"skip"`` or ``"half"``, likewise.
        caution: what makes the figures optimistic.

    Returns:
        Plain values for JSON.
    """
    y, p = predictions.targets, predictions.probabilities
    if not len(y):
        return empty_judgement(split, "no records")
    if not defined_classes(y).any():
        return empty_judgement(split, "no class has both a positive and a negative record", len(y))
    macro, per_class, how = bootstrap_metrics(
        y, p, predictions.groups, n_resamples=n_resamples, seed=seed, method=interval, absent=absent
    )
    defined = defined_classes(y)
    known = [patient for patient in predictions.patient_id if patient is not None]
    return {
        "split": split,
        "n_records": len(y),
        "n_patients": len(set(known)) if len(known) == len(y) else None,
        "kind": decisions.kind,
        "classes": list(predictions.classes),
        "macro": {name: asdict(value) for name, value in macro.items()},
        "averages": {
            average: {"auroc": _mean(auroc, y, p, average), "auprc": _mean(auprc, y, p, average)}
            for average in ("micro", "weighted")
        },
        "fmax_threshold": fmax(y[:, defined], p[:, defined])[1],
        "per_class": _rows(predictions.classes, y, p, per_class, decided, decisions),
        "undefined": [
            {"class": c, "reason": _reason(y[:, k])} for k, c in enumerate(predictions.classes) if not defined[k]
        ],
        "interval": asdict(how) | {"unit": predictions.unit},
        "decisions": how_decided,
        **judge_trust(y, p, decided, decisions),
        **_multiclass(predictions.classes, y, decided, decisions),
        "caution": [*caution, *_conditions(how.n_resamples, n_resamples, int(defined.sum()), len(defined))],
    }


def decision_figures(y: Array, decided: NDArray[np.bool_]) -> list[dict[str, float | None]]:
    """Sensitivity, specificity, PPV, NPV, F1 and more of each class; None where a denominator is zero."""
    rates = decision_metrics(confusion_counts(y, decided))
    return [{name: plain(rates[name][k]) for name in _RATES} for k in range(y.shape[1])]


def empty_judgement(split: str, reason: str, n_records: int = 0) -> dict[str, Any]:
    """Say that a split cannot be judged, and why."""
    return {"split": split, "n_records": n_records, "reason": reason}


def _mean(metric: Callable[[Array, Array], Array], y: ArrayLike, p: ArrayLike, average: str) -> float | None:
    return plain(averaged(metric, y, p, average))


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


def _rows(
    classes: Sequence[str],
    y: Array,
    p: Array,
    per_class: Mapping[str, list[Interval | None]],
    decided: Decided,
    decisions: Decisions,
) -> list[dict[str, Any]]:
    figures = decision_figures(y, decided.present)
    fit = {name: metric(y, decided.probabilities) for name, metric in _CALIBRATION.items()}
    reached = sensitivity_at_specificity(y, p, _SPECIFICITY)
    rows = []
    for k, name in enumerate(classes):
        area, average, limit = per_class["auroc"][k], per_class["auprc"][k], decisions.thresholds[k]
        undecided = limit is None and decisions.kind == "multilabel"
        rows.append(
            {
                "class": name,
                "positives": int((y[:, k] == 1).sum()),
                "negatives": int((y[:, k] == 0).sum()),
                "auroc": asdict(area) if area else None,
                "auprc": asdict(average) if average else None,
                "threshold": limit,
                **(dict.fromkeys(figures[k]) if undecided else figures[k]),
                f"sensitivity_at_{_SPECIFICITY:g}_specificity": plain(reached[k]),
                **{metric: plain(values[k]) for metric, values in fit.items()},
            }
        )
    return rows


def _multiclass(classes: Sequence[str], y: Array, decided: Decided, decisions: Decisions) -> dict[str, Any]:
    """The confusion matrix of classes that exclude each other, and what ANSI/AAMI EC57 asks for where they are beats.

    Rows are the truth, columns the decision; records without a known class are left out.
    """
    if decisions.kind != "multiclass":
        return {"confusion": None}
    known = (y == 1).any(axis=1)
    true, said = np.nan_to_num(y[known]).argmax(axis=1), decided.present[known].argmax(axis=1)
    confusion = multiclass_confusion(true, said, y.shape[1])
    if not {"S", "V"} <= set(classes) <= set(AAMI_CLASSES):
        return {"confusion": confusion.tolist()}
    beats = {
        detected: {name: plain(value) for name, value in rates.items()}
        for detected, rates in aami_summary(confusion, classes).items()
    }
    return {"confusion": confusion.tolist(), "beats": beats}


def _reason(y: Array) -> str:
    return "no positive record" if not (y == 1).any() else "no negative record"
