"""Make a split of a dataset, import one, or take one that is there.

A split is made for a task, whose classes it keeps in proportion; it serves every other task too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset
from einthoven.errors import DatasetError
from einthoven.labels import Task, make_task, table_tasks
from einthoven.splits import (
    Deviation,
    Division,
    Members,
    SplitAbout,
    deviations,
    make_division,
    method_options,
    own_roles,
    read_about,
    rows_of_folds,
    usual_roles,
    write_about,
    write_split,
)
from einthoven.splits.methods import check_crossing
from einthoven.splits.tables import match_tables

__all__ = ["Made", "import_split", "make_split", "stored_split", "usual_task"]

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class Made:
    """A split of a dataset that is on disk.

    Attributes:
        name: of the split.
        path: its CSV.
        about: what its companion says.
        task: the classes that are counted.
        fold: of each record.
        deviations: of each class of the task, its fold farthest from its due.
        notes: what the user should know, one sentence each.
    """

    name: str
    path: Path
    about: SplitAbout
    task: Task
    fold: list[int | None]
    deviations: Mapping[str, Deviation]
    notes: tuple[str, ...] = ()


def usual_task(dataset: Dataset, name: str | None = None) -> Task:
    """Return the task of a name; by default superclasses or AAMI classes where labels have them, else every code."""
    if name is None:
        known = table_tasks(dataset.label_table)
        name = next((usual for usual in ("superdiagnostic", "aami") if usual in known), "all")
    return make_task(name, dataset.label_table)


def make_split(
    dataset: Dataset,
    method: str,
    *,
    name: str | None = None,
    task: str | None = None,
    of: str | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Made:
    """Divide a dataset and write the split into its folder.

    Args:
        dataset: to divide.
        method: one of ``einthoven.splits.list_methods()``.
        name: of the split; the method's by default.
        task: whose classes are kept in proportion; see ``usual_task``.
        of: the split that is restated or divided further; the corpus' own folds by default.
        overwrite: replace a split of that name.
        options: of the method.

    Raises:
        DatasetError: unknown method or option, a name that is taken, or a division that leaks or cannot be made.
        RecipeError: unknown task.
    """
    defaults = method_options(method)
    if of and method != "nested":
        raise DatasetError(f"--of names the split that the method nested divides further; {method} divides all records")
    wanted = usual_task(dataset, task)
    members = _members(dataset, wanted, of)
    path = _free_path(dataset, name or method, overwrite)
    division = make_division(method, members, **options)
    arguments = {**defaults, **options, "task": wanted.name, **({"of": of} if of else {})}
    seed = arguments.pop("seed", None)
    return _store(dataset, path, wanted, members, division, method, seed, arguments)


def import_split(
    dataset: Dataset,
    tables: Sequence[Path],
    *,
    name: str | None = None,
    task: str | None = None,
    overwrite: bool = False,
) -> Made:
    """Make a split from tables of earlier toolkits: training, validation and test, or as many as there are.

    Raises:
        DatasetError: a table cannot be read, nothing matches, or a patient is in two tables.
    """
    path = _free_path(dataset, name or "from-csv", overwrite)
    wanted = usual_task(dataset, task)
    members = _members(dataset, wanted, None)
    found = match_tables(tables, members.record_id)
    names = {k: table.stem for k, table in enumerate(tables, start=1)}
    division = Division(found.fold, names, usual_roles(list(names)), "as in the tables")
    check_crossing(members, division)
    notes = []
    if found.unmatched:
        some = ", ".join(found.unmatched[:5]) + (", ..." if len(found.unmatched) > 5 else "")
        notes.append(f"{len(found.unmatched):,} records of the tables are not in the dataset: {some}")
    if found.n_left_out:
        notes.append(f"{found.n_left_out:,} records of the dataset are in no table and have no fold")
    arguments = {"tables": [table.name for table in tables], "task": wanted.name}
    made = _store(dataset, path, wanted, members, division, "from-csv", None, arguments)
    return replace(made, notes=(*notes, *made.notes))


def stored_split(dataset: Dataset, name: str, task: str | None = None) -> Made:
    """Return a split that is in the dataset's folder.

    Raises:
        DatasetError: there is none of that name, or it does not fit the records.
    """
    fold, path, wanted = dataset.folds(name), _path(dataset, name), usual_task(dataset, task)
    about = read_about(path)
    if about is None:
        folds = sorted({f for f in fold if f is not None})
        names = {f: f"fold {f}" for f in folds}
        about = SplitAbout("by hand", None, {}, "unknown", names, usual_roles(folds))
    labels = wanted.targets(dataset.records.statements)
    return Made(name, path, about, wanted, fold, _measure(dataset, wanted, labels, fold, about.shares))


def _path(dataset: Dataset, name: str) -> Path:
    return dataset.path / "splits" / f"{name}.csv"


def _free_path(dataset: Dataset, name: str, overwrite: bool) -> Path:
    if not _NAME.fullmatch(name):
        raise DatasetError(f"{name!r} is no name for a split: use letters, digits, dot, dash and underscore")
    path = _path(dataset, name)
    if path.exists() and not overwrite:
        raise DatasetError(f"{path}: this split exists; --overwrite replaces it, --name gives another name")
    return path


def _members(dataset: Dataset, task: Task, of: str | None) -> Members:
    table = dataset.records
    fold = dataset.folds(of)
    about = read_about(_path(dataset, of)) if of else None
    roles = about.roles if about else own_roles(sorted({f for f in fold if f is not None}))
    shared = {**dataset.shared_patients, **(about.shared_patients if about else {})}
    labels = task.targets(table.statements)
    return Members(table.record_id, table.patient_id, table.source, labels, fold, roles[0] if roles else None, shared)


def _store(
    dataset: Dataset,
    path: Path,
    task: Task,
    members: Members,
    division: Division,
    method: str,
    seed: int | None,
    arguments: Mapping[str, Any],
) -> Made:
    about = SplitAbout(
        method=method,
        seed=seed,
        arguments=arguments,
        grouping=division.grouping,
        fold_names=division.names,
        roles=division.roles,
        shares=division.shares,
        leaks=division.leaks,
        shared_patients=division.shared_patients,
        counts=tuple(_count(members, division.fold, f, task) for f in division.names),
        listing_sha256=dataset.listing_sha256,
    )
    path.with_suffix(".json").unlink(missing_ok=True)  # what it excuses must not outlive the folds it was made for
    write_split(path, members.record_id, division.fold)
    write_about(path, about)
    found = _measure(dataset, task, members.labels, division.fold, division.shares)
    return Made(path.stem, path, about, task, division.fold, found, _notes(members, division))


def _notes(members: Members, division: Division) -> tuple[str, ...]:
    notes = []
    if division.leaks:
        notes.append(f"warning: this split leaks by design: {division.leaks}")
    unknown = sum(p is None for p, f in zip(members.patient_id, division.fold, strict=True) if f is not None)
    if unknown:
        notes.append(f"{unknown:,} records have no patient id: nothing proves that no patient crosses")
    notes += [f"patient {patient} is in two folds: {why}" for patient, why in division.shared_patients.items()]
    return tuple(notes)


def _count(members: Members, fold: Sequence[int | None], f: int, task: Task) -> dict[str, Any]:
    rows = rows_of_folds(fold, [f])
    patients = {members.patient_id[row] for row in rows}
    positives = (members.labels[rows] == 1).sum(axis=0)
    return {
        "fold": f,
        "records": len(rows),
        "patients": None if None in patients else len(patients),
        "classes": {name: int(n) for name, n in zip(task.classes, positives, strict=True)},
    }


def _measure(
    dataset: Dataset,
    task: Task,
    labels: NDArray[np.floating],
    fold: Sequence[int | None],
    shares: tuple[float, ...] | None,
) -> dict[str, Deviation]:
    """Compare each fold with its due: of the aim where there is one, otherwise of its number of records."""
    numbers = sorted({f for f in fold if f is not None}) if shares is None else list(range(1, len(shares) + 1))
    rows = rows_of_folds(fold, numbers)
    place = {f: k + 1 for k, f in enumerate(numbers)}
    placed = np.array([place[f] for row in rows if (f := fold[row]) is not None], np.int64)
    due = np.bincount(placed, minlength=len(numbers) + 1)[1:] / len(rows) if shares is None else np.array(shares)
    patients = [dataset.records.patient_id[row] or f"row {row}" for row in rows]
    found = deviations(labels[rows], patients, placed, due)
    return {name: replace(each, fold=numbers[each.fold - 1]) for name, each in zip(task.classes, found, strict=True)}
