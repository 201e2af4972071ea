"""Which records take part? A dataset seen through a task and its folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset
from einthoven.errors import DatasetError
from einthoven.labels import Task, make_task
from einthoven.splits import check_no_leak, read_about, rows_of_folds
from einthoven.training.recipe import Folds, Recipe

__all__ = ["SPLITS", "Selected", "has_label", "select_for", "select_for_bundle", "select_records", "task_for_bundle"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Selected:
    """A dataset seen through a recipe: the task, its targets, and the labelled rows of each split.

    ``leaks`` says why the folds leak by design; None where no patient crosses.
    """

    dataset: Dataset
    task: Task
    targets: NDArray[np.float32]
    rows: dict[str, NDArray[np.int64]]
    n_unlabelled: dict[str, int]
    leaks: str | None = None

    def n_patients(self, split: str) -> int | None:
        """Patients of a split, None where any is unknown."""
        patients = [self.dataset.records.patient_id[row] for row in self.rows[split]]
        return None if None in patients else len(set(patients))


def select_records(dataset: Dataset, task: Task, folds: Folds, unlabelled: str = "auto") -> Selected:
    """Choose the records of each split; those without a label of the task are left out, and counted.

    ``unlabelled`` says whether a record with none of the task's statements has no label (``"drop"``) or is a negative
    of every class (``"negative"``); ``"auto"`` leaves it to the dataset.

    Raises:
        DatasetError: a patient is in two splits, and the split does not say that it leaks by design.
    """
    targets = task.targets(dataset.records.statements)
    labelled = has_label(targets, dataset, unlabelled)
    fold = dataset.folds(folds.split)
    every = {split: rows_of_folds(fold, getattr(folds, split)) for split in SPLITS}
    rows = {split: chosen[labelled[chosen]] for split, chosen in every.items()}
    about = read_about(dataset.path / "splits" / f"{folds.split}.csv") if folds.split else None
    excused = {*dataset.shared_patients, *(about.shared_patients if about else ())}
    leaks = about.leaks if about else None
    if leaks:
        excused |= {patient for patient in dataset.records.patient_id if patient is not None}
    check_no_leak(dataset.records.patient_id, rows, excused)
    n_unlabelled = {split: len(every[split]) - len(rows[split]) for split in SPLITS}
    return Selected(dataset, task, targets, rows, n_unlabelled, leaks)


def has_label(targets: NDArray[np.float32], dataset: Dataset, unlabelled: str) -> NDArray[np.bool_]:
    """Which records, the rows of ``targets``, have a label of the task; ``unlabelled`` as in ``select_records``."""
    negatives = dataset.complete_labels if unlabelled == "auto" else unlabelled == "negative"
    counts: NDArray[np.bool_] = np.isfinite(targets) if negatives else np.equal(targets, 1.0)
    return np.asarray(counts.any(axis=1))


def select_for(recipe: Recipe, dataset: Dataset) -> Selected:
    """Choose the records of each split as a recipe says; of the training records the share that it wants."""
    data = recipe.data
    task = make_task(data.task, dataset.label_table, min_likelihood=data.min_likelihood, single_label=data.single_label)
    selected = select_records(dataset, task, data.folds, data.unlabelled)
    if data.sample_frac == 1:
        return selected
    train = _share(selected.rows["train"], dataset.records.patient_id, data.sample_frac, recipe.seed)
    return replace(selected, rows={**selected.rows, "train": train})


def _share(rows: NDArray[np.int64], patient_id: Sequence[str | None], share: float, seed: int) -> NDArray[np.int64]:
    """The records of a share of the patients; a smaller share's are among those of a larger one of the same seed."""
    owner = [patient_id[row] or f"record {row}" for row in rows.tolist()]
    names = sorted(set(owner))
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = {names[k] for k in order[: max(1, round(share * len(names)))]}
    return rows[[name in drawn for name in owner]]


def select_for_bundle(bundle: Bundle, dataset: Dataset) -> Selected:
    """Choose the records of each split as a bundle's provenance says.

    Raises:
        DatasetError: the dataset has classes of the task that the bundle does not know.
    """
    folds = Folds(**bundle.about["provenance"]["folds"])
    unlabelled = bundle.about["task"].get("unlabelled", "auto")
    return select_records(dataset, task_for_bundle(bundle, dataset), folds, unlabelled)


def task_for_bundle(bundle: Bundle, dataset: Dataset) -> Task:
    """See a dataset's labels through a bundle's task, with the bundle's classes in their order.

    Raises:
        DatasetError: the dataset has classes of the task that the bundle does not know.
    """
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
    return Task(task.name, bundle.classes, task.class_of, task.kind, task.min_likelihood, bundle.descriptions)
