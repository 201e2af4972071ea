"""``einthoven sources``: how models do on each source, and how far the sources lie apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["sources"]


def sources(
    models: Annotated[list[str], typer.Argument(help="run or evaluation folders, or predictions files (Parquet)")],
    split: Annotated[str, typer.Option(help="whose predictions of a folder: train, validation or test")] = "test",
    table: Annotated[Path | None, typer.Option(help="write the table into this CSV file too")] = None,
    n_resamples: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Judge models on each source of their predictions, as runs that each held one source out."""
    from einthoven import workflow

    found = workflow.by_source(models, split=split, table=table, n_resamples=n_resamples, seed=seed)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for row in found["rows"]:
        print(_line(row))
    common = found["common_classes"]
    print(f"common: the {len(common)} classes that every row defines: {', '.join(common) or 'none'}")
    for row in found["summary"]:
        if row["figure"] in ("auroc", "auroc_common") and row["n"] > 1:
            what = "macro AUROC" + (" of the common classes" if row["figure"] == "auroc_common" else "")
            print(f"{row['model']}: {what} of {row['n']} sources {row['mean']:.4f}, deviation {row['deviation']:.4f}")


def _line(row: Mapping[str, Any]) -> str:
    from einthoven.evaluation.wording import cohort, decimal, estimate

    who = cohort({"n_records": row["records"], "n_patients": row["patients"]})
    figure = {"value": row["auroc"], "low": row["auroc_low"], "high": row["auroc_high"]}
    shown = "undefined" if row["auroc"] is None else estimate(figure)
    return (
        f"{row['model']}  {row['source']}: {who}; macro AUROC of {row['classes']} classes {shown}, common "
        f"{decimal(row['auroc_common'], 4)}"
    )
