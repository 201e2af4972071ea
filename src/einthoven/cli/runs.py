"""``einthoven runs``: what runs there are as a table, JSON or CSV, and their histories in one drawing."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.tables import Columns, print_columns
from einthoven.errors import EinthovenError

__all__ = ["runs"]


def runs(
    folder: Annotated[Path, typer.Argument(help="folder of the run folders")] = Path("runs"),
    pattern: Annotated[
        str, typer.Option("--filter", help="only runs whose name, as mine/001, or recipe matches this glob")
    ] = "*",
    sort: Annotated[
        str, typer.Option(help="by auroc, loss, accuracy (the best of its epochs), parameters, seconds, date or run")
    ] = "auroc",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="draw the histories together into this file: .png, .svg or .pdf")
    ] = None,
) -> None:
    """List runs with state, best validation figures, size, time and date."""
    from einthoven.workflow.runs_table import runs_table

    if as_json and as_csv:
        raise EinthovenError("choose one of --json and --csv")
    rows = runs_table(folder, pattern, sort)
    if as_json:
        print(json.dumps(rows, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_columns(_COLUMNS, rows, _N_WORDS)
    if plot is not None:
        _plot(folder, rows, plot)


def _number(key: str, form: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "" if row[key] is None else format(row[key], form)


_N_WORDS = 3
_COLUMNS: Columns = (
    ("run", lambda row: row["run"]),
    ("state", lambda row: row["state"]),
    ("model", lambda row: row["model"] or ""),
    ("epochs", lambda row: "" if row["epochs"] is None else f"{row['epochs']}/{row['epochs_wanted']}"),
    ("AUROC", _number("auroc", ".4f")),
    ("epoch", _number("best_epoch", "d")),
    ("loss", _number("loss", ".4f")),
    ("accuracy", _number("accuracy", ".4f")),
    ("parameters", _number("parameters", ",")),
    ("seconds", _number("seconds", ",.1f")),
    ("date", lambda row: (row["date"] or "")[:16].replace("T", " ")),
)


def _plot(folder: Path, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from einthoven.plots.histories import histories_figure
    from einthoven.plots.inline import save_figure
    from einthoven.training.runs import Run
    from einthoven.workflow.runs_table import history_of

    histories = {row["run"]: history_of(Run(folder / row["run"])) for row in rows}
    try:
        figure = histories_figure(histories)
    except ValueError as error:
        raise EinthovenError(f"{folder}: {error}") from None
    save_figure(figure, path)
    print(f"plot    {path}")
