"""The page people read: ``report.html``, one file that explains a judged model without its code.

Everything is brought into words and formatted numbers here; the template beside this file only lays it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from numpy.typing import NDArray

from einthoven.evaluation.report_parts import Json, drawing, figure
from einthoven.evaluation.report_split import split_view
from einthoven.evaluation.wording import ABSENT, COLUMN_WORDS, cohort, decimal, duration, fold_range, key_label, linked
from einthoven.files import atomic_write
from einthoven.plots.curves import chosen_epoch, history_figure

__all__ = ["write_report"]

Array = NDArray[Any]

_MACRO = {"auroc": "Macro AUROC", "auprc": "Macro AUPRC", "fmax": "Fmax"}
_FOLD_PART = re.compile(r"-fold-\d+$")


def write_report(
    path: Path,
    *,
    title: str,
    judgements: list[dict[str, Any]],
    scores: dict[str, tuple[Array, Array]],
    history: list[dict[str, Any]],
    context: dict[str, Any],
) -> None:
    """Write the report as one HTML file that needs nothing else: styles and drawings are inside.

    Args:
        path: the file to write, whole or not at all.
        title: the heading.
        judgements: one per split, as in ``metrics.json``; the test split makes the headline, else validation. One
            without ``macro`` was not judged and has a ``reason``. ``subgroups``, ``robustness``, ``novelty`` and
            ``worst_errors`` (see the function of that name in ``report_limits``) are shown where they are there.
        scores: targets and probabilities of each split, both of shape (records, classes), for the curves; a split
            without them has no curves, and the page says so.
        history: figures per epoch; empty where nothing was trained.
        context: ``model``, ``trained_on``, ``recipe``, ``environment``, ``commands``, ``timing`` (seconds), ``bundle``,
            ``chosen_epoch``, ``runs`` (rows of ``cross_source_table``) and ``spread`` (rows of ``fold_summary``), each
            as far as known.

    Raises:
        EinthovenError: the file cannot be written, or a drawing of an error cannot be read.
        ValueError: scores do not have the shape of their judgement's classes.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    splits = [split_view(judgement, scores.get(judgement["split"]), context, path.parent) for judgement in judgements]
    headline = _headline(splits)
    for view in splits:
        view["aside"] = view is not headline and _FOLD_PART.search(view["name"]) is not None
    page = environment.get_template("report.html.j2").render(
        title=title,
        splits=splits,
        headline=headline,
        glance=_glance(judgements, headline),
        trained=_trained_on(context),
        runs=_runs(context.get("runs") or []),
        spread=_spread(context.get("spread") or []),
        learning=_learning(history, context),
        recipe=context.get("recipe") or "",
        environment={key: str(value) for key, value in (context.get("environment") or {}).items()},
        commands=list(context.get("commands") or []),
        timing={key_label(key): duration(value) for key, value in (context.get("timing") or {}).items()},
        sources=_sources(judgements, context),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _learning(history: Sequence[Json], context: Json) -> dict[str, Any] | None:
    if not history:
        return None
    told = context.get("chosen_epoch")
    epoch = chosen_epoch(history) if told is None else told
    spoken = {"loss": "Loss by epoch", "score": "Validation figures by epoch", "rate": "Learning rate by epoch"}
    return {
        "epoch": epoch,
        "why": "" if told is not None else "the highest validation AUROC",
        "plots": [drawing(history_figure(history, [p], epoch), t) for p, t in spoken.items()],
        "rows": [_epoch(row) for row in history],
    }


def _epoch(row: Json) -> dict[str, str]:
    figures = ("train_loss", "validation_loss", "validation_auroc", "validation_accuracy")
    rate = row.get("lr")
    return {
        "epoch": str(int(row["epoch"])),
        **{key: decimal(row.get(key), 4) for key in figures},
        "lr": ABSENT if rate is None else f"{rate:.3g}",
        "seconds": decimal(row.get("seconds"), 1),
    }


def _runs(rows: Sequence[Json]) -> list[dict[str, Any]]:
    """Runs, folds or data sets as rows."""
    return [
        {
            "name": row["name"],
            "reason": row.get("reason") or "",
            "who": cohort({"n_records": row["records"], "n_patients": row["patients"]}),
            "macro": [
                figure({"value": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"]}) for key in _MACRO
            ],
        }
        for row in rows
    ]


def _spread(rows: Sequence[Json]) -> list[str]:
    """Mean and spread of the figures over all classes, a sentence each."""
    return [
        f"{_MACRO[row['figure']]}: mean {decimal(row['mean'], 4)} over {row['n']}, standard deviation "
        f"{decimal(row['deviation'], 4)}, from {decimal(row['least'], 4)} to {decimal(row['most'], 4)}."
        for row in rows
        if row["class"] == "(macro)"
    ]


def _trained_on(context: Json) -> dict[str, str]:
    """What was trained on what: label and words, only what is known."""
    model, data = context.get("model") or {}, context.get("trained_on") or {}
    parameters = model.get("n_parameters")
    facts = {
        "Model": model.get("name"),
        "Parameters": None if parameters is None else f"{parameters:,}",
        "Input": model.get("input"),
        "Trained on": data.get("name"),
        "Training records": cohort(data) if data.get("n_records") is not None else None,
        "Training folds": fold_range(data.get("folds")).removeprefix("folds ").removeprefix("fold "),
        "Bundle": context.get("bundle"),
    }
    return {label: str(words) for label, words in facts.items() if words}


def _headline(splits: Sequence[Json]) -> Json | None:
    judged = [split for split in splits if not split["empty"]]
    wanted = {"test": 0, "validation": 1}
    return min(judged, key=lambda split: wanted.get(split["name"], 2), default=None)


def _glance(judgements: Sequence[Json], headline: Json | None) -> list[dict[str, str]]:
    """The headline split's findings beyond its figures, a sentence each, with the section that has more."""
    if headline is None:
        return []
    judgement = next(each for each in judgements if each["split"] == headline["name"])
    told = {key: say(headline[key], judgement) for key, say in _SAID.items() if headline[key]}
    return [{"anchor": f"split-{headline['id']}-{key}", "sentence": text} for key, text in told.items()]


def _say_calibration(view: Json, _: Json) -> str:
    if not view["fitted"]:
        return "Probabilities are the network’s own scores: they are not calibrated."
    return (
        f"Probabilities are calibrated: predicted and observed frequency differ by {view['gap']} percentage points on "
        "average over classes."
    )


def _say_conformal(view: Json, _: Json) -> str:
    return (
        f"At a stated error rate of {view['error']}\u00a0%, {view['covered']}\u00a0% of the true answers stayed among "
        "the possible ones."
    )


def _say_subgroups(_: Json, judgement: Json) -> str:
    columns = [column for column in judgement["subgroups"] if column["gap"]]
    if not columns:
        return "Groups of patients were too small to be compared."
    widest = max(columns, key=lambda column: float(column["gap"]["value"]))
    by = COLUMN_WORDS.get(widest["column"], key_label(widest["column"])).lower()
    return f"The widest gap between groups of patients is by {by}: {decimal(widest['gap']['value'])} of macro AUROC."


_SAID: dict[str, Callable[[Json, Json], str]] = {
    "calibration": _say_calibration,
    "conformal": _say_conformal,
    "abstention": lambda view, _: str(view["sentence"]),
    "subgroups": _say_subgroups,
    "robustness": lambda view, _: str(view["sentence"]),
}


def _sources(judgements: Sequence[Json], context: Json) -> list[tuple[str, Markup]]:
    """Name and attribution of every data set, once each."""
    parts = [context.get("trained_on") or {}, *(j.get("dataset") or {} for j in judgements)]
    found = {part.get("name") or "": part["attribution"] for part in parts if part.get("attribution")}
    return [(name, linked(text)) for name, text in found.items()]
