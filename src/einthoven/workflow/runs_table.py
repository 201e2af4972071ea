"""What runs are there? One row per run folder, whatever state it is in, and the histories for a drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from einthoven.errors import EinthovenError, RecipeError, nearest
from einthoven.files import read_json
from einthoven.training.runs import CRITERIA, Run, best_epoch

__all__ = ["SORTS", "find_runs", "history_of", "runs_table"]

Row = dict[str, Any]

# Columns to sort by, and whether the largest comes first.
SORTS = {
    "auroc": True,
    "accuracy": True,
    "loss": False,
    "parameters": False,
    "seconds": False,
    "date": True,
    "run": False,
}


def runs_table(folder: Path, pattern: str = "*", sort: str = "auroc") -> list[Row]:
    """Return a row per run of a folder.

    Args:
        folder: usually ``runs``; runs are ``<recipe>/<NNN>`` in it.
        pattern: a glob that the run's ``<recipe>/<NNN>`` or its recipe's name matches.
        sort: one of ``SORTS``; runs that lack the figure come last.

    Returns:
        Rows with ``run``, ``state`` (finished, training, interrupted or trial, with "short" before it; or unreadable),
        ``epochs`` (done), ``epochs_wanted``, ``model``, ``auroc``, ``loss`` and ``accuracy`` on validation, each the
        best of all epochs, ``best_epoch`` (by AUROC), ``parameters``, ``seconds`` (of its epochs) and ``date``.

    Raises:
        EinthovenError: no such folder, or no run in it that matches.
        RecipeError: an unknown column to sort by.
    """
    if sort not in SORTS:
        raise RecipeError(f"cannot sort by {sort!r}{nearest(sort, SORTS)}; columns are {', '.join(SORTS)}")
    rows = [_row(folder, run) for run in find_runs(folder, pattern)]
    known = [row for row in rows if row[sort] is not None]
    unknown = [row for row in rows if row[sort] is None]
    return sorted(known, key=lambda row: row[sort], reverse=SORTS[sort]) + unknown


def find_runs(folder: Path, pattern: str = "*") -> list[Run]:
    """Return the runs of a folder, by recipe and number.

    Raises:
        EinthovenError: no such folder, or no run in it that matches.
    """
    if not folder.is_dir():
        raise EinthovenError(f"{folder}: no such folder; name the one that run folders lie in")
    found = [path.parent for path in folder.glob("*/*/recipe.yaml") if path.parent.name.isdigit()]
    chosen = [
        path
        for path in sorted(found, key=lambda path: (path.parent.name, int(path.name)))
        if fnmatchcase(_name(folder, path), pattern) or fnmatchcase(path.parent.name, pattern)
    ]
    if not chosen:
        which = "no run is in this folder" if not found else f"none of its {len(found)} runs matches {pattern!r}"
        raise EinthovenError(f"{folder}: {which}")
    return [Run(path) for path in chosen]


def history_of(run: Run) -> list[dict[str, float]]:
    """Return the epochs of a run as far as they are numbers; none of one that cannot be read."""
    try:
        return run.read_history()
    except (OSError, ValueError):
        return []


def _row(folder: Path, run: Run) -> Row:
    row: Row = dict.fromkeys(("run", "state", "epochs", "epochs_wanted", "model", *CRITERIA))
    row |= dict.fromkeys(("best_epoch", "parameters", "seconds", "date"))
    row |= {"run": _name(folder, run.path), "state": "unreadable"}
    try:
        recipe, about, history = run.recipe(), run.environment(), run.read_history()
    except (EinthovenError, OSError, ValueError):
        return row
    row |= {
        "state": ("short, " if run.short else "") + _state(run),
        "epochs": len(history),
        "epochs_wanted": recipe.training.epochs,
        "model": recipe.model.name,
        "parameters": about.get("parameters") or _parameters(run),
        "seconds": sum(epoch["seconds"] for epoch in history),
        "date": about.get("began") or _date(run.path / "recipe.yaml"),
    }
    return row | _best(history)


def _state(run: Run) -> str:
    if run.finished:
        return "finished"
    if "trial" in run.environment():
        return "trial"  # of a sweep, which keeps no weights and writes no report
    return "training" if run.locked else "interrupted"


def _best(history: Sequence[dict[str, float]]) -> Row:
    found: Row = {"best_epoch": best_epoch(history, "auroc")}
    for criterion in CRITERIA:
        if epoch := best_epoch(history, criterion):
            found[criterion] = history[epoch - 1][f"validation_{criterion}"]
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _parameters(run: Run) -> int | None:
    """Of runs that were made before this was noted: only their bundle knows."""
    path = run.bundle / "bundle.json"
    return read_json(path, EinthovenError, "a bundle")["network"].get("n_parameters") if path.is_file() else None


def _date(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(timespec="seconds")


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
