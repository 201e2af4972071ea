"""The table of a folder of one's own: which column is what, and what each cell says.

Columns are known by their usual names, the user's words go first, and every fault names file, line and column.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
_UNKNOWN = {"", "nan", "na", "n/a", "none", "null", "unknown", "?", "-1"}


@dataclass(frozen=True, slots=True)
class Listing:
    """A table whose columns have been found.

    Attributes:
        path: the file.
        columns: its header.
        rows: its cells as text, stripped, one mapping a row.
        fact_columns: the column of each fact that was found.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    fact_columns: Mapping[str, str]

    def where(self, row: int, column: str) -> str:
        """Name a cell for a message."""
        return f"{self.path}, line {row + 2}, column {column!r}"

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
            value = float(cell)
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
        if cell not in ("0", "1", "0.0", "1.0", "true", "false"):
            raise DatasetError(
                f"{self.where(row, column)}: a label is 0, 1 or empty (unknown), not {self.rows[row][column]!r}"
            )
        return cell in ("1", "1.0", "true")

    def looks_like_flags(self, column: str) -> bool:
        """Whether a column's first cell that says something is 0 or 1."""
        cells = (row[column].lower() for row in self.rows)
        first = next((cell for cell in cells if cell not in _UNKNOWN), "")
        return first in ("0", "1", "0.0", "1.0", "true", "false")


def read_listing(path: Path, chosen: Mapping[str, str | None]) -> Listing:
    """Read a table (comma, semicolon or tab; UTF-8) and find the columns of the facts.

    Args:
        path: the file.
        chosen: a fact of ``FACTS`` and its column, where the user names it.

    Raises:
        DatasetError: no such file, no header, a row with more cells than the header, a chosen column that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a UTF-8 table: {error}") from None
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")
    columns = tuple(name.strip() for name in reader.fieldnames or ())
    if not columns or len(set(columns)) < len(columns) or "" in columns[1:]:
        raise DatasetError(f"{path}: the first line must name every column once, got {', '.join(columns) or 'nothing'}")
    reader.fieldnames = list(columns)
    rows = []
    for row in reader:
        if row.get("") and "" not in columns:
            raise DatasetError(
                f"{path}, line {reader.line_num}: more cells than the {len(columns)} columns of its header"
            )
        rows.append({name: row[name].strip() for name in columns})
    if not rows:
        raise DatasetError(f"{path}: has a header but no rows")
    return Listing(path, columns, rows, _fact_columns(path, columns, chosen))


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
