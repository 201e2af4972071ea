"""``einthoven export``: a bundle in other forms, each proven."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.progress import TrainingBar, bar, say

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="a run folder, a bundle folder, or a pretrained model")],
    dataset: Annotated[
        Path | None, typer.Argument(help="the dataset that it was trained on; a run knows its own")
    ] = None,
    to: Annotated[str, typer.Option(help="forms, as int8,web; see 'einthoven list exports'")] = "int8",
    out: Annotated[
        Path | None,
        typer.Option(help="folder of a copy of the bundle that gets the artefacts  [default: the bundle itself]"),
    ] = None,
    split: Annotated[str, typer.Option(help="on which every artefact is proven")] = "validation",
    max_drop: Annotated[float, typer.Option(min=0, help="of macro AUROC; beyond it an artefact is refused")] = 0.005,
    calibration: Annotated[int, typer.Option(min=1, help="training records that show ranges of activations")] = 256,
    ranges: Annotated[str, typer.Option(help="of activations: minmax or percentile")] = "minmax",
    keep_float: Annotated[str | None, typer.Option(help="layers that stay in 32 bits: first, last, or both")] = None,
    full_range: Annotated[
        bool, typer.Option(help="use all 8 bits of weights; overflows on x86 processors without VNNI")
    ] = False,
    rate: Annotated[float, typer.Option(min=1, help="of the records that the form 'record' takes, in Hz")] = 500,
    seconds: Annotated[float, typer.Option(min=1, help="of those records")] = 10,
    prune: Annotated[
        float | None, typer.Option(help="first take this share of the channels away, and train on")
    ] = None,
    qat: Annotated[bool, typer.Option("--qat", help="first train on with the rounding errors of int8")] = False,
    finetune: Annotated[int, typer.Option(min=1, help="epochs of that training")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="prune in so many steps")] = 1,
    criterion: Annotated[str, typer.Option(help="which channels go: l1, l2, lamp, taylor or hessian")] = "l1",
    scope: Annotated[str, typer.Option(help="global: the least of all layers; layer: as many of each")] = "global",
    runs: Annotated[Path, typer.Option(help="folder of the run that trains on")] = Path("runs"),
    n_resamples: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of calibration records and resamples")] = 0,
) -> None:
    """Make a bundle small and fast, and prove on a whole split that it still gives the model's answers."""
    from einthoven.edge.formats import Options, parse_formats, split_names
    from einthoven.workflow.exporting import export as make

    options = Options(
        ranges, split_names(keep_float or ""), reduce_range=not full_range, record_fs=rate, record_s=seconds
    )
    formats = parse_formats(to)
    proof: dict[str, Any] = {"split": split, "max_drop": max_drop, "n_resamples": n_resamples, "seed": seed}
    if prune is not None or qat:
        training = {"epochs": finetune, "rounds": rounds, "criterion": criterion, "scope": scope, "runs": runs}
        model, dataset = str(_slim(model, dataset, {"ratio": prune, "quantize": qat, **training, **proof})), None
    with bar("proving") as progress:
        done = make(
            model,
            formats,
            dataset,
            out=out,
            n_calibration=calibration,
            options=options,
            **proof,
            progress=progress,
            announce=say,
        )
    print(f"bundle  {done.bundle.path}")
    if done.web:
        print(f"page    {done.web}")
    if done.refused:
        for name, why in done.refused.items():
            print(f"error: {name}: {why}", file=sys.stderr)
        raise typer.Exit(2)


def _slim(model: str, dataset: Path | None, how: dict[str, Any]) -> Path:
    from einthoven.workflow.slimming import slim

    with continuable(), TrainingBar(how["epochs"]) as reporter:
        return slim(model, dataset, reporter=reporter, announce=say, **how)
