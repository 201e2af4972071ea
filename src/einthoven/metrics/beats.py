"""Beat classification as MIT-BIH results are reported: Se and +P per class, and the AAMI summary of SVEB and VEB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.decisions import Counts, decision_metrics, one_versus_rest

__all__ = ["AAMI_CLASSES", "aami_summary", "beat_metrics"]

AAMI_CLASSES = ("N", "S", "V", "F", "Q")

# ANSI/AAMI EC57: calling a fusion or unclassifiable beat ventricular, or an unclassifiable one supraventricular, is
# neither right nor wrong.
_NOT_PENALISED = {"SVEB": ("S", ("Q",)), "VEB": ("V", ("F", "Q"))}


def beat_metrics(confusion: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Sensitivity (Se) and positive predictivity (+P) of each class, shape (classes,); NaN where undefined.

    Args:
        confusion: shape (classes, classes), beats by truth (rows) and prediction (columns).

    >>> round(float(beat_metrics([[8, 2], [1, 4]])["se"].mean()), 3)
    0.8
    """
    rates = decision_metrics(one_versus_rest(confusion))
    return {"se": rates["sensitivity"], "ppv": rates["ppv"]}


def aami_summary(confusion: ArrayLike, classes: Sequence[str] = AAMI_CLASSES) -> dict[str, dict[str, float]]:
    """Se, +P, false-positive rate and accuracy of SVEB and VEB detection after ANSI/AAMI EC57.

    Fusion (F) and unclassifiable (Q) beats called V, and Q beats called S, are left out, as in de Chazal, O'Dwyer and
    Reilly 2004.

    Args:
        confusion: shape (classes, classes), beats by truth (rows) and prediction (columns).
        classes: the AAMI letters in the matrix's order; S and V must be among them.

    Raises:
        ValueError: a letter is not one of AAMI's, one is absent, or the matrix has another size.
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    if matrix.shape != (len(classes), len(classes)):
        raise ValueError(f"the confusion matrix must be {len(classes)} x {len(classes)}, got shape {matrix.shape}")
    if len(set(classes)) < len(classes) or not {"S", "V"} <= set(classes) <= set(AAMI_CLASSES):
        raise ValueError(f"classes must be AAMI's {', '.join(AAMI_CLASSES)} with S and V, got {', '.join(classes)}")
    return {name: _detection(matrix, classes, *rule) for name, rule in _NOT_PENALISED.items()}


def _detection(
    matrix: NDArray[np.float64], classes: Sequence[str], letter: str, ignored: tuple[str, ...]
) -> dict[str, float]:
    k = classes.index(letter)
    counted = matrix.copy()
    counted[[j for j, name in enumerate(classes) if name in ignored], k] = 0
    every = one_versus_rest(counted)
    one = Counts(*(cell[k : k + 1] for cell in (every.tp, every.fp, every.fn, every.tn)))
    rates = {name: float(values[0]) for name, values in decision_metrics(one).items()}
    return {
        "se": rates["sensitivity"],
        "ppv": rates["ppv"],
        "fpr": 1 - rates["specificity"],
        "accuracy": rates["accuracy"],
    }
