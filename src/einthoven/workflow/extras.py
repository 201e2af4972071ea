"""What is judged and written beside the judgement itself, as far as it was asked for.

One idea: the same call serves a model on a dataset, an ensemble, and a file of predictions that has no signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset
from einthoven.errors import RecipeError, nearest
from einthoven.evaluation.novelty import judge_novelty
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.robustness import judge_robustness, write_robustness_table
from einthoven.evaluation.subgroups import judge_subgroups, quality_of
from einthoven.metrics.bootstrap import ABSENT_RULES, METHODS
from einthoven.plots.inline import save_figure
from einthoven.plots.robustness import robustness_figure
from einthoven.workflow.deciding import Judged
from einthoven.workflow.details import write_class_reports, write_mistakes, write_tables

__all__ = ["Extras", "Signals", "judge_extras", "with_quality", "write_extras"]

Progress = Callable[[int, int], None]
_ROBUSTNESS_RECORDS = 1000  # chosen by the seed: 54 conditions of these take minutes


@dataclass(frozen=True, slots=True)
class Extras:
    """What is wanted.

    Attributes:
        interval: of the macro figures and classes, ``"percentile"`` or ``"bca"``.
        absent: what a class that a resample loses counts there: ``"redraw"``, ``"skip"`` or ``"half"``.
        by: columns of the predictions whose groups are compared; the usual ones by default.
        robustness: judge the same records under noise, missing leads, reversals and more.
        novelty: judge the detector of unlike records on foreign and faulty signals.
        per_class: draw a report of each class.
        pdf: print the report.
    """

    interval: str = "percentile"
    absent: str = "redraw"
    by: tuple[str, ...] | None = None
    robustness: bool = False
    novelty: bool = False
    per_class: bool = False
    pdf: bool = False

    def __post_init__(self) -> None:
        for what, value, known in (("interval", self.interval, METHODS), ("absent", self.absent, ABSENT_RULES)):
            if value not in known:
                raise RecipeError(f"unknown rule {what}={value!r}{nearest(value, known)}; choose {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Signals:
    """Where the judged records' signals are: ``rows`` of ``dataset``, one per prediction."""

    dataset: Dataset
    rows: NDArray[np.int64]


def with_quality(predictions: Predictions, signals: Signals) -> Predictions:
    """Add the column ``quality``: what the check of signals says about each record."""
    quality = quality_of(signals.dataset, signals.rows)
    return replace(predictions, facts={**predictions.facts, "quality": quality})


def judge_extras(
    judgement: dict[str, Any],
    predictions: Predictions,
    judged: Judged,
    extras: Extras,
    *,
    how: dict[str, Any],
    model: Bundle | None = None,
    signals: Signals | None = None,
    progress: Progress | None = None,
) -> None:
    """Add subgroups, and what else was asked for, to a judgement; one that could not be made is left as it is."""
    if "macro" not in judgement:
        return
    judgement["subgroups"] = judge_subgroups(predictions, judged.decided, judged.decisions, columns=extras.by, **how)
    if model is None or signals is None:
        return
    about = (model, signals.dataset, signals.rows, predictions.targets.astype(np.float32))
    seed, n_resamples = how["seed"], how["n_resamples"]
    if extras.robustness:
        judgement["robustness"] = judge_robustness(
            *about, n_records=_ROBUSTNESS_RECORDS, n_resamples=n_resamples, seed=seed, progress=progress
        )
    if extras.novelty:
        judgement["novelty"] = judge_novelty(*about, seed=seed, progress=progress)


def write_extras(
    folder: Path,
    judgement: dict[str, Any],
    predictions: Predictions,
    judged: Judged,
    extras: Extras,
    signals: Signals | None = None,
) -> list[dict[str, Any]]:
    """Write tables and pictures of one split, and name the strips of its worst errors in the judgement.

    Returns:
        The rows of its folds, for the report; see ``write_tables``.
    """
    if "macro" not in judgement:
        return []
    split = judgement["split"]
    if signals is not None:
        judgement["worst_errors"] = write_mistakes(folder, split, predictions, judged, signals.dataset, signals.rows)
    if "robustness" in judgement:
        write_robustness_table(folder / f"robustness-{split}.csv", judgement["robustness"])
        figure = robustness_figure(judgement["robustness"])
        for suffix in ("png", "svg"):
            save_figure(figure, folder / "plots" / f"robustness-{split}.{suffix}")
    if extras.per_class:
        write_class_reports(folder, split, predictions, judged)
    return write_tables(folder, judgement, predictions, judged)
