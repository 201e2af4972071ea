"""Texts on a sheet of ECG paper: who and what, lead names where no trace crosses them, and lines that fit the sheet.

One idea: a text is measured as it will be drawn, in millimetres of the paper, and then moved, wrapped or made smaller.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from einthoven.labels import load_system, system_names
from einthoven.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["box_of", "fit", "heading", "move_names", "part_words", "rim", "seconds", "statement_words"]

_GAP_MM = 0.7  # between a name and a trace
_SMALLEST = 3.0  # points
_LITTLE = 0.8  # smaller than this a text is wrapped
_SURE = 0.95  # of the room: letters on few pixels are wider
# Places that a name may move to, in mm, the nearest first.
_MOVES = sorted(((dx, dy) for dx in range(0, 13, 2) for dy in range(-3, 9)), key=lambda move: np.hypot(*move))


def heading(record: Record) -> str:
    """Say who and how in one line: name, age, sex, source, rate."""
    who = [f"{record.age:g} years" if record.age is not None else "", record.sex or "", record.source]
    return "   ".join([record.record_id or "ECG", *filter(None, who), f"{record.fs:g} Hz"])


def statement_words(record: Record) -> list[str]:
    """Statements of the record with their likelihoods; those of which nobody knows whether they apply are left out."""
    known = {_in_words(code, record.label_system): p for code, p in record.statements.items() if p is None or p == p}
    return [f"{words} {p:g} %" if p else words for words, p in known.items()]


def _in_words(code: str, system: str | None) -> str:
    """What a number of SNOMED CT or AHA/ACC/HRS means; codes of letters, as of SCP-ECG, are names already."""
    if code[:1].isdigit() and system in system_names() and load_system(system).knows(code):
        return load_system(system).table_for([code])[code].description
    return code


def part_words(record: Record, start_s: float, length_s: float) -> str:
    """Say which part of a record a sheet shows; empty where it shows all."""
    end, whole = start_s + length_s, record.duration_s
    if end > whole + 1 / record.fs:
        return f"{seconds(start_s)} s to {seconds(whole)} s are shown, where the recording ends."
    if length_s >= whole - 1 / record.fs:
        return ""
    return f"{seconds(start_s)} s to {seconds(end)} s of {seconds(whole)} s are shown."


def seconds(time: float) -> str:
    """A time as a reader of paper needs it: to the hundredth.

    >>> seconds(1805.5555), seconds(21.3972), seconds(10.0)
    ('1805.56', '21.4', '10')
    """
    return f"{time:.2f}".rstrip("0").rstrip(".")


def box_of(axes: Axes, text: Text) -> tuple[float, float, float, float]:
    """Left, lower, right and upper edge of a text in mm of the paper."""
    box = text.get_window_extent().transformed(axes.transData.inverted())
    return box.x0, box.y0, box.x1, box.y1


def fit(axes: Axes, text: Text, room: float, lines: int = 1) -> None:
    """Make a text fit a width in mm: a little smaller, else wrapped into so many lines, and as small as it takes."""
    if lines > 1 and _LITTLE * _width(axes, text) > room:
        text.set_text(_wrapped(text.get_text(), lines))
        text.set_fontsize(_LITTLE * float(text.get_fontsize()))
    if (width := _width(axes, text)) > _SURE * room:
        text.set_fontsize(max(_SMALLEST, float(text.get_fontsize()) * _SURE * room / width))


def _wrapped(words: str, lines: int) -> str:
    """The narrowest block of at most so many lines."""
    for width in range(len(words) // lines, len(words)):
        found = textwrap.wrap(words, max(1, width), break_long_words=False)
        if len(found) <= lines:
            return "\n".join(found)
    return words


def _width(axes: Axes, text: Text) -> float:
    left, _, right, _ = box_of(axes, text)
    return right - left


def rim(paper: str) -> list[AbstractPathEffect]:
    """What keeps a text readable on a trace: a rim of the paper's colour."""
    return [withStroke(linewidth=2, foreground=paper)]


def move_names(axes: Axes, names: Sequence[Text], traces: Sequence[NDArray[np.float64]], paper: str) -> None:
    """Move lead names to the nearest place where no trace crosses them, on a rim of the paper's colour.

    Args:
        axes: of the sheet, in mm.
        names: to move.
        traces: points of each, shape (samples, x and y) in mm.
        paper: colour.
    """
    segments = np.concatenate([np.stack([trace[:-1], trace[1:]], axis=1) for trace in traces])  # (n, 2 ends, x and y)
    segments = segments[np.isfinite(segments).all(axis=(1, 2))]
    low, high = segments.min(axis=1), segments.max(axis=1)
    first, last = np.min(_MOVES, axis=0), np.max(_MOVES, axis=0)
    for text in names:
        left, lower, right, upper = box_of(axes, text)
        start, end = np.array([left, lower]) - _GAP_MM, np.array([right, upper]) + _GAP_MM
        near = ((low <= end + last) & (high >= start + first)).all(axis=1)
        here = low[near], high[near]
        crossings = [int(((here[0] <= end + move) & (here[1] >= start + move)).all(axis=1).sum()) for move in _MOVES]
        dx, dy = _MOVES[int(np.argmin(crossings))]  # the first of equals: the nearest
        x, y = text.get_position()
        text.set_position((x + dx, y + dy))
        text.set_path_effects(rim(paper))
