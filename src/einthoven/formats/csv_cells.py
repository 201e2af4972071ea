"""From text to a table of numbers: separators, decimal commas, empty cells, and where a cell is wrong.

One idea: clean tables take one fast path; only when it fails are cells looked at singly, to repair or to point at one.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError

__all__ = ["Dialect", "detect_dialect", "is_number", "split_text", "table"]

_CHUNK_ROWS = 8192  # a row of Python strings takes ten times the memory of its numbers
_MAX_COLUMNS = 512
_EMPTY = {"", "nan", "na", "n/a", "null", "none", "-"}
_JSON_ONLY = '"[{tf'  # strings, lists, objects, true and false are JSON, but no numbers
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are told apart: ``separator`` is one character or None for runs of blanks."""

    separator: str | None
    decimal_comma: bool = False
    trailing: bool = False

    def cells(self, line: str) -> list[str]:
        """Split a line into stripped cells without quotes."""
        line = line.strip("\r\n ")
        if self.trailing:
            line = line.removesuffix(self.separator or "")
        if '"' in line and self.separator:  # a separator within quotes separates nothing
            parts = next(csv.reader([line], delimiter=self.separator, skipinitialspace=True), [])
        else:
            parts = line.split(self.separator)
        return [cell.strip().strip("\"'").strip() for cell in parts]

    def header(self, line: str) -> tuple[str, ...] | None:
        """Return the column names if ``line`` is a header: most of its cells are text."""
        cells = self.cells(line)
        texts = sum(cell.lower() not in _EMPTY and not is_number(self.dotted(cell)) for cell in cells)
        return tuple(cells) if 2 * texts > len(cells) else None

    def dotted(self, text: str) -> str:
        """Replace decimal commas by points."""
        return text.replace(",", ".") if self.decimal_comma else text

    @property
    def notes(self) -> list[str]:
        """What the user should know about the reading."""
        return ["Commas were read as decimal points."] if self.decimal_comma else []


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, with a point or a comma before its decimals."""
    return _NUMBER.fullmatch(text.strip().replace(",", ".", 1)) is not None


def split_text(content: bytes, name: str) -> list[str]:
    """Decode a text file (UTF-8, UTF-16 with its mark, or Latin-1) and split it into lines.

    Raises:
        RecordError: it is no text.
    """
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = content.decode("utf-16", errors="replace")
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise RecordError(f"{name}: the file is binary, not a text table")
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    return text.split("\n") if text else []


def detect_dialect(lines: list[str]) -> Dialect:
    """Tell separator and decimal sign of a table from its lines; the first may be a header."""
    sample = "\n".join(lines[1:20]) or "\n".join(lines)
    separator = next((s for s in ";\t," if s in sample), None)
    body = "\n".join(lines[1:]) or sample
    decimal_comma = separator in (";", "\t") and "," in body and "." not in body
    trailing = separator is not None and all(line.rstrip("\r\n ").endswith(separator) for line in lines if line.strip())
    return Dialect(separator, decimal_comma, trailing)


def table(lines: list[str], first_row: int, dialect: Dialect, n_columns: int | None, name: str) -> NDArray[np.float64]:
    """Parse rows of numbers.

    Args:
        lines: the rows.
        first_row: number of the first of them in the file, for messages.
        dialect: of the file.
        n_columns: of the header, None without one.
        name: of the file, for messages.

    Returns:
        float64, shape (rows, columns); NaN where a cell is empty.

    Raises:
        RecordError: no rows, rows of different lengths, or a cell that is no number.
    """
    if not lines:
        raise RecordError(f"{name}: the file has a header but no rows of numbers")
    width = n_columns or len(dialect.cells(lines[0]))
    if width > _MAX_COLUMNS:
        raise RecordError(
            f"{name}: {width} columns; a table has one column per lead and one row per sample, "
            "so this one may be transposed"
        )
    return np.concatenate(list(_chunks(lines, first_row, dialect, width, name)))


def _chunks(lines: list[str], first_row: int, dialect: Dialect, width: int, name: str) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(lines), _CHUNK_ROWS):
        part = lines[start : start + _CHUNK_ROWS]
        found = _fast(part, dialect, width)
        yield _careful(part, first_row + start, dialect, width, name) if found is None else found


def _fast(lines: list[str], dialect: Dialect, width: int) -> NDArray[np.float64] | None:
    """Parse clean rows; None where there is anything else."""
    separator = dialect.separator
    if separator is None:
        lines = [",".join(line.split()) for line in lines]
        separator = ","
    commas = width - 1 + dialect.trailing
    if any([line.count(separator) != commas for line in lines]):
        return None
    joint = "" if dialect.trailing else separator
    text = dialect.dotted(joint.join(lines))
    if dialect.trailing:
        text = text.removesuffix(separator)
    # Python's float takes underscores within numbers and words for infinity; tables must not.
    if "_" in text or "n" in text or "N" in text:
        return None
    try:
        values = np.fromiter(_numbers(text, separator), np.float64, len(lines) * width)
    except (ValueError, OverflowError):
        return None
    return values.reshape(-1, width) if np.isfinite(values).all() else None


def _numbers(text: str, separator: str) -> Iterable[float]:
    """Parse numbers as a JSON list, which is four times faster, where they are written as JSON has them."""
    if separator == "," and not any(mark in text for mark in _JSON_ONLY):
        from pydantic_core import from_json

        with suppress(ValueError):  # "+1" and ".5" are numbers, but not JSON's
            return from_json(f"[{text}]", cache_strings=False)
    return map(float, text.split(separator))


def _careful(lines: list[str], first_row: int, dialect: Dialect, width: int, name: str) -> NDArray[np.float64]:
    values = np.empty((len(lines), width))
    for k, line in enumerate(lines):
        cells = dialect.cells(line)
        if len(cells) != width:
            raise RecordError(f"{name}: row {first_row + k} has {len(cells)} columns, the rows before it have {width}")
        values[k] = [_value(cell, dialect, first_row + k, c + 1, name) for c, cell in enumerate(cells)]
    return values


def _value(cell: str, dialect: Dialect, row: int, column: int, name: str) -> float:
    if cell.lower() in _EMPTY:
        return math.nan
    text = dialect.dotted(cell)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise RecordError(f"{name}: row {row}, column {column}: {cell[:40]!r} is not a number")
    return value
