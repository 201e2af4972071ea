"""What every section of a report is made of: a figure as text and as a place on an axis, and drawings for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from einthoven.evaluation.wording import ABSENT, decimal
from einthoven.plots.inline import figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AXIS_WIDTH", "MANY_CLASSES", "Json", "axis_floor", "drawing", "figure"]

Json = Mapping[str, Any]

AXIS_WIDTH = 160  # of the bars in the template
MANY_CLASSES = 12  # beyond this, the tables that few need are folded away


def figure(interval: Json | None, floor: float = 0.0, baseline: float | None = None) -> dict[str, Any]:
    """Return a figure as text, and as places on an axis from ``floor`` to 1."""
    if interval is None or interval.get("value") is None:
        return {"value": ABSENT, "interval": "", "dot": None}
    low, high = interval.get("low"), interval.get("high")
    known = low is not None and high is not None

    def place(value: float) -> float:
        return round(AXIS_WIDTH * min(1.0, max(0.0, (value - floor) / (1 - floor))), 1)

    return {
        "value": decimal(interval["value"]),
        "interval": f"[{decimal(low)}, {decimal(high)}]" if known else "",
        "dot": place(interval["value"]),
        "low": place(low) if low is not None and known else None,
        "high": place(high) if high is not None and known else None,
        "baseline": None if baseline is None else place(baseline),
    }


def axis_floor(figures: Iterable[Json | None]) -> float:
    """Where an AUROC axis starts: at the tenth below all that is shown, never between 0 and chance."""
    ends = [f["value"] if f.get("low") is None else f["low"] for f in figures if f]
    lowest = np.floor(10 * min(ends, default=0.5)) / 10
    return float(min(lowest, 0.9)) if lowest >= 0.5 else 0.0


def drawing(fig: Figure, spoken: str) -> Markup:
    """Return a figure as an element of the page, with what a screen reader says."""
    return Markup(figure_svg(fig, spoken))
