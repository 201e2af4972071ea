"""From checked arrays to a trained run: a dataset folder, a recipe, and the trainer that all models have."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from einthoven.api.arrays import Array, array_corpus
from einthoven.api.targets import Labels
from einthoven.api.verbs import as_overrides, training_bar
from einthoven.errors import DatasetError, RecipeError
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec
from einthoven.splits import stratified_folds
from einthoven.training.recipe import Recipe, parse_recipe
from einthoven.training.runs import Run

__all__ = ["Part", "divide", "join", "make_recipe", "train_arrays"]

_LOG = logging.getLogger("einthoven")
_TRAIN, _VALIDATION = 1, 2  # folds
_CROP_S = 2.5


@dataclass(frozen=True, slots=True)
class Part:
    """Records: signals in mV, labels, patients (None where unknown) and facts."""

    x: Array
    labels: Labels
    patients: list[str | None]
    facts: dict[str, list[Any]]


def divide(part: Part, share: float, seed: int) -> list[int]:
    """Fold of each record: a share validates, patients whole and every class in proportion.

    Raises:
        RecipeError: a share that is none.
        DatasetError: too few records of a class.
    """
    if not 0 < share < 1:
        raise RecipeError(f"validation_share must lie between 0 and 1, got {share}")
    groups = [f"row {k}" if p is None else f"patient {p}" for k, p in enumerate(part.patients)]
    if len(set(groups)) < 4:
        unit = "records" if None in part.patients else "patients"
        raise DatasetError(f"{len(set(groups))} {unit} are too few to train and validate on; give more, or X_val")
    fold = stratified_folds(part.labels.targets, groups, (1 - share, share), seed)
    check_folds(part.labels, fold)
    return [int(k) for k in fold]


def check_folds(labels: Labels, fold: NDArray[np.int64]) -> None:
    """Refuse a validation split from which nothing could be learned or judged.

    Raises:
        DatasetError: a class without a training record, or no class that both occurs and lacks in validation records.
    """
    train, held = labels.targets[fold == _TRAIN], labels.targets[fold == _VALIDATION]
    absent = [name for name, there in zip(labels.names, (train == 1).any(axis=0), strict=True) if not there]
    if absent:
        raise DatasetError(
            f"no training record of class {', '.join(absent)}: too few records of it, or all of one patient; give "
            "more, or leave the class out"
        )
    if not ((held == 1).any(axis=0) & (held == 0).any(axis=0)).any():
        raise DatasetError(
            f"no class has both a positive and a negative among the {len(held)} validation records, so no epoch could "
            "be chosen; give more records, a larger validation_share, or X_val and y_val"
        )


def join(train: Part, validation: Part) -> tuple[Part, list[int]]:
    """Two parts as one, and the fold of each record.

    Raises:
        DatasetError: they differ in leads, length, classes or facts.
    """
    if train.x.shape[1:] != validation.x.shape[1:]:
        raise DatasetError(
            f"X and X_val must have the same leads and samples, got {train.x.shape} {validation.x.shape}"
        )
    if train.facts.keys() != validation.facts.keys():
        raise DatasetError(
            f"facts and facts_val must have the same names, got {', '.join(train.facts) or 'none'} and "
            f"{', '.join(validation.facts) or 'none'}"
        )
    targets = np.concatenate([train.labels.targets, validation.labels.targets])
    labels = Labels(targets, train.labels.names, train.labels.values, train.labels.exclusive)
    facts = {name: [*values, *validation.facts[name]] for name, values in train.facts.items()}
    both = Part(np.concatenate([train.x, validation.x]), labels, [*train.patients, *validation.patients], facts)
    fold = [_TRAIN] * len(train.x) + [_VALIDATION] * len(validation.x)
    check_folds(labels, np.array(fold))
    return both, fold


def make_recipe(part: Part, spec: SignalSpec, fold: Sequence[int], dataset: Path, options: Mapping[str, Any]) -> Recipe:
    """Return the recipe that trains on the arrays.

    Args:
        part: the records.
        spec: their form.
        fold: of each record.
        dataset: the folder that they are written to.
        options: ``model``, ``epochs``, ``lr``, ``batch_size``, ``crop_s``, ``seed``, ``n_resamples`` and ``settings``,
            the last with dotted keys of a recipe.

    Raises:
        RecipeError: a value that does not fit.
    """
    n_train = list(fold).count(_TRAIN)
    others = [f"features:{glob.escape(name)}" for name in part.facts if name not in ("age", "sex")]
    values = {
        "name": "ecg-classifier",
        "seed": options["seed"],
        "data": {
            "dataset": str(dataset),
            "task": "all",
            "single_label": part.labels.exclusive,
            "folds": {"train": [_TRAIN], "validation": [_VALIDATION], "test": []},
            "facts": [*(name for name in ("age", "sex") if name in part.facts), *others],
            "crop_s": options["crop_s"] or min(_CROP_S, part.x.shape[2] / spec.fs),
        },
        "model": {"name": options["model"]},
        "training": {
            "epochs": options["epochs"],
            "lr": options["lr"],
            "batch_size": min(options["batch_size"], max(2, n_train // 4)),
        },
        "evaluation": {"n_resamples": options["n_resamples"]},
    }
    return parse_recipe(yaml.safe_dump(values), "ECGClassifier", as_overrides(options["settings"] or {}))


def train_arrays(part: Part, spec: SignalSpec, fold: Sequence[int], recipe: Recipe, runs: Path, verbose: int) -> Run:
    """Write the dataset that a recipe names, and train it."""
    from einthoven import workflow

    corpus = array_corpus(part.x, part.labels, spec, part.patients, fold, part.facts)
    prepare(corpus, Path(recipe.data.dataset), spec, workers=1, overwrite=True)
    with training_bar(recipe.training.epochs, verbose > 0) as reporter:
        # Never continued: another run's recipe may be the same, but its arrays are not.
        return workflow.train(recipe, runs, version="new", reporter=reporter, announce=_LOG.info)
