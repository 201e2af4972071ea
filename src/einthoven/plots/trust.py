"""How far can a probability be believed, drawn: reliability of a class, and what leaving records to a human gains.

One idea: each function takes the plain values of a judgement, so a drawing shows exactly what ``metrics.json`` holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import SERIES, STYLE, panels_of

__all__ = ["reliability_figure", "risk_coverage_figure", "wilson_interval"]

Array = NDArray[np.float64]

_Z = 1.959964  # of a 95 % interval
_SIDE, _BELOW, _GAP = 2.2, 0.42, 0.12  # inches: the diagram, the histogram below it, the space between
_FINE = 0.05  # of risk, up to which the axis needs decimals
_LEFT, _TOP, _BOTTOM = 0.52, 0.3, 0.46


def wilson_interval(share: ArrayLike, count: ArrayLike) -> tuple[Array, Array]:
    """Lowest and highest share that a count of cases leaves possible, at 95 % (Wilson 1927).

    Args:
        share: observed, 0 to 1.
        count: cases it was observed in, above 0; same shape.
    """
    p, n = np.asarray(share, dtype=np.float64), np.asarray(count, dtype=np.float64)
    middle = p + _Z**2 / (2 * n)
    reach = _Z * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    whole = 1 + _Z**2 / n
    # At a share of 0 or 1 the formula meets it exactly; rounding must not leave the interval beyond its own share.
    return np.minimum((middle - reach) / whole, p).clip(0, 1), np.maximum((middle + reach) / whole, p).clip(0, 1)


@matplotlib.rc_context(STYLE)
def reliability_figure(bins: Mapping[str, Sequence[float | None]], title: str = "") -> Figure:
    """Draw one class: how often it was there against how probable it was said to be, above a histogram of the scores.

    Dots on the dotted diagonal are right; above it the model says too little, below it too much. Lines are 95 %
    intervals of the observed share. The histogram counts records on a logarithmic scale, for
    nearly all of a rare class lie in the first bin.

    Args:
        bins: of equal width from 0 to 1: ``count`` of records, their ``mean`` probability, and the ``share`` that carry
            the class; mean and share are None in an empty bin.
        title: the name of the class.

    Raises:
        ValueError: every bin is empty.
    """
    count = np.asarray(bins["count"], dtype=np.float64)
    filled = count > 0
    if not filled.any():
        raise ValueError("no bin of the reliability diagram has a record")
    mean, share = (np.asarray(bins[key], dtype=np.float64)[filled] for key in ("mean", "share"))
    low, high = wilson_interval(share, count[filled])
    width, height = _LEFT + _SIDE + 0.12, _TOP + _SIDE + _GAP + _BELOW + _BOTTOM
    fig = Figure(figsize=(width, height))
    left, across = _LEFT / width, _SIDE / width
    ax = fig.add_axes((left, (_BOTTOM + _BELOW + _GAP) / height, across, _SIDE / height))
    ax.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=0.8, linestyle=":", zorder=1)
    ax.vlines(mean, low, high, color=SERIES[0], linewidth=1.2, zorder=2)
    ax.plot(mean, share, color=SERIES[0], marker="o", markersize=3.4, linewidth=0.9, zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), yticks=np.linspace(0, 1, 6), ylabel="observed share")
    ax.set_xticks(np.linspace(0, 1, 6), labels=[])
    ax.set_title(title, parse_math=False)
    below = fig.add_axes((left, _BOTTOM / height, across, _BELOW / height))
    edges = np.linspace(0, 1, len(count) + 1)
    drawn = np.where(filled, count, np.nan)
    below.bar(edges[:-1], drawn, np.diff(edges), align="edge", color=PALETTE["faint"], edgecolor=PALETTE["ink"], lw=0.4)
    below.set(xlim=(-0.02, 1.02), yscale="log", ylim=(0.7, 2 * count.max()), xlabel="predicted probability")
    below.set_xticks(np.linspace(0, 1, 6))
    decades = [10**k for k in range(int(np.log10(count.max())) + 1)]
    below.set_yticks(
        decades[:: max(1, len(decades) - 1)], labels=[f"{d:,}" for d in decades[:: max(1, len(decades) - 1)]]
    )
    below.minorticks_off()
    return fig


@matplotlib.rc_context(STYLE)
def risk_coverage_figure(coverage: Sequence[float], risk: Sequence[float], marked: float | None = None) -> Figure:
    """Draw the share of records with a wrong decision among the most certain ones.

    Args:
        coverage: shares of records that are decided, rising to 1.
        risk: share of wrong records among them.
        marked: draw a dot at this coverage, and one at 1.
    """
    fig, (ax,) = panels_of(1, 4.2, 2.5, legend_rows=0)
    ax.axhline(risk[-1], color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.plot(coverage, risk, color=SERIES[0])
    if marked is not None:
        at = [int(np.argmin(np.abs(np.asarray(coverage) - marked))), len(coverage) - 1]
        ax.plot([coverage[k] for k in at], [risk[k] for k in at], "o", color=SERIES[0], markersize=4.5)
    ax.set(xlim=(0, 1.02), ylim=(0, max(1.12 * max(risk), 0.01)))
    ax.set(xlabel="share of records decided, the most certain first", ylabel="of these, with a wrong decision")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0 if max(risk) > _FINE else 1, symbol=" %"))
    return fig
