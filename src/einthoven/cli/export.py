"""``einthoven export``: a bundle in other forms, each proven."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.progress import TrainingBar, bar, say
from einthoven.errors import RecipeError

__all__ = ["export"]

# Of training on: what holds where an option is not given, and which option it is about.
_TRAINING = {"finetune": 5, "rounds": 1, "criterion": "l1", "scope": "global", "runs": Path("runs")}
_OF_PRUNING = ("rounds", "criterion", "scope")
_STOPPED = "what was put into the bundle is whole; run the command again, with --to for what is left"


def export(
    model: Annotated[str, typer.Argument(help="a run folder, a bundle folder, or a pretrained model")],
    dataset: Annotated[
        Path | None, typer.Argument(help="the dataset that it was trained on; a run knows its own")
    ] = None,
    to: Annotated[str, typer.Option(help="forms, as int8,web; see 'einthoven list exports'")] = "int8",
    out: Annotated[
        Path | None,
        typer.Option(help="folder of a copy that gets the artefacts  [default: the bundle itself; if lean NAME-lean]"),
    ] = None,
    lean: Annotated[
        bool, typer.Option("--lean", help="make a copy for a device: only the forms of --to, no network in 32 bits")
    ] = False,
    split: Annotated[str, typer.Option(help="on which every artefact is proven")] = "validation",
    max_drop: Annotated[float, typer.Option(min=0, help="of macro AUROC; beyond it an artefact is refused")] = 0.005,
    calibration: Annotated[int, typer.Option(min=1, help="training records that show ranges of activations")] = 256,
    no_ids: Annotated[
        bool, typer.Option("--no-ids", help="store number and digest of those records, not their ids")
    ] = False,
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
    finetune: Annotated[int | None, typer.Option(min=1, help="epochs of that training  [default: 5]")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="prune in so many steps  [default: 1]")] = None,
    criterion: Annotated[
        str | None, typer.Option(help="which channels go: l1, l2, lamp, taylor or hessian  [default: l1]")
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="global: the least of all layers; layer: as many of each  [default: global]"),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="folder of the run that trains on  [default: runs]", show_default=False)
    ] = None,
    n_resamples: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of calibration records and resamples")] = 0,
) -> None:
    """Make a bundle small and fast, and prove on a whole split that it still gives the model's answers."""
    from einthoven.edge.formats import Options, parse_formats, split_names

    options = Options(
        ranges, split_names(keep_float or ""), reduce_range=not full_range, record_fs=rate, record_s=seconds
    )
    formats = parse_formats(to)
    stated = {"finetune": finetune, "rounds": rounds, "criterion": criterion, "scope": scope, "runs": runs}
    training = _training(stated, prune, qat)
    proof: dict[str, Any] = {"split": split, "max_drop": max_drop, "n_resamples": n_resamples, "seed": seed}
    place: dict[str, Any] = {"out": out, "lean": lean}
    shown: dict[str, Any] = {"n_calibration": calibration, "ids": not no_ids, "options": options}
    with continuable():
        if training:
            model, dataset = str(_slim(model, dataset, {"ratio": prune, "quantize": qat, **training, **proof})), None
    with continuable(_STOPPED):
        _export(model, formats, dataset, {**place, **shown, **proof})


def _training(stated: dict[str, Any], prune: float | None, qat: bool) -> dict[str, Any]:
    """How to train on, as ``slim`` takes it; empty where nothing asks for it.

    Raises:
        RecipeError: an option of a training, or of pruning, that is not asked for.
    """
    given = [name for name, value in stated.items() if value is not None]
    if given and prune is None and not qat:
        raise RecipeError(f"{_options(given)}: nothing would be trained; add --prune or --qat, or leave this out")
    if prune is None and (of_pruning := [name for name in given if name in _OF_PRUNING]):
        raise RecipeError(f"{_options(of_pruning)}: nothing would be pruned; add --prune, or leave this out")
    if prune is None and not qat:
        return {}
    how = {name: default if stated[name] is None else stated[name] for name, default in _TRAINING.items()}
    return {"epochs": how.pop("finetune"), **how}


def _options(names: Sequence[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


def _slim(model: str, dataset: Path | None, how: dict[str, Any]) -> Path:
    from einthoven.workflow.slimming import slim

    with TrainingBar(how["epochs"]) as reporter:
        return slim(model, dataset, reporter=reporter, announce=say, **how)


def _export(model: str, formats: tuple[str, ...], dataset: Path | None, how: dict[str, Any]) -> None:
    """Export, and print what there is now and what was refused."""
    from einthoven.bundle import backends_of
    from einthoven.workflow.exporting import export as make

    with bar("exporting") as progress:
        done = make(model, formats, dataset, **how, progress=progress, announce=say)
    if done.made:
        print(f"bundle  {done.bundle.path}")
        if usable := [name for name in done.made if name in backends_of(done.bundle.about)]:
            print(f"next    einthoven predict {done.bundle.path} my-ecg.csv --backend {usable[-1]}")
    if done.web:
        print(f"page    {done.web}")
    if done.refused:
        for name, why in done.refused.items():
            print(f"error: {name}: {why}", file=sys.stderr)
        raise typer.Exit(2)
