"""Who is in which fold? Selection of rows by fold, splits on disk, and the proof that no patient crosses.

A split is a CSV of ``record_id, fold``; what each fold is for, the recipe says.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError
from einthoven.files import atomic_write

__all__ = ["check_no_leak", "read_split", "rows_of_folds", "write_split"]


def rows_of_folds(fold: Sequence[int | None], wanted: Sequence[int]) -> NDArray[np.int64]:
    """Return the rows whose fold is one of ``wanted``, in order."""
    chosen = set(wanted)
    return np.array([row for row, f in enumerate(fold) if f is not None and f in chosen], dtype=np.int64)


def read_split(path: Path, record_ids: Sequence[str]) -> list[int | None]:
    """Return the fold of each record; None for one that the split leaves out.

    Raises:
        DatasetError: the file cannot be read, has other columns, or names records that are not there, or one twice.
    """
    folds: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                name = row["record_id"]
                if name in folds:
                    raise DatasetError(f"{path}, line {line}: record {name} occurs twice")
                folds[name] = int(row["fold"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: a split needs the columns record_id and fold (a whole number): {error}") from None
    if unknown := folds.keys() - set(record_ids):
        raise DatasetError(f"{path}: names {len(unknown):,} records that are not there, for example {min(unknown)}")
    return [folds.get(name) for name in record_ids]


def write_split(path: Path, record_ids: Sequence[str], fold: Sequence[int | None]) -> None:
    """Write what ``read_split`` reads; records without a fold are left out."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["record_id", "fold"])
        writer.writerows((name, f) for name, f in zip(record_ids, fold, strict=True) if f is not None)


def check_no_leak(
    patient_id: Sequence[str | None], splits: Mapping[str, NDArray[np.int64]], published: Collection[str] = ()
) -> int:
    """Refuse splits that share a patient, and return how many records have no known patient.

    Args:
        patient_id: of each record.
        splits: rows of each split.
        published: patients that the published split itself shares; they are let pass.

    Raises:
        DatasetError: a record or a patient is in two splits.
    """
    owner: dict[str, str] = {}
    taken: dict[int, str] = {}
    unknown = 0
    for split, rows in splits.items():
        for row in rows.tolist():
            if taken.setdefault(row, split) != split:
                raise DatasetError(f"the splits {taken[row]} and {split} share records: their folds overlap")
            patient = patient_id[row]
            unknown += patient is None
            if patient is not None and patient not in published and owner.setdefault(patient, split) != split:
                raise DatasetError(
                    f"patient {patient} is in both {owner[patient]} and {split}: the folds leak patients"
                )
    return unknown
