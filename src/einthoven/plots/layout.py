"""What all drawings of a page share: type and line widths, axes with room for labels, and legends below them.

One idea: sizes are inches of the finished drawing, so that panels of different kinds stand side by side alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from einthoven.plots.inline import PALETTE

__all__ = ["SERIES", "STYLE", "legend_below", "panels_of"]

SERIES = [colour for name, colour in PALETTE.items() if name.startswith("series")]
STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["ink"],
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": PALETTE["ink"],
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALETTE["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": PALETTE["ink"],
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.7,
    "legend.columnspacing": 1.4,
}


def panels_of(count: int, plot_width: float, plot_height: float, legend_rows: int) -> tuple[Figure, list[Axes]]:
    """Axes side by side (inches), each with room for its labels and a legend below."""
    above, below = 0.32, 0.6 + 0.17 * legend_rows
    each, height = plot_width + 0.7, above + plot_height + below
    width = each * count
    fig = Figure(figsize=(width, height))
    lefts = [each * k + 0.58 for k in range(count)]
    size = (plot_width / width, plot_height / height)
    return fig, [fig.add_axes((left / width, below / height, *size)) for left in lefts]


def legend_below(ax: Axes, lines: Sequence[Artist], names: Sequence[str], columns: int) -> None:
    """Put a legend below the axis label, flush with it."""
    box, inch = ax.get_window_extent(), ax.figure.dpi
    below = (-0.5 * inch / box.width, -0.44 * inch / box.height)
    legend = ax.legend(lines, names, loc="upper left", bbox_to_anchor=below, ncols=columns)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a class name is text, whatever signs it has
