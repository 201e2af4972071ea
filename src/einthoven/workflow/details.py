"""What lies behind a judgement, on disk: tables beside ``metrics.json``, the worst mistakes as strips, class by class.

One idea: everything here is made again from predictions and decisions, and nothing in it changes the judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset
from einthoven.evaluation.errors import choose_mistakes, draw_mistakes, file_name, worst_mistakes
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.sources import part_rows
from einthoven.evaluation.tables import (
    confusion_rows,
    mistake_rows,
    sweep_rows,
    write_csv,
)
from einthoven.metrics import defined_classes
from einthoven.workflow.deciding import Judged

__all__ = ["write_class_reports", "write_mistakes", "write_tables"]

_FOLD_RESAMPLES = 200


def _fold_rows(predictions: Predictions) -> list[dict[str, Any]]:
    """Judge each fold of a split by itself, as rows of the report; none where there is only one."""
    if len(set(predictions.fold)) < 2:
        return []
    rows = part_rows(predictions, "fold", n_resamples=_FOLD_RESAMPLES)
    return [{"name": f"fold {row['fold']}", **row} for row in rows]


def write_tables(
    folder: Path, judgement: Mapping[str, Any], predictions: Predictions, judged: Judged
) -> list[dict[str, Any]]:
    """Write the tables of one split.

    These are ``threshold-sweep-<split>.csv``, ``errors-<split>.csv``, ``folds-<split>.csv`` where the split has several
    folds, and ``confusion-<split>.csv`` of a multi-class model.

    Args:
        folder: of the judgement.
        judgement: of the split; it could be judged.
        predictions: of the split.
        judged: the decisions about them.

    Returns:
        The rows of its folds; none where there is only one.
    """
    tables = {
        "threshold-sweep": sweep_rows(predictions, judged.decided),
        "errors": mistake_rows(worst_mistakes(predictions, judged.decided, judged.decisions), predictions),
    }
    folds = _fold_rows(predictions)
    if folds:
        tables["folds"] = folds
    if judgement["confusion"]:
        tables["confusion"] = confusion_rows(judgement)
    for name, rows in tables.items():
        write_csv(folder / f"{name}-{judgement['split']}.csv", rows)
    return folds


def write_mistakes(
    folder: Path,
    split: str,
    predictions: Predictions,
    judged: Judged,
    dataset: Dataset,
    rows: NDArray[np.int64],
    each: int = 2,
) -> list[dict[str, str]]:
    """Draw the worst false alarms and misses of each class into ``errors-<split>/``; strips of earlier ones go.

    Args:
        folder: of the judgement.
        split: that was judged.
        predictions: of the split.
        judged: the decisions about them.
        dataset: that was judged.
        rows: of the dataset, one per prediction.
        each: how many of either kind per class.

    Returns:
        See ``draw_mistakes``; files are named from ``folder`` on.
    """
    place = folder / f"errors-{split}"
    for old in place.glob("*.png"):
        old.unlink()
    mistakes = worst_mistakes(predictions, judged.decided, judged.decisions)
    drawn = draw_mistakes(choose_mistakes(mistakes, predictions, each), predictions, dataset, rows, place)
    return [{**strip, "file": f"{place.name}/{strip['file']}"} for strip in drawn]


def write_class_reports(folder: Path, split: str, predictions: Predictions, judged: Judged) -> list[Path]:
    """Draw every class that has positives and negatives, as ``plots/<split>-<class>.png`` and ``.svg``.

    Args:
        folder: of the judgement.
        split: that was judged.
        predictions: of the split.
        judged: the decisions about them.
    """
    from einthoven.plots.class_report import class_report_figure
    from einthoven.plots.inline import save_figure

    y, p, decided, decisions = predictions.targets, predictions.probabilities, judged.decided, judged.decisions
    written = []
    for k in np.flatnonzero(defined_classes(y)):
        name, limit = predictions.classes[k], decisions.thresholds[k]
        present = None if limit is None and decisions.kind != "multiclass" else decided.present[:, k]
        figure = class_report_figure(y[:, k], p[:, k], decided.probabilities[:, k], name, limit, present)
        for suffix in ("png", "svg"):
            written.append(folder / "plots" / f"{split}-{file_name(name)}.{suffix}")
            save_figure(figure, written[-1])
    return written
