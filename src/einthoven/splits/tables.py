"""The split tables of earlier toolkits: ``path, age, gender, fs`` and one 0/1 column per SNOMED CT code.

Such a table says which file is in which part; files are known by their names without folder and ending.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from einthoven.csv_table import read_csv_table
from einthoven.errors import DatasetError
from einthoven.files import atomic_write

__all__ = ["Matched", "match_tables", "read_names", "record_stem", "write_table"]

_DERIVED = "_preprocessed"  # what the earlier preprocessing appended to a name
_GENDER = {"female": "Female", "male": "Male", None: "Unknown"}
_UNKNOWN_AGE = -1


@dataclass(frozen=True, slots=True)
class Matched:
    """Which part each record is in, from 1, and what did not match."""

    fold: list[int | None]
    unmatched: tuple[str, ...]

    @property
    def n_left_out(self) -> int:
        """Records that no table names."""
        return sum(f is None for f in self.fold)


def record_stem(name: str) -> str:
    """Return a record's name without folder, ending and what preprocessing appended."""
    last = PurePosixPath(name.replace("\\", "/")).name
    head, dot, ending = last.rpartition(".")
    return (head if dot and not ending.isdigit() else last).removesuffix(_DERIVED)


def read_names(path: Path) -> list[str]:
    """Return the record names of a table in order.

    Raises:
        DatasetError: it cannot be read, has no column ``path``, or names a record twice.
    """
    table = read_csv_table(path)
    if "path" not in table.columns:
        raise DatasetError(f"{path}: a split table has the column path; it has {', '.join(table.columns)}")
    k = table.columns.index("path")
    if empty := [line for line, cells in zip(table.lines, table.rows, strict=True) if not cells[k]]:
        raise DatasetError(f"{path}, line {empty[0]}: names no record in the column path")
    names = [record_stem(cells[k]) for cells in table.rows]
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise DatasetError(f"{path}: record {twice} occurs twice")
    return names


def match_tables(paths: Sequence[Path], record_ids: Sequence[str]) -> Matched:
    """Find the records that tables name; the first table is fold 1, and so on.

    Raises:
        DatasetError: a record is in two tables, two records have the same name, or no name matches.
    """
    row_of: dict[str, int] = {}
    for row, name in enumerate(record_ids):
        if row_of.setdefault(record_stem(name), row) != row:
            raise DatasetError(
                f"two records are called {record_stem(name)}: {record_ids[row_of[record_stem(name)]]}, {name}"
            )
    fold: list[int | None] = [None] * len(record_ids)
    unmatched = []
    for number, path in enumerate(paths, start=1):
        for name in read_names(path):
            if name not in row_of:
                unmatched.append(name)
            elif fold[row_of[name]] is not None:
                raise DatasetError(f"{path}: record {name} is in {paths[(fold[row_of[name]] or 1) - 1].name} too")
            else:
                fold[row_of[name]] = number
    if all(f is None for f in fold):
        raise DatasetError(
            f"{paths[0]}: none of its records is in the dataset, whose names are like {record_ids[0]!r}; "
            f"the table's are like {unmatched[0]!r}"
        )
    return Matched(fold, tuple(unmatched))


def write_table(
    path: Path,
    names: Sequence[str],
    ages: Sequence[float | None],
    sexes: Sequence[str | None],
    codes: Sequence[str],
    labels: NDArray[np.floating],
) -> None:
    """Write a table.

    Args:
        path: the CSV.
        names: what stands in the column ``path``.
        ages: years; -1 is written where unknown.
        sexes: ``"female"``, ``"male"`` or None.
        codes: SNOMED CT codes, the columns.
        labels: 0, 1 or NaN (an empty cell), shape (records, codes).
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "age", "gender", *codes])
        for name, age, sex, row in zip(names, ages, sexes, labels, strict=True):
            cells = ["" if np.isnan(value) else int(value) for value in row]
            writer.writerow([name, f"{_UNKNOWN_AGE if age is None else age:g}", _GENDER[sex], *cells])
