"""Does it hold elsewhere? One model on other data, models that each never saw one source, folds and repeated runs.

One idea: a row per model and source, each with its own interval, and then how far the rows lie apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from einthoven.errors import DatasetError
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.tables import interval_columns
from einthoven.metrics import auroc, bootstrap_metrics, defined_classes

__all__ = ["cross_source_table", "fold_summary", "judge_sources", "part_rows", "summarise"]

Json = Mapping[str, Any]
Row = dict[str, Any]

_MACRO = ("auroc", "auprc", "fmax")
_PER_CLASS = ("auroc", "auprc", "sensitivity", "specificity", "f1")


def part_rows(
    predictions: Predictions, by: Literal["fold", "source"], *, n_resamples: int = 0, seed: int = 0
) -> list[Row]:
    """Judge each fold or source of a split by itself, over the classes that it defines.

    Args:
        predictions: of the split.
        by: what parts it.
        n_resamples: of the bootstrap by patient; 0 gives no intervals.
        seed: of the bootstrap.

    Returns:
        Rows with ``<by>``, ``records``, ``patients``, ``classes`` and the macro figures with their intervals.
    """
    labels: Sequence[Any] = predictions.fold if by == "fold" else list(predictions.source)
    rows = []
    for label in sorted({each for each in labels if each is not None}):
        part = predictions.take(np.flatnonzero([each == label for each in labels]))
        defined = int(defined_classes(part.targets).sum())
        macro: Mapping[str, Any] = {}
        if defined:
            y, p, groups = part.targets, part.probabilities, part.groups
            macro = bootstrap_metrics(y, p, groups, n_resamples=n_resamples, seed=seed)[0]
        patients = None if None in part.patient_id else len(set(part.patient_id))
        row: Row = {by: label, "records": len(part.record_id), "patients": patients, "classes": defined}
        for name in _MACRO:
            row |= interval_columns(name, asdict(macro[name]) if macro else None)
        rows.append(row)
    return rows


def cross_source_table(judgements: Mapping[str, Json]) -> list[Row]:
    """Put judgements of different datasets, or models, under each other: one row each.

    Args:
        judgements: of ``judge``, by the name that the row gets.
    """
    rows = []
    for name, judgement in judgements.items():
        macro = judgement.get("macro") or {}
        row: Row = {
            "name": name,
            "dataset": (judgement.get("dataset") or {}).get("name"),
            "split": judgement["split"],
            "records": judgement["n_records"],
            "patients": judgement.get("n_patients"),
            "classes": len(judgement["classes"]) - len(judgement["undefined"]) if macro else 0,
        }
        for figure in _MACRO:
            row |= interval_columns(figure, macro.get(figure))
        rows.append({**row, "reason": judgement.get("reason")})
    return rows


def judge_sources(models: Mapping[str, Predictions], *, n_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Judge models on each source of their own predictions: leave-one-source-out, or one model on many sources.

    Args:
        models: predictions by the model's name; of runs that each held out one source, those on the held-out one.
        n_resamples: of the bootstrap by patient, for each row.
        seed: of the bootstrap.

    Returns:
        ``rows``, one per model and source: figures over the classes that the source defines, and ``auroc_common`` over
        the ``common_classes`` that every row defines, which alone compares between sources; ``summary``: mean and
        deviation over the sources, for each model that has several, and for ``all`` where no source comes twice.

    Raises:
        DatasetError: no model, models of different classes, or predictions that tell no source.
    """
    if not models:
        raise DatasetError("no predictions to judge by source; name run folders that were evaluated")
    for name, each in models.items():
        if None in each.source:
            raise DatasetError(f"{name}: {each.source.count(None):,} records tell no source; fill the column source")
    first_name, first = next(iter(models.items()))
    for name, each in models.items():
        if each.classes != first.classes:
            raise DatasetError(
                f"classes differ: {first_name} has {', '.join(first.classes)}; {name} has {', '.join(each.classes)}; "
                "name models of the same task"
            )
    parts = [_of(each, source) for each in models.values() for source in set(each.source)]
    common = np.logical_and.reduce([defined_classes(part.targets) for part in parts])
    rows = []
    for name, each in models.items():
        for row in part_rows(each, "source", n_resamples=n_resamples, seed=seed):
            rows.append({"model": name, **row, "auroc_common": _common(each, row["source"], common)})
    return {
        "rows": rows,
        "common_classes": [c for c, known in zip(first.classes, common, strict=True) if known],
        "summary": _summaries(rows, list(models)),
    }


def _of(predictions: Predictions, source: str | None) -> Predictions:
    return predictions.take(np.flatnonzero([each == source for each in predictions.source]))


def _common(predictions: Predictions, source: str, common: Any) -> float | None:
    if not common.any():
        return None
    part = _of(predictions, source)
    return float(auroc(part.targets[:, common], part.probabilities[:, common]).mean())


def _summaries(rows: Sequence[Row], models: Sequence[str]) -> list[Row]:
    once = max(Counter(row["source"] for row in rows).values()) == 1
    families = {name: [row for row in rows if row["model"] == name] for name in models}
    families = {name: own for name, own in families.items() if len(own) > 1}
    if once and len(models) > 1:
        families["all"] = list(rows)
    return [
        {"model": name, "figure": figure, **summarise([row[figure] for row in own])}
        for name, own in families.items()
        for figure in (*_MACRO, "auroc_common")
    ]


def fold_summary(judgements: Sequence[Json], level: float = 0.95) -> list[Row]:
    """Mean and deviation of every figure over the folds of a cross-validation, or over repeated runs.

    Args:
        judgements: of ``judge``, with the same classes; those without figures are left out.
        level: of the interval of the mean, see ``summarise``.

    Returns:
        Rows with ``class`` (``(macro)`` first), ``figure`` and what ``summarise`` gives.

    Raises:
        DatasetError: judgements of different classes.
    """
    judged = [each for each in judgements if "macro" in each]
    if any(each["classes"] != judged[0]["classes"] for each in judged):
        raise DatasetError("the judgements have different classes; only those of one task have a mean")
    found: dict[tuple[str, str], list[float | None]] = {}
    for judgement in judged:
        for figure in _MACRO:
            found.setdefault(("(macro)", figure), []).append(judgement["macro"][figure]["value"])
        for row in judgement["per_class"]:
            for figure in _PER_CLASS:
                value = row[figure]["value"] if isinstance(row[figure], Mapping) else row[figure]
                found.setdefault((row["class"], figure), []).append(value)
    return [{"class": name, "figure": figure, **summarise(values, level)} for (name, figure), values in found.items()]


def summarise(values: Sequence[float | None], level: float = 0.95) -> Row:
    """Number, mean, standard deviation (n - 1), Student's interval of the mean, lowest and highest of known values.

    Folds share training records, so for them the interval of the mean is too narrow (Bengio and Grandvalet 2004).
    """
    from scipy.special import stdtrit

    known = np.array([value for value in values if value is not None], dtype=np.float64)
    row: Row = dict.fromkeys(("mean", "deviation", "low", "high", "least", "most"))
    if len(known):
        row |= {"mean": float(known.mean()), "least": float(known.min()), "most": float(known.max())}
    if len(known) > 1:
        deviation = float(known.std(ddof=1))
        half = float(stdtrit(len(known) - 1, (1 + level) / 2)) * deviation / np.sqrt(len(known))
        row |= {"deviation": deviation, "low": float(known.mean() - half), "high": float(known.mean() + half)}
    return {"n": len(known), **row}
