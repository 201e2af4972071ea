"""One class against the rest, in six panels: how well it is ranked, decided and believed, and which scores it gets.

One idea: ROC and precision-recall are of the network's scores; everything else is of the probabilities a user is shown.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics import auprc, auroc, brier, reliability, threshold_sweep
from einthoven.metrics.ranking import check_pair
from einthoven.plots.curves import pr_points, roc_points, thin
from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import SERIES, STYLE
from einthoven.plots.trust import wilson_interval

__all__ = ["class_report_figure"]

Array = NDArray[np.float64]

_BINS, _BARS = 10, 25
_SIDE, _LEFT, _ACROSS, _TOP, _BOTTOM, _BETWEEN = 2.3, 0.55, 0.75, 0.62, 0.48, 0.85  # inches
_TICKS = np.linspace(0, 1, 6)
_LEGEND: dict[str, Any] = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.85}


@matplotlib.rc_context(STYLE)
def class_report_figure(
    targets: ArrayLike,
    scores: ArrayLike,
    probabilities: ArrayLike,
    name: str,
    threshold: float | None = None,
    present: ArrayLike | None = None,
) -> Figure:
    """Draw one class.

    Args:
        targets: shape (records,), 0, 1 or NaN (unknown, left out); both 0 and 1 must occur.
        scores: of the network, shape (records,).
        probabilities: calibrated, shape (records,).
        name: of the class.
        threshold: from which a probability is reported; marked.
        present: what was decided, shape (records,); by default what reaches the threshold.

    Raises:
        ValueError: the class has no positive or no negative record, or shapes differ.
    """
    y, p = (column[:, 0] for column in check_pair(_column(targets), _column(scores)))
    q = check_pair(_column(y), _column(probabilities))[1][:, 0]
    known = ~np.isnan(y)
    if not {0.0, 1.0} <= set(y[known]):
        raise ValueError(f"{name} has no positive or no negative record, so there is nothing to draw")
    said = _decided(q, threshold, present)
    y, p, q, said = y[known], p[known], q[known], said if said is None else said[known]
    fig, axes = _sheet()
    _draw_roc(axes[0], y, p, said)
    _draw_pr(axes[1], y, p, said)
    _draw_sweep(axes[2], y, q, threshold)
    _draw_calibration(axes[3], y, q)
    by_truth = {f"with {name}": y == 1, "without": y == 0}
    _draw_scores(axes[4], q, by_truth, "Probabilities by truth", threshold, (SERIES[1], SERIES[0]))
    if said is None:
        _say(axes[5], "Probabilities by decision", "no threshold: not decided")
    else:
        right = said == (y == 1)
        by_decision = {"decided wrongly": ~right, "decided rightly": right}
        _draw_scores(axes[5], q, by_decision, "Probabilities by decision", threshold, (SERIES[6], SERIES[2]))
    words = f"{name}: {int((y == 1).sum()):,} of {len(y):,} records have it"
    words += "" if threshold is None else f"; reported from a probability of {threshold:.3f}"
    fig.text(_LEFT / fig.get_figwidth(), 1 - 0.2 / fig.get_figheight(), words, size=10.5, va="center", parse_math=False)
    return fig


def _column(values: ArrayLike) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"one value per record is needed, got shape {column.shape}")
    return column[:, None]


def _decided(q: Array, threshold: float | None, present: ArrayLike | None) -> NDArray[np.bool_] | None:
    if present is None:
        return None if threshold is None else np.asarray(q >= threshold)
    said = np.asarray(present, dtype=bool)
    if said.shape != q.shape:
        raise ValueError(f"decisions have shape {said.shape}, probabilities {q.shape}")
    return said


def _sheet() -> tuple[Figure, list[Axes]]:
    width, height = _LEFT + 3 * _SIDE + 2 * _ACROSS + 0.12, _TOP + 2 * _SIDE + _BETWEEN + _BOTTOM
    fig = Figure(figsize=(width, height))
    places = [(_LEFT + k * (_SIDE + _ACROSS), low) for low in (_BOTTOM + _SIDE + _BETWEEN, _BOTTOM) for k in range(3)]
    axes = [fig.add_axes((x / width, y / height, _SIDE / width, _SIDE / height)) for x, y in places]
    for ax in axes:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=_TICKS, yticks=_TICKS)
    return fig, axes


def _draw_roc(ax: Axes, y: Array, p: Array, said: NDArray[np.bool_] | None) -> None:
    ax.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.plot(*thin(*roc_points(y, p)), color=SERIES[0])
    if said is not None:
        ax.plot(said[y == 0].mean(), said[y == 1].mean(), "o", color=SERIES[1], markersize=5, label="decisions")
        ax.legend(loc="lower right")
    area = auroc(y[:, None], p[:, None])[0]
    ax.set(xlabel="1 − specificity", ylabel="sensitivity", title=f"ROC, area {area:.3f}")


def _draw_pr(ax: Axes, y: Array, p: Array, said: NDArray[np.bool_] | None) -> None:
    ax.axhline(y.mean(), color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    recall, precision = pr_points(y, p)
    # Steps, so that the area drawn is the average precision.
    ax.plot(*thin(np.repeat(recall, 2)[:-1], np.repeat(precision, 2)[1:]), color=SERIES[0])
    if said is not None and said.any():
        ax.plot(said[y == 1].mean(), y[said].mean(), "o", color=SERIES[1], markersize=5)
    average = auprc(y[:, None], p[:, None])[0]
    ax.set(xlabel="recall", ylabel="precision", title=f"Precision-recall, area {average:.3f}")


def _draw_sweep(ax: Axes, y: Array, q: Array, threshold: float | None) -> None:
    ladder, rates = threshold_sweep(y[:, None], q[:, None])
    for (key, word), colour in zip(
        (("ppv", "precision"), ("sensitivity", "recall"), ("f1", "F1")), SERIES, strict=False
    ):
        ax.plot(ladder, rates[key][0], color=colour, label=word)
    _mark(ax, threshold)
    ax.legend(loc="best", **_LEGEND)
    ax.set(xlabel="threshold", title="Decisions against the threshold")


def _draw_calibration(ax: Axes, y: Array, q: Array) -> None:
    count, mean, share = (values[0] for values in reliability(y[:, None], q[:, None], _BINS))
    filled = count > 0
    low, high = wilson_interval(share[filled], count[filled])
    ax.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=0.8, linestyle=":")
    ax.vlines(mean[filled], low, high, color=SERIES[0], linewidth=1.2)
    ax.plot(mean[filled], share[filled], "o-", color=SERIES[0], markersize=3.4, linewidth=0.9)
    score = brier(y[:, None], q[:, None])[0]
    ax.set(xlabel="predicted probability", ylabel="observed share", title=f"Calibration, Brier score {score:.3f}")


def _draw_scores(
    ax: Axes,
    q: Array,
    parts: dict[str, NDArray[np.bool_]],
    title: str,
    threshold: float | None,
    colours: tuple[str, str],
) -> None:
    edges = np.linspace(0, 1, _BARS + 1)
    counts = [np.histogram(q[part], edges)[0] for part in parts.values()]
    for (word, part), count, colour in zip(parts.items(), counts, colours, strict=True):
        heights = np.maximum(count, 0.5)  # on a logarithmic scale nothing lies below the axis
        ax.stairs(heights, edges, baseline=0.5, fill=True, color=colour, alpha=0.2)
        ax.stairs(heights, edges, baseline=0.5, color=colour, linewidth=1.2, label=f"{word} ({int(part.sum()):,})")
    _mark(ax, threshold)
    top = float(max(count.max() for count in counts))
    ax.set(yscale="log", ylim=(0.5, 6 * max(top, 1.0)), xlabel="predicted probability", ylabel="records", title=title)
    decades = [10**k for k in range(int(np.log10(max(top, 1.0))) + 1)]
    ax.set_yticks(decades, labels=[f"{decade:,}" for decade in decades])
    ax.minorticks_off()
    for text in ax.legend(loc="upper right", **_LEGEND).get_texts():
        text.set_parse_math(False)


def _mark(ax: Axes, threshold: float | None) -> None:
    if threshold is not None:
        ax.axvline(threshold, color=PALETTE["ink"], linewidth=0.9, linestyle=":")


def _say(ax: Axes, title: str, words: str) -> None:
    ax.set(title=title, xticks=[], yticks=[])
    ax.text(0.5, 0.5, words, ha="center", color=PALETTE["muted"])
