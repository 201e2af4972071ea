"""``einthoven evaluate``: one model, several, their ensemble, or a file of predictions; then the headline in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.progress import bar, say
from einthoven.errors import EinthovenError

__all__ = ["evaluate", "print_judgement", "print_table"]

_MODELS = "Models"
_FILES = "Files of predictions"


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]... [DATASET]",
            help="run folders, bundle folders, pretrained names, or recipes (a file or a folder of them: their latest "
            "finished runs); and a prepared dataset; by default each run's own",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(rich_help_panel=_MODELS, help="train, validation or test; by default test")
    ] = None,
    fold: Annotated[int | None, typer.Option(rich_help_panel=_MODELS, help="judge this fold of the split only")] = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_MODELS,
            help="which checkpoint of a run: auroc, accuracy, loss or latest; by default the bundle's",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_MODELS,
            help="what computes: onnx, torch, or an artefact of the bundle, as int8; written to evaluation-BACKEND",
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", rich_help_panel=_MODELS, help="also judge the mean of the models' scores")
    ] = False,
    runs: Annotated[
        Path | None, typer.Option(rich_help_panel=_MODELS, help="folder of the runs of recipes; by default runs")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FILES,
            help="judge this file, Parquet or CSV (record_id, y_CLASS, p_CLASS; and, as far as known, start, "
            "patient_id, source, fold and facts) or .npy (records x classes)",
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_FILES, help="its targets, where they are not in it: a table or a .npy alike"),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(rich_help_panel=_FILES, help="names of a .npy's columns, as A,B,C; by default C0,C1,..."),
    ] = None,
    aggregate: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FILES, help="how windows of a record are joined: mean, max or none; by default mean"
        ),
    ] = None,
    single_label: Annotated[
        bool,
        typer.Option(
            "--single-label", rich_help_panel=_FILES, help="classes exclude each other: the likeliest is chosen"
        ),
    ] = False,
    thresholds: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FILES,
            help="f1, fbeta:2, youden, sensitivity:0.9, specificity:0.9, cost:5 or challenge:2021; by default f1",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(rich_help_panel=_FILES, help="none, temperature, platt, isotonic or beta; by default platt"),
    ] = None,
    fit_on: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FILES,
            help="predictions of other records that calibration and thresholds are fitted on; by default this file, "
            "judged by cross-fitting",
        ),
    ] = None,
    fit_on_targets: Annotated[Path | None, typer.Option(rich_help_panel=_FILES, help="targets of --fit-on")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder to write into; by default the run's, or evaluation-NAME")
    ] = None,
    n_resamples: Annotated[
        int | None, typer.Option(min=0, help="of the bootstrap; by default the recipe's, or 1000")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 0,
    interval: Annotated[str, typer.Option(help="of the figures: percentile or bca")] = "percentile",
    absent: Annotated[
        str, typer.Option(help="what a class that a resample loses counts: redraw, skip or half")
    ] = "redraw",
    by: Annotated[
        list[str] | None,
        typer.Option(help="compare the groups of this column; repeatable; by default sex, age, source and quality"),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="also judge a model under noise, missing leads, reversals and more")
    ] = False,
    novelty: Annotated[
        bool, typer.Option("--novelty", help="also judge how well a model's detector sees foreign signals")
    ] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="also draw a report of each class")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="also print the report as PDF; needs Chromium")] = False,
) -> None:
    """Judge a model, or anyone's predictions: metrics with intervals, predictions, plots and report."""
    about_models: dict[str, Any] = {"split": split, "fold": fold, "prefer": prefer, "backend": backend}
    about_models |= {"ensemble": ensemble, "runs": runs}
    about_files: dict[str, Any] = {
        "targets": targets,
        "classes": classes,
        "aggregate": aggregate,
        "single_label": single_label,
        "thresholds": thresholds,
        "calibration": calibration,
        "fit_on": fit_on,
        "fit_on_targets": fit_on_targets,
    }
    from einthoven.workflow.extras import Extras

    extras = Extras(interval, absent, tuple(by) if by else None, robustness, novelty, per_class, pdf)
    common: dict[str, Any] = {"out": out, "n_resamples": n_resamples, "seed": seed, "extras": extras}
    if predictions is not None and (robustness or novelty):
        raise EinthovenError("--robustness and --novelty need a model and its signals; leave them out")
    if predictions is None:
        _refuse(about_files, "judges a file of predictions; name it with --predictions")
        _evaluate_models(models or [], _given(about_models), common)
    else:
        if models:
            raise EinthovenError(f"either models or --predictions are judged, got {' '.join(models)} too")
        _refuse(about_models, "is about models; leave it out with --predictions")
        _evaluate_file(predictions, _given(about_files), common)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value is not False}


def _refuse(options: Mapping[str, Any], why: str) -> None:
    for name in _given(options):
        raise EinthovenError(f"--{name.replace('_', '-')} {why}")


def _evaluate_models(names: Sequence[str], options: dict[str, Any], common: dict[str, Any]) -> None:
    from einthoven import workflow

    ensemble, out = options.pop("ensemble", False), common.pop("out")
    models, dataset = workflow.find_models(names, options.pop("runs", Path("runs")))
    if ensemble and len(models) < 2:
        raise EinthovenError(f"an ensemble needs two models or more, got {models[0]}")
    if ensemble and "backend" in options:
        raise EinthovenError("--ensemble judges the models as they are; leave --backend out")
    with bar("predicting") as progress:
        tell: dict[str, Any] = {"progress": progress, "announce": say}
        if len(models) == 1:
            done = workflow.evaluate(models[0], dataset, out=out, **options, **common, **tell)
            _print_done(done.folder, done.judgement)
            return
        members = workflow.evaluate_several(models, dataset, out=out, **options, **common, **tell)
        own = {key: common[key] for key in ("seed", "extras")}
        mean = workflow.ensemble_of(members, out=out, **own, **tell) if ensemble else None
    print_table({name: each.judgement for name, each in members.items()}, mean.judgement if mean else None)
    for each in members.values():
        print(f"report  {each.folder / 'report.html'}")
    if mean:
        _print_done(mean.folder, mean.judgement)


def _evaluate_file(path: Path, options: dict[str, Any], common: dict[str, Any]) -> None:
    from einthoven import workflow

    if "classes" in options:
        options["classes"] = options["classes"].split(",")
    done = workflow.evaluate_file(path, announce=say, **options, **_given(common))
    _print_done(done.folder, done.judgement)


def _print_done(folder: Path, judgement: dict[str, Any]) -> None:
    print_judgement(judgement)
    print(f"report  {folder / 'report.html'}")
    if "macro" not in judgement:
        raise typer.Exit(2)


def print_table(judgements: Mapping[str, dict[str, Any]], ensemble: dict[str, Any] | None = None) -> None:
    """One line per model; the ensemble's last, and what it gains over the best member."""
    from einthoven.evaluation.comparison import verdict
    from einthoven.evaluation.wording import estimate

    rows = dict(judgements) | ({"ensemble": ensemble} if ensemble else {})
    width = max(len("model"), *map(len, rows))
    print(f"{'model':<{width}}  {'macro AUROC':<23}  {'macro AUPRC':<23}  Fmax")
    for name, judgement in rows.items():
        if "macro" in judgement:
            cells = [f"{estimate(judgement['macro'][key]):<23}" for key in ("auroc", "auprc", "fmax")]
            print(f"{name:<{width}}  {'  '.join(cells)}".rstrip())
        else:
            print(f"{name:<{width}}  not judged: {judgement['reason']}")
    if ensemble and ensemble.get("ensemble", {}).get("difference"):
        print(verdict(ensemble["ensemble"]["difference"]))


def print_judgement(judgement: dict[str, Any]) -> None:
    """Print the headline of a judgement: macro figures, classes, and what the intervals rest on."""
    if "macro" not in judgement:
        print(f"{judgement['split']}: not judged: {judgement['reason']}")
        return
    from einthoven.evaluation.wording import cohort, estimate

    interval = judgement["interval"]
    print(f"{judgement['split']}: {cohort(judgement)}")
    for name, label in (("auroc", "macro AUROC"), ("auprc", "macro AUPRC"), ("fmax", "Fmax")):
        print(f"  {label:<12} {estimate(judgement['macro'][name])}")
    for row in judgement["per_class"]:
        print(f"  {row['class']:<12} {row['positives']:>6,} positive  AUROC {estimate(row['auroc'])}")
    for absent in judgement["undefined"]:
        print(f"  undefined: {absent['class']} ({absent['reason']})")
    for line in _trust(judgement):
        print(f"  {line}")
    if judgement["macro"]["auroc"]["low"] is None:
        print("  no intervals: they need at least 100 resamples")
    else:
        print(f"  intervals: {interval['level']:.0%}, {interval['n_resamples']:,} resamples by {interval['unit']}")


def _trust(judgement: Mapping[str, Any]) -> list[str]:
    """Calibration, stated coverage and the gaps between groups, one line each."""
    from einthoven.evaluation.wording import decimal

    calibration, conformal = judgement["calibration"], judgement["conformal"]
    lines = [
        f"calibration  {calibration['method']}: ECE {decimal(calibration['after']['ece'], 4)}, "
        f"{decimal(calibration['before']['ece'], 4)} before"
    ]
    for name, rates in (judgement.get("beats") or {}).items():
        lines.append(f"{name:<12} Se {decimal(rates['se'])}, +P {decimal(rates['ppv'])} (ANSI/AAMI EC57)")
    if conformal:
        promised = f"{1 - conformal['error']:.0%} promised"
        lines.append(f"conformal    {conformal['covered']:.1%} of answers are in their sets, {promised}")
    for column in judgement.get("subgroups", []):
        if gap := column["gap"]:
            words = f"{gap['highest']} above {gap['lowest']}"
            lines.append(f"{column['column']:<12} AUROC gap {decimal(gap['value'])}: {words}")
    return lines
