"""Writing a judgement: predictions, metrics, plots and report in one folder, which one process writes at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError, EinthovenError
from einthoven.evaluation.pdf import write_pdf
from einthoven.evaluation.predictions import Predictions, read_predictions, write_predictions
from einthoven.evaluation.report import write_report
from einthoven.evaluation.tables import per_class_rows, subgroup_rows, write_csv
from einthoven.files import read_json, write_json
from einthoven.plots.curves import roc_pr_figure, save_figure
from einthoven.workflow.selection import SPLITS

__all__ = ["locked", "refuse_foreign", "write_judgement"]


def write_judgement(
    folder: Path,
    judgement: dict[str, Any],
    predictions: Predictions,
    *,
    title: str,
    history: Sequence[dict[str, Any]] = (),
    context: Mapping[str, Any],
    pdf: bool = False,
) -> dict[str, Any]:
    """Write predictions, metrics, plots and report; splits judged earlier stay in them.

    Args:
        folder: to write into.
        judgement: of one split, with ``judged``: what tells it from judgements of another model or dataset.
        predictions: that were judged.
        title: of the report.
        history: figures per epoch, where something was trained.
        context: see ``write_report``.
        pdf: also print the report.

    Returns:
        What ``metrics.json`` now holds: the judgement of each split.
    """
    split = judgement["split"]
    write_predictions(folder / f"predictions-{split}.parquet", predictions)
    known = folder / "metrics.json"
    metrics = read_json(known, DatasetError, "a run") if known.is_file() else {}
    # Only judgements of the same weights on the same dataset stand side by side.
    metrics = {name: each for name, each in metrics.items() if each["judged"] == judgement["judged"]}
    metrics[split] = judgement
    metrics = {name: metrics[name] for name in sorted(metrics, key=_place)}
    write_json(known, metrics)
    scores = {
        name: (stored.targets, stored.probabilities)
        for name, each in metrics.items()
        if "macro" in each
        for stored in [read_predictions(folder / f"predictions-{name}.parquet")]
    }
    if split in scores:
        figure = roc_pr_figure(*scores[split], predictions.classes)
        for suffix in ("png", "svg"):
            save_figure(figure, folder / "plots" / f"roc-pr-{split}.{suffix}")
    write_report(
        folder / "report.html",
        title=title,
        judgements=list(metrics.values()),
        scores=scores,
        history=list(history),
        context=dict(context),
    )
    for name, rows in (("per-class", per_class_rows(metrics)), ("subgroups", subgroup_rows(metrics))):
        write_csv(folder / f"{name}.csv", rows)
    if pdf:
        write_pdf(folder / "report.html", folder / "report.pdf")
    return metrics


def _place(split: str) -> tuple[int, str]:
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS)), split


def refuse_foreign(folder: Path, key: str, name: str) -> None:
    """Refuse a folder whose ``metrics.json`` is not of the same kind and about the same thing.

    Args:
        folder: that is to be written.
        key: in ``judged``, what kind of judgement this is.
        name: of the dataset that is judged.

    Raises:
        EinthovenError: the folder holds another judgement.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        return
    for split, each in read_json(path, DatasetError, "a judgement").items():
        if key not in each["judged"] or each["dataset"]["name"] != name:
            raise EinthovenError(
                f"{folder}: holds the judgement of something else ({split} of {each['dataset']['name']}); name another "
                "folder with --out"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Claim a folder for one judgement.

    Raises:
        EinthovenError: another process judges into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".evaluate.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EinthovenError(f"{folder}: another process is judging into this folder; wait for it") from None
        yield
