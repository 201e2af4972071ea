"""How far can a finding be believed? Calibration, stated coverage, contradictions, and what abstaining would gain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions import Conformal, Decided, Decisions, log_odds
from einthoven.metrics import average_classes, brier, calibration_error, log_loss, reliability

__all__ = ["judge_trust", "plain", "risk_coverage"]

Array = NDArray[np.float64]

_BINS = 10
_COVERAGES = np.linspace(0.05, 1, 20)


def judge_trust(y: Array, p: Array, decided: Decided, decisions: Decisions) -> dict[str, Any]:
    """Judge everything that is claimed beside the decision itself.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN (unknown).
        p: the network's scores, same shape.
        decided: about the same records; cross-fitted where the steps were fitted on them.
        decisions: the fitted steps.
    """
    return {
        "calibration": {
            "method": decisions.calibration.method,
            "uncalibrated": _uncalibrated(decisions),
            "before": _fit(y, p),
            "after": _fit(y, decided.probabilities),
            "reliability": _reliability(y, decided.probabilities),
        },
        "conformal": _coverage(y, decided, decisions.conformal),
        "contradictions": {
            "rules": {name: list(others) for name, others in decisions.exclusions.items()},
            "records": int(decided.overruled.any(axis=1).sum()),
            "overruled": decided.overruled.sum(axis=0).tolist(),
        },
        "abstention": risk_coverage(y, decided, decisions),
    }


def _uncalibrated(decisions: Decisions) -> list[str]:
    if decisions.calibration.method in ("none", "softmax"):
        return []
    pairs = zip(decisions.classes, decisions.calibration.maps, strict=True)
    return [name for name, found in pairs if found is None]


def _fit(y: Array, p: Array) -> dict[str, float | None]:
    values = {name: metric(y, p) for name, metric in (("brier", brier), ("log_loss", log_loss))}
    values["ece"] = calibration_error(y, p)
    return {name: plain(average_classes(each, y)) for name, each in values.items()}


def _reliability(y: Array, p: Array) -> list[dict[str, list[float | None]]]:
    count, mean, share = reliability(y, p, _BINS)
    return [
        {"count": count[k].tolist(), "mean": [plain(v) for v in mean[k]], "share": [plain(v) for v in share[k]]}
        for k in range(y.shape[1])
    ]


def _coverage(y: Array, decided: Decided, conformal: Conformal | None) -> dict[str, Any] | None:
    if conformal is None or decided.may_be_present is None or decided.may_be_absent is None:
        return None
    positive, negative = y == 1, y == 0
    with_both = decided.may_be_present & decided.may_be_absent & ~np.isnan(y)
    rows = []
    for k in range(y.shape[1]):
        known = int((~np.isnan(y[:, k])).sum())
        rows.append(
            {
                "positives_covered": _share(decided.may_be_present[positive[:, k], k]),
                "negatives_covered": _share(decided.may_be_absent[negative[:, k], k]),
                "undecided": float(with_both[:, k].sum() / known) if known else None,
            }
        )
    covered = (decided.may_be_present & positive) | (decided.may_be_absent & negative)
    everything = positive | negative
    return {
        "error": conformal.error,
        "covered": float(covered.sum() / everything.sum()),
        "per_class": rows,
    }


def risk_coverage(y: Array, decided: Decided, decisions: Decisions) -> dict[str, Any] | None:
    """How the share of wrong records falls when the least certain ones are left to a human.

    A record is wrong where any known class is decided wrongly. Certainty is the smallest distance, in log-odds, of a
    class's probability from its threshold (in a multi-class model, of the likeliest class from the second). The curve
    and the area under it follow Geifman and El-Yaniv 2017.
    """
    certainty = _certainty(decided.probabilities, decisions)
    if certainty is None:
        return None
    known = ~np.isnan(y)
    wrong = ((decided.present != (y == 1)) & known).any(axis=1)
    order = np.argsort(-certainty, kind="stable")
    risk = np.cumsum(wrong[order]) / np.arange(1, len(y) + 1)
    kept = np.maximum(1, np.rint(_COVERAGES * len(y)).astype(int))
    return {
        "coverage": _COVERAGES.round(2).tolist(),
        "risk": risk[kept - 1].tolist(),
        "area": float(risk.mean()),
    }


def _certainty(q: Array, decisions: Decisions) -> Array | None:
    if decisions.kind == "multiclass":
        top = np.sort(q, axis=1)[:, -2:]
        return np.asarray(top[:, 1] - top[:, 0]) if q.shape[1] > 1 else None
    fitted = [k for k, limit in enumerate(decisions.thresholds) if limit is not None]
    if not fitted:
        return None
    limits = np.array([decisions.thresholds[k] for k in fitted], dtype=np.float64)
    return np.asarray(np.abs(log_odds(q[:, fitted]) - log_odds(limits)).min(axis=1))


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None


def plain(value: float) -> float | None:
    """Return a number for JSON, None where it is not defined."""
    return None if np.isnan(value) else float(value)
