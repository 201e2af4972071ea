"""What is written from a split: recipes with their commands, and tables for other toolkits.

A split says how its folds are used; each use is one recipe, or one set of tables.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from einthoven.dataset import Dataset
from einthoven.errors import DatasetError
from einthoven.files import atomic_write
from einthoven.labels import make_task
from einthoven.splits import Roles, rows_of_folds
from einthoven.splits.tables import write_table
from einthoven.training.recipe import Data, Folds, Recipe
from einthoven.workflow.splitting import Made

__all__ = ["write_recipes", "write_tables"]

_UNFIT = re.compile(r"[^\w.-]+")
_BEAT_TASKS = ("aami", "heartbeat", "ptbdb")
_PARTS = ("train", "validation", "test")


def write_recipes(
    dataset: Dataset, made: Made, folder: Path, like: Recipe | None = None, overwrite: bool = False
) -> list[Path]:
    """Write a recipe for each use of a split, and ``commands.txt`` with the commands that train and judge them.

    Args:
        dataset: that is split.
        made: the split.
        folder: to write into.
        like: model, training and evaluation of these recipes; the defaults where not given.
        overwrite: replace recipes that were changed by hand.

    Raises:
        DatasetError: the split has no use that trains, validates and tests; or a recipe there differs.
    """
    if not made.about.roles:
        raise DatasetError(
            f"{made.path}: has {len(made.about.fold_names)} folds, too few to train, validate and test by; no recipe "
            "fits"
        )
    paths, commands = [], []
    for roles, use in zip(made.about.roles, _file_names(made), strict=True):
        recipe = _recipe(dataset, made, roles, made.name if use == "all" else f"{made.name}-{use}", like)
        paths.append(folder / f"{recipe.name}.yaml")
        _write_new(paths[-1], recipe.to_yaml(), overwrite)
        commands.append(f"einthoven train {paths[-1]}")
        commands += [f"einthoven evaluate runs/{recipe.name}/001 --split test"] if roles.test else []
    with atomic_write(folder / "commands.txt") as temporary:
        temporary.write_text("\n".join(commands) + "\n", encoding="utf-8")
    return paths


def write_tables(dataset: Dataset, made: Made, folder: Path, suffix: str = "") -> list[Path]:
    """Write the tables of earlier toolkits for each use of a split: train, validation and test CSV.

    The column ``path`` holds the record's name and ``suffix``: a dataset does not know where its files lay.

    Raises:
        DatasetError: the dataset's codes are not SNOMED CT, or the split has no use.
    """
    if dataset.label_system != "snomed":
        raise DatasetError(
            f"{dataset.path}: its labels are of the system {dataset.label_system!r}, and these tables have SNOMED CT "
            "columns; prepare the corpus with SNOMED CT codes (a folder of your own: --set system=snomed)"
        )
    if not made.about.roles:
        raise DatasetError(f"{made.path}: has too few folds to tell training from validation")
    table = dataset.records
    every = make_task("all", dataset.label_table)
    labels = every.targets(table.statements)
    used = np.flatnonzero((labels == 1).any(axis=0))
    codes = [every.classes[k] for k in used]
    paths = []
    for roles, use in zip(made.about.roles, _file_names(made), strict=True):
        inside = folder / use if len(made.about.roles) > 1 else folder
        for part in _PARTS:
            rows = rows_of_folds(made.fold, getattr(roles, part)).tolist()
            if not rows:
                continue
            names = [table.record_id[row] + suffix for row in rows]
            ages, sexes = [table.age[row] for row in rows], [table.sex[row] for row in rows]
            paths.append(inside / f"{part}.csv")
            write_table(paths[-1], names, ages, sexes, codes, labels[np.ix_(rows, used)])
    return paths


def _recipe(dataset: Dataset, made: Made, roles: Roles, name: str, like: Recipe | None) -> Recipe:
    folds = Folds(split=made.name, train=roles.train, validation=roles.validation, test=roles.test)
    words = ", ".join(
        f"{part} {' + '.join(made.about.fold_names.get(f, str(f)) for f in getattr(roles, part))}"
        for part in _PARTS
        if getattr(roles, part)
    )
    if like is None:
        usual = Data(dataset=str(dataset.path))
        length = float(np.median(dataset.records.length)) / dataset.spec.fs
        data = usual.model_copy(
            update={
                "task": made.task.name,
                "folds": folds,
                "crop_s": min(usual.crop_s, length),
                "single_label": made.task.name in _BEAT_TASKS,  # a beat is of one class
            }
        )
        return Recipe(name=name, description=f"Split {made.name}: {words}.", data=data)
    data = like.data.model_copy(update={"dataset": str(dataset.path), "task": made.task.name, "folds": folds})
    return like.model_copy(update={"name": name, "description": f"Split {made.name}: {words}.", "data": data})


def _write_new(path: Path, text: str, overwrite: bool) -> None:
    """Write a recipe; one that somebody has changed is not replaced unasked."""
    if path.is_file() and not overwrite and path.read_text(encoding="utf-8") != text:
        raise DatasetError(f"{path}: exists and differs; --overwrite replaces it, or name another folder")
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _file_names(made: Made) -> list[str]:
    """Return a name for the files of each use of a split.

    Raises:
        DatasetError: two uses would have the same, as of sources whose names differ in signs only.
    """
    names = [_UNFIT.sub("-", roles.name).strip("-.") for roles in made.about.roles]
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise DatasetError(
            f"{made.path}: two uses of the split would be called {twice!r}; give its sources other names"
        )
    return names
