"""Train a recipe: select, fit, make the bundle, then let the bundle be judged."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from einthoven.bundle import load_bundle
from einthoven.errors import BundleError, DatasetError, RecipeError
from einthoven.evaluation.novelty import fit_dataset_novelty
from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run, choose_run, list_runs, open_run
from einthoven.workflow.checking import checked_dataset
from einthoven.workflow.deciding import plan_for
from einthoven.workflow.evaluate import evaluate
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import Selected, select_for

if TYPE_CHECKING:
    from einthoven.training.parallel import Fit

__all__ = ["check_trainable", "shorten", "train"]

SHORT_BATCHES = 10

_NO_VERSIONS = ("began", "command", "cpu_count", "parameters", "platform", "resumed", "short")
LICENCE = "the licence of the training data, with its attribution"


def train(
    recipe: Recipe,
    runs: Path,
    *,
    version: str | int | None = None,
    resume: str | int | None = None,
    short: bool = False,
    reporter: Any = None,
    fit: Fit | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Run:
    """Train a recipe, make its bundle, judge it on the validation split and write the report.

    Args:
        recipe: what to do.
        runs: where run folders lie.
        version: of the run that is continued, see ``open_run``; by default the latest unfinished one, or a new one.
        resume: go on from this checkpoint of it, see ``resume_run``.
        short: one epoch of ten batches of everything, see ``shorten``.
        reporter: told of steps and epochs (see ``training.loop.Reporter``).
        fit: trains on the devices that the recipe wants, by default those of this machine (``training.parallel.fit``).
        announce: told in a sentence what happens.

    Raises:
        DatasetError: no records to train or validate on, a class without a training record, leaking folds.
        RecipeError: a model or augmentation that does not exist, a recipe of a cross-validation, or a version or
            checkpoint that is not there or of another recipe.
    """
    from einthoven.training import parallel
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Trainer

    recipe = shorten(recipe) if short else recipe
    if recipe.data.folds.rotate:
        raise RecipeError("data.folds.rotate makes several runs; train it with cross_validate")
    if resume is not None or version not in (None, "new"):
        choose_run(runs, recipe, "latest" if version in (None, "new") else version, short=short)  # before any work
    dataset = checked_dataset(recipe.data.dataset, recipe.data.skip_damaged, announce)
    selected = select_for(recipe, dataset)
    check_trainable(selected, recipe)
    if selected.leaks:
        announce(f"warning: the split {recipe.data.folds.split} leaks by design: {selected.leaks}")
    longest = float(dataset.records.length[selected.rows["train"]].max()) / dataset.spec.fs
    if recipe.data.crop_s > longest:
        crop = f"data.crop_s is {recipe.data.crop_s:g} s, but the longest training record has {longest:g} s"
        announce(f"warning: {crop}: the rest of every window is zeros")
    options = recipe.training
    engine = make_engine(options.device, options.precision, options.threads)
    problem = make_problem(recipe, selected, announce)
    trainer = Trainer(recipe, problem, engine, SHORT_BATCHES if short else None)
    run, continued = _open(recipe, runs, version, resume, short, announce)
    run.note(parameters=trainer.model.network.n_parameters)
    announce(
        f"{'continuing' if continued else 'training'} {run.path} on {engine.describe()}: {len(problem.train):,} "
        f"records, validating on {len(problem.validation):,}"
    )
    announce(f"signals: {trainer.store.residence}")
    (fit or parallel.fit)(trainer, run, reporter)
    announce("making the bundle")
    _bundle(run, recipe, trainer, selected, engine.describe())
    evaluate(run.path, split="validation", announce=announce)
    return run


def shorten(recipe: Recipe) -> Recipe:
    """Return the recipe of a short run: one epoch, a small bootstrap, and a name of its own."""
    training = recipe.training.model_copy(update={"epochs": 1})
    evaluation = recipe.evaluation.model_copy(update={"n_resamples": min(100, recipe.evaluation.n_resamples)})
    return recipe.model_copy(update={"name": f"{recipe.name}-short", "training": training, "evaluation": evaluation})


def _open(
    recipe: Recipe,
    runs: Path,
    version: str | int | None,
    resume: str | int | None,
    short: bool,
    announce: Callable[[str], None],
) -> tuple[Run, bool]:
    if resume is None:
        known = list_runs(runs, recipe.name, short=short)
        run, continued = open_run(runs, recipe, version=version, short=short)
        if known and version is None and not known[-1].finished and known[-1].path != run.path:
            announce(f"{known[-1].path} is unfinished and of another recipe; {run.path} begins anew")
        return run, continued
    if version == "new":
        raise RecipeError("a new version has no checkpoint to resume from; leave out --version new or --resume")
    from einthoven.training.resuming import resume_run

    return resume_run(runs, choose_run(runs, recipe, version or "latest", short=short), resume), True


def check_trainable(selected: Selected, recipe: Recipe) -> None:
    """Refuse records that nothing can be learned from.

    Raises:
        DatasetError: no or too few records, no class to choose an epoch by, or a class without a training record.
    """
    for split in ("train", "validation"):
        if not len(selected.rows[split]):
            folds = ", ".join(map(str, getattr(recipe.data.folds, split)))
            known = _known(selected, recipe)
            raise DatasetError(f"{selected.dataset.path}: no labelled record in the {split} folds ({folds}); {known}")
    if len(selected.rows["train"]) < 2:
        raise DatasetError(f"{selected.dataset.path}: one record is not enough to train on; {_more(recipe)}")
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
            f"{selected.dataset.path}: no training record of class {', '.join(absent)}; {_more(recipe)} or another task"
        )


def _known(selected: Selected, recipe: Recipe) -> str:
    """Which folds there are to choose from, or how some are made."""
    name = recipe.data.folds.split
    known = sorted({fold for fold in selected.dataset.folds(name) if fold is not None})
    if known:
        return (
            f"{f'split {name}' if name else 'the dataset'} has {', '.join(map(str, known))}; name these in data.folds"
        )
    command = f"einthoven split {selected.dataset.path} --method kfold"
    return f"the dataset has no folds of its own: make some with  {command}  and name them in data.folds"


def _more(recipe: Recipe) -> str:
    share = recipe.data.sample_frac
    return f"choose {f'a share above data.sample_frac {share:g}, ' if share < 1 else ''}other training folds"


def _bundle(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> None:
    from einthoven.bundling import add_novelty, save_bundle
    from einthoven.models.weights import load_weights
    from einthoven.training.network import describe_network

    model, chosen = trainer.judged, run.best(recipe.evaluation.select)
    if not chosen.is_file():
        raise BundleError(f"{chosen}: missing, so there are no weights of the chosen epoch; train again, --version new")
    load_weights(chosen, model)
    model = model.cpu().eval()
    dataset, task = selected.dataset, selected.task
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
        "network": describe_network(recipe, trainer.problem, model),
        "facts": list(trainer.problem.fact_names),
        **plan_for(recipe.evaluation, selected).unfitted().to_dict(),
        "plan": {key: getattr(recipe.evaluation, key) for key in ("calibration", "thresholds", "conformal_error")},
        "provenance": _provenance(run, recipe, trainer, selected, engine),
        "licence": LICENCE,
    }
    bundle = save_bundle(run.bundle, model, about)
    rows = selected.rows
    add_novelty(bundle, fit_dataset_novelty(dataset, rows["train"], rows["validation"], seed=recipe.seed))


def _provenance(run: Run, recipe: Recipe, trainer: Any, selected: Selected, engine: str) -> dict[str, Any]:
    from einthoven.training.network import pruning_facts

    # A bundle leaves this machine: its recipe names dataset and other bundles, not where they lay.
    begun, teacher = _begun(recipe), _teacher(recipe)
    table = selected.dataset.records
    return {
        "dataset": selected.dataset.name,
        "attribution": selected.dataset.attribution,
        "listing_sha256": selected.dataset.listing_sha256,
        "folds": recipe.data.folds.model_dump(mode="json"),
        "leaks": selected.leaks,
        "n_records": len(selected.rows["train"]),
        "record_s": float(np.median(table.length[selected.rows["train"]])) / selected.dataset.spec.fs,
        "before_r_s": selected.dataset.before_r_s,
        "n_patients": selected.n_patients("train"),
        "recipe": _portable(recipe, selected.dataset.name, begun, teacher).to_yaml(),
        "seed": recipe.seed,
        "teacher": teacher,
        "weights": begun,
        "pruned": pruning_facts(recipe, trainer.judged, trainer.window),
        "epochs": len(trainer.history),
        "chosen_epoch": trainer.best_epoch(recipe.evaluation.select),
        "seconds": sum(row["seconds"] for row in trainer.history),
        "engine": engine,
        "versions": {k: v for k, v in run.environment().items() if k not in _NO_VERSIONS},
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _teacher(recipe: Recipe) -> dict[str, Any] | None:
    return None if recipe.training.distill is None else _origin(recipe.training.distill.teacher)


def _begun(recipe: Recipe) -> dict[str, Any] | None:
    """Whose weights the training began with; None of random ones and of published files."""
    weights = recipe.model.weights
    return None if weights is None or Path(weights).is_file() else _origin(weights)


def _origin(where: str) -> dict[str, Any]:
    bundle = load_bundle(where)
    return {"name": bundle.name, "files": dict(bundle.about["files"])}


def _portable(recipe: Recipe, dataset: str, begun: dict[str, Any] | None, teacher: dict[str, Any] | None) -> Recipe:
    data, model, training = recipe.data, recipe.model, recipe.training
    data = data.model_copy(update={"dataset": dataset})
    if begun:
        model = model.model_copy(update={"weights": begun["name"]})
    if training.distill and teacher:
        training = training.model_copy(
            update={"distill": training.distill.model_copy(update={"teacher": teacher["name"]})}
        )
    return recipe.model_copy(update={"data": data, "model": model, "training": training})
