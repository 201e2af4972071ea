"""Size, accuracy and latency of each way of computing models in one drawing.

One idea: all ways of a model are markers on one line of its colour, so that the eye sees what a step to the left costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import SERIES, STYLE

__all__ = ["bench_figure"]

Row = Mapping[str, Any]

_WORDS = {"torch": "PyTorch", "compile": "torch.compile", "onnx": "ONNX fp32"}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "h", "p", "8")
_LEFT, _WIDTH, _GAP, _KEY, _ABOVE, _HEIGHT, _BELOW = 0.72, 4.3, 0.25, 3.15, 0.5, 3.0, 0.52  # inches
_LINE = 0.175  # of the key, inches
_LARGEST, _SMALLEST = 420.0, 22.0  # area of the largest file's marker and the least of any, square points
_LEAST_SPAN = 0.01  # of AUROC: differences that mean nothing shall look so
_COLUMNS = (0.0, 0.16, 1.35, 2.0, 2.62)  # of the key: marker, way, size, latency, AUROC; inches
_LONGEST_NAME = 40


@matplotlib.rc_context(STYLE)
def bench_figure(found: Mapping[str, Any]) -> Figure:
    """Draw a measurement: latency of one window against the stated macro AUROC, the area of a marker its file's size.

    The key beside it gives the figures of each way; those for which no AUROC is stated are in the key alone.

    Args:
        found: of ``edge.bench.bench``; drawn with the first of its numbers of threads.

    Raises:
        ValueError: no AUROC is stated for any way.
    """
    rows = found["rows"]
    drawn = [row for row in rows if row["auroc"]]
    if not drawn:
        raise ValueError("no macro AUROC is stated for any way, so there is nothing to draw it against")
    models = list(dict.fromkeys(row["model"] for row in rows))
    colours = {name: SERIES[k % len(SERIES)] for k, name in enumerate(models)}
    markers = {way: _MARKERS[k % len(_MARKERS)] for k, way in enumerate(dict.fromkeys(row["way"] for row in rows))}
    threads = str(found["settings"]["threads"][0])
    plot_height = max(_HEIGHT, (len(rows) + 2 * len(models)) * _LINE)
    width, height = _LEFT + _WIDTH + _GAP + _KEY, _ABOVE + plot_height + _BELOW
    fig = Figure(figsize=(width, height))
    bottom, tall = _BELOW / height, plot_height / height
    ax = fig.add_axes((_LEFT / width, bottom, _WIDTH / width, tall))
    _draw_points(ax, drawn, threads, colours, markers)
    _label(ax, drawn, threads)
    ax.set_title("Accuracy, latency and size", pad=20)
    machine = _machine_words(found["machine"])
    ax.annotate(machine, (0, 1), (0, 7), "axes fraction", "offset points", color=PALETTE["muted"], parse_math=False)
    key = fig.add_axes(((_LEFT + _WIDTH + _GAP) / width, bottom, _KEY / width, tall))
    _draw_key(key, rows, threads, colours, markers, plot_height)
    return fig


def _latency(row: Row, threads: str) -> float:
    return float(row["threads"][threads]["latency_ms"]["p50"])


def _draw_points(
    ax: Axes, rows: Sequence[Row], threads: str, colours: Mapping[str, str], markers: Mapping[str, str]
) -> None:
    largest = max(row["file_bytes"] for row in rows)
    for model, colour in colours.items():
        own = sorted((row for row in rows if row["model"] == model), key=lambda row: _latency(row, threads))
        x, y = [_latency(row, threads) for row in own], [row["auroc"]["value"] for row in own]
        ax.plot(x, y, color=colour, linewidth=0.9, alpha=0.5, zorder=2)
    for row in sorted(rows, key=lambda row: -row["file_bytes"]):  # small ones stay visible on large ones
        area = max(_SMALLEST, _LARGEST * row["file_bytes"] / largest)
        at = [_latency(row, threads)], [row["auroc"]["value"]]
        colour = colours[row["model"]]
        ax.scatter(
            *at, s=area, marker=markers[row["way"]], color=colour, alpha=0.75, edgecolor="white", lw=0.6, zorder=3
        )


def _label(ax: Axes, rows: Sequence[Row], threads: str) -> None:
    splits = sorted({row["auroc"]["split"] for row in rows})
    ax.set_ylabel(f"macro AUROC, {' or '.join(splits)} split")
    ax.set_xlabel(f"median latency of one window, ms ({threads} thread{'s' if threads != '1' else ''})")
    y = np.array([row["auroc"]["value"] for row in rows])
    middle, span = (y.max() + y.min()) / 2, max(_LEAST_SPAN, 1.3 * float(np.ptp(y)))
    ax.set_ylim(middle - 0.6 * span, middle + 0.6 * span)
    x = np.array([_latency(row, threads) for row in rows])
    ax.set_xscale("log")
    ax.set_xlim(x.min() / 1.5, x.max() * 1.5)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3f}"))


def _draw_key(
    ax: Axes,
    rows: Sequence[Row],
    threads: str,
    colours: Mapping[str, str],
    markers: Mapping[str, str],
    height: float,
) -> None:
    """A table of the markers, by model: way, size of the file, latency and AUROC."""
    ax.set(xlim=(0, _KEY), ylim=(height, 0))
    ax.axis("off")
    y = _LINE / 2
    heads: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 7, "color": PALETTE["muted"]}
    ax.text(0, y, "area of a marker: its file", **{**heads, "ha": "left"})
    for x, head in zip(_COLUMNS[2:], ("file", "ms", "AUROC"), strict=True):
        ax.text(x + 0.45, y, head, **heads)
    for model, colour in colours.items():
        y += _LINE
        name = model if len(model) <= _LONGEST_NAME else f"{model[: _LONGEST_NAME - 1]}…"
        ax.text(0, y, name, va="center", fontsize=8, color=colour, fontweight="bold", parse_math=False)
        for row in (row for row in rows if row["model"] == model):
            y += _LINE
            ax.plot(_COLUMNS[0] + 0.06, y, marker=markers[row["way"]], color=colour, markersize=5, linestyle="none")
            way = str(row["way"])
            ax.text(_COLUMNS[1], y, _WORDS.get(way, way), va="center", fontsize=8, parse_math=False)
            auroc = f"{row['auroc']['value']:.4f}" if row["auroc"] else "–"
            cells = (_size_words(row["file_bytes"]), f"{_latency(row, threads):.2f}", auroc)
            for x, text in zip(_COLUMNS[2:], cells, strict=True):
                ax.text(x + 0.45, y, text, ha="right", va="center", fontsize=8)
        y += _LINE / 3


def _size_words(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"


def _machine_words(machine: Mapping[str, Any]) -> str:
    sets = [name for name, there in (machine["instructions"] or {}).items() if there]
    return ", ".join([machine["cpu"], f"{machine['cores']} cores", *sets])
