"""Who is in which fold, and does a patient cross? Selection of rows by fold, and the proof against leaks.

A fold is a whole number; what each is for, the recipe says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError

__all__ = ["check_no_leak", "crossing_patients", "rows_of_folds"]


def rows_of_folds(fold: Sequence[int | None], wanted: Sequence[int]) -> NDArray[np.int64]:
    """Return the rows whose fold is one of ``wanted``, in order."""
    chosen = set(wanted)
    return np.array([row for row, f in enumerate(fold) if f is not None and f in chosen], dtype=np.int64)


def crossing_patients(patient_id: Sequence[str | None], fold: Sequence[int | None]) -> dict[str, tuple[int, ...]]:
    """Return the patients that are in more than one fold, and in which."""
    folds: dict[str, set[int]] = {}
    for patient, f in zip(patient_id, fold, strict=True):
        if patient is not None and f is not None:
            folds.setdefault(patient, set()).add(f)
    return {patient: tuple(sorted(found)) for patient, found in folds.items() if len(found) > 1}


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
