"""``einthoven explain``: what moved a model, on the ECG itself, and whether that can be believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError

if TYPE_CHECKING:
    from einthoven.explain import Explanation

__all__ = ["explain"]

_ANEW = "nothing was written, and the same command begins anew"


def explain(
    model: Annotated[str, typer.Argument(help="a run folder, a bundle folder, or a pretrained model")],
    files: Annotated[list[Path] | None, typer.Argument(help="ECG files of any readable format")] = None,
    method: Annotated[
        str, typer.Option(help="ig, eg, deeplift, gradcam, occlusion-leads, occlusion-waves or occlusion-beats")
    ] = "ig",
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="explain this class; repeatable  [default: what is found]")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("explanation"),
    dataset: Annotated[Path | None, typer.Option(help="summarise a split of this dataset, with checks")] = None,
    split: Annotated[str, typer.Option(help="of the dataset: train, validation or test")] = "validation",
    records: Annotated[int, typer.Option(min=1, help="of the split, drawn by seed")] = 200,
    background: Annotated[
        Path | None,
        typer.Option(help="compare with training records of this dataset  [default: synthetic ECGs]"),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=2, help="of the path integral  [default: the method's]")] = None,
    n_background: Annotated[int, typer.Option(min=1, help="records of the background")] = 16,
    save: Annotated[bool, typer.Option("--save", help="write the attributions as FILE.npz")] = False,
    common_scale: Annotated[
        bool, typer.Option("--common-scale", help="one scale of colours for all pictures of a file")
    ] = False,
    fs: Annotated[float | None, typer.Option(help="sampling rate in Hz, where a file does not tell")] = None,
    unit: Annotated[str | None, typer.Option(help="mV or uV, where a file does not tell")] = None,
    leads: Annotated[str | None, typer.Option(help="lead names in the file's order, as I,II,V1")] = None,
    age: Annotated[float | None, typer.Option(min=0, max=130, help="years, for models that use it")] = None,
    sex: Annotated[str | None, typer.Option(help="female or male, for models that use it")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of backgrounds, records and random orders")] = 0,
) -> None:
    """Show what moved a model: a page and pictures, or a summary over a split with checks. Not a medical device."""
    if bool(files) == bool(dataset):
        raise EinthovenError("name ECG files to explain, or a dataset with --dataset; one of both")
    if sex not in (None, "female", "male"):
        raise EinthovenError(f"--sex is female or male, got {sex!r}")
    if dataset and (background or save or common_scale):
        raise EinthovenError(
            "--background, --save and --common-scale are for files; a summary keeps no record and no background"
        )
    from einthoven.explain.catalogue import Settings, method_named

    settings = Settings(steps=steps or method_named(method).steps, n_background=n_background, seed=seed)
    how: dict[str, Any] = {"method": method, "classes": classes, "out": out, "settings": settings}
    if dataset:
        return _split(model, dataset, split, records, how)
    stated = {"fs": fs, "unit": unit, "leads": tuple(leads.split(",")) if leads else None}
    patient = {key: value for key, value in (("age", age), ("sex", sex)) if value is not None}
    more = {"background": background, "save": save, "common_scale": common_scale, "stated": stated, "patient": patient}
    _files(model, files or [], {**how, **more})


def _files(model: str, files: list[Path], how: dict[str, Any]) -> None:
    from einthoven.workflow.explaining import explain_files

    with continuable(_ANEW), bar("explaining and drawing") as progress:
        done = explain_files(model, files, **how, progress=progress)
    for file, found in done.done.items():
        _print_file(file, found)
    if done.done:
        print(f"page, pictures and numbers: {done.folder / 'explain.html'}")
    for why in done.failed.values():
        print(f"error: {why}", file=sys.stderr)
    if not done.done:
        print("nothing was explained, so nothing was written", file=sys.stderr)
    if done.failed:
        raise typer.Exit(2)


def _print_file(file: Path, found: Explanation) -> None:
    from einthoven.explain.wording import describe

    print(f"{file}  ({found.bundle}, {found.method}, compared with {found.compared_with})")
    for name in found.classes:
        first, *rest = describe(found, name)
        print(f"  {first}")
        for line in rest:
            print(f"    {line}")
    for flag in found.prediction.flags:
        print(f"  note: {flag.text}")
    for note in found.notes:
        print(f"  note: {note}")


def _split(model: str, dataset: Path, split: str, n_records: int, how: dict[str, Any]) -> None:
    from einthoven.workflow.explaining_split import explain_dataset

    with continuable(_ANEW), bar("explaining and checking") as progress:
        done = explain_dataset(model, dataset, split=split, n_records=n_records, **how, progress=progress)
    for name, summary in done.summaries.items():
        order = summary.mean_absolute.argsort()[::-1][:3]
        strongest = ", ".join(f"{summary.leads[k]} {summary.mean_absolute[k]:.2f}" for k in order)
        waves = ", ".join(
            f"{wave} x{row['mean']:.1f}" for wave, row in summary.waves.items() if row["mean"] is not None
        )
        print(f"{name:<8} {summary.n_records:>5,} records  strongest leads {strongest}")
        if waves:
            print(f"{'':<8} share of what speaks for it over share of time: {waves}")
            print(f"{'':<8} {summary.beats['delineated']:,} beats delineated, {summary.beats['left_out']:,} left out")
        if summary.rest_warning:
            print(f"{'':<8} {summary.rest_warning}")
    for verdict in done.verdicts:
        print(f"{verdict.word:<10} {verdict.check:<14} {f'{verdict.of}: ' if verdict.of else ''}{verdict.sentence}")
    for record, why in done.failed.items():
        print(f"left out: {record}: {why}", file=sys.stderr)
    print(f"page, tables and pictures: {done.folder / 'explain.html'}")
