"""``explain.html`` of a split: what moves a model over many records, how steadily, and whether the checks held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from einthoven.evaluation.report_parts import drawing
from einthoven.evaluation.wording import ABSENT, counted, decimal
from einthoven.explain.catalogue import METHODS, RELATIVE
from einthoven.explain.page import render_page, verdict_views
from einthoven.explain.population import BEFORE_S, ClassSummary
from einthoven.explain.verdicts import Verdict
from einthoven.labels import NORMAL_CLASSES
from einthoven.plots.attributions import beat_map_figure, lead_bars_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["split_figures", "write_split_page"]

Rows = Sequence[Mapping[str, Any]]


def split_figures(summaries: Mapping[str, ClassSummary], about: Mapping[str, Any]) -> dict[str, Figure]:
    """Bars of all leads as ``leads`` and the average beat of each class as ``beat-CLASS``.

    Args:
        summaries: of each class.
        about: ``model``, ``dataset``, ``split``, ``method`` and ``unit``.
    """
    unit = "log-odds" if about["unit"] != RELATIVE else "relative"
    figures: dict[str, Figure] = {}
    if METHODS[about["method"]].by_lead:
        named = {f"{name} ({counted(s.n_records, 'record')})": s for name, s in summaries.items()}
        figures["leads"] = lead_bars_figure(
            next(iter(summaries.values())).leads,
            {name: s.mean_absolute.tolist() for name, s in named.items()},
            {name: (np.full(len(s.leads), np.nan) if s.sem is None else s.sem).tolist() for name, s in named.items()},
            label=f"mean absolute attribution ({unit})",
            title=f"{about['model']}, {about['split']} split of {about['dataset']}, {about['method']}",
            normal=[name for name, s in named.items() if s.name in NORMAL_CLASSES],
        )
    for name, s in summaries.items():
        if s.beat is not None and s.signal is not None:
            figures[f"beat-{name}"] = beat_map_figure(
                s.beat, s.signal, s.leads, s.fs, BEFORE_S, normal=name in NORMAL_CLASSES,
                title=f"{name}: mean over {counted(s.n_beats, 'record')} with whole beats",
                label=f"{unit} per sample",
            )  # fmt: skip
    return figures


def write_split_page(
    path: Path,
    about: Mapping[str, Any],
    summaries: Mapping[str, ClassSummary],
    verdicts: list[Verdict],
    stability: Mapping[str, Any],
    failed: Mapping[str, str],
    figures: Mapping[str, Figure],
) -> None:
    """Write the page of a split.

    Args:
        path: of the page.
        about: what ``population.json`` says before its classes.
        summaries: of each class.
        verdicts: of the checks.
        stability: ``varied`` in words, and rows by class as ``classes``.
        failed: reasons by record.
        figures: of ``split_figures``.

    Raises:
        EinthovenError: the page cannot be written.
    """
    drawn = {name: drawing(figure, _spoken(name)) for name, figure in figures.items()}
    render_page(
        path,
        "page_split.html.j2",
        title=f"What moves {about['model']}",
        about=about,
        method=METHODS[about["method"]],
        n_records=counted(about["n_records"], "record"),
        checks=verdict_views(verdicts),
        counts=_counts(verdicts),
        leads=drawn.get("leads", ""),
        classes=[_class(summary, drawn.get(f"beat-{name}", "")) for name, summary in summaries.items()],
        varied=stability["varied"],
        stability={name: [_stable(row) for row in rows] for name, rows in stability["classes"].items()},
        failed=dict(failed),
    )


def _spoken(name: str) -> str:
    return "Mean absolute attribution of each lead" if name == "leads" else f"Average {name.replace('-', ' of ')}"


def _counts(verdicts: list[Verdict]) -> str:
    each = {word: sum(verdict.word == word for verdict in verdicts) for word in ("held", "not held", "not known")}
    return ", ".join(f"{number} {word}" for word, number in each.items() if number)


def _class(summary: ClassSummary, beat: str) -> dict[str, Any]:
    order = summary.mean_absolute.argsort()[::-1][:3]
    return {
        "name": summary.name,
        "n_records": counted(summary.n_records, "record"),
        "strongest": ", ".join(f"{summary.leads[k]} {summary.mean_absolute[k]:.2f}" for k in order),
        "beat": beat,
        "waves": [_wave(wave, row) for wave, row in summary.waves.items()] if summary.waves["QRS"]["n"] else [],
        "beats": summary.beats,
        "rest": summary.rest_warning,
    }


def _wave(wave: str, row: Mapping[str, Any]) -> dict[str, str]:
    bounds = "" if row["low"] is None else f"{row['low']:.1f} to {row['high']:.1f}"
    shares = {
        key: ABSENT if row[f"share_of_{key}"] is None else decimal(100 * row[f"share_of_{key}"], 0)
        for key in ("positive", "time")
    }
    return {"wave": wave, "ratio": decimal(row["mean"], 1), "interval": bounds, "n": str(row["n"]), **shares}


def _stable(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "lead": row["lead"],
        "mean": decimal(row["mean"], 3),
        "sem": decimal(row["sem"], 4),
        "cv": decimal(row["cv"], 2),
    }
