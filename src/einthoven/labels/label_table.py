"""A table of labels as people keep them: a column of codes, or a column of 0 and 1 per code.

One idea: other columns pass through untouched, and every fault names file, line and column.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from einthoven.csv_table import read_csv_table
from einthoven.errors import DatasetError, nearest
from einthoven.files import atomic_write
from einthoven.labels.systems import load_system

__all__ = ["LabelTable", "read_codes", "read_label_table", "write_label_table"]

Statements = dict[str, float | None]
_USUAL = ("scp_codes", "codes", "statements", "labels", "dx", "snomedctcode", "snomed_codes", "aha_code", "aha_codes")
_YES, _NO, _UNKNOWN = {"1", "1.0", "true"}, {"0", "0.0", "false"}, {"", "nan", "na", "n/a", "none", "null", "unknown"}


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A table with its labels understood.

    Attributes:
        path: the file.
        header: its columns.
        rows: its cells.
        columns: of the labels; one column of codes, or one per code.
        style: how a column of codes is written: ``"dict"``, ``"list"`` or a separator; empty for columns of 0 and 1.
        statements: of each row.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    columns: tuple[str, ...]
    style: str
    statements: list[Statements]


def read_label_table(path: Path, system: str, column: str | None = None) -> LabelTable:
    """Read a CSV of labels.

    Args:
        path: the file.
        system: label system of its codes.
        column: of codes; by default the one with a usual name (scp_codes, codes, AHA_Code ...), else the columns named
            by a code of the system.

    Raises:
        DatasetError: with file, line and column, whatever cannot be right.
    """
    table = read_csv_table(path)
    header, rows = table.columns, table.rows
    lines = list(zip(table.lines, rows, strict=True))
    if (found := _code_column(path, header, column)) is not None:
        k = header.index(found)
        cells = [(cells[k].strip(), f"{path}, line {line}, column {found!r}") for line, cells in lines]
        statements = [read_codes(*cell) for cell in cells]
        _check_codes(system, statements, [where for _, where in cells])
        return LabelTable(path, header, rows, (found,), _style([text for text, _ in cells]), statements)
    columns = tuple(name for name in header if load_system(system).knows(name))
    if not columns:
        raise DatasetError(
            f"{path}: no column of codes and none named by a code of {system!r}; name one with --column "
            f"(there are {', '.join(header)})"
        )
    return LabelTable(path, header, rows, columns, "", [_flags(path, header, columns, *line) for line in lines])


def _code_column(path: Path, header: Sequence[str], column: str | None) -> str | None:
    if column is not None:
        if column not in header:
            raise DatasetError(f"{path}: no column {column!r}{nearest(column, header)}; there are {', '.join(header)}")
        return column
    found = [name for name in header if name.lower() in _USUAL]
    if len(found) > 1:
        raise DatasetError(f"{path}: the codes may be in {' or '.join(found)}; choose with --column")
    return found[0] if found else None


def read_codes(cell: str, where: str) -> Statements:
    """Read a cell of codes: ``22;23``, ``["22", "23"]`` or ``{"NORM": 80}`` with likelihoods in percent.

    Raises:
        DatasetError: ``where`` it cannot be read.
    """
    if cell.lower() in _UNKNOWN:
        return {}
    if cell[0] not in "{[":
        for separator in ",|":
            cell = cell.replace(separator, ";")
        return {code.strip(): None for code in cell.split(";") if code.strip()}
    try:
        value = json.loads(re.sub(r"\bnan\b", "NaN", cell.replace("'", '"').replace("None", "null")))
        if isinstance(value, dict):
            return {str(code): None if p is None else _likelihood(p) for code, p in value.items()}
        return {str(code): None for code in value}
    except (ValueError, TypeError):
        raise DatasetError(
            f'{where}: {cell[:60]!r} is no list of codes; write 22;23, ["22", "23"] or {{"NORM": 80}} with '
            "likelihoods from 0 to 100"
        ) from None


def _likelihood(value: object) -> float:
    likelihood = float(str(value))
    if not (math.isnan(likelihood) or 0 <= likelihood <= 100):
        raise ValueError
    return likelihood


def _check_codes(system: str, statements: Sequence[Statements], where: Sequence[str]) -> None:
    loaded = load_system(system)
    seen: set[str] = set()
    for found, place in zip(statements, where, strict=True):
        try:
            loaded.table_for(found.keys() - seen)
        except DatasetError as error:
            raise DatasetError(f"{place}: {error}") from None
        seen |= found.keys()


def _style(cells: Sequence[str]) -> str:
    written = [cell for cell in cells if cell]
    if any(cell.startswith("{") for cell in written):
        return "dict"
    if any(cell.startswith("[") for cell in written):
        return "list"
    return next((separator for separator in ";,|" if any(separator in cell for cell in written)), ";")


def _flags(path: Path, header: Sequence[str], columns: Sequence[str], line: int, cells: Sequence[str]) -> Statements:
    found: Statements = {}
    for name in columns:
        cell = cells[header.index(name)].strip()
        if cell.lower() in _NO:
            continue
        if cell.lower() not in _YES | _UNKNOWN:
            raise DatasetError(
                f"{path}, line {line}, column {name!r}: {cell[:40]!r} is none of 1, 0 and empty (unknown)"
            )
        found[name] = None if cell.lower() in _YES else math.nan
    return found


def write_label_table(
    path: Path, table: LabelTable, statements: Sequence[Mapping[str, float | None]], system: str, codes: Sequence[str]
) -> None:
    """Write the table with other labels in the place and style of its own, whole or not at all.

    Args:
        path: the file to write.
        table: as read.
        statements: of each row, in the new system.
        system: the new system; a column of codes is named ``SYSTEM_codes``.
        codes: that columns of 0, 1 and empty (unknown) are written for.

    Raises:
        DatasetError: a new column would have the name of one that stays.
    """
    first = table.header.index(table.columns[0])
    kept = [k for k, name in enumerate(table.header) if name not in table.columns]
    names = [f"{system}_codes"] if table.style else list(codes)
    if taken := [table.header[k] for k in kept if table.header[k] in names]:
        raise DatasetError(f"{table.path}: already has a column {taken[0]!r}; rename it")
    before, after = [k for k in kept if k < first], [k for k in kept if k > first]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for cells, new in [
            (table.header, names),
            *((row, _cells(found, table.style, codes)) for row, found in zip(table.rows, statements, strict=True)),
        ]:
            writer.writerow([*(cells[k] for k in before), *new, *(cells[k] for k in after)])


def _cells(found: Mapping[str, float | None], style: str, codes: Sequence[str]) -> list[str]:
    if not style:
        return ["0" if code not in found else "" if found[code] != found[code] else "1" for code in codes]
    if style == "dict":
        return [json.dumps(dict(found))]
    held = [code for code, likelihood in found.items() if likelihood is None or not math.isnan(likelihood)]
    return [json.dumps(held) if style == "list" else style.join(held)]
