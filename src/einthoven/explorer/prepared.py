"""Prepared datasets at hand: found in a folder, opened once for all sessions."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from einthoven.dataset import Dataset, open_dataset
from einthoven.labels import table_tasks

__all__ = ["dataset_folders", "open_prepared", "tasks_of"]

_MARK, _USUAL = "dataset.json", "superdiagnostic"


def dataset_folders(where: Path) -> list[Path]:
    """Return the folder itself where it is a dataset, else the datasets in it, by name."""
    if (where / _MARK).is_file():
        return [where]
    return sorted(path.parent for path in where.glob(f"*/{_MARK}")) if where.is_dir() else []


def open_prepared(path: Path) -> Dataset:
    """Open a dataset, or take the one that is open; its signals stay on disk.

    Raises:
        DatasetError: see ``open_dataset``.
    """
    return _open(str(path), (path / _MARK).stat().st_mtime_ns)


def tasks_of(dataset: Dataset) -> list[str]:
    """Return the tasks that the labels of a dataset fit, the usual one first."""
    known = table_tasks(dataset.label_table)
    return sorted(known, key=lambda name: (name != _USUAL, known.index(name)))


@st.cache_resource(max_entries=4, show_spinner="Opening the dataset")
def _open(path: str, stamp: int) -> Dataset:
    del stamp
    return open_dataset(path)
