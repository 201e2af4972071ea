"""What the columns of a text table are: leads, time, or a count of samples.

One idea: a column is known by its name, and without names by its values; the rate follows from the time column.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError

__all__ = ["Column", "describe_columns", "rate_from_time"]

_TIME = {"time", "t", "timestamp", "elapsed time", "elapsed", "seconds", "sec", "s", "milliseconds", "ms", "zeit"}
_INDEX = {"", "index", "sample", "samples", "sample number", "sample #", "unnamed: 0", "#", "n"}
_TIME_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_TIME_UNITS |= {"us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_BRACKETED = re.compile(r"(?P<name>.*?)\s*[\[(](?P<unit>[^\])]*)[\])]?")
_SUFFIXED = re.compile(r"(?P<name>.+?)[_ /](?P<unit>mV|uV|µV|μV|nV|ms|us|s|sec)", re.IGNORECASE)


class Column(NamedTuple):
    """One column; ``unit`` is empty where the header gives none."""

    role: Literal["lead", "time", "index"]
    name: str = ""
    unit: str = ""


def describe_columns(header: tuple[str, ...] | None, values: NDArray[np.float64]) -> list[Column]:
    """Tell the role of each column.

    Args:
        header: column names, or None.
        values: the table, shape (rows, columns).
    """
    if header is not None:
        return [_named(cell, first=k == 0) for k, cell in enumerate(header)]
    n_columns = values.shape[1]
    columns = [Column("lead")] * n_columns
    if n_columns == 13:
        columns[0] = _leading(values[:, 0])
    return columns


def _named(cell: str, first: bool) -> Column:
    found = _BRACKETED.fullmatch(cell) or _SUFFIXED.fullmatch(cell)
    name, unit = (found["name"].strip(), found["unit"].strip()) if found else (cell.strip(), "")
    key = name.lower().replace("_", " ")
    if first and key in _TIME:
        return Column("time", name, unit or (key if key in _TIME_UNITS else ""))
    if first and key in _INDEX:
        return Column("index", name)
    return Column("lead", name, unit)


def _leading(values: NDArray[np.float64]) -> Column:
    """Twelve leads without names and one column before them: time if it grows evenly, a count if by ones."""
    steps = np.diff(values)
    if not steps.size or not (steps > 0).all():
        return Column("lead")
    return Column("index") if (steps == 1).all() else Column("time")


def rate_from_time(time: NDArray[np.float64], column: Column, first_row: int, name: str) -> float:
    """Compute the sampling rate in Hz from a time column.

    Args:
        time: the column.
        column: its description; without a unit, steps under 0.1 are seconds, others milliseconds (a rate below 10 Hz
            or above 10 kHz would follow otherwise).
        first_row: number of its first row in the file, for messages.
        name: of the file, for messages.

    Raises:
        RecordError: time is missing somewhere, does not increase, or is irregular.
    """
    if len(time) < 2:
        raise RecordError(
            f"{name}: one row is too few to compute the sampling rate from the time column; leave the column out and "
            "state the rate"
        )
    missing = np.flatnonzero(np.isnan(time))
    if missing.size:
        raise RecordError(f"{name}: row {first_row + missing[0]}: the time is missing")
    steps = np.diff(time)
    back = np.flatnonzero(steps <= 0)
    if back.size:
        row = first_row + back[0] + 1
        raise RecordError(
            f"{name}: row {row}: the time does not increase ({time[back[0]]:g}, then {time[back[0] + 1]:g})"
        )
    span = time[-1] - time[0]
    step = span / len(steps)
    rounding = _resolution(time)
    uneven = np.flatnonzero(np.abs(steps - np.median(steps)) > 1.001 * rounding + 0.02 * step)
    if uneven.size:
        row = first_row + uneven[0] + 1
        raise RecordError(
            f"{name}: row {row}: the time is irregular (a step of {steps[uneven[0]]:g} where "
            f"{np.median(steps):g} is usual); resample the table evenly"
        )
    seconds = _seconds(column, step, name)
    fs = 1.0 / (step * seconds)
    # Written times are rounded: a whole rate within what rounding allows is the true one.
    whole = round(fs)
    return float(whole) if whole and abs(fs - whole) <= fs * (2 * rounding / span + 1e-5) else float(fs)


def _seconds(column: Column, step: float, name: str) -> float:
    if not column.unit:
        return 1.0 if step < 0.1 else 1e-3
    if column.unit.lower() not in _TIME_UNITS:
        raise RecordError(
            f"{name}: the time unit {column.unit!r} is unknown: use s, ms or us, or leave the column out and state "
            "the rate"
        )
    return _TIME_UNITS[column.unit.lower()]


def _resolution(time: NDArray[np.float64]) -> float:
    """The decimal place to which times were written."""
    largest = float(np.abs(time).max())
    for digits in range(10):
        scaled = time * 10.0**digits
        if np.abs(scaled - np.rint(scaled)).max() <= 1e-9 * max(1.0, largest * 10.0**digits):
            return float(10.0**-digits)
    return 1e-9
