"""What each fault costs: AUROC with its interval, the loss of every class, and what a user would have been told.

One idea: one line per condition, so that the eye runs from a fault to what it does to whom and whether it was noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import STYLE

__all__ = ["robustness_figure"]

_LINE, _GAP = 0.155, 0.4  # inches per condition; of a line between faults
_NAMES, _DOTS, _CELL, _BETWEEN, _RIGHT, _ABOVE, _BELOW = 1.75, 2.5, 0.46, 0.18, 0.1, 0.78, 0.5
_MOST_CLASSES = 8
_FULL_LOSS = 0.15  # of AUROC, at which a cell is darkest
_NAME_LENGTH = 9
_SHARES = {"refused": "refused", "unlike_training": "flagged\nunlike", "decided_otherwise": "decided\notherwise"}


@matplotlib.rc_context(STYLE)
def robustness_figure(robustness: Mapping[str, Any]) -> Figure:
    """Draw a judgement of robustness.

    The dot is the macro AUROC under the fault, the bar the 95 % interval of its difference to the same records as they
    are, whose AUROC is the dotted line. Cells give the difference of each class (up to eight classes) in thousandths,
    and the shares of records that the quality check refuses, that are flagged as unlike training, and in which a
    decision changes.

    Args:
        robustness: of ``evaluation.robustness.judge_robustness``.

    Raises:
        ValueError: no condition was judged.
    """
    rows = robustness["conditions"]
    if not rows:
        raise ValueError("no condition was judged, so there is nothing to draw")
    classes = robustness["classes"] if len(robustness["classes"]) <= _MOST_CLASSES else []
    places = _places(rows)
    height = places[-1] * _LINE + _ABOVE + _BELOW
    widths = [_DOTS, *([_CELL * len(classes)] if classes else []), _CELL * len(_SHARES)]
    width = _NAMES + sum(widths) + _BETWEEN * (len(widths) - 1) + _RIGHT
    fig, left, axes = Figure(figsize=(width, height)), _NAMES, []
    for each in widths:
        box = (left / width, _BELOW / height, each / width, 1 - (_ABOVE + _BELOW) / height)
        axes.append(fig.add_axes(box))
        left += each + _BETWEEN
    for ax in axes:
        ax.set(ylim=(places[-1] + 1, -1))
    _draw_dots(axes[0], rows, places, robustness["clean"]["auroc"])
    if classes:
        losses = [[row["per_class"][name]["difference"]["value"] for name in classes] for row in rows]
        shade = [[min(1.0, max(0.0, -loss / _FULL_LOSS)) for loss in line] for line in losses]
        text = [[_thousandths(loss) for loss in line] for line in losses]
        _draw_cells(axes[1], places, text, shade, [_shortened(name) for name in classes], PALETTE["series-2"])
        axes[1].set_title("AUROC difference, ‰", pad=30)
    shares = [[row[key] for key in _SHARES] for row in rows]
    text = [[f"{100 * share:.0f} %" for share in line] for line in shares]
    _draw_cells(axes[-1], places, text, shares, list(_SHARES.values()), PALETTE["series-1"])
    axes[-1].set_title("Share of records", pad=30)
    return fig


def _places(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Line of each condition, with a gap before each other fault."""
    places: list[float] = []
    for k, (_, same) in enumerate(groupby(rows, key=lambda row: row["perturbation"])):
        places += [len(places) + k * _GAP + j for j, _ in enumerate(same)]
    return places


def _draw_dots(ax: Axes, rows: Sequence[Mapping[str, Any]], places: Sequence[float], clean: float) -> None:
    for row, y in zip(rows, places, strict=True):
        low, high = row["difference"]["low"], row["difference"]["high"]
        sure = low is not None and not low <= 0 <= high
        colour = PALETTE["series-2"] if sure and high < 0 else PALETTE["series-1"]
        if low is not None:
            ax.plot([clean + low, clean + high], [y, y], color=colour, linewidth=1.3)
        ax.plot([row["auroc"]], [y], color=colour, marker="o", markersize=3.4, linestyle="none")
    ax.axvline(clean, color=PALETTE["ink"], linewidth=0.9, linestyle=":")
    ax.set_yticks(places, [row["condition"] for row in rows], fontsize=7, color=PALETTE["ink"], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"macro AUROC (as recorded: {clean:.3f})")
    ax.set_title("Macro AUROC", pad=30)
    ax.spines["left"].set_visible(False)
    lowest = min(min(row["auroc"], clean + (row["difference"]["low"] or 0.0)) for row in rows)
    ax.set_xlim(np.floor(lowest * 20) / 20, np.ceil(clean * 20 + 0.2) / 20)


def _draw_cells(
    ax: Axes,
    places: Sequence[float],
    text: Sequence[Sequence[str]],
    shade: Sequence[Sequence[float]],
    heads: Sequence[str],
    colour: str,
) -> None:
    for y, words, darks in zip(places, text, shade, strict=True):
        for x, (word, dark) in enumerate(zip(words, darks, strict=True)):
            ax.add_patch(Rectangle((x + 0.02, y - 0.48), 0.96, 0.96, color=colour, alpha=0.5 * dark, linewidth=0))
            ax.text(x + 0.5, y, word, ha="center", va="center", fontsize=6.5)
    ax.set(xlim=(0, len(heads)), yticks=[], xticks=np.arange(len(heads)) + 0.5)
    ax.xaxis.tick_top()
    ax.set_xticklabels(heads, fontsize=7, parse_math=False)
    ax.tick_params(axis="x", length=0)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _thousandths(difference: float) -> str:
    rounded = round(1000 * difference)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
