"""Histories of several trainings in one drawing, and the course of a search.

Up to sixteen lines are told apart by colour and dash; of more, the twelve best by validation AUROC are, before the
others in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import SERIES, STYLE

__all__ = ["histories_figure", "search_figure"]

History = Sequence[Mapping[str, float]]

_PANELS = {
    "validation_auroc": "Validation macro AUROC",
    "validation_loss": "Validation loss",
    "train_loss": "Training loss",
    "lr": "Learning rate",
}
_DASHES = ("-", (0, (4, 1.6)))
_SHOWN, _SHOWN_OF_MANY = len(SERIES) * len(_DASHES), 12
_LONGEST_NAME = 44
_WIDTH, _HEIGHT = 3.5, 2.2  # of each plot, inches


@matplotlib.rc_context(STYLE)
def histories_figure(histories: Mapping[str, History]) -> Figure:
    """Draw validation AUROC, validation loss, training loss and learning rate of several runs over their epochs.

    Args:
        histories: rows of ``history.csv`` by the run's name; a run without epochs, or a figure that is not a finite
            number, is left out. The best epoch by AUROC is marked.

    Raises:
        ValueError: no run has an epoch.
    """
    drawn = {name: rows for name, rows in histories.items() if rows}
    if not drawn:
        raise ValueError("no run has an epoch, so there is no history to draw")
    best_first = sorted(drawn, key=lambda name: -_best(drawn[name]))
    shown = best_first if len(best_first) <= _SHOWN else best_first[:_SHOWN_OF_MANY]
    fig, axes = _panels(len(shown) + (len(shown) < len(drawn)))
    lines: dict[str, Artist] = {}
    for (key, title), ax in zip(_PANELS.items(), axes, strict=True):
        for name in reversed(best_first):
            lines[name] = _draw(ax, drawn[name], key, _style(shown.index(name) if name in shown else None))
        _finish(ax, title, logarithmic=key == "lr")
    named = [(lines[name], f"{_best(drawn[name]):.4f}  {_cut(name)}") for name in shown]
    if len(shown) < len(drawn):
        grey = Line2D([], [], color=PALETTE["faint"])
        named.append((grey, f"{len(drawn) - len(shown)} more runs, best {_best(drawn[best_first[len(shown)]]):.4f}"))
    _legend(fig, named)
    return fig


@matplotlib.rc_context(STYLE)
def search_figure(trials: Sequence[Mapping[str, Any]], metric: str, *, larger_is_better: bool = True) -> Figure:
    """Draw the figure of each trial of a search, and the best up to there.

    Args:
        trials: rows with ``number``, ``state`` (complete, pruned, failed) and ``value`` (None where there is none).
        metric: what the values are.
        larger_is_better: the direction of the search.

    Raises:
        ValueError: no trial has a value.
    """
    known = [row for row in trials if row["value"] is not None and np.isfinite(row["value"])]
    if not known:
        raise ValueError("no trial has a value, so there is no search to draw")
    fig = Figure(figsize=(5.6, 3.2), layout="constrained")
    ax = fig.add_subplot()
    for state, face in (("complete", SERIES[0]), ("pruned", "none")):
        rows = [row for row in known if row["state"] == state]
        x, y = [row["number"] for row in rows], [row["value"] for row in rows]
        if rows:
            ax.scatter(x, y, s=18, facecolors=face, edgecolors=SERIES[0], linewidths=0.9, label=state, zorder=3)
    complete = [row for row in known if row["state"] == "complete"]
    if complete:
        running = np.maximum.accumulate if larger_is_better else np.minimum.accumulate
        best = running([row["value"] for row in complete])
        x = [*(row["number"] for row in complete), max(row["number"] for row in trials)]
        ax.plot(x, [*best, best[-1]], drawstyle="steps-post", color=SERIES[1], label="best so far")
    ax.set(xlabel="trial", ylabel=metric)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return fig


def _best(rows: History) -> float:
    values = [row["validation_auroc"] for row in rows if np.isfinite(row["validation_auroc"])]
    return max(values, default=float("-inf"))


def _style(place: int | None) -> dict[str, Any]:
    if place is None:
        return {"color": PALETTE["faint"], "linewidth": 0.8, "zorder": 1}
    dash = _DASHES[place // len(SERIES)]
    return {"color": SERIES[place % len(SERIES)], "linestyle": dash, "linewidth": 1.3, "zorder": 3}


def _draw(ax: Axes, rows: History, key: str, style: Mapping[str, Any]) -> Artist:
    known = [(row["epoch"], row[key]) for row in rows if key in row and np.isfinite(row[key])]
    x, y = [epoch for epoch, _ in known], [value for _, value in known]
    (line,) = ax.plot(x, y, marker="o" if len(x) == 1 else "", markersize=3, **style)
    if key == "validation_auroc" and known and style["zorder"] > 1:
        k = int(np.argmax(y))
        ax.plot(x[k], y[k], "o", markersize=3.6, color=style["color"], zorder=4)
    return line


def _finish(ax: Axes, title: str, *, logarithmic: bool) -> None:
    ax.set(xlabel="epoch", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    if logarithmic and len(ax.lines) and all((np.asarray(line.get_ydata()) > 0).all() for line in ax.lines):
        ax.set_yscale("log")
    else:
        ax.ticklabel_format(axis="y", style="plain", useOffset=False)


def _panels(legend_lines: int) -> tuple[Figure, list[Axes]]:
    """Two rows of two plots, and room below for a legend of two columns."""
    rows = (legend_lines + 1) // 2
    width, below = 2 * (_WIDTH + 0.75) + 0.1, 0.55 + 0.19 * rows
    height = 2 * (_HEIGHT + 0.35) + 0.45 + below
    fig = Figure(figsize=(width, height))
    axes = []
    for k in range(4):
        left = 0.65 + (k % 2) * (_WIDTH + 0.75)
        bottom = below + (1 - k // 2) * (_HEIGHT + 0.8)
        axes.append(fig.add_axes((left / width, bottom / height, _WIDTH / width, _HEIGHT / height)))
    return fig, axes


def _legend(fig: Figure, named: Sequence[tuple[Artist, str]]) -> None:
    lines, names = [line for line, _ in named], [name for _, name in named]
    left = 0.65 / fig.get_figwidth()
    legend = fig.legend(lines, names, loc="lower left", bbox_to_anchor=(left, 0), borderaxespad=0.4, ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a run's name is text, whatever signs it has


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}…{name[-8:]}"
