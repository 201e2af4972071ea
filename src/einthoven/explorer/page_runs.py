"""The page over runs: which there are, how they learned, what they reach, and where they err."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from einthoven.evaluation.wording import ABSENT, counted, decimal, duration
from einthoven.explorer.frame import card, draw, note, put, section, sentences
from einthoven.explorer.markup import table
from einthoven.explorer.settings import current
from einthoven.explorer.show_judgement import show_judgement
from einthoven.training.runs import Run
from einthoven.workflow.runs_table import SORTS, history_of, runs_table

__all__ = ["show"]

_SORT_WORDS = {
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "loss": "loss",
    "parameters": "parameters",
    "seconds": "time",
    "date": "date",
    "run": "name",
}
_MOST_DRAWN = 40


def show() -> None:
    """Draw the page."""
    section("Runs", "runs", level=1)
    with sentences("the table of runs"):
        folder = current().runs
        if not folder.is_dir():
            note(f"No folder {folder}: train a model, or start the Explorer with --runs.", "open")
            return
        rows = _table(folder)
        with card("histories"), sentences("the histories"):
            _histories(folder, rows)
        with card("judged"), sentences("the judgement"):
            _judged(folder, rows)


def _table(folder: Path) -> list[dict[str, Any]]:
    with card("runs"):
        section("All runs")
        sort = st.selectbox("Sorted by", list(SORTS), format_func=_SORT_WORDS.__getitem__, key="runs sort")
        rows = runs_table(folder, sort=sort)
        columns = ("Run", "State", "Model", "Epochs", "AUROC", "Loss", "Accuracy", "Parameters", "Time", "Date")
        caption = f"{counted(len(rows), 'run')} in {folder}; figures are the best of their epochs on validation"
        put(table(columns, [_cells(row) for row in rows], caption, words=3))
    return rows


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["run"],
        row["state"],
        row["model"] or ABSENT,
        ABSENT if row["epochs"] is None else f"{row['epochs']} of {row['epochs_wanted']}",
        decimal(row["auroc"], 4),
        decimal(row["loss"], 4),
        decimal(row["accuracy"], 4),
        ABSENT if row["parameters"] is None else f"{row['parameters']:,}",
        ABSENT if row["seconds"] is None else duration(row["seconds"]),
        (row["date"] or ABSENT)[:16].replace("T", " "),
    )


def _histories(folder: Path, rows: list[dict[str, Any]]) -> None:
    section("How they learned")
    names = [row["run"] for row in rows if row["epochs"]]
    if not names:
        note("No run has an epoch yet.")
        return
    chosen = st.multiselect("Runs", names, default=names[:8], key="histories")
    if len(chosen) > _MOST_DRAWN:
        note(f"At most {_MOST_DRAWN} are drawn.", "open")
    if chosen:
        from einthoven.plots.histories import histories_figure

        figure = histories_figure({name: history_of(Run(folder / name)) for name in chosen[:_MOST_DRAWN]})
        words = "Validation AUROC, validation loss, training loss and learning rate over epochs"
        draw(figure, words)


def _judged(folder: Path, rows: list[dict[str, Any]]) -> None:
    section("What a run reaches, and where it errs", "metrics")
    names = [row["run"] for row in rows if (folder / row["run"] / "metrics.json").is_file()]
    if not names:
        note("No run has been judged yet: training judges the validation split when it ends.")
        return
    show_judgement(folder / st.selectbox("Run", names, key="judged run"))
