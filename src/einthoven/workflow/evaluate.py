"""Judge a run or a bundle on a split, and write predictions, metrics, plots, model card and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, RecipeError
from einthoven.evaluation.card import model_card
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, predict_dataset, read_predictions, write_predictions
from einthoven.evaluation.report import write_report
from einthoven.evaluation.thresholds import fit_thresholds
from einthoven.files import read_json, write_json
from einthoven.plots.curves import roc_pr_figure, save_figure
from einthoven.training.runs import Run
from einthoven.workflow.selection import SPLITS, select_for_bundle

__all__ = ["Evaluated", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Where a judgement was written, and what it says."""

    folder: Path
    judgement: dict[str, Any]


def evaluate(
    where: str | Path,
    dataset_path: str | Path | None = None,
    *,
    split: str = "test",
    out: Path | None = None,
    n_resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Evaluated:
    """Judge a run or a bundle on a split of a prepared dataset and write predictions, metrics and report.

    Args:
        where: a run folder, a bundle folder, or the name of a pretrained bundle.
        dataset_path: the dataset; a run knows its own.
        split: ``"train"``, ``"validation"`` or ``"test"``: the folds that the model's recipe gives these names.
        out: folder to write into; by default the run's own, or ``evaluation-<model>-on-<dataset>`` where a dataset is
            named.
        n_resamples: of the bootstrap; a run's recipe says its own.
        progress: called with windows done and their number.
        announce: told in a sentence what happens.

    Raises:
        RecipeError: an unknown split.
        DatasetError: no dataset named for a bundle, or one of another form.
    """
    if split not in SPLITS:
        raise RecipeError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    bundle = load_bundle(where)
    run = Run(Path(where)) if dataset_path is None and (Path(where) / "recipe.yaml").is_file() else None
    if run:
        recipe = run.recipe()
        dataset_path, n_resamples = recipe.data.dataset, recipe.evaluation.n_resamples
    if dataset_path is None:
        raise DatasetError("name a prepared dataset to judge this bundle on")
    selected = select_for_bundle(bundle, open_dataset(dataset_path))
    dataset, origin = selected.dataset, bundle.about["provenance"]
    if run and dataset.listing_sha256 != origin["listing_sha256"]:
        raise DatasetError(
            f"{dataset.path}: not the dataset that this run was trained on; name it to judge the model on it"
        )
    dataset.verify()
    folder = out or (run.path if run else Path(f"evaluation-{bundle.name}-on-{dataset.path.name}"))
    rows = selected.rows[split]
    # By name: the same corpus prepared elsewhere holds the same patients.
    own = dataset.name == origin["dataset"]
    leaks = selected.leaks or origin.get("leaks")
    if own and leaks:
        announce(f"warning: the folds leak by design: {leaks}")
    announce(f"judging {bundle.name} on {len(rows):,} records of the {split} split")
    began = time.perf_counter()
    predictions = predict_dataset(bundle, dataset, rows, selected.targets[rows], progress)
    own_validation = own and split == "validation"
    if run and own_validation:
        bundle = _with_thresholds(bundle, predictions)
    judgement = judge(
        split,
        predictions,
        kind=bundle.kind,
        thresholds=bundle.thresholds,
        fitted_here=bundle.about["thresholds"]["method"] if own_validation and bundle.kind == "multilabel" else None,
        n_resamples=n_resamples,
        caution=_caution(split, leaks) if own else [],
    )
    judgement |= {
        "dataset": {"name": dataset.name, "attribution": dataset.attribution},
        "judged": {"weights": bundle.about["files"]["model.safetensors"], "dataset": dataset.listing_sha256},
        "folds": origin["folds"][split],
        "n_unlabelled": selected.n_unlabelled[split],
        "descriptions": dict(bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    if "macro" not in judgement:
        judgement["reason"] += f" in fold {', '.join(map(str, judgement['folds']))}"
    _write(folder, run, bundle, judgement, predictions)
    return Evaluated(folder, judgement)


def _caution(split: str, leaks: str | None) -> list[str]:
    said = [f"The folds leak by design: {leaks}."] if leaks else []
    if split == "train":
        said.append("The model was trained on these records: the figures say nothing about others.")
    if split == "validation":
        remark = "" if leaks else "; the test split is not"
        said.append(f"This split chose the epoch that was kept, so its AUROC is slightly optimistic{remark}.")
    return said


def _with_thresholds(bundle: Bundle, predictions: Predictions) -> Bundle:
    from einthoven.bundling import update_bundle

    if bundle.kind == "multiclass":  # the likeliest class is chosen
        return bundle
    method = bundle.about["thresholds"]["method"]
    fitted = fit_thresholds(predictions.targets, predictions.probabilities, method)
    values = {name: None if np.isnan(t) else round(float(t), 6) for name, t in zip(bundle.classes, fitted, strict=True)}
    return update_bundle(bundle, {"thresholds": {"method": method, "values": values}})


def _write(folder: Path, run: Run | None, bundle: Bundle, judgement: dict[str, Any], predictions: Predictions) -> None:
    """Write predictions, metrics, plots and report; splits judged earlier stay in them."""
    split = judgement["split"]
    write_predictions(folder / f"predictions-{split}.parquet", predictions)
    known = folder / "metrics.json"
    metrics = read_json(known, DatasetError, "a run") if known.is_file() else {}
    # Only judgements of the same weights on the same dataset stand side by side.
    metrics = {name: each for name, each in metrics.items() if each["judged"] == judgement["judged"]}
    metrics[split] = judgement
    metrics = {name: metrics[name] for name in SPLITS if name in metrics}
    write_json(known, metrics)
    if run:
        from einthoven.bundling import update_bundle

        card = model_card(bundle.about, list(metrics.values()))
        update_bundle(bundle, {"metrics": metrics}, card)
    scores = {
        name: (stored.targets, stored.probabilities)
        for name, each in metrics.items()
        if "macro" in each
        for stored in [read_predictions(folder / f"predictions-{name}.parquet")]
    }
    if split in scores:
        figure = roc_pr_figure(*scores[split], bundle.classes)
        for suffix in ("png", "svg"):
            save_figure(figure, folder / "plots" / f"roc-pr-{split}.{suffix}")
    write_report(
        folder / "report.html",
        title=f"{bundle.name}: {bundle.about['task']['name']}",
        judgements=list(metrics.values()),
        scores=scores,
        history=run.read_history() if run else [],
        context=_context(bundle, run, split),
    )


def _context(bundle: Bundle, run: Run | None, split: str) -> dict[str, Any]:
    origin, network, spec = bundle.about["provenance"], bundle.about["network"], bundle.spec
    commands: Sequence[str] = [f"einthoven evaluate {bundle.name} DATASET --split {split}"]
    if run:
        commands = [run.environment()["command"], f"einthoven evaluate {run.path} --split {split}"]
    return {
        "model": {
            "name": network["name"],
            "n_parameters": network["n_parameters"],
            "input": f"{len(spec.leads)} leads, {spec.fs:g} Hz, windows of {bundle.window / spec.fs:g} s",
        },
        "trained_on": {
            "n_records": origin["n_records"],
            "n_patients": origin["n_patients"],
            "folds": origin["folds"]["train"],
            "name": origin["dataset"],
            "attribution": origin["attribution"],
        },
        "chosen_epoch": origin["chosen_epoch"],
        "recipe": run.recipe().to_yaml() if run else origin["recipe"],
        "environment": run.environment() if run else origin["versions"],
        "commands": list(commands),
        "timing": {"training": origin["seconds"]},
        "bundle": str(run.bundle) if run else bundle.name,
    }
