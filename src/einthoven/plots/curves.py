"""ROC, precision-recall and learning curves as matplotlib figures, made without pyplot's global state.

Every point is computed exactly from the scores; only the drawing is thinned, to half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.ranking import auprc, auroc, check_pair
from einthoven.plots.inline import PALETTE, figure_svg, save_figure
from einthoven.plots.layout import SERIES, STYLE, legend_below, panels_of

__all__ = [
    "PALETTE",
    "chosen_epoch",
    "figure_svg",
    "history_figure",
    "pr_points",
    "roc_points",
    "roc_pr_figure",
    "save_figure",
    "thin",
]

Array = NDArray[np.float64]

_DASHES = ["-", "-", "-", "-", "--", "--", "--", "--"]
_MANY = len(SERIES)  # more classes than colours: only the extremes are told apart
_EXTREMES = 3
_NAME_LENGTH = 20
_GRID = np.linspace(0, 1, 1001)


def roc_points(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """False and true positive rate of one class at every distinct score, from (0, 0) to (1, 1).

    Args:
        targets: shape (records,), 0, 1 or NaN (unknown, left out); both 0 and 1 must occur.
        scores: shape (records,).
    """
    false, true = _counts_above(targets, scores)
    return np.r_[0.0, false / false[-1]], np.r_[0.0, true / true[-1]]


def pr_points(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """Recall and precision of one class at every distinct score, by rising recall, from (0, 1).

    Arguments as in ``roc_points``. The area under its steps is the average precision.
    """
    false, true = _counts_above(targets, scores)
    return np.r_[0.0, true / true[-1]], np.r_[1.0, true / (true + false)]


def _counts_above(targets: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """How many negatives and positives score at least each distinct score, highest first."""
    y, p = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    y, p = y[~np.isnan(y)], p[~np.isnan(y)]
    order = np.argsort(-p, kind="stable")
    y, p = y[order], p[order]
    last = np.r_[np.flatnonzero(np.diff(p)), len(p) - 1]  # where each run of equal scores ends
    true = np.cumsum(y)[last]
    return 1.0 + last - true, true


def thin(x: Array, y: Array, steps: int = 500) -> tuple[Array, Array]:
    """Drop vertices of a curve in the unit square that cannot be seen.

    Vertices are moved to a grid of ``steps`` per axis, then repeated and collinear ones are dropped: the new line stays
    within 0.71 / ``steps`` of the old one.
    """
    points = np.rint(np.column_stack([x, y]) * steps).astype(np.int64)
    points = points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]]
    move = np.diff(points, axis=0)
    cross = move[:-1, 0] * move[1:, 1] - move[:-1, 1] * move[1:, 0]
    onward = (move[:-1] * move[1:]).sum(axis=1) > 0
    kept = points[np.r_[True, (cross != 0) | ~onward, True][: len(points)]] / steps
    return kept[:, 0], kept[:, 1]


@matplotlib.rc_context(STYLE)
def roc_pr_figure(
    targets: ArrayLike, scores: ArrayLike, classes: Sequence[str], panels: Sequence[str] = ("roc", "pr")
) -> Figure:
    """Draw ROC and precision-recall curves of every class that has positives and negatives, and their macro mean.

    Up to eight classes have a colour each; of more, the three best and three worst by AUROC are told apart from the
    others in grey. The area under each line is the AUROC or AUPRC in the legend.

    Args:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        scores: probabilities, same shape.
        classes: one name per column.
        panels: ``"roc"``, ``"pr"`` or both, side by side.

    Raises:
        ValueError: shapes differ, or no class has both positives and negatives.
    """
    y, p = check_pair(targets, scores)
    if len(classes) != y.shape[1]:
        raise ValueError(f"{len(classes)} class names for {y.shape[1]} columns of scores")
    areas = {"roc": auroc(y, p), "pr": auprc(y, p)}
    defined = np.flatnonzero(~np.isnan(areas["roc"]))
    if not len(defined):
        raise ValueError("no class has both a positive and a negative record, so there is no curve to draw")
    shown = _told_apart(areas["roc"], defined)
    fig, axes = panels_of(len(panels), 3.3, 3.3, legend_rows=len(shown) // 2 + 1)
    for ax, kind in zip(axes, panels, strict=True):
        vertices = {"roc": roc_points, "pr": _pr_steps}[kind]
        curves = {int(k): vertices(y[:, k], p[:, k]) for k in defined}
        _draw_curves(ax, curves, areas[kind], classes, shown)
        _label_unit_square(ax, kind)
    return fig


def _told_apart(values: Array, defined: NDArray[np.int64]) -> list[int]:
    if len(defined) <= _MANY:
        return [int(k) for k in defined]
    best_first = defined[np.argsort(-values[defined], kind="stable")]
    return [int(k) for k in np.r_[best_first[:_EXTREMES], best_first[-_EXTREMES:]]]


def _pr_steps(targets: Array, scores: Array) -> tuple[Array, Array]:
    """Corners of the steps whose area is the average precision: each recall gained at the precision that gained it."""
    recall, precision = pr_points(targets, scores)
    gains = np.flatnonzero(np.diff(recall)) + 1
    reached = np.r_[0.0, recall[gains]]
    return np.repeat(reached, 2)[1:-1], np.repeat(precision[gains], 2)


def _mean_curve(curves: Mapping[int, tuple[Array, Array]]) -> tuple[Array, Array]:
    """Mean height over all curves at each place; its area is the mean of theirs."""
    heights = np.mean([np.interp(_GRID, x, y) for x, y in curves.values()], axis=0)
    start = np.mean([y[0] for _, y in curves.values()])
    return np.r_[0.0, _GRID], np.r_[start, heights]


def _draw_curves(
    ax: Axes,
    curves: Mapping[int, tuple[Array, Array]],
    areas: Array,
    classes: Sequence[str],
    shown: Sequence[int],
) -> None:
    for k in curves.keys() - set(shown):
        ax.plot(*thin(*curves[k]), color=PALETTE["faint"], linewidth=0.6, zorder=2)
    half = len(shown) // 2
    dashes = _DASHES if len(shown) == len(curves) else ["-"] * half + ["--"] * half
    lines = [
        ax.plot(*thin(*curves[k]), color=colour, linestyle=dash, linewidth=1.3, zorder=3)[0]
        for k, colour, dash in zip(shown, SERIES, dashes, strict=False)
    ]
    names = [f"{areas[k]:.3f}\u2002{_shortened(classes[k])}" for k in shown]
    macro = ax.plot(*thin(*_mean_curve(curves)), color=PALETTE["ink"], linewidth=2.4, zorder=4)
    names = [f"{np.nanmean(areas):.3f}\u2002mean of {len(curves)} classes", *names]
    legend_below(ax, [*macro, *lines], names, columns=2)


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"


def _label_unit_square(ax: Axes, kind: str) -> None:
    if kind == "roc":
        ax.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=0.8, linestyle=":", zorder=1)
        ax.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC (number: AUROC)")
    else:
        ax.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", title="Precision-recall (number: AUPRC)")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xticks=np.linspace(0, 1, 6))


def chosen_epoch(history: Sequence[Mapping[str, float | None]]) -> int | None:
    """Return the first epoch with the highest validation AUROC, or None where no epoch has one."""
    rated = [(row["validation_auroc"], -int(row["epoch"] or 0)) for row in history if _known(row, "validation_auroc")]
    return -max(rated, key=lambda pair: (pair[0] or 0.0, pair[1]))[1] if rated else None


@matplotlib.rc_context(STYLE)
def history_figure(
    history: Sequence[Mapping[str, float | None]],
    panels: Sequence[str] = ("loss", "score", "rate"),
    epoch: int | None = None,
) -> Figure:
    """Draw what each epoch measured, with the chosen epoch marked.

    Args:
        history: one row per epoch with ``epoch``, ``train_loss``, ``validation_loss``, ``validation_auroc``,
            ``validation_accuracy`` and ``lr``; a figure may be absent or None.
        panels: any of ``"loss"``, ``"score"`` and ``"rate"``.
        epoch: the epoch to mark; None marks ``chosen_epoch(history)``.

    Raises:
        ValueError: the history is empty.
    """
    if not history:
        raise ValueError("a history without epochs cannot be drawn")
    epoch = chosen_epoch(history) if epoch is None else epoch
    fig, axes = panels_of(len(panels), 2.7, 2.3, legend_rows=1)
    for ax, kind in zip(axes, panels, strict=True):
        title, series = _HISTORY[kind]
        for (key, name), colour in zip(series.items(), SERIES, strict=False):
            rows = [row for row in history if _known(row, key)]
            marker = "o" if len(rows) < 30 else ""
            x, y = [row["epoch"] for row in rows], [row[key] for row in rows]
            ax.plot(x, y, color=colour, marker=marker, markersize=2.6, label=name)  # type: ignore[arg-type]
        if epoch is not None:
            ax.axvline(epoch, color=PALETTE["ink"], linewidth=0.9, linestyle=":", label=f"epoch {epoch}")
        ax.set(xlabel="epoch", title=title)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.ticklabel_format(axis="y", style="plain", useOffset=False)
        legend_below(ax, *ax.get_legend_handles_labels(), columns=3)
    return fig


_HISTORY = {
    "loss": ("Loss", {"train_loss": "training", "validation_loss": "validation"}),
    "score": ("Validation", {"validation_auroc": "macro AUROC", "validation_accuracy": "accuracy"}),
    "rate": ("Learning rate", {"lr": "learning rate"}),
}


def _known(row: Mapping[str, float | None], key: str) -> bool:
    value = row.get(key)
    return value is not None and bool(np.isfinite(value))
