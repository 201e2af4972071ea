"""Where the leads of an ECG go on a sheet: rows and columns of the usual layouts.

One idea: the twelve leads fill the columns in their order, and a record of other leads has one below the other.
"""

from __future__ import annotations

from math import inf
from typing import Literal, NamedTuple, get_args

import numpy as np

from einthoven.errors import RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

__all__ = ["Layout", "Plan", "Slot", "layout_of", "plan_of", "spare_mm"]

Layout = Literal["3x4+1", "6x2", "12x1"]
_LEAST_LENGTH = 40.0  # mm: four columns that hold the names of their leads
_FEW_ROWS = 6  # so many have the height of a row of 3x4+1
_GRID, _LEAVES, _MOST_SPARE = 5.0, 3.0, 40.0  # mm; a trace leaves its rows by as much before it meets the texts


class Slot(NamedTuple):
    """Where a lead goes: row from the top, column, and how many columns wide."""

    lead: str
    row: int
    column: int
    span: int = 1


class Plan(NamedTuple):
    """Places of all leads of a sheet, and the height of its rows."""

    slots: tuple[Slot, ...]
    n_rows: int
    n_columns: int
    row_mm: float


def _grid_of(n_rows: int, n_columns: int) -> tuple[Slot, ...]:
    """The twelve leads column by column, as electrocardiographs print them."""
    return tuple(Slot(lead, k % n_rows, k // n_rows) for k, lead in enumerate(TWELVE_LEADS[: n_rows * n_columns]))


def layout_of(record: Record, layout: Layout | None = None, length_mm: float = inf) -> Layout:
    """Return the wanted layout, or by default the usual one that the record's leads and length on paper allow.

    Raises:
        RecordError: no such layout, or it needs leads that are missing.
    """
    missing = [lead for lead in TWELVE_LEADS if lead not in record.leads]
    if layout is None:
        return "12x1" if missing or length_mm < _LEAST_LENGTH else "3x4+1"
    if layout not in get_args(Layout):
        raise RecordError(f"unknown layout {layout!r}; layouts are {', '.join(get_args(Layout))}")
    if missing and layout != "12x1":
        raise RecordError(
            f"layout {layout} needs the standard twelve leads and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; use layout 12x1, which draws whatever there is"
        )
    return layout


def plan_of(record: Record, layout: Layout) -> Plan:
    """Say where each lead of a record goes."""
    if layout == "12x1":
        slots = tuple(Slot(lead, row, 0) for row, lead in enumerate(record.leads))
        return Plan(slots, len(slots), 1, 20.0 if len(slots) > _FEW_ROWS else 30.0)
    if layout == "6x2":
        return Plan(_grid_of(6, 2), 6, 2, 25.0)
    return Plan((*_grid_of(3, 4), Slot("II", 3, 0, 4)), 4, 4, 30.0)


def spare_mm(record: Record, plan: Plan, part: tuple[int, int], gain_mm_mv: float) -> tuple[float, float]:
    """Paper that a sheet needs above and below its rows, so that no trace of these samples is cut or crosses a text.

    It is given in steps of the 5 mm grid, and at most 4 cm: an artefact of a volt is not paper for a poster.
    """
    above = below = 0.0
    for slot in plan.slots:
        signal = record.signal[record.leads.index(slot.lead), slice(*part)]
        if not np.isfinite(signal).any():
            continue
        up, down = float(np.nanmax(signal)) * gain_mm_mv, -float(np.nanmin(signal)) * gain_mm_mv
        above = max(above, up - (slot.row + 0.5) * plan.row_mm)
        below = max(below, down - (plan.n_rows - slot.row - 0.5) * plan.row_mm)
    return _steps(above), _steps(below)


def _steps(mm: float) -> float:
    return min(_MOST_SPARE, _GRID * float(np.ceil(max(0.0, mm - _LEAVES) / _GRID)))
