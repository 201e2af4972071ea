"""An ECG on paper, true to scale: 25 mm per second and 10 mm per millivolt as a cardiologist reads it.

One idea: the figure is measured in millimetres, one axes unit is one millimetre of paper, nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from einthoven.errors import RecordError
from einthoven.files import atomic_write
from einthoven.plots.lead_places import Layout, Plan, Slot, layout_of, plan_of, spare_mm
from einthoven.plots.sheet_text import fit, heading, move_names, part_words, rim, seconds, statement_words
from einthoven.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.text import Text

__all__ = ["draw_ecg", "header_mm", "save_ecg", "sheets_of"]

_MM_PER_INCH = 25.4
_MARGIN, _PULSE, _HEADER, _FOOTER = 5.0, 10.0, 20.0, 10.0  # mm; the pulse is 5 mm wide in a field of 10
_TRACE, _PAPER, _FINE, _COARSE = "#14142b", "#fffafa", "#f7d9d9", "#e9a3a3"
_MAX_STATEMENTS = 6
# The texts of a strip need some width, and on a narrow sheet the paper's scale has a line of its own.
_LEAST_WIDTH, _NARROW, _SCALE_LINE = 80.0, 110.0, 6.0
_SHEET_S = 10.0
_LEAST_SHEET_S = 1.0  # what is left of a recording and shorter joins the sheet before it
LEAST_DPI, MOST_DPI = 50, 1200
_COMPRESS = 3  # of PNG: a tenth larger than at most, and drawn in two thirds of the time


def draw_ecg(
    record: Record,
    *,
    layout: Layout | None = None,
    speed_mm_s: float = 25.0,
    gain_mm_mv: float = 10.0,
    start_s: float = 0.0,
    duration_s: float | None = None,
    title: str | None = None,
    room_for: tuple[float, float] | None = None,
) -> Figure:
    """Draw a record on millimetre paper.

    Printed at its own size, a millimetre of the figure is a millimetre. Columns follow each other in time, as on a
    strip: in ``3x4+1`` the first column is the first quarter, and lead II runs below from end to end.

    Args:
        record: one ECG; of long ones, ``start_s`` and ``duration_s`` choose a part.
        layout: ``3x4+1``, ``6x2`` or ``12x1`` (one lead under the other, whichever there are); by default the first
            where all twelve leads are there and the part is at least 4 cm long.
        speed_mm_s: paper speed.
        gain_mm_mv: millimetres per millivolt.
        start_s: beginning of the part to draw.
        duration_s: its length, as far as the record goes; by default at most 10 s.
        title: replaces the first line, which tells who and how.
        room_for: beginning and length in seconds of the part whose traces the sheet is high enough for, so that sheets
            of one recording are alike; by default the part that is drawn.

    Raises:
        RecordError: an unknown layout, leads that a layout needs are missing, or the part begins outside the record.
    """
    if not (speed_mm_s > 0 and gain_mm_mv > 0):
        raise RecordError(f"paper speed and gain must be positive, got {speed_mm_s} mm/s and {gain_mm_mv} mm/mV")
    first, last = _part(record, start_s, duration_s)
    length_mm = (last - first) / record.fs * speed_mm_s
    plan = plan_of(record, layout_of(record, layout, length_mm))
    if last - first < 2 * plan.n_columns:
        raise RecordError(
            f"{record.record_id or 'record'}: {last - first} samples are too few to draw in {plan.n_columns} columns"
        )
    width = max(_LEAST_WIDTH, float(2 * _MARGIN + _PULSE + 5.0 * np.ceil(length_mm / 5.0 - 1e-6)))
    above, below = spare_mm(record, plan, _part(record, *room_for) if room_for else (first, last), gain_mm_mv)
    top = plan.n_rows * plan.row_mm + _FOOTER + below  # of the rows
    figure, axes = _paper(width, top + above + header_mm(width))
    names = [_draw_slot(axes, record, slot, plan, (first, last), (speed_mm_s, gain_mm_mv), top) for slot in plan.slots]
    traces = [np.asarray(line.get_xydata(), np.float64) for line in axes.get_lines() if line.get_gid() != "edge"]
    move_names(axes, names, traces, _PAPER)
    for row in range(plan.n_rows):
        _draw_pulse(axes, _baseline(top, plan, row), gain_mm_mv)
    _write_texts(axes, record, title, f"{speed_mm_s:g} mm/s   {gain_mm_mv:g} mm/{_unit(record)}")
    return figure


def header_mm(width: float) -> float:
    """Height of what stands above the rows of a sheet, by its width in mm."""
    return _HEADER + _SCALE_LINE if width < _NARROW else _HEADER


def _part(record: Record, start_s: float, duration_s: float | None) -> tuple[int, int]:
    """First sample of what is drawn, and the one after the last.

    Raises:
        RecordError: it begins outside the record, or has no length.
    """
    wanted = _SHEET_S if duration_s is None else duration_s
    if not np.isfinite([start_s, wanted]).all():
        raise RecordError(f"a part to draw needs seconds, got a start of {start_s} s and a length of {wanted} s")
    first, last = round(start_s * record.fs), min(round((start_s + wanted) * record.fs), record.n_samples)
    if not 0 <= first < last:
        raise RecordError(
            f"{record.record_id or 'record'}: {start_s:g} s to {start_s + wanted:g} s is outside its "
            f"{record.duration_s:g} s"
        )
    return first, last


def _paper(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty sheet whose axes count millimetres from the lower left corner."""
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=150, facecolor=_PAPER)
    FigureCanvasAgg(figure)  # measures texts; it becomes the figure's own
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


def _baseline(top: float, plan: Plan, row: int) -> float:
    """Height of 0 mV of a row in mm, on a line of the 5 mm grid where the row height allows."""
    return top - plan.row_mm * (row + 0.5)


def _draw_slot(
    axes: Axes, record: Record, slot: Slot, plan: Plan, part: tuple[int, int], scale: tuple[float, float],
    top: float,
) -> Text:  # fmt: skip
    """Draw one lead in its place; returns its name, which stands at its beginning."""
    speed, gain = scale
    first, last = part
    edges = np.linspace(first, last, plan.n_columns + 1).round().astype(int)
    left, right = edges[slot.column], edges[slot.column + slot.span]
    signal = record.signal[record.leads.index(slot.lead), left:right]
    origin, zero = _MARGIN + _PULSE, _baseline(top, plan, slot.row)
    x = origin + (np.arange(left, right) - first) / record.fs * speed
    axes.plot(x, zero + gain * signal, color=_TRACE, linewidth=0.8, solid_joinstyle="round", zorder=3, gid=slot.lead)
    if slot.column:
        axes.plot([x[0], x[0]], [zero - 5, zero + 5], color=_TRACE, linewidth=0.5, zorder=2, gid="edge")
    y = zero + plan.row_mm * 0.38
    return axes.text(x[0] + 1, y, slot.lead, fontsize=9, fontweight="bold", color=_TRACE, zorder=4)


def _draw_pulse(axes: Axes, zero: float, gain: float) -> None:
    """The calibration pulse: 1 mV high, 5 mm wide."""
    x = _MARGIN + np.array([0.0, 1.5, 1.5, 6.5, 6.5, 8.0])
    axes.plot(x, zero + gain * np.array([0, 0, 1, 1, 0, 0]), color=_TRACE, linewidth=0.8, zorder=3, gid="calibration")


def _unit(record: Record) -> str:
    return "mV" if record.unit == "mV" else "unit"


def _write_texts(axes: Axes, record: Record, title: str | None, scale: str) -> None:
    width, height = axes.get_xlim()[1], axes.get_ylim()[1]
    room, top = width - 2 * _MARGIN, height - header_mm(width) + _HEADER
    beside = 0.0 if top < height else 35.0  # what the scale takes of the title's line
    statements = statement_words(record)
    more = f"  and {len(statements) - _MAX_STATEMENTS} more" if len(statements) > _MAX_STATEMENTS else ""
    lines = (
        (_MARGIN, top - 6, title or heading(record), 10, "bold", "left", room - beside, 2),
        (_MARGIN, top - 13, "   ".join(statements[:_MAX_STATEMENTS]) + more, 8, "normal", "left", room, 2),
        (_MARGIN, 4.0, "   ".join(record.notes), 6, "normal", "left", room, 2),
        (width - _MARGIN, height - 6, scale, 8, "normal", "right", room, 1),
    )
    for x, y, words, size, weight, side, space, most in lines:
        text = axes.text(
            x, y, words, fontsize=size, fontweight=weight, ha=side, va="center", color=_TRACE, zorder=4, clip_on=True,
            parse_math=False, path_effects=rim(_PAPER),
        )  # fmt: skip
        fit(axes, text, space, most)


def sheets_of(
    record: Record, start_s: float = 0.0, duration_s: float | None = None, *, kind: str = "pdf"
) -> list[tuple[float, float]]:
    """Beginning and length in seconds of the sheets that show a record, or a part of it.

    Sheets have 10 s and follow each other. The last one ends where the part ends and has 10 s too: it repeats the end
    of the sheet before rather than squeeze twelve leads into what is left.

    Args:
        record: one ECG.
        start_s: where the first begins.
        duration_s: of the part; by default the rest of the record.
        kind: of the file; only a ``"pdf"`` has several sheets, the one of others is the first, or as long as was asked.
    """
    rest = record.duration_s - start_s
    length = rest if duration_s is None else duration_s
    if not (rest > _SHEET_S and length > _SHEET_S):
        return [(start_s, length)]
    if kind != "pdf" and duration_s is not None:
        return [(start_s, duration_s)]
    end = start_s + min(rest, length)
    n = max(1, int(np.ceil((end - start_s - _LEAST_SHEET_S) / _SHEET_S)))
    starts = [start_s + k * _SHEET_S for k in range(n)]
    last = min(starts[-1], end - _SHEET_S)
    sheets = [*((start, _SHEET_S) for start in starts[:-1]), (last, end - last)]
    return sheets if kind == "pdf" else sheets[:1]


def _shown(record: Record, sheets: list[tuple[float, float]], k: int) -> list[str]:
    """Which part a sheet shows, and what of it the sheet before shows too; nothing where it shows all."""
    said = [part_words(record, *sheets[k])]
    if k and (before := sum(sheets[k - 1])) > sheets[k][0] + 0.5 / record.fs:
        said += [f"Until {seconds(before)} s it repeats the sheet before."]
    return list(filter(None, said))


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
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a record on paper to a PNG, SVG or PDF file, chosen by the ending of ``path``.

    A PDF has a page for every 10 s, all of one layout and size; a PNG or SVG shows the first 10 s, or the part that was
    asked for. Which part a sheet shows stands below it. ``plots.interactive.save_interactive`` writes a page to zoom
    and measure in.

    Args:
        record: as of ``draw_ecg``, like the rest.
        path: the file.
        layout: see there.
        speed_mm_s: see there.
        gain_mm_mv: see there.
        start_s: see there.
        duration_s: of the part; of a PDF by default the rest of the record, else see there.
        title: see there.
        dpi: pixels per inch of a PNG, which tells them to whoever prints it; SVG and PDF have none.
        progress: called with the pages done and their number.

    Raises:
        RecordError: another ending, a resolution that is none, or what ``draw_ecg`` raises.
    """
    path = FilePath(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise RecordError(f"cannot draw an ECG to {path.name!r}; the name must end in .png, .svg or .pdf")
    if not LEAST_DPI <= dpi <= MOST_DPI:
        raise RecordError(f"{dpi:g} pixels per inch; {LEAST_DPI} to {MOST_DPI} can be drawn")
    sheets = sheets_of(record, start_s, duration_s, kind=kind)
    whole = (start_s, sum(sheets[-1]) - start_s)
    figures = (
        draw_ecg(
            record.with_(notes=(*record.notes, *_shown(record, sheets, k))), layout=layout, speed_mm_s=speed_mm_s,
            gain_mm_mv=gain_mm_mv, start_s=sheets[k][0], duration_s=sheets[k][1], title=title, room_for=whole,
        )
        for k in range(len(sheets))
    )  # fmt: skip
    with atomic_write(path) as temporary, rc_context({"svg.hashsalt": "einthoven"}):
        # Without a date the same record gives the same file.
        if kind == "pdf":
            from matplotlib.backends.backend_pdf import PdfPages

            with PdfPages(temporary, metadata={"CreationDate": None}) as pages:
                for k, figure in enumerate(figures):
                    pages.savefig(figure)
                    if progress is not None:
                        progress(k + 1, len(sheets))
        elif kind == "svg":
            next(figures).savefig(temporary, format=kind, metadata={"Date": None})
        else:
            next(figures).savefig(temporary, format=kind, dpi=dpi, pil_kwargs={"compress_level": _COMPRESS})
