"""Attributions without their ECG: bars of each lead, and the average beat of many records.

One idea: colours are those of the explanation on paper, so that a reader learns them once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from einthoven.plots.explanation import AGAINST, FOR, NORMAL
from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import STYLE

__all__ = ["beat_map_figure", "lead_bars_figure"]

Array = NDArray[np.floating]

_TRACE = "#14142b"  # on white, whatever colours a page has


@matplotlib.rc_context(STYLE)
def lead_bars_figure(
    leads: Sequence[str],
    values: Mapping[str, Sequence[float]],
    errors: Mapping[str, Sequence[float]],
    *,
    label: str,
    title: str = "",
    normal: Collection[str] = (),
    signed: bool = False,
) -> Figure:
    """Bars of each lead, one panel for each class, with error bars.

    Args:
        leads: names.
        values: of each class, one value per lead.
        errors: likewise, half the length of the bar; NaN where unknown.
        label: of the axis: what the bars are, in which unit.
        title: above all.
        normal: names of panels whose class is no abnormality; they are green.
        signed: colour bars by what they speak for.
    """
    width, panel = 6.4, 1.45
    top = 0.45 if title else 0.1
    height = top + panel * len(values) + 0.1
    figure = Figure(figsize=(width, height))
    x = np.arange(len(leads))
    for k, (name, row) in enumerate(values.items()):
        bottom = height - top - panel * (k + 1) + 0.28
        axes = figure.add_axes((0.75 / width, bottom / height, (width - 0.9) / width, (panel - 0.42) / height))
        above = NORMAL if name in normal else FOR if signed else PALETTE["series-1"]
        axes.bar(x, row, color=[AGAINST if signed and value < 0 else above for value in row], width=0.68)
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
    ramp = LinearSegmentedColormap.from_list("for", [AGAINST, "#ffffff", NORMAL if normal else FOR])
    extent = (-before_s, beat.shape[1] / fs - before_s, len(leads) - 0.5, -0.5)
    image = axes.imshow(beat, cmap=ramp, vmin=-full, vmax=full, aspect="auto", extent=extent, interpolation="nearest")
    time = (np.arange(beat.shape[1]) + 0.5) / fs - before_s
    reach = max(float(np.percentile(np.abs(signal - np.median(signal, axis=1, keepdims=True)), 99.5)), 1e-6)
    for k, row in enumerate(signal):
        axes.plot(time, k - 0.45 * np.clip((row - np.median(row)) / reach, -1, 1), color=_TRACE, linewidth=0.9)
    axes.axvline(0, color=PALETTE["muted"], linewidth=0.6, linestyle=":")
    axes.set_yticks(range(len(leads)), leads)
    axes.set(xlabel="seconds from the R peak")
    axes.grid(visible=False)
    figure.colorbar(image, cax=bar)
    bar.set_ylabel(label, fontsize=7.5)
    figure.text(0.1 / width, 1 - 0.2 / height, title, fontsize=10, va="center", parse_math=False)
    return figure
