"""Train a recipe: select, fit, make the bundle, then let the bundle be judged."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError
from einthoven.evaluation.novelty import fit_dataset_novelty
from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run, open_run
from einthoven.workflow.deciding import plan_for
from einthoven.workflow.evaluate import evaluate
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import Selected, select_for

__all__ = ["train"]

LICENCE = "the licence of the training data, with its attribution"


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
    from einthoven.training.loop import Trainer

    dataset = open_dataset(recipe.data.dataset)
    selected = select_for(recipe, dataset)
    _check_trainable(selected, recipe)
    if selected.leaks:
        announce(f"warning: the split {recipe.data.folds.split} leaks by design: {selected.leaks}")
    announce("checking the dataset's checksums")
    dataset.verify()
    options = recipe.training
    engine = make_engine(options.device, options.precision, options.threads)
    problem = make_problem(recipe, selected)
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
    held = selected.targets[selected.rows["validation"]]
    if not ((held == 1).any(axis=0) & (held == 0).any(axis=0)).any():
        raise DatasetError(
            f"{selected.dataset.path}: no class has both a positive and a negative record in the validation folds, "
            "so no epoch could be chosen; use more records or other folds"
        )
    present = (selected.targets[selected.rows["train"]] == 1).any(axis=0)
    absent = [name for name, there in zip(selected.task.classes, present, strict=True) if not there]
    if absent:
        raise DatasetError(
            f"{selected.dataset.path}: no training record of class {', '.join(absent)}; "
            "choose other training folds or another task"
        )


def _bundle(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> None:
    from einthoven.bundling import add_novelty, save_bundle
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
            "unlabelled": recipe.data.unlabelled,
        },
        "spec": dataset.spec.to_dict(),
        "window": {
            "length": trainer.window,
            "stride": max(1, round(stride * dataset.spec.fs) if stride else trainer.window // 2),
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
        **plan_for(recipe.evaluation, selected).unfitted().to_dict(),
        "plan": {key: getattr(recipe.evaluation, key) for key in ("calibration", "thresholds", "conformal_error")},
        "provenance": _provenance(run, recipe, trainer, selected, engine),
        "licence": LICENCE,
    }
    bundle = save_bundle(run.bundle, model, about)
    rows = selected.rows
    add_novelty(bundle, fit_dataset_novelty(dataset, rows["train"], rows["validation"], seed=recipe.seed))


def _provenance(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> dict[str, Any]:
    # A bundle leaves this machine: its recipe names the dataset, not where it lay.
    portable = recipe.model_copy(update={"data": recipe.data.model_copy(update={"dataset": selected.dataset.name})})
    table = selected.dataset.records
    return {
        "dataset": selected.dataset.name,
        "attribution": selected.dataset.attribution,
        "listing_sha256": selected.dataset.listing_sha256,
        "folds": recipe.data.folds.model_dump(mode="json"),
        "leaks": selected.leaks,
        "n_records": len(selected.rows["train"]),
        "record_s": float(np.median(table.length[selected.rows["train"]])) / selected.dataset.spec.fs,
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
