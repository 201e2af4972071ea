"""An explanation on the ECG itself: colour behind the trace, with its scale and its sum.

One idea: colour says for or against, its strength says how much; the trace stays black, so that the ECG stays readable.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from einthoven.plots.inline import PALETTE
from einthoven.plots.lead_places import Layout
from einthoven.plots.paper import draw_ecg, header_mm
from einthoven.plots.sheet_text import box_of, fit
from einthoven.record import Record

__all__ = ["AGAINST", "FOR", "NORMAL", "Scale", "draw_explanation", "full_colour"]

Array = NDArray[np.floating]

# Differ in lightness too, so that a grey print and a colour-blind reader can tell them apart.
FOR, AGAINST, NORMAL = "#e8590c", "#1c5fa8", "#1a7a5b"
_SMOOTH_S = 0.05
_WIDE_S = 0.02  # a steep stroke is marked this far to both sides, or nobody would see its colour
_FULL = 99.5  # percentile of absolute values that has the full colour
_LEAST = 0.08  # share of it below which nothing is painted
_BAND_MM, _MARGIN_MM = 5.0, 5.0
_PART_S = 10.0  # that a sheet shows
_TALL_MV = 1.9  # above it, traces of neighbouring rows would cross at 10 mm/mV
_WIDE_MM = 200.0  # a sheet that is narrower has no room for everything in one line


class Scale(NamedTuple):
    """What colours mean.

    Attributes:
        full: value that has the full colour.
        unit: of the values, for one sample.
        words: of what is above 0 and of what is below it.
        normal: whether what is above 0 is green: a normal ECG is no abnormality.
        signed: whether there are values below 0.
    """

    full: float
    unit: str
    words: tuple[str, str] = ("speaks for it", "speaks against it")
    normal: bool = False
    signed: bool = True

    def colours(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Colour with transparency of values as shares of ``full``, shape (n, 4)."""
        both = np.array([to_rgba(NORMAL if self.normal else FOR), to_rgba(AGAINST)])
        rgba = both[(values < 0).astype(int)]
        rgba[:, 3] = np.clip(np.abs(values), 0, 1) ** 0.7 * 0.75
        return rgba


def full_colour(attribution: NDArray[np.floating], fs: float) -> float:
    """Value that has the full colour: the 99.5th percentile of absolute values, averaged over 0.05 s.

    Args:
        attribution: shape (leads, samples), or (classes, leads, samples) for a scale that classes share.
        fs: samples per second.
    """
    values = np.asarray(attribution).reshape(-1, attribution.shape[-1])
    return max(float(np.percentile(np.abs(_smooth(values, round(_SMOOTH_S * fs))), _FULL)), 1e-12)


def draw_explanation(
    record: Record,
    attribution: NDArray[np.floating],
    *,
    title: str,
    scale: Scale | None = None,
    caption: str = "",
    layout: Layout | None = None,
    footer: str = "Not a medical device.",
) -> Figure:
    """Draw an ECG with a marker behind its trace wherever the model's answer comes from.

    Of records above 10 s the 10 s are drawn where most of the attribution lies. Tall traces are drawn at 5 mm/mV.

    Args:
        record: as the model saw it.
        attribution: shape (leads, samples) of the record.
        title: first line of the sheet.
        scale: what colours mean; by default their own, in the unit of the values.
        caption: second line: what all values sum to.
        layout: as of ``draw_ecg``.
        footer: last line.

    Raises:
        ValueError: the attribution has another shape than the record.
        RecordError: as ``draw_ecg``.
    """
    if attribution.shape != record.signal.shape:
        raise ValueError(f"the attribution has shape {attribution.shape}, the record {record.signal.shape}")
    scale = scale or Scale(full_colour(attribution, record.fs), "per sample")
    values = _smooth(attribution, round(_SMOOTH_S * record.fs))
    start_s = _strongest_part(values, record.fs)
    tall = record.n_samples and np.nanmax(np.abs(record.signal), initial=0.0) > _TALL_MV
    figure = draw_ecg(
        record.with_(notes=(), statements={}), layout=layout, title=title, start_s=start_s, gain_mm_mv=5 if tall else 10
    )
    (axes,) = figure.axes
    lines = [line for line in axes.get_lines() if str(line.get_gid()) in record.leads]
    traces = [np.asarray(line.get_xydata(), np.float64) for line in lines]
    origin, begin = min(trace[0, 0] for trace in traces), round(start_s * record.fs)
    for line, trace in zip(lines, traces, strict=True):
        own = values[record.leads.index(str(line.get_gid()))] / scale.full
        _mark(axes, trace, own[begin:], record.fs, origin, scale)
    if record.duration_s > _PART_S:
        caption += f"   Shown are {start_s:g} s to {start_s + _PART_S:g} s of {record.duration_s:g} s."
    _write(axes, caption, footer, scale)
    return figure


def _smooth(x: Array, n: int) -> NDArray[np.float64]:
    """Running mean over time: colours of single samples cannot be read."""
    n = max(1, n) | 1
    padded = np.pad(np.asarray(x, np.float64), [(0, 0), (n // 2, n // 2)], mode="edge")
    return np.stack([np.convolve(row, np.full(n, 1 / n), "valid") for row in padded])


def _strongest_part(values: NDArray[np.float64], fs: float) -> float:
    """Second at which the 10 s begin that have most of the attribution; 0 in records that are no longer."""
    n, step = round(_PART_S * fs), round(fs)
    starts = np.arange(0, max(values.shape[1] - n, 0) + 1, step)
    summed = np.concatenate([[0.0], np.cumsum(np.abs(values).sum(axis=0))])
    return float(starts[np.argmax(summed[np.minimum(starts + n, len(summed) - 1)] - summed[starts])] / fs)


def _mark(
    axes: Axes, points: NDArray[np.float64], values: NDArray[np.float64], fs: float, origin: float, scale: Scale
) -> None:
    """A translucent band behind one trace, upright at every sample, so that it follows steep and flat parts alike."""
    x, y = points.T
    speed = (x[-1] - x[0]) / max(len(x) - 1, 1) * fs
    first = round((x[0] - origin) / speed * fs)
    own = values[first : first + len(x)]
    between = (own[1:] + own[:-1]) / 2
    low, high = np.fmin(y[:-1], y[1:]), np.fmax(y[:-1], y[1:])
    low, high = -_widest(-low, round(_WIDE_S * fs)) - _BAND_MM / 2, _widest(high, round(_WIDE_S * fs)) + _BAND_MM / 2
    seen = (np.abs(between) >= _LEAST) & np.isfinite(y[1:] + y[:-1])
    corners = np.stack([(x[:-1], low), (x[1:], low), (x[1:], high), (x[:-1], high)]).transpose(2, 0, 1)
    axes.add_collection(
        PolyCollection(
            list(corners[seen]),
            facecolors=scale.colours(between[seen]),
            edgecolors="none",
            antialiaseds=False,
            zorder=1.5,
            gid="marker",
        )
    )


def _widest(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Largest value within ``n`` neighbours; NaN only where all are."""
    padded = np.pad(values, n, constant_values=np.nan)
    return np.asarray(np.fmax.reduce([padded[k : k + len(values)] for k in range(2 * n + 1)]))


def _write(axes: Axes, caption: str, footer: str, scale: Scale) -> None:
    """Caption below the title, colour scale and footer below the traces; what is too long for a sheet is smaller."""
    right = axes.get_xlim()[1]
    below = axes.get_ylim()[1] - header_mm(right)  # the rows begin here
    ink: dict[str, Any] = {"color": PALETTE["ink"], "zorder": 4, "parse_math": False, "va": "center"}
    narrow = right < _WIDE_MM
    said = axes.text(_MARGIN_MM, below + (7.2 if narrow else 8), caption, fontsize=8, **ink)
    room = right - 2 * _MARGIN_MM
    end = _colour_scale(axes, scale, min(1.0, max(0.6, right / _WIDE_MM)))
    last = axes.text(right - _MARGIN_MM, below + 2.6 if narrow else 2.6, footer, fontsize=7, ha="right", **ink)
    fit(axes, said, room, 2)
    fit(axes, last, room if narrow else room + _MARGIN_MM - end - 4)


def _colour_scale(axes: Axes, scale: Scale, size: float) -> float:
    """Every colour with its value; returns where its last word ends, in mm. ``size`` is below 1 on a short sheet."""
    ink: dict[str, Any] = {"color": PALETTE["ink"], "zorder": 4, "parse_math": False, "va": "center"}
    x, width, n = _MARGIN_MM, 50.0 * size, 60
    if scale.signed:
        x = box_of(axes, axes.text(x, 6.4, scale.words[1], fontsize=7.5 * size, **ink))[2] + 2
    values = np.linspace(-1 if scale.signed else 0, 1, n + 1)
    for k, colour in enumerate(scale.colours((values[1:] + values[:-1]) / 2)):
        spot = (x + width * k / n, 5.0)
        axes.add_patch(Rectangle(spot, width / n, 2.8, facecolor=tuple(colour), linewidth=0, zorder=4, gid="scale"))
    axes.add_patch(Rectangle((x, 5.0), width, 2.8, fill=False, edgecolor=PALETTE["muted"], linewidth=0.5, zorder=4))
    end = box_of(axes, axes.text(x + width + 2, 6.4, scale.words[0], fontsize=7.5 * size, **ink))[2]
    ticks = (-scale.full, 0.0, scale.full) if scale.signed else (0.0, scale.full)
    for k, value in enumerate(ticks):
        at = x + width * k / (len(ticks) - 1)
        sign = "≥ " if value > 0 else "≤ " if value < 0 else ""
        axes.text(at, 3.0, f"{sign}{value:+.2g}" if value else "0", fontsize=6.5 * size, ha="center", **ink)
    unit = axes.text(x + width + 8, 3.0, scale.unit, fontsize=6.5 * size, **ink)
    return max(end, box_of(axes, unit)[2])
