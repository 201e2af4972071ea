"""``einthoven describe``: what a dataset holds, as one page or as numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from einthoven.cli.progress import bar

__all__ = ["describe"]


def describe(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    out: Annotated[Path | None, typer.Option(help="page to write  [default: DATASET/description.html]")] = None,
    task: Annotated[str | None, typer.Option(help="whose classes are shown  [default: superdiagnostic or all]")] = None,
    split: Annotated[str | None, typer.Option(help="whose folds  [default: the corpus' own]")] = None,
    examples: Annotated[int, typer.Option(min=0, max=10, help="strips per class")] = 2,
    sampled: Annotated[int, typer.Option(min=0, help="records whose signal quality is checked, drawn by seed")] = 1000,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="search all signals for duplicates")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the draw")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the same figures as JSON, write no page")] = False,
) -> None:
    """Show what a dataset is: labels and how they go together, age, sex, sources, quality, an example of each class."""
    from einthoven.dataset import open_dataset
    from einthoven.workflow.describing import describe_dataset, write_description
    from einthoven.workflow.splitting import usual_task

    opened = open_dataset(dataset)
    wanted = usual_task(opened, task)
    with bar("measuring") as progress:
        found = describe_dataset(
            opened, wanted, split=split, sampled=sampled, seed=seed, duplicates=duplicates, progress=progress
        )
    if as_json:
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
        return
    out = out or dataset / "description.html"
    with bar("drawing") as progress:
        write_description(out, opened, wanted, found, examples=examples, progress=progress)
    labels = found.labels
    patients = "unknown" if found.facts["patients"] is None else f"{found.facts['patients']:,}"
    print(
        f"{dataset}: {labels.n_records:,} records, patients {patients}, {len(labels.classes)} classes of {wanted.name}"
    )
    print(f"page  {out}")
