"""Reading predictions of any origin: Parquet or CSV tables, or NumPy arrays, each fault named by record and class.

A table has ``record_id, y_<class>, p_<class>`` and, as far as known, ``start, patient_id, source, fold`` and facts;
rows of one ``record_id`` that differ in ``start`` are windows of a record, which are joined on wish.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError
from einthoven.evaluation.prediction_parts import list_parts
from einthoven.signals import aggregate

__all__ = ["Rows", "read_rows"]

Array = NDArray[np.float64]

_WHO = ("record_id", "start", "patient_id", "source", "fold")
_TEXTS = ("record_id", "patient_id", "source")  # 00017 is a name, not a number
_UNKNOWN = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
_DIFFERENT = "predictions and targets of different records or classes"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file.

    Attributes:
        classes: names in the order of the columns.
        targets: shape (rows, classes), 0, 1 or NaN (unknown).
        probabilities: shape (rows, classes), 0 to 1.
        who: ``record_id``, ``start``, ``patient_id``, ``source`` and ``fold``, each of one value per row.
        facts: further columns by name.
    """

    classes: tuple[str, ...]
    targets: Array
    probabilities: Array
    who: dict[str, list[Any]]
    facts: dict[str, list[Any]]


def read_rows(
    path: Path, targets: Path | None = None, classes: Sequence[str] | None = None, how: str | None = None
) -> Rows:
    """Read predictions.

    Args:
        path: Parquet or CSV; the folder of parts that ``einthoven predict --out`` wrote; or ``.npy``, probabilities of
            shape (records, classes).
        targets: where ``path`` holds none: a table with ``record_id`` and ``y_<class>``, or a ``.npy`` of one shape
            with the probabilities.
        classes: names for the columns of a ``.npy``; by default C0, C1, ...
        how: ``"mean"`` or ``"max"`` joins the windows of a record; None leaves rows as they are.

    Raises:
        DatasetError: a file cannot be read or is empty, a column is missing, records or classes of predictions and
            targets differ, a score is not between 0 and 1, a target is not 0, 1 or unknown, or a row comes twice.
    """
    if path.suffix == ".npy":
        rows = _from_arrays(path, targets, classes)
    elif classes:
        raise DatasetError(f"{path}: its columns p_<class> name the classes; names are given for .npy files only")
    else:
        rows = _from_table(path, targets)
    _check(path, rows)
    return rows if how is None else _joined(path, rows, how)


def _from_arrays(path: Path, targets: Path | None, classes: Sequence[str] | None) -> Rows:
    if targets is None or targets.suffix != ".npy":
        raise DatasetError(f"{path}: an array holds no targets; name those of the same records as a .npy file")
    p, y = _read_array(path), _read_array(targets)
    if y.shape != p.shape:
        raise DatasetError(f"{path}: {_DIFFERENT} (scores {_shape(p)}, targets {_shape(y)})")
    names = tuple(classes) if classes else tuple(f"C{k}" for k in range(p.shape[1]))
    if len(names) != p.shape[1] or len(set(names)) < len(names):
        raise DatasetError(f"{path}: {p.shape[1]} columns need as many different classes, got {', '.join(names)}")
    n = len(p)
    who: dict[str, list[Any]] = {name: [None] * n for name in _WHO}
    return Rows(names, y, p, who | {"record_id": [str(k) for k in range(n)], "start": [0] * n}, {})


def _read_array(path: Path) -> Array:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read as an array of numbers: {error}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise DatasetError(f"{path}: an array of numbers of shape (records, classes) is needed")
    return np.asarray(values[:, None] if values.ndim == 1 else values, dtype=np.float64)


def _shape(values: Array) -> str:
    return f"of {len(values):,} records and {values.shape[1]} classes"


def _from_table(path: Path, targets: Path | None) -> Rows:
    table = _read_table(path)
    classes = _named(table, "p_")
    if not classes or "record_id" not in table:
        raise DatasetError(
            f"{path}: no column {'p_<class>' if not classes else 'record_id'}; these are not predictions"
        )
    p = np.stack([_numbers(path, f"p_{name}", table) for name in classes], axis=1)
    who = _who(path, table)
    facts = {k: v.to_pylist() for k, v in table.items() if k not in _WHO and not k.startswith(("y_", "p_"))}
    own = _named(table, "y_")
    if targets is None:
        if not own:
            raise DatasetError(f"{path}: no column y_{classes[0]}; name the table of targets")
        _same(path, "classes", classes, own)
        return Rows(classes, np.stack([_numbers(path, f"y_{c}", table) for c in classes], axis=1), p, who, facts)
    if own:
        raise DatasetError(f"{path}: holds targets itself (y_{own[0]}, ...); leave out {targets}")
    return _with_targets(path, Rows(classes, np.full(p.shape, np.nan), p, who, facts), targets)


def _with_targets(path: Path, rows: Rows, targets: Path) -> Rows:
    """Join a table of targets by ``record_id``, with what else it knows about the records."""
    table = _read_table(targets)
    known = _named(table, "y_")
    if not known or "record_id" not in table:
        raise DatasetError(f"{targets}: no column {'y_<class>' if not known else 'record_id'}; these are not targets")
    _same(path, "classes", rows.classes, known)
    who = _who(targets, table)
    place = {record: k for k, record in enumerate(who["record_id"])}
    if len(place) < len(who["record_id"]):
        twice = _first_repeated(who["record_id"])
        raise DatasetError(f"{targets}: record {twice} comes twice; targets are one row per record")
    _same(path, "records", rows.who["record_id"], who["record_id"])
    order = [place[record] for record in rows.who["record_id"]]
    y = np.stack([_numbers(targets, f"y_{name}", table) for name in rows.classes], axis=1)[order]
    more = {k: v.to_pylist() for k, v in table.items() if k not in (*_WHO, *rows.facts) and k[:2] not in ("y_", "p_")}
    facts = rows.facts | {name: [values[k] for k in order] for name, values in more.items()}
    lacking = [n for n in ("patient_id", "source", "fold") if all(v is None for v in rows.who[n])]
    return replace(rows, targets=y, who=rows.who | {n: [who[n][k] for k in order] for n in lacking}, facts=facts)


def _same(path: Path, what: str, predicted: Sequence[str], known: Sequence[str]) -> None:
    sides = (("without targets", set(predicted) - set(known)), ("without predictions", set(known) - set(predicted)))
    parts = []
    for side, extra in sides:
        if extra:
            shown = ", ".join(sorted(extra)[:3]) + (", ..." if len(extra) > 3 else "")
            parts.append(f"{len(extra)} {what} {side}: {shown}")
    if parts:
        raise DatasetError(f"{path}: {_DIFFERENT} ({'; '.join(parts)})")


def _named(table: Mapping[str, Any], prefix: str) -> tuple[str, ...]:
    return tuple(name[2:] for name in table if name.startswith(prefix) and len(name) > 2)


def _read_table(path: Path) -> dict[str, Any]:
    """The columns of a Parquet or CSV file by name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.is_dir():
            table = pa.concat_tables(pq.read_table(part) for part in list_parts(path))
        else:
            table = _read_csv(path) if path.suffix.lower() in (".csv", ".tsv", ".txt") else pq.read_table(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as predictions: {_plainly(error, path)}") from None
    if len(set(table.column_names)) < len(table.column_names):
        raise DatasetError(f"{path}: column {_first_repeated(table.column_names)} comes twice")
    return {name: table.column(name) for name in table.column_names}


def _plainly(error: Exception, path: Path) -> str:
    """Return the library's reason on one line, a column by its name."""
    text = " ".join(str(error).split())
    found = re.search(r"CSV column #(\d+)", text)
    if not found:
        return text
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader([head := file.readline()], delimiter=max(",;\t", key=head.count)))
    return text.replace(found[0], f"column {header[int(found[1])].strip()}")


def _read_csv(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pc

    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
    if not head.strip():
        raise DatasetError(f"{path}: the file is empty")
    delimiter = max(",;\t", key=head.count)
    types = {name: pa.string() for name in _TEXTS}
    for name in next(csv.reader([head], delimiter=delimiter)):
        if name.startswith(("y_", "p_")):
            types[name] = pa.float64()
    return pc.read_csv(
        path,
        parse_options=pc.ParseOptions(delimiter=delimiter),
        convert_options=pc.ConvertOptions(column_types=types, null_values=_UNKNOWN, strings_can_be_null=True),
    )


def _numbers(path: Path, name: str, table: Mapping[str, Any]) -> Array:
    """A column as float64, NaN where it is null."""
    import pyarrow as pa

    column = table[name]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DatasetError(f"{path}: column {name} holds {column.type}, not numbers") from None


def _who(path: Path, table: Mapping[str, Any]) -> dict[str, list[Any]]:
    n = len(table["record_id"])
    column = {name: table[name].to_pylist() if name in table else [None] * n for name in _WHO}
    column = {name: [None if _unknown(v) else v for v in values] for name, values in column.items()}
    if None in column["record_id"]:
        raise DatasetError(f"{path}: row {column['record_id'].index(None) + 1} has no record_id")
    for name in _TEXTS:
        column[name] = [None if v is None else str(v) for v in column[name]]
    for name in ("start", "fold"):
        column[name] = [_whole(path, name, v) for v in column[name]]
    column["start"] = [0 if v is None else v for v in column["start"]]
    return column


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _whole(path: Path, name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        whole = int(value)
    except (ValueError, TypeError, OverflowError):
        whole = None
    if whole is None or whole != value:
        raise DatasetError(f"{path}: {name} must be a whole number, got {value!r}")
    return whole


def _check(path: Path, rows: Rows) -> None:
    y, p, names = rows.targets, rows.probabilities, rows.who["record_id"]
    if not p.size:
        raise DatasetError(f"{path}: the file is empty: no records to judge")
    faults = (
        (np.isnan(p), "has no score (NaN); predict it or leave the record out"),
        ((p < 0) | (p > 1), "is {p:g}, no probability; scores must lie between 0 and 1"),
        (~(np.isnan(y) | (y == 0) | (y == 1)), "has the target {y:g}; targets are 0, 1 or empty (unknown)"),
    )
    for wrong, text in faults:
        if wrong.any():
            row, k = np.argwhere(wrong)[0]
            said = text.format(p=p[row, k], y=y[row, k])
            more = f" ({int(wrong.sum()):,} such in all)" if wrong.sum() > 1 else ""
            raise DatasetError(f"{path}: record {names[row]}, class {rows.classes[k]}: {said}{more}")
    keys = list(zip(names, rows.who["start"], strict=True))
    if len(set(keys)) < len(keys):
        name, start = _first_repeated(keys)
        raise DatasetError(
            f"{path}: record {name} comes twice (start {start}); windows of a record need a column start that differs"
        )


def _first_repeated(values: Sequence[Any]) -> Any:
    counts = Counter(values)
    return next(value for value in values if counts[value] > 1)


def _joined(path: Path, rows: Rows, how: str) -> Rows:
    """One row per record, in the order in which the records first come."""
    names = rows.who["record_id"]
    number = {name: k for k, name in enumerate(dict.fromkeys(names))}
    owner = np.array([number[name] for name in names], dtype=np.int64)
    order = np.argsort(owner, kind="stable")
    first = np.flatnonzero(np.diff(owner[order], prepend=-1))
    head = order[first]
    facts = {"targets": rows.targets, "patients": np.array(rows.who["patient_id"], dtype=object)[:, None]}
    for what, values in facts.items():
        one = values[head][owner]
        differ = ~((values == one) | ((values != values) & (one != one))).all(axis=1)
        if differ.any():
            raise DatasetError(
                f"{path}: the windows of record {names[int(differ.argmax())]} have different {what}, so they are not "
                "one record; judge rows as they are with --aggregate none"
            )
    return Rows(
        rows.classes,
        rows.targets[head],
        aggregate(rows.probabilities[order], first, how),
        {name: [values[k] for k in head] for name, values in rows.who.items()},
        {name: [values[k] for k in head] for name, values in rows.facts.items()},
    )
