"""Cross-validation: each fold tests once, and the predictions of all folds together are judged like one model's.

A run per fold, each a run like any other; what is added is the table of the folds and the out-of-fold predictions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.sources import cross_source_table, fold_summary
from einthoven.evaluation.tables import write_csv
from einthoven.files import read_json
from einthoven.training.recipe import Folds, Recipe
from einthoven.training.runs import Run, latest_finished
from einthoven.workflow.deciding import decide_split, plan_of
from einthoven.workflow.evaluate import Evaluated, caution_about, evaluate, leaks_of
from einthoven.workflow.extras import Extras, Signals, judge_extras, write_extras
from einthoven.workflow.rounds import finished_runs
from einthoven.workflow.train import shorten, train
from einthoven.workflow.writing import locked, refuse_foreign, write_judgement

__all__ = ["CrossValidation", "cross_validate", "fold_recipes", "folder_of", "is_complete", "kept_folds"]

_ROLES = ("train", "validation", "test")
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Where a cross-validation was written, and what it says.

    Attributes:
        folder: with ``folds.csv``, ``summary.csv``, ``predictions-oof.parquet``, ``metrics.json`` and a report.
        runs: one per fold, by the fold that it tests.
        folds: rows of ``folds.csv``.
        summary: rows of ``summary.csv``.
        judgement: of the out-of-fold predictions.
    """

    folder: Path
    runs: Mapping[int, Run]
    folds: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    judgement: dict[str, Any]


def cross_validate(
    recipe: Recipe,
    runs: Path,
    *,
    version: str | int | None = None,
    short: bool = False,
    test_only: bool = False,
    train_one: Callable[..., Run] = train,
    announce: Announce = lambda _: None,
) -> CrossValidation:
    """Train a recipe once per fold, judge each model on the fold that it never saw, and all of them together.

    Args:
        recipe: with ``data.folds.rotate``.
        runs: where run folders lie; the folds' are ``<name>-fold<N>``, the summary ``<name>-crossvalidation``.
        version: of each fold's run, see ``train``; by default folds that an interrupted cross-validation has finished
            are kept, and those of a finished one are trained anew.
        short: short runs, see ``train``.
        test_only: train nothing; judge the chosen version of each fold, by default the latest finished one.
        train_one: what trains one recipe, called as ``train`` is.
        announce: told in a sentence what happens.

    Raises:
        DatasetError: fewer than three folds; see ``train``.
        RecipeError: folds are given although they rotate; see ``train``.
    """
    from einthoven.training.runs import choose_run

    recipes = fold_recipes(recipe, open_dataset(recipe.data.dataset))
    kept = kept_folds(recipe, recipes, runs, version, short)
    made = {}
    for fold, each in recipes.items():
        known = shorten(each) if short else each
        if test_only:
            made[fold] = (
                choose_run(runs, known, version, short=short)
                if version
                else latest_finished(runs, known.name, short=short)
            )
        elif each.name in kept:
            announce(f"{kept[each.name].path}: finished before, kept")
            made[fold] = kept[each.name]
        else:
            announce(f"fold {fold} of {', '.join(map(str, recipes))} is the test fold")
            made[fold] = train_one(each, runs, version=version, short=short, announce=announce)
    judged = {fold: evaluate(run.path, split="test", announce=announce) for fold, run in made.items()}
    return _summarise(recipe, folder_of(recipe, runs, short), made, judged, announce)


def kept_folds(
    recipe: Recipe, recipes: Mapping[int, Recipe], runs: Path, version: str | int | None = None, short: bool = False
) -> dict[str, Run]:
    """Runs of folds, by name of their recipe, that an interrupted cross-validation has finished."""
    if version or is_complete(recipe, runs, short):
        return {}
    return finished_runs(list(recipes.values()), runs, short)


def fold_recipes(recipe: Recipe, dataset: Dataset) -> dict[int, Recipe]:
    """Return a recipe per fold, by the fold that tests: the next one validates, the others train.

    Raises:
        DatasetError: fewer than three folds.
        RecipeError: folds are given although they rotate.
    """
    given, usual = recipe.data.folds, Folds()
    if named := [part for part in _ROLES if getattr(given, part) != getattr(usual, part)]:
        raise RecipeError(f"data.folds.rotate uses every fold for everything; leave out data.folds.{named[0]}")
    folds = sorted({fold for fold in dataset.folds(given.split) if fold is not None})
    if len(folds) < 3:
        raise DatasetError(
            f"{dataset.path}: {f'the split {given.split}' if given.split else 'the corpus'} has {len(folds)} folds; "
            "cross-validation needs three or more: one tests, one validates, the others train"
        )
    recipes = {}
    for k, test in enumerate(folds):
        validation = folds[(k + 1) % len(folds)]
        train = tuple(fold for fold in folds if fold not in (test, validation))
        chosen = Folds(split=given.split, train=train, validation=(validation,), test=(test,))
        data = recipe.data.model_copy(update={"folds": chosen})
        recipes[test] = recipe.model_copy(update={"name": f"{recipe.name}-fold{test}", "data": data})
    return recipes


def folder_of(recipe: Recipe, runs: Path, short: bool = False) -> Path:
    """Where the summary of a cross-validation lies."""
    return runs / f"{recipe.name}{'-short' if short else ''}-crossvalidation"


def is_complete(recipe: Recipe, runs: Path, short: bool = False) -> bool:
    """Whether the newest run of every fold is of this recipe, finished, and in the summary."""
    path = folder_of(recipe, runs, short) / "metrics.json"
    if not path.is_file():
        return False
    recipes = fold_recipes(recipe, open_dataset(recipe.data.dataset))
    found = finished_runs(list(recipes.values()), runs, short)
    told = read_json(path, EinthovenError, "a cross-validation")["oof"]["judged"]["crossvalidation"]
    return [_weights(found[each.name]) for each in recipes.values() if each.name in found] == told


def _weights(run: Run) -> str:
    return str(read_json(run.bundle / "bundle.json", EinthovenError, "a bundle")["files"]["model.safetensors"])


def _summarise(
    recipe: Recipe, folder: Path, runs: Mapping[int, Run], judged: Mapping[int, Evaluated], announce: Announce
) -> CrossValidation:
    began, first = time.perf_counter(), next(iter(judged.values()))
    dataset = first.selected.dataset
    refuse_foreign(folder, "crossvalidation", dataset.name)
    folds = _fold_rows(runs, judged)
    summary = fold_summary([each.judgement for each in judged.values()])
    together = _together(judged)
    announce(f"judging {len(together.record_id):,} out-of-fold predictions")
    decided = decide_split(together, plan_of(first.bundle, first.selected), None)
    how: dict[str, Any] = {"n_resamples": first.n_resamples, "seed": 0}
    judgement = judge(
        "oof", together, decided.decided, decided.decisions, how_decided=decided.how, caution=_cautions(judged), **how
    )
    judgement |= {
        "dataset": {"name": dataset.name, "attribution": dataset.attribution},
        "judged": {
            "crossvalidation": [each.bundle.about["files"]["model.safetensors"] for each in judged.values()],
            "dataset": dataset.listing_sha256,
        },
        "folds": list(judged),
        "n_unlabelled": sum(each.part.n_unlabelled for each in judged.values()),
        "descriptions": dict(first.bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    row_of = {name: row for row, name in enumerate(dataset.records.record_id)}
    signals = Signals(dataset, np.array([row_of[name] for name in together.record_id], dtype=np.int64))
    judge_extras(judgement, together, decided, Extras(), how=how)
    with locked(folder):
        write_csv(folder / "folds.csv", folds)
        write_csv(folder / "summary.csv", summary)
        write_extras(folder, judgement, together, decided, Extras(), signals)
        title = f"{recipe.name}: cross-validation, {first.bundle.about['task']['name']}"
        write_judgement(folder, judgement, together, title=title, context=_context(recipe, runs, first, folds, summary))
    return CrossValidation(folder, runs, folds, summary, judgement)


def _fold_rows(runs: Mapping[int, Run], judged: Mapping[int, Evaluated]) -> list[dict[str, Any]]:
    table = cross_source_table({f"fold {fold}": each.judgement for fold, each in judged.items()})
    rows = []
    for (fold, each), row in zip(judged.items(), table, strict=True):
        origin = each.bundle.about["provenance"]
        about = {"fold": fold, "run": f"{runs[fold].path.parent.name}/{runs[fold].path.name}"}
        trained = {"training_records": origin["n_records"], "chosen_epoch": origin["chosen_epoch"]}
        rows.append({**about, **row, **trained})
    return rows


def _together(judged: Mapping[int, Evaluated]) -> Predictions:
    """The predictions of all folds, each record by the model that tested its fold.

    Raises:
        DatasetError: models of different classes, or a record in two folds.
    """
    parts = [each.predictions for each in judged.values()]
    if len({part.classes for part in parts}) > 1:
        raise DatasetError("the folds' models have different classes, so their predictions cannot be judged together")
    records = [name for part in parts for name in part.record_id]
    if len(set(records)) < len(records):
        raise DatasetError("a record is in two test folds, so it would count twice")

    def joined(name: str) -> list[Any]:
        return [value for part in parts for value in getattr(part, name)]

    facts = {name: [value for part in parts for value in part.facts[name]] for name in parts[0].facts}
    return replace(
        parts[0],
        targets=np.concatenate([part.targets for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        record_id=records,
        patient_id=joined("patient_id"),
        source=joined("source"),
        fold=[fold for fold, part in zip(judged, parts, strict=True) for _ in part.record_id],
        facts=facts,
    )


def _cautions(judged: Mapping[int, Evaluated]) -> list[str]:
    """What makes pooled figures differ from those of the folds, and patients that a model had seen."""
    first = next(iter(judged.values()))
    said = caution_about("oof", leaks_of(first.bundle, first.selected))
    said.append(
        f"The scores of {len(judged)} models are pooled: where their scales differ, pooled AUROC and AUPRC are lower "
        "than those of the folds, whose mean and deviation are in summary.csv (Airola et al. 2011)."
    )
    if seen := sum(_n_seen(each) for each in judged.values()):
        said.append(f"{seen:,} records are of patients whose other records the model had seen.")
    return said


def _n_seen(each: Evaluated) -> int:
    """Test records of patients that are in training or validation too, as far as a published split shares them."""
    patients, rows = each.selected.dataset.records.patient_id, each.selected.rows
    known = {patients[row] for part in ("train", "validation") for row in rows[part].tolist()} - {None}
    return sum(patients[row] in known for row in rows["test"].tolist())


def _context(
    recipe: Recipe,
    runs: Mapping[int, Run],
    first: Evaluated,
    folds: Sequence[dict[str, Any]],
    summary: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    origin = first.bundle.about["provenance"]
    environment = next(iter(runs.values())).environment()
    return {
        "runs": folds,
        "spread": summary,
        "model": {
            "name": f"{recipe.model.name}, trained {len(folds)} times",
            "n_parameters": first.bundle.about["network"]["n_parameters"],
        },
        "trained_on": {"name": origin["dataset"], "attribution": origin["attribution"]},
        "recipe": recipe.to_yaml(),
        "environment": origin["versions"],
        "commands": [environment["command"]],
    }
