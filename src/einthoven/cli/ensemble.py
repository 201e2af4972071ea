"""``einthoven ensemble``: several trained models become one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from einthoven.cli.evaluate import print_judgement
from einthoven.cli.progress import bar, say

__all__ = ["ensemble"]


def ensemble(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... [DATASET]",
            help="two or more run folders, bundle folders, or recipes (a file or a folder of them: their latest "
            "finished runs); and the dataset that they were trained on, where none of them is a run",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder to write bundle and report into  [default: ensemble-NAMES]")
    ] = None,
    runs: Annotated[Path, typer.Option(help="folder of the runs of recipes")] = Path("runs"),
    n_resamples: Annotated[
        int | None, typer.Option(min=0, help="of the bootstrap  [default: the recipe's, or 1000]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
) -> None:
    """Make one bundle of several models, weighted on their validation split, and judge it there by cross-fitting."""
    from einthoven import workflow
    from einthoven.errors import DatasetError
    from einthoven.files import read_json
    from einthoven.workflow.ensembling import make_ensemble

    places, dataset = workflow.find_models(models, runs)
    with bar("predicting") as progress:
        bundle = make_ensemble(
            places,
            out,
            dataset_path=dataset,
            n_resamples=n_resamples,
            seed=seed,
            progress=progress,
            announce=say,
        )
    folder = bundle.parent
    judgement = read_json(folder / "metrics.json", DatasetError, "a judgement")["validation"]
    for member in read_json(bundle / "bundle.json", DatasetError, "a bundle")["provenance"]["members"]:
        print(f"{member['weight']:.3f}  {member['name']}")
    print_judgement(judgement)
    print(f"report  {folder / 'report.html'}\nbundle  {bundle}")
    print(f"next    einthoven evaluate {folder} {dataset or 'DATASET'} --split test")
