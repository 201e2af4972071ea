"""The verbs, composed from the rooms: train then bundle then judge then report. The only place that does."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, RecipeError
from einthoven.evaluation.card import model_card
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, predict_dataset, read_predictions, write_predictions
from einthoven.evaluation.report import write_report
from einthoven.evaluation.thresholds import fit_thresholds
from einthoven.files import read_json, write_json
from einthoven.labels import Task, make_task
from einthoven.plots.curves import roc_pr_figure, save_figure
from einthoven.splits import check_no_leak, rows_of_folds
from einthoven.training.recipe import Folds, Recipe
from einthoven.training.runs import Run, open_run

__all__ = ["Evaluated", "Selected", "evaluate", "select_for", "select_records", "train"]

SPLITS = ("train", "validation", "test")
LICENCE = "the licence of the training data, with its attribution"


@dataclass(frozen=True, slots=True)
class Selected:
    """A dataset seen through a recipe: the task, its targets, and the labelled rows of each split."""

    dataset: Dataset
    task: Task
    targets: NDArray[np.float32]
    rows: dict[str, NDArray[np.int64]]
    n_unlabelled: dict[str, int]

    def n_patients(self, split: str) -> int | None:
        """Patients of a split, None where any is unknown."""
        patients = [self.dataset.records.patient_id[row] for row in self.rows[split]]
        return None if None in patients else len(set(patients))


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Where a judgement was written, and what it says."""

    folder: Path
    judgement: dict[str, Any]


def select_records(dataset: Dataset, task: Task, folds: Folds) -> Selected:
    """Choose the records of each split; those without a label of the task are left out, and counted.

    Raises:
        DatasetError: a patient is in two splits.
    """
    targets = task.targets(dataset.records.statements)
    labelled = targets.max(axis=1) > 0
    every = {split: rows_of_folds(dataset.records.fold, getattr(folds, split)) for split in SPLITS}
    rows = {split: chosen[labelled[chosen]] for split, chosen in every.items()}
    check_no_leak(dataset.records.patient_id, rows)
    return Selected(dataset, task, targets, rows, {split: len(every[split]) - len(rows[split]) for split in SPLITS})


def select_for(recipe: Recipe, dataset: Dataset) -> Selected:
    """Choose the records of each split as a recipe says."""
    data = recipe.data
    task = make_task(data.task, dataset.label_table, min_likelihood=data.min_likelihood, single_label=data.single_label)
    return select_records(dataset, task, data.folds)


def train(
    recipe: Recipe,
    runs: Path,
    *,
    fresh: bool = False,
    reporter: Any = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Run:
    """Train a recipe, make its bundle, judge it on the validation split and write the report.

    Args:
        recipe: what to do.
        runs: where run folders lie.
        fresh: do not continue an interrupted run of the same recipe.
        reporter: told of steps and epochs (see ``training.loop.Reporter``).
        announce: told in a sentence what happens.

    Raises:
        DatasetError: no records to train or validate on, a class without a training record, leaking folds.
        RecipeError: a model or augmentation that does not exist.
    """
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Problem, Trainer

    dataset = open_dataset(recipe.data.dataset)
    selected = select_for(recipe, dataset)
    _check_trainable(selected, recipe)
    announce("checking the dataset's checksums")
    dataset.verify()
    options = recipe.training
    engine = make_engine(options.device, options.precision, options.threads)
    problem = Problem(
        dataset, selected.task.kind, selected.targets, selected.rows["train"], selected.rows["validation"]
    )
    trainer = Trainer(recipe, problem, engine)
    run, continued = open_run(runs, recipe, fresh=fresh)
    announce(
        f"{'continuing' if continued else 'training'} {run.path} on {engine.describe()}, signals "
        f"{'on the device' if trainer.store.resident else 'mapped'}: {len(problem.train):,} records, validating on "
        f"{len(problem.validation):,}"
    )
    trainer.fit(run, reporter)
    announce("making the bundle")
    _bundle(run, recipe, trainer, selected, engine.describe())
    evaluate(run.path, split="validation", announce=announce)
    return run


def _check_trainable(selected: Selected, recipe: Recipe) -> None:
    for split in ("train", "validation"):
        if not len(selected.rows[split]):
            folds = ", ".join(map(str, getattr(recipe.data.folds, split)))
            raise DatasetError(f"{selected.dataset.path}: no labelled record in the {split} folds ({folds})")
    if len(selected.rows["train"]) < 2:
        raise DatasetError(f"{selected.dataset.path}: one record is not enough to train on")
    present = selected.targets[selected.rows["train"]].max(axis=0) > 0
    absent = [name for name, there in zip(selected.task.classes, present, strict=True) if not there]
    if absent:
        raise DatasetError(
            f"{selected.dataset.path}: no training record of class {', '.join(absent)}; "
            "choose other training folds or another task"
        )


def _bundle(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> None:
    from einthoven.bundling import save_bundle
    from einthoven.models.weights import load_weights

    model = trainer.judged
    load_weights(run.best(recipe.evaluation.select), model)
    model = model.cpu().eval()
    dataset, task, network = selected.dataset, selected.task, model.network
    stride = recipe.evaluation.stride_s
    about = {
        "name": recipe.name,
        "task": {
            "name": task.name,
            "kind": task.kind,
            "classes": list(task.classes),
            "descriptions": dict(task.descriptions),
            "min_likelihood": task.min_likelihood,
        },
        "spec": dataset.spec.to_dict(),
        "window": {
            "length": trainer.window,
            "stride": round(stride * dataset.spec.fs) if stride else max(1, trainer.window // 2),
            "aggregate": recipe.evaluation.aggregate,
        },
        "network": {
            "name": recipe.model.name,
            "options": recipe.model.options,
            "n_leads": len(dataset.spec.leads),
            "n_classes": len(task.classes),
            "n_scales": model.scaling.mean.numel(),
            "n_parameters": network.n_parameters,
        },
        "thresholds": {"method": recipe.evaluation.thresholds, "values": dict.fromkeys(task.classes)},
        "calibration": None,
        "provenance": _provenance(run, recipe, trainer, selected, engine),
        "licence": LICENCE,
    }
    save_bundle(run.bundle, model, about)


def _provenance(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> dict[str, Any]:
    # A bundle leaves this machine: its recipe names the dataset, not where it lay.
    portable = recipe.model_copy(update={"data": recipe.data.model_copy(update={"dataset": selected.dataset.name})})
    return {
        "dataset": selected.dataset.name,
        "attribution": selected.dataset.attribution,
        "folds": recipe.data.folds.model_dump(mode="json"),
        "n_records": len(selected.rows["train"]),
        "n_patients": selected.n_patients("train"),
        "recipe": portable.to_yaml(),
        "seed": recipe.seed,
        "epochs": len(trainer.history),
        "chosen_epoch": trainer.best_epoch(recipe.evaluation.select),
        "seconds": sum(row["seconds"] for row in trainer.history),
        "engine": engine,
        "versions": {k: v for k, v in run.environment().items() if k not in ("command", "platform", "cpu_count")},
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


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
    selected = _selected_for(bundle, open_dataset(dataset_path))
    folder = out or (run.path if run else Path(f"evaluation-{bundle.name}-on-{selected.dataset.name}"))
    rows = selected.rows[split]
    announce(f"judging {bundle.name} on {len(rows):,} records of the {split} split")
    began = time.perf_counter()
    predictions = predict_dataset(bundle, selected.dataset, rows, selected.targets[rows], progress)
    own_validation = split == "validation" and selected.dataset.name == bundle.about["provenance"]["dataset"]
    if run and own_validation:
        bundle = _with_thresholds(bundle, predictions)
    judgement = judge(
        split,
        predictions,
        kind=bundle.kind,
        thresholds=bundle.thresholds,
        fitted_here=bundle.about["thresholds"]["method"] if own_validation else None,
        n_resamples=n_resamples,
        caution=_caution(split, own_validation),
    )
    judgement |= {
        "dataset": {"name": selected.dataset.name, "attribution": selected.dataset.attribution},
        "folds": bundle.about["provenance"]["folds"][split],
        "n_unlabelled": selected.n_unlabelled[split],
        "descriptions": dict(bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    if "macro" not in judgement:
        judgement["reason"] += f" in fold {', '.join(map(str, judgement['folds']))}"
    _write(folder, run, bundle, judgement, predictions)
    return Evaluated(folder, judgement)


def _selected_for(bundle: Bundle, dataset: Dataset) -> Selected:
    about = bundle.about["task"]
    task = make_task(
        about["name"],
        dataset.label_table,
        min_likelihood=about["min_likelihood"],
        single_label=about["kind"] == "multiclass",
    )
    unknown = set(task.classes) - set(bundle.classes)
    if unknown:
        raise DatasetError(
            f"{dataset.path}: has classes that {bundle.name} does not know: {', '.join(sorted(unknown))}"
        )
    # A dataset may lack a class that the model knows: it stays in the judgement, named as undefined.
    task = Task(task.name, bundle.classes, task.class_of, task.kind, task.min_likelihood, bundle.descriptions)
    return select_records(dataset, task, Folds(**bundle.about["provenance"]["folds"]))


def _caution(split: str, own_validation: bool) -> list[str]:
    if split == "train":
        return ["The model was trained on these records: the figures say nothing about others."]
    if own_validation:
        return ["This split chose the epoch that was kept, so its AUROC is slightly optimistic; the test split is not."]
    return []


def _with_thresholds(bundle: Bundle, predictions: Predictions) -> Bundle:
    from einthoven.bundling import update_bundle

    method = bundle.about["thresholds"]["method"]
    fitted = fit_thresholds(predictions.targets, predictions.probabilities, method)
    values = {name: None if np.isnan(t) else round(float(t), 6) for name, t in zip(bundle.classes, fitted, strict=True)}
    return update_bundle(bundle, {"thresholds": {"method": method, "values": values}})


def _write(folder: Path, run: Run | None, bundle: Bundle, judgement: dict[str, Any], predictions: Predictions) -> None:
    """Write predictions, metrics, plots and report; splits judged earlier stay in them."""
    split = judgement["split"]
    write_predictions(folder / f"predictions-{split}.parquet", predictions)
    known = folder / "metrics.json"
    metrics = (read_json(known, DatasetError, "a run") if known.is_file() else {}) | {split: judgement}
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
        context=_context(bundle, run),
    )


def _context(bundle: Bundle, run: Run | None) -> dict[str, Any]:
    origin, network, spec = bundle.about["provenance"], bundle.about["network"], bundle.spec
    commands: Sequence[str] = [f"einthoven evaluate {bundle.name} DATASET --split test"]
    if run:
        commands = [run.environment()["command"], f"einthoven evaluate {run.path} --split test"]
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
        "recipe": origin["recipe"],
        "environment": run.environment() if run else origin["versions"],
        "commands": list(commands),
        "timing": {"training": origin["seconds"]},
        "bundle": "bundle" if run else bundle.name,
    }
