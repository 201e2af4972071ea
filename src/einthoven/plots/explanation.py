"""Explanations as pictures: on the ECG itself, per lead, and on the average beat of many records.

One idea: colour says for or against, its strength says how much; the trace stays black, so that the ECG stays readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import STYLE
from einthoven.plots.paper import _MARGIN, _PULSE, Layout, draw_ecg
from einthoven.record import Record

__all__ = ["beat_map_figure", "draw_explanation", "lead_bars_figure"]

Array = NDArray[np.floating]

# Differ in lightness too, so that a grey print and a colour-blind reader can tell them apart.
_FOR, _AGAINST, _NORMAL = "#e8590c", "#1c5fa8", "#1a7a5b"
_SMOOTH_S = 0.05
_FULL = 99.5  # percentile of absolute values that has the full colour
_LEAST = 0.08  # share of it below which nothing is painted
_BAND_MM = 5.0
_LETTER_MM = 1.4  # of the legend


def draw_explanation(
    record: Record,
    attribution: NDArray[np.floating],
    *,
    title: str,
    normal: bool = False,
    signed: bool = True,
    layout: Layout | None = None,
    footer: str = "Not a medical device.",
    words: tuple[str, str] = ("speaks for it", "speaks against it"),
) -> Figure:
    """Draw an ECG with a marker behind its trace wherever the model's answer comes from.

    Args:
        record: as the model saw it.
        attribution: shape (leads, samples) of the record.
        title: first line of the sheet.
        normal: paint what speaks for the class in green: a normal ECG is no abnormality.
        signed: whether values below 0 speak against the class.
        layout: as of ``draw_ecg``.
        footer: last line.
        words: of the legend.

    Raises:
        ValueError: the attribution has another shape than the record.
        RecordError: as ``draw_ecg``.
    """
    if attribution.shape != record.signal.shape:
        raise ValueError(f"the attribution has shape {attribution.shape}, the record {record.signal.shape}")
    figure = draw_ecg(record.with_(notes=()), layout=layout, title=title)
    (axes,) = figure.axes
    values = _smooth(attribution, round(_SMOOTH_S * record.fs))
    full = max(float(np.percentile(np.abs(values), _FULL)), 1e-12)
    colours = (_NORMAL if normal else _FOR, _AGAINST)
    for line in list(axes.get_lines()):
        if (gid := str(line.get_gid())) in record.leads:
            _mark(
                axes,
                np.asarray(line.get_xydata(), np.float64),
                values[record.leads.index(gid)] / full,
                record.fs,
                colours,
            )
    _legend(axes, colours, words, signed, footer)
    return figure


def _smooth(x: Array, n: int) -> NDArray[np.float64]:
    """Running mean over time: colours of single samples cannot be read."""
    n = max(1, n) | 1
    padded = np.pad(np.asarray(x, np.float64), [(0, 0), (n // 2, n // 2)], mode="edge")
    return np.stack([np.convolve(row, np.full(n, 1 / n), "valid") for row in padded])


def _mark(axes: Axes, points: Array, values: NDArray[np.float64], fs: float, colours: tuple[str, str]) -> None:
    """A translucent band behind one trace, upright at every sample, so that it follows steep and flat parts alike."""
    x, y = points.T
    speed = (x[-1] - x[0]) / max(len(x) - 1, 1) * fs
    first = round((x[0] - _MARGIN - _PULSE) / speed * fs)
    own = values[first : first + len(x)]
    between = (own[1:] + own[:-1]) / 2
    seen = (np.abs(between) >= _LEAST) & np.isfinite(y[1:] + y[:-1])
    low, high = np.fmin(y[:-1], y[1:]) - _BAND_MM / 2, np.fmax(y[:-1], y[1:]) + _BAND_MM / 2
    corners = np.stack([(x[:-1], low), (x[1:], low), (x[1:], high), (x[:-1], high)]).transpose(2, 0, 1)
    rgba = np.array([to_rgba(colour) for colour in colours])[(between < 0).astype(int)]
    rgba[:, 3] = np.clip(np.abs(between), 0, 1) ** 0.7 * 0.75
    axes.add_collection(
        PolyCollection(
            list(corners[seen]), facecolors=rgba[seen], edgecolors="none", antialiaseds=False, zorder=1.5, gid="marker"
        )
    )


def _legend(axes: Axes, colours: tuple[str, str], words: tuple[str, str], signed: bool, footer: str) -> None:
    x, right = _MARGIN, axes.get_xlim()[1]
    for colour, word in list(zip(colours, words, strict=True))[: 2 if signed else 1]:
        axes.add_patch(Rectangle((x, 2.6), 7, 2.8, facecolor=colour, alpha=0.7, zorder=4, gid="legend"))
        axes.text(x + 8.5, 4.0, word, fontsize=7.5, va="center", color=PALETTE["ink"], zorder=4, parse_math=False)
        x += 14 + _LETTER_MM * len(word)
    axes.text(right - _MARGIN, 4.0, footer, fontsize=7, va="center", ha="right", color=PALETTE["ink"], zorder=4)


@matplotlib.rc_context(STYLE)
def lead_bars_figure(
    leads: Sequence[str],
    values: Mapping[str, Sequence[float]],
    errors: Mapping[str, Sequence[float]],
    *,
    label: str,
    title: str = "",
) -> Figure:
    """Bars of each lead, one panel for each class, with error bars.

    Args:
        leads: names.
        values: of each class, one value per lead.
        errors: likewise, half the length of the bar; NaN where unknown.
        label: of the axis: what the bars are, in which unit.
        title: above all.
    """
    width, panel = 6.4, 1.45
    height = 0.55 + panel * len(values) + 0.45
    figure = Figure(figsize=(width, height))
    x = np.arange(len(leads))
    for k, (name, row) in enumerate(values.items()):
        bottom = height - 0.45 - panel * (k + 1) + 0.28
        axes = figure.add_axes((0.75 / width, bottom / height, (width - 0.9) / width, (panel - 0.42) / height))
        colour = _NORMAL if name == "NORM" else PALETTE["series-1"]
        axes.bar(x, row, color=colour, width=0.68)
        axes.errorbar(x, row, yerr=errors[name], fmt="none", ecolor=PALETTE["ink"], elinewidth=1, capsize=2)
        axes.axhline(0, color=PALETTE["muted"], linewidth=0.7)
        axes.set_xticks(x, leads)
        axes.grid(axis="x", visible=False)
        axes.set_title(name, fontsize=9, pad=3, parse_math=False)
    figure.text(0.16 / width, 0.5, label, rotation=90, va="center", ha="center", fontsize=8.5, color=PALETTE["ink"])
    figure.text(0.1 / width, 1 - 0.2 / height, title, fontsize=10, va="center", parse_math=False)
    return figure


@matplotlib.rc_context(STYLE)
def beat_map_figure(
    beat: Array,
    signal: Array,
    leads: Sequence[str],
    fs: float,
    before_s: float,
    *,
    title: str,
    label: str,
    normal: bool = False,
) -> Figure:
    """Average attribution around the R peak, leads by time, with the average beat of each lead drawn over it.

    Args:
        beat: shape (leads, samples).
        signal: mV, same shape.
        leads: names of the rows.
        fs: samples per second.
        before_s: how long before the R peak the rows begin.
        title: above.
        label: of the colour bar: what is shown, in which unit.
        normal: paint what speaks for the class in green.
    """
    row_height = 0.42
    width, height = 6.4, 0.95 + row_height * len(leads)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.6 / width, 0.5 / height, (width - 1.65) / width, (height - 0.95) / height))
    bar = figure.add_axes(((width - 0.9) / width, 0.5 / height, 0.14 / width, (height - 0.95) / height))
    full = max(float(np.abs(beat).max()), 1e-12)
    ramp = LinearSegmentedColormap.from_list("for", [_AGAINST, "#ffffff", _NORMAL if normal else _FOR])
    extent = (-before_s, beat.shape[1] / fs - before_s, len(leads) - 0.5, -0.5)
    image = axes.imshow(beat, cmap=ramp, vmin=-full, vmax=full, aspect="auto", extent=extent, interpolation="nearest")
    time = (np.arange(beat.shape[1]) + 0.5) / fs - before_s
    reach = max(float(np.percentile(np.abs(signal - np.median(signal, axis=1, keepdims=True)), 99.5)), 1e-6)
    for k, row in enumerate(signal):
        axes.plot(time, k - 0.45 * np.clip((row - np.median(row)) / reach, -1, 1), color=PALETTE["ink"], linewidth=0.9)
    axes.axvline(0, color=PALETTE["muted"], linewidth=0.6, linestyle=":")
    axes.set_yticks(range(len(leads)), leads)
    axes.set(xlabel="seconds from the R peak")
    axes.grid(visible=False)
    figure.colorbar(image, cax=bar)
    bar.set_ylabel(label, fontsize=7.5)
    figure.text(0.1 / width, 1 - 0.2 / height, title, fontsize=10, va="center", parse_math=False)
    return figure
