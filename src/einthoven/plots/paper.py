"""An ECG on paper, true to scale: 25 mm per second and 10 mm per millivolt as a cardiologist reads it.

One idea: the figure is measured in millimetres, one axes unit is one millimetre of paper, nothing is fitted.
"""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from einthoven.errors import RecordError
from einthoven.files import atomic_write
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

__all__ = ["Layout", "draw_ecg", "heading", "layout_of", "save_ecg", "statement_words"]

Layout = Literal["3x4+1", "6x2", "12x1"]

_MM_PER_INCH = 25.4
_MARGIN, _PULSE, _HEADER, _FOOTER = 5.0, 10.0, 20.0, 10.0  # mm; the pulse is 5 mm wide in a field of 10
_TRACE, _PAPER, _FINE, _COARSE = "#14142b", "#fffafa", "#f7d9d9", "#e9a3a3"
_MAX_STATEMENTS = 6
LEAST_DPI, MOST_DPI = 50, 1200
_COMPRESS = 3  # of PNG: a tenth larger than at most, and drawn in two thirds of the time


class _Slot(NamedTuple):
    """Where a lead goes: row from the top, column, and how many columns wide."""

    lead: str
    row: int
    column: int
    span: int = 1


class _Plan(NamedTuple):
    slots: tuple[_Slot, ...]
    n_rows: int
    n_columns: int
    row_mm: float


def _grid_of(n_rows: int, n_columns: int) -> tuple[_Slot, ...]:
    """The twelve leads column by column, as electrocardiographs print them."""
    return tuple(_Slot(lead, k % n_rows, k // n_rows) for k, lead in enumerate(TWELVE_LEADS[: n_rows * n_columns]))


def layout_of(record: Record, layout: Layout | None = None) -> Layout:
    """Return the wanted layout, or by default the usual one that the record's leads allow.

    Raises:
        RecordError: no such layout, or it needs leads that are missing.
    """
    missing = [lead for lead in TWELVE_LEADS if lead not in record.leads]
    if layout is None:
        return "12x1" if missing else "3x4+1"
    if layout not in get_args(Layout):
        raise RecordError(f"unknown layout {layout!r}; layouts are {', '.join(get_args(Layout))}")
    if missing and layout != "12x1":
        raise RecordError(
            f"layout {layout} needs the standard twelve leads and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; use layout 12x1, which draws whatever there is"
        )
    return layout


def _plan(record: Record, layout: Layout) -> _Plan:
    if layout == "12x1":
        slots = tuple(_Slot(lead, row, 0) for row, lead in enumerate(record.leads))
        return _Plan(slots, len(slots), 1, 20.0)
    if layout == "6x2":
        return _Plan(_grid_of(6, 2), 6, 2, 25.0)
    return _Plan((*_grid_of(3, 4), _Slot("II", 3, 0, 4)), 4, 4, 30.0)


def draw_ecg(
    record: Record,
    *,
    layout: Layout | None = None,
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    start_s: float = 0.0,
    duration_s: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a record on millimetre paper.

    Printed at its own size, a millimetre of the figure is a millimetre. Columns follow each other in time, as on a
    strip: in ``3x4+1`` the first column is the first quarter, and lead II runs below from end to end.

    Args:
        record: one ECG; of long ones, ``start_s`` and ``duration_s`` choose a part.
        layout: ``3x4+1``, ``6x2`` or ``12x1`` (one lead under the other, whichever there are); by default the first
            where all twelve leads are there.
        speed_mm_s: paper speed.
        gain_mm_mv: millimetres per millivolt.
        start_s: beginning of the part to draw.
        duration_s: its length; by default what there is, at most 10 s.
        title: replaces the first line, which tells who and how.

    Raises:
        RecordError: an unknown layout, leads that a layout needs are missing, or the part lies outside the record.
    """
    if not (speed_mm_s > 0 and gain_mm_mv > 0):
        raise RecordError(f"paper speed and gain must be positive, got {speed_mm_s} mm/s and {gain_mm_mv} mm/mV")
    plan = _plan(record, layout_of(record, layout))
    duration = min(10.0, record.duration_s - start_s) if duration_s is None else duration_s
    if not np.isfinite([start_s, duration]).all():
        raise RecordError(f"a part to draw needs seconds, got a start of {start_s} s and a length of {duration} s")
    first, last = round(start_s * record.fs), round((start_s + duration) * record.fs)
    if not 0 <= first < last <= record.n_samples:
        raise RecordError(
            f"{record.record_id or 'record'}: {start_s:g} s to {start_s + duration:g} s is outside its "
            f"{record.duration_s:g} s"
        )
    if last - first < 2 * plan.n_columns:
        raise RecordError(
            f"{record.record_id or 'record'}: {last - first} samples are too few to draw in {plan.n_columns} columns"
        )
    width = 2 * _MARGIN + _PULSE + 5.0 * np.ceil(duration * speed_mm_s / 5.0)
    height = _HEADER + plan.n_rows * plan.row_mm + _FOOTER
    figure, axes = _paper(float(width), float(height))
    for slot in plan.slots:
        _draw_slot(axes, record, slot, plan, (first, last), (speed_mm_s, gain_mm_mv), height)
    for row in range(plan.n_rows):
        _draw_pulse(axes, _baseline(height, plan, row), gain_mm_mv)
    _write_texts(axes, record, width, height, title, f"{speed_mm_s:g} mm/s   {gain_mm_mv:g} mm/{_unit(record)}")
    return figure


def _paper(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty sheet whose axes count millimetres from the lower left corner."""
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=150, facecolor=_PAPER)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0.0, width), ylim=(0.0, height), xticks=[], yticks=[], facecolor=_PAPER)
    axes.axis("off")
    for step, colour, line in ((1, _FINE, 0.35), (5, _COARSE, 0.6)):
        axes.add_artist(_Grid(width, height, step, colour, line))
    return figure, axes


class _Grid(PathPatch):
    """Lines every so many millimetres; pixels show each on the nearest one, sharp and all alike."""

    def __init__(self, width: float, height: float, step: int, colour: str, line: float) -> None:
        across = [((x, 0.0), (x, height)) for x in np.arange(0, width + 0.5, step)]
        along = [((0.0, y), (width, y)) for y in np.arange(0, height + 0.5, step)]
        ends = np.array([*across, *along]).reshape(-1, 2)
        codes = np.tile([Path.MOVETO, Path.LINETO], len(ends) // 2)
        super().__init__(
            Path(ends, codes), fill=False, edgecolor=colour, linewidth=line, zorder=0, snap=True, antialiased=False
        )
        self._points = line
        self.set_gid(f"grid-{step}")

    def draw(self, renderer: RendererBase) -> None:
        """Draw; where there are pixels, with a width of whole ones, which alone can be sharp."""
        if isinstance(renderer, RendererAgg):
            pixels = renderer.dpi / 72  # per point
            self.set_linewidth(max(1, round(self._points * pixels)) / pixels)
        else:
            self.set_linewidth(self._points)
        super().draw(renderer)


def _baseline(height: float, plan: _Plan, row: int) -> float:
    """Height of 0 mV of a row in mm, on a line of the 5 mm grid where the row height allows."""
    return height - _HEADER - plan.row_mm * (row + 0.5)


def _draw_slot(
    axes: Axes, record: Record, slot: _Slot, plan: _Plan, part: tuple[int, int], scale: tuple[float, float],
    height: float,
) -> None:  # fmt: skip
    speed, gain = scale
    first, last = part
    edges = np.linspace(first, last, plan.n_columns + 1).round().astype(int)
    left, right = edges[slot.column], edges[slot.column + slot.span]
    signal = record.signal[record.leads.index(slot.lead), left:right]
    origin, zero = _MARGIN + _PULSE, _baseline(height, plan, slot.row)
    x = origin + (np.arange(left, right) - first) / record.fs * speed
    axes.plot(x, zero + gain * signal, color=_TRACE, linewidth=0.8, solid_joinstyle="round", zorder=3, gid=slot.lead)
    if slot.column:
        axes.plot([x[0], x[0]], [zero - 5, zero + 5], color=_TRACE, linewidth=0.5, zorder=2)
    axes.text(x[0] + 1, zero + plan.row_mm * 0.38, slot.lead, fontsize=9, fontweight="bold", color=_TRACE, zorder=4)


def _draw_pulse(axes: Axes, zero: float, gain: float) -> None:
    """The calibration pulse: 1 mV high, 5 mm wide."""
    x = _MARGIN + np.array([0.0, 1.5, 1.5, 6.5, 6.5, 8.0])
    axes.plot(x, zero + gain * np.array([0, 0, 1, 1, 0, 0]), color=_TRACE, linewidth=0.8, zorder=3, gid="calibration")


def _unit(record: Record) -> str:
    return "mV" if record.unit == "mV" else "unit"


def heading(record: Record) -> str:
    """Say who and how in one line: name, age, sex, source, rate."""
    who = [f"{record.age:g} years" if record.age is not None else "", record.sex or "", record.source]
    return "   ".join([record.record_id or "ECG", *filter(None, who), f"{record.fs:g} Hz"])


def statement_words(record: Record) -> list[str]:
    """Codes of the record with their likelihoods; those of which nobody knows whether they apply are left out."""
    known = {code: p for code, p in record.statements.items() if p is None or p == p}
    return [f"{code} {p:g} %" if p else code for code, p in known.items()]


def _write_texts(axes: Axes, record: Record, width: float, height: float, title: str | None, scale: str) -> None:
    codes = statement_words(record)
    more = f"  and {len(codes) - _MAX_STATEMENTS} more" if len(codes) > _MAX_STATEMENTS else ""
    lines = (
        (_MARGIN, height - 7, title or heading(record), 10, "bold", "left"),
        (_MARGIN, height - 13, "   ".join(codes[:_MAX_STATEMENTS]) + more, 8, "normal", "left"),
        (_MARGIN, 3.0, "   ".join(record.notes), 6, "normal", "left"),
        (width - _MARGIN, height - 7, scale, 8, "normal", "right"),
    )
    for x, y, text, size, weight, side in lines:
        axes.text(x, y, text, fontsize=size, fontweight=weight, ha=side, color=_TRACE, zorder=4, clip_on=True)


def save_ecg(
    record: Record,
    path: str | FilePath,
    *,
    layout: Layout | None = None,
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    start_s: float = 0.0,
    duration_s: float | None = None,
    title: str | None = None,
    dpi: float = 150.0,
) -> None:
    """Write a record on paper to a PNG, SVG or PDF file, chosen by the ending of ``path``.

    ``plots.interactive.save_interactive`` writes the same as a page to zoom and measure in.

    Args:
        record: as of ``draw_ecg``, like the rest.
        path: the file.
        layout: see there.
        speed_mm_s: see there.
        gain_mm_mv: see there.
        start_s: see there.
        duration_s: see there.
        title: see there.
        dpi: pixels per inch of a PNG, which tells them to whoever prints it; SVG and PDF have none.

    Raises:
        RecordError: another ending, a resolution that is none, or what ``draw_ecg`` raises.
    """
    path = FilePath(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise RecordError(f"cannot draw an ECG to {path.name!r}; the name must end in .png, .svg or .pdf")
    if not LEAST_DPI <= dpi <= MOST_DPI:
        raise RecordError(f"{dpi:g} pixels per inch; {LEAST_DPI} to {MOST_DPI} can be drawn")
    figure = draw_ecg(
        record, layout=layout, speed_mm_s=speed_mm_s, gain_mm_mv=gain_mm_mv, start_s=start_s, duration_s=duration_s,
        title=title,
    )  # fmt: skip
    # Without a date the same record gives the same file.
    options: dict[str, dict[str, Any]] = {
        "png": {"dpi": dpi, "pil_kwargs": {"compress_level": _COMPRESS}},
        "svg": {"metadata": {"Date": None}},
        "pdf": {"metadata": {"CreationDate": None}},
    }
    with atomic_write(path) as temporary, rc_context({"svg.hashsalt": "einthoven"}):
        figure.savefig(temporary, format=kind, **options[kind])
