"""A table that somebody made: comma, semicolon or tab, whatever wrote it, with the line that each row stands on.

One idea: every verb that reads a user's table reads it here, so that a table fit for one is fit for all.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from einthoven.errors import DatasetError

__all__ = ["Table", "read_csv_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as stripped text.

    Attributes:
        path: the file.
        columns: its header.
        rows: one list of cells per row, as many as columns.
        lines: the line of the file that each row ends on.
        delimiter: what stands between cells.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    delimiter: str


def read_csv_table(path: Path) -> Table:
    """Read a table in UTF-8, or in UTF-16 with its mark as spreadsheets write it; blank lines are passed over.

    Raises:
        DatasetError: it cannot be read, has no rows, a column without or with another's name, or a row of other length.
    """
    text = _text(path)
    delimiter = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: cannot be read as a table: {error}") from None
    found = [(line, cells) for line, cells in found if any(cells)]
    if len(found) < 2:
        raise DatasetError(f"{path}: a header and at least one row are needed")
    columns = tuple(found[0][1])
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice or "" in columns[1:]:
        what = f"{twice[0]!r} comes twice" if twice and twice[0] else "one has no name"
        raise DatasetError(f"{path}: the first line must name every column once; {what}")
    for line, cells in found[1:]:
        if len(cells) != len(columns):
            raise DatasetError(f"{path}, line {line}: has {len(cells)} cells, the header has {len(columns)}")
    return Table(path, columns, [cells for _, cells in found[1:]], [line for line, _ in found[1:]], delimiter)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return content.decode(encoding)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is not UTF-8 text; save it as 'CSV UTF-8'") from None
