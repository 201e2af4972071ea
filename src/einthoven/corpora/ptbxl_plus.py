"""PTB-XL+: measurements of three programs for the records of PTB-XL, joined by ``ecg_id``.

Strodthoff et al. 2023, "PTB-XL+, a comprehensive electrocardiographic feature dataset", Scientific Data 10:279. One
idea: every number is kept under the name of its program; what to drop or fill in is fitted where models are trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora._registry import FeatureTable
from einthoven.errors import DatasetError, nearest

__all__ = ["ATTRIBUTION", "FEATURE_SETS", "read_features"]

ATTRIBUTION = (
    "PTB-XL+ 1.0.1, Strodthoff, Mehari, Nagel, Aston, Sundar, Graff, Kanters, Haverkamp, Dössel, Loewe, Bär and "
    "Schaeffter, PhysioNet, https://doi.org/10.13026/g6h6-7g88, CC BY 4.0"
)
# Marquette 12SL (782 features), ECGDeli (531) and the Glasgow program (748).
FEATURE_SETS = ("12sl", "ecgdeli", "unig")
_KEY = "ecg_id"  # of 12sl the 145th column, and its rows are not in order
_MOST_NAMED = 5


def read_features(folder: Path, sets: str | None, record_ids: Sequence[str]) -> tuple[FeatureTable, tuple[str, ...]]:
    """Read the feature tables and bring their rows into the order of the records.

    Constant and empty columns are kept: which to use is decided on the training folds.

    Args:
        folder: of PTB-XL+, or its folder ``features``.
        sets: names of ``FEATURE_SETS``, comma-separated; None takes all three.
        record_ids: the ``ecg_id`` of each record.

    Returns:
        Features named ``12sl:QRS_Dur_Global`` and so on, NaN where a number is missing; and what was lost or odd.

    Raises:
        DatasetError: an unknown set, a table that is missing or damaged, or one that has a record twice.
    """
    wanted = _wanted(sets)
    inside = folder / "features" if (folder / "features").is_dir() else folder
    names: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    notes: list[str] = []
    for name in wanted:
        columns, values, more = _read_set(inside / f"{name}_features.csv", record_ids)
        names += [f"{name}:{column}" for column in columns]
        blocks.append(values)
        notes += [f"PTB-XL+ {name}: {note}" for note in more]
    return FeatureTable(tuple(names), np.concatenate(blocks).T), tuple(notes)


def _wanted(sets: str | None) -> list[str]:
    if sets is None:
        return list(FEATURE_SETS)
    wanted = list(dict.fromkeys(name.strip().lower() for name in sets.split(",") if name.strip()))
    for name in wanted or [""]:
        if name not in FEATURE_SETS:
            raise DatasetError(
                f"feature_sets={sets}: PTB-XL+ has no set {name!r}{nearest(name, FEATURE_SETS)}; "
                f"choose among {', '.join(FEATURE_SETS)}"
            )
    return wanted


def _read_set(path: Path, record_ids: Sequence[str]) -> tuple[list[str], NDArray[np.float32], list[str]]:
    """Return the columns of one table, their values of shape (features, records), and what was lost or odd."""
    table = _read_table(path)
    row_of = _rows(path, table.column(_KEY))
    place = np.array([row_of.get(record_id, -1) for record_id in record_ids], np.int64)
    there = place >= 0
    columns, kept, dropped, n_odd = [], [], [], 0
    for name in table.column_names:
        if name == _KEY:
            continue
        numbers, odd = _numbers(table.column(name))
        if numbers is None:
            dropped.append(name)
            continue
        n_odd += odd
        columns.append(name)
        kept.append(np.where(there, numbers[place], np.float32(np.nan)))
    if not kept:
        raise DatasetError(f"{path}: has no column of numbers besides {_KEY}")
    notes = _notes(len(row_of) - int(there.sum()), int((~there).sum()), len(record_ids), dropped, n_odd)
    return columns, np.stack(kept), notes


def _read_table(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    if not path.is_file():
        raise DatasetError(
            f"{path}: no such file; name the folder of PTB-XL+ with --set features=FOLDER, "
            "or the tables that it has with --set feature_sets=12sl,ecgdeli"
        )
    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read: {str(error)[:200]}; download it again") from None
    names = table.column_names
    if _KEY not in names or len(set(names)) < len(names) or not table.num_rows:
        raise DatasetError(f"{path}: needs rows, one column {_KEY}, and every other column name once")
    return table


def _rows(path: Path, key: Any) -> dict[str, int]:
    import pyarrow as pa

    try:
        ids = key.cast(pa.int64()).to_pylist()
    except pa.ArrowInvalid:
        ids = [None]
    if None in ids:
        raise DatasetError(f"{path}: its column {_KEY} must hold whole numbers")
    row_of = {str(ecg_id): row for row, ecg_id in enumerate(ids)}
    if len(row_of) < len(ids):
        raise DatasetError(f"{path}: {len(ids) - len(row_of):,} rows have the {_KEY} of another; download it again")
    return row_of


def _numbers(column: Any) -> tuple[NDArray[np.float32] | None, int]:
    """Return a column as float32 and how many of its cells say something that is no number; None where all do."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        with np.errstate(over="ignore"):  # beyond float32: infinite, so missing
            values = column.to_numpy().astype(np.float32)
        n_missing = column.null_count
    else:
        cells = column.to_pylist()
        values = np.array([_number(cell) for cell in cells], np.float32)
        n_missing = sum(cell is None for cell in cells)
        if not np.isfinite(values).any() and n_missing < len(cells):
            return None, 0
    values[~np.isfinite(values)] = np.nan
    return values, int(np.isnan(values).sum()) - n_missing


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return np.nan


def _notes(n_foreign: int, n_without: int, n_records: int, dropped: Sequence[str], n_odd: int) -> list[str]:
    notes = []
    if n_foreign:
        notes.append(f"{n_foreign:,} rows are of records that the corpus does not list")
    if n_without:
        notes.append(f"{n_without:,} of {n_records:,} records have no row, so their features are missing")
    if dropped:
        more = ", ..." if len(dropped) > _MOST_NAMED else ""
        notes.append(f"{len(dropped)} columns without a number were dropped: {', '.join(dropped[:_MOST_NAMED])}{more}")
    if n_odd:
        notes.append(f"{n_odd:,} cells are no finite numbers and count as missing")
    return notes
