"""Is an artefact still the model? Its answers beside the reference's, on every record of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions import Decided, Decisions
from einthoven.errors import DatasetError
from einthoven.evaluation.predictions import Predictions
from einthoven.metrics import (
    Resampling,
    defined_classes,
    macro_auroc_draws,
    paired_difference,
    resampling_weights,
)

__all__ = ["prove", "verdict_of"]

Json = dict[str, Any]
_LEVEL = 0.95


def prove(
    reference: Predictions,
    artefact: Predictions,
    decisions: Decisions,
    own: Decisions | None = None,
    *,
    max_drop: float = 0.005,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Json:
    """Compare an artefact with its reference.

    AUROC is of the scores; probabilities and decisions are those that a user is shown, after the bundle's calibration,
    thresholds and contradictions.

    Args:
        reference: of the trained network in PyTorch.
        artefact: of the same records in the same order.
        decisions: the reference's.
        own: the artefact's, where it is a model of its own and has others.
        max_drop: of the macro AUROC, beyond which the artefact is not good.
        n_resamples: of patients, for the intervals of the differences.
        seed: of the resamples.

    Returns:
        Plain values for JSON; differences are the artefact's figure minus the reference's, flips per class are in the
        order of the classes.

    Raises:
        DatasetError: no class has both a positive and a negative record.
    """
    defined = defined_classes(reference.targets)
    names = [name for name, known in zip(reference.classes, defined, strict=True) if known]
    if not names:
        raise DatasetError(
            "no class has both a positive and a negative record in this split, so nothing can be proven on it; name "
            "another with --split"
        )
    y = reference.targets[:, defined]
    weights, n_units, n_drawn = resampling_weights(y, reference.groups, n_resamples, seed)
    draws = [_class_draws(y, each.probabilities[:, defined], weights) for each in (artefact, reference)]
    macro = _difference(draws[0].mean(axis=0), draws[1].mean(axis=0))
    unit = "record" if reference.groups is None else "patient"
    drop = -macro["difference"]["value"]
    return {
        "n_records": len(y),
        "macro_auroc": macro,
        "per_class": [{"class": name, **_difference(a, b)} for name, a, b in zip(names, *draws, strict=True)],
        "undefined": [name for name, known in zip(reference.classes, defined, strict=True) if not known],
        **_answers(decisions.decide(reference.probabilities), (own or decisions).decide(artefact.probabilities)),
        "interval": asdict(Resampling(weights.shape[1], n_units, n_drawn, _LEVEL, seed, unit)),
        "max_drop": max_drop,
        "good": bool(drop <= max_drop),
    }


def verdict_of(proof: Json) -> str:
    """Say what a proof says, as a sentence without a full stop.

    >>> auroc = {"reference": 0.94, "artefact": 0.93, "difference": {"value": -0.01, "low": None, "high": None}}
    >>> verdict_of({"macro_auroc": auroc, "good": False, "max_drop": 0.005})
    'macro AUROC falls from 0.9400 to 0.9300, by 0.0100, more than the 0.005 allowed'
    """
    macro = proof["macro_auroc"]
    value = macro["difference"]["value"]
    before, after = f"{macro['reference']:.4f}", f"{macro['artefact']:.4f}"
    text = f"macro AUROC {'falls' if value < 0 else 'goes'} from {before} to {after}"
    if before == after and proof["good"]:
        return f"macro AUROC stays at {after}"
    return text if proof["good"] else f"{text}, by {-value:.4f}, more than the {proof['max_drop']:g} allowed"


def _class_draws(y: NDArray[np.float64], p: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """AUROC of each class on the data and on every resample, shape (classes, 1 + resamples)."""
    columns: Sequence[int] = range(y.shape[1])
    return np.stack([macro_auroc_draws(y[:, [k]], p[:, [k]], weights) for k in columns])


def _difference(artefact: NDArray[np.float64], reference: NDArray[np.float64]) -> Json:
    found = paired_difference(artefact, reference, _LEVEL)
    return {
        "reference": float(reference[0]),
        "artefact": float(artefact[0]),
        "difference": {"value": found.value, "low": found.low, "high": found.high},
    }


def _answers(before: Decided, after: Decided) -> Json:
    """How far probabilities move, and which decisions change."""
    moved = np.abs(after.probabilities - before.probabilities)
    flipped = before.present != after.present
    return {
        "probability_difference": {
            "largest": float(moved.max()),
            "p99": float(np.quantile(moved, 0.99)),
            "median": float(np.median(moved)),
        },
        "flips": {
            "decisions": int(flipped.sum()),
            "of": int(flipped.size),
            "records": int(flipped.any(axis=1).sum()),
            "per_class": flipped.sum(axis=0).tolist(),
        },
    }
