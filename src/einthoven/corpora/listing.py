"""The table of a folder of one's own: which column is what, and what each cell says.

Columns are known by their usual names, the user's words go first, and every fault names file, line and column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from einthoven.csv_table import read_csv_table
from einthoven.errors import DatasetError, nearest

__all__ = ["FACTS", "Listing", "read_listing"]

# What a fact's column is usually called, lower case; the first that is there counts.
FACTS = {
    "path": ("path", "file", "filename", "file_name", "file_path", "filepath", "record"),
    "id": ("record_id", "ecg_id", "id"),
    "patient": ("patient_id", "patient", "subject_id", "subject"),
    "age": ("age", "age_years"),
    "sex": ("sex", "gender"),
    "fold": ("fold", "strat_fold"),
    "source": ("source", "site", "hospital", "database", "centre", "center"),
    "fs": ("fs", "sampling_rate", "sample_rate", "hz"),
}
_SEX = {"f": "female", "female": "female", "w": "female", "woman": "female"}
_SEX |= {"m": "male", "male": "male", "man": "male"}
_FLAGS = dict.fromkeys(("1", "1.0", "true", "yes"), True) | dict.fromkeys(("0", "0.0", "false", "no"), False)
_UNKNOWN = {"", "nan", "na", "n/a", "none", "null", "unknown", "?", "-1"}


@dataclass(frozen=True, slots=True)
class Listing:
    """A table whose columns have been found.

    Attributes:
        path: the file.
        columns: its header.
        rows: its cells as text, stripped, one mapping a row.
        lines: the line that each row ends on.
        decimal_comma: whether numbers may have one.
        fact_columns: the column of each fact that was found.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    decimal_comma: bool
    fact_columns: Mapping[str, str]

    def where(self, row: int, column: str) -> str:
        """Name a cell for a message."""
        return f"{self.path}, line {self.lines[row]}, column {column!r}"

    def text(self, row: int, fact: str) -> str | None:
        """Return a fact as written; None where it has no column or its cell says nothing."""
        column = self.fact_columns.get(fact)
        cell = self.rows[row][column] if column else ""
        return None if cell.lower() in _UNKNOWN - {"-1"} else cell

    def number(self, row: int, fact: str) -> float | None:
        """Return a fact as a number.

        Raises:
            DatasetError: it is none.
        """
        cell = self.text(row, fact)
        if cell is None or cell.lower() in _UNKNOWN:
            return None
        try:
            value = float(cell.replace(",", ".") if self.decimal_comma else cell)
        except ValueError:
            raise DatasetError(f"{self.where(row, self.fact_columns[fact])}: {cell!r} is not a number") from None
        return None if math.isnan(value) else value

    def sex(self, row: int) -> str | None:
        """Return ``"female"``, ``"male"`` or None.

        Raises:
            DatasetError: another word, or a number, whose meaning nobody could know.
        """
        cell = self.text(row, "sex")
        if cell is None or cell.lower() in _UNKNOWN:
            return None
        if cell.lower() not in _SEX:
            column = self.fact_columns["sex"]
            raise DatasetError(f"{self.where(row, column)}: {cell!r} is no sex; write female, male or nothing")
        return _SEX[cell.lower()]

    def flag(self, row: int, column: str) -> bool | None:
        """Return a label cell: present, absent, or None where it is not known.

        Raises:
            DatasetError: it is not 0, 1 or empty.
        """
        cell = self.rows[row][column].lower()
        if cell in _UNKNOWN - {"-1"}:
            return None
        if cell not in _FLAGS:
            raise DatasetError(
                f"{self.where(row, column)}: a label is 0, 1 or empty (unknown), not {self.rows[row][column]!r}; where "
                "the column is no label, name those that are with --set labels=A,B"
            )
        return _FLAGS[cell]

    def looks_like_flags(self, column: str) -> bool:
        """Whether at least half of a column's cells that say something are 0 or 1, or the words for it."""
        cells = [row[column].lower() for row in self.rows]
        known = [cell for cell in cells if cell not in _UNKNOWN - {"-1"}]
        return bool(known) and 2 * sum(cell in _FLAGS for cell in known) >= len(known)


def read_listing(path: Path, chosen: Mapping[str, str | None]) -> Listing:
    """Read a table and find the columns of the facts.

    Args:
        path: the file.
        chosen: a fact of ``FACTS`` and its column, where the user names it.

    Raises:
        DatasetError: see ``read_csv_table``; a chosen column that is not there, or no column of paths.
    """
    table = read_csv_table(path)
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.rows]
    comma = table.delimiter != ","  # then numbers may have decimal commas
    return Listing(path, table.columns, rows, table.lines, comma, _fact_columns(path, table.columns, chosen))


def _fact_columns(path: Path, columns: Sequence[str], chosen: Mapping[str, str | None]) -> dict[str, str]:
    found = {}
    by_name = {name.lower(): name for name in reversed(columns)}
    for fact, usual in FACTS.items():
        wanted = chosen.get(fact)
        if wanted is not None and wanted not in columns:
            raise DatasetError(f"{path}: no column {wanted!r}{nearest(wanted, columns)}; it has {', '.join(columns)}")
        column = wanted or next((by_name[name] for name in usual if name in by_name), None)
        if column is not None:
            found[fact] = column
    if "path" not in found:
        raise DatasetError(
            f"{path}: no column names the files; call it 'path', or say which with --set path=COLUMN; "
            f"it has {', '.join(columns)}"
        )
    return found
