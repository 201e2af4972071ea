"""A dataset described: its labels, its signals and an example of each class, as numbers and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from einthoven.audit import find_duplicates
from einthoven.dataset import Dataset
from einthoven.describe import Contents, dataset_contents, label_statistics, signal_statistics, write_page
from einthoven.labels import Task
from einthoven.record import Record
from einthoven.workflow.samples import choose_samples

__all__ = ["describe_dataset", "write_description"]

Progress = Callable[[int, int], None]


def describe_dataset(
    dataset: Dataset,
    task: Task,
    *,
    split: str | None = None,
    sampled: int = 1000,
    seed: int = 0,
    duplicates: bool = False,
    progress: Progress = lambda *_: None,
) -> Contents:
    """Compute what a dataset holds.

    Args:
        dataset: to describe.
        task: whose classes are counted.
        split: whose folds; the corpus' own by default.
        sampled: records whose signal quality is checked.
        seed: of their draw.
        duplicates: whether to search for duplicate signals.
        progress: called with records done and their number, for the signals and again for the search.

    Raises:
        DatasetError: no such split.
    """
    labels = label_statistics(dataset, task, split)
    signals = signal_statistics(dataset, sampled, seed, progress)
    found = find_duplicates(dataset, progress) if duplicates else None
    return dataset_contents(dataset, labels, signals, found)


def write_description(
    path: Path,
    dataset: Dataset,
    task: Task,
    contents: Contents,
    *,
    examples: int = 2,
    progress: Progress = lambda *_: None,
) -> None:
    """Write the page, with representative records of each class as interactive figures.

    Args:
        path: the file, whole or not at all.
        dataset: whose records are the examples.
        task: of the figures.
        contents: the figures.
        examples: records per class; see ``choose_samples``.
        progress: called with records measured and their number.

    Raises:
        EinthovenError: the file cannot be written.
    """
    chosen: dict[str, list[Record]] = {name: [] for name in task.classes}
    if examples:
        for sample in choose_samples(dataset, task, examples, progress=progress):
            chosen[sample.class_name].append(dataset.record(sample.row).with_(patient_id=None))
    write_page(path, contents, chosen)
