"""ECGs as text tables: one column per lead, one row per sample, with or without a header and a time column.

One idea: what the table does not say (rate, unit) is stated by the user, or measured and reported.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError, nearest
from einthoven.formats.csv_cells import Dialect, detect_dialect, is_number, split_text, table
from einthoven.formats.csv_columns import Column, describe_columns, rate_from_time
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate
from einthoven.formats.units import UNITS, per_millivolt
from einthoven.leads import TWELVE_LEADS, canonical_lead, is_known_lead
from einthoven.record import Record

__all__ = ["read_csv"]

_USUAL_RATES = (100, 250, 500, 1000)
# A surface ECG spans 0.5 to 5 mV from peak to peak, 500 to 5000 in microvolts. What lies between may be the counts of a
# converter (200 to the millivolt at MIT) and must be stated.
_MILLIVOLT_SPAN = 15.0
_MICROVOLT_SPAN = 250.0
_LARGEST_SPAN = 50_000.0
_SMALLEST_SPAN = 0.02


def _sniff(files: Files) -> bool:
    head = files.head()
    if not head or b"\0" in head.removeprefix(b"\xff\xfe"):
        return False
    lines = split_text(head, files.name)[:20]
    # The last line of the head may be cut; the first may be a header.
    lines = [line for line in (lines[1:-1] or lines[-1:]) if line.strip() and not line.startswith("#")]
    if not lines:
        return False
    dialect = detect_dialect(lines)
    cells = dialect.cells(lines[0])
    return len(cells) >= 2 and sum(is_number(cell) for cell in cells) > len(cells) / 2


@register_reader(
    "CSV", (".csv", ".tsv", ".txt"), "text tables, one column per lead, one row per sample", _sniff, generic=True
)
def read_csv(files: Files, options: ReadOptions) -> Record:
    """Read a text table.

    Raises:
        RecordError: damaged (with row and column), or without a rate, a unit or lead names that can be told.
    """
    name = files.name
    rows = split_text(files.read(), name)
    if not rows:
        raise RecordError(f"{name}: the file is empty")
    first = next((k for k, row in enumerate(rows) if row.strip() and not row.startswith("#")), None)
    if first is None:
        raise RecordError(f"{name}: the file has no rows of numbers")
    dialect = detect_dialect(rows[first:])
    header = dialect.header(rows[first])
    cells = dialect.cells(rows[first])
    numbered = len(cells) > 2 and cells == [str(k) for k in range(len(cells))]  # pandas' header of unnamed columns
    first += bool(header) or numbered
    values = table(rows[first:], first + 1, dialect, len(header) if header else None, name)
    record = _record(name, values, header, first + 1, options, dialect)
    if numbered:
        note = "The first row numbers the columns and was left out."
        return record.with_(notes=(*record.notes, note))
    return record


def _record(
    name: str,
    values: NDArray[np.float64],
    header: tuple[str, ...] | None,
    first_row: int,
    options: ReadOptions,
    dialect: Dialect,
) -> Record:
    """``values`` has shape (rows, columns); ``first_row`` is the number of its first row in the file."""
    columns = describe_columns(header, values)
    leads = [k for k, column in enumerate(columns) if column.role == "lead"]
    notes = list(dialect.notes)
    notes += [
        f"Column {k + 1} counts the samples and was left out." for k, c in enumerate(columns) if c.role == "index"
    ]
    time = next((k for k, column in enumerate(columns) if column.role == "time"), None)
    measured = None if time is None else rate_from_time(values[:, time], columns[time], first_row, name)
    fs, rate_notes = _rate(measured, options, len(values), name)
    names = _names([columns[k] for k in leads], header is not None, options, name)
    units = [columns[k].unit for k in leads]
    if options.unit is None and set(units) == {"normalised"}:
        options = replace(options, unit="normalised")
    signal, unit_notes = _millivolts(values[:, leads], units, options, name)
    return Record(
        signal=signal,
        fs=fs,
        leads=names,
        record_id=stem(name),
        unit="normalised" if options.unit == "normalised" else "mV",
        notes=(*notes, *rate_notes, *unit_notes),
    )


def _rate(measured: float | None, options: ReadOptions, n_rows: int, name: str) -> tuple[float, tuple[str, ...]]:
    if measured is None and options.fs is None:
        likely = next((fs for fs in _USUAL_RATES if n_rows == 10 * fs), None)
        hint = f" ({n_rows} rows would be 10 s at {likely} Hz)" if likely else ""
        raise RecordError(
            f"{name}: the table has no time column, so its sampling rate must be stated: "
            f"--fs {likely or 500} or fs={likely or 500}{hint}"
        )
    fs, notes = agreed_rate(measured, options, name, "the time column")
    computed = f"The rate of {fs:g} Hz was computed from the time column."
    return fs, notes if options.fs is not None else (*notes, computed)


def _names(columns: list[Column], named: bool, options: ReadOptions, file_name: str) -> tuple[str, ...]:
    n = len(columns)
    if options.leads is not None:
        if len(options.leads) != n:
            raise RecordError(f"{file_name}: {len(options.leads)} lead names were stated for {n} columns of signal")
        return options.leads
    if not named:
        if n != 12:
            raise RecordError(
                f"{file_name}: {n} columns without names; 12 are taken as {', '.join(TWELVE_LEADS)}, "
                "for any other number give a header line or state the leads"
            )
        return TWELVE_LEADS
    for column in columns:
        if not is_known_lead(column.name):
            raise RecordError(
                f"{file_name}: column {column.name!r} is no known lead{nearest(column.name, TWELVE_LEADS)}; rename or "
                "remove it, or state the leads"
            )
    names = tuple(canonical_lead(column.name) for column in columns)
    if not names:
        raise RecordError(f"{file_name}: the table has no column of signal")
    return names


def _millivolts(
    values: NDArray[np.float64], units: list[str], options: ReadOptions, name: str
) -> tuple[NDArray[np.float32], list[str]]:
    """(rows, leads) in the file's unit to (leads, samples) in millivolts."""
    notes: list[str] = []
    if options.unit is not None:
        scales = [UNITS[options.unit]] * len(units)
    elif any(units):
        scales = [_column_scale(unit, name) for unit in units]
    else:
        scale, note = _detected_scale(values, name)
        scales, notes = [scale] * len(units), [note]
    signal = np.ascontiguousarray(values.T)
    if any(scale != 1.0 for scale in scales):
        signal = signal / np.array(scales)[:, None]
    with np.errstate(over="ignore"):
        narrow = signal.astype(np.float32)
    if np.isinf(narrow).any():
        raise RecordError(f"{name}: the table has values too large for a signal in millivolts")
    return narrow, notes


def _column_scale(unit: str, name: str) -> float:
    scale = per_millivolt(unit)
    if scale is None:
        got = f"the unit {unit!r}" if unit else "no unit in some columns"
        raise RecordError(
            f"{name}: the header gives {got}; give every column mV, uV, nV, V or normalised, or state the unit"
        )
    return scale


def _detected_scale(values: NDArray[np.float64], name: str) -> tuple[float, str]:
    """Tell millivolts from microvolts by the median over leads of the span between the 0.1 and 99.9 percentiles."""
    spans = []
    for column in values.T:
        finite = column[np.isfinite(column)]
        if finite.size:
            low, high = np.percentile(finite, (0.1, 99.9))
            spans.append(high - low)
    span = float(np.median(spans)) if spans else 0.0
    if span > _LARGEST_SPAN:
        raise RecordError(
            f"{name}: the leads span {span:.0f} units, too much for millivolts or microvolts; state the unit, "
            "or convert the values to millivolts first"
        )
    if _MILLIVOLT_SPAN < span < _MICROVOLT_SPAN:
        raise RecordError(
            f"{name}: the leads span {span:.0f} units, too much for millivolts and too little for microvolts; state "
            "the unit, or convert the values to millivolts first"
        )
    if span >= _MICROVOLT_SPAN:
        return 1000.0, f"No unit is given; the leads span {span:.0f}, so the values were taken as microvolts."
    doubt = "; that is little, so state the unit if it is another" if span < _SMALLEST_SPAN else ""
    return 1.0, f"No unit is given; the leads span {span:.3g}, so the values were taken as millivolts{doubt}."
