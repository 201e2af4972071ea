"""Is one model better than another? Paired, on the same records, with the answer in words.

The macro AUROC difference is resampled by patient, the same resamples for every model; each class is tested with
DeLong's test, clustered by patient; both families of tests are corrected after Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError, nearest
from einthoven.evaluation.predictions import Predictions
from einthoven.metrics import (
    Difference,
    Interval,
    Resampling,
    defined_classes,
    delong_test,
    holm,
    macro_auroc_draws,
    paired_difference,
    resampling_weights,
)

__all__ = ["align", "compare_predictions", "verdict"]

Json = dict[str, Any]


def align(models: Mapping[str, Predictions], starts: Mapping[str, Sequence[int]]) -> dict[str, Predictions]:
    """Bring every model's predictions to the record order and class order of the first.

    Args:
        models: predictions by the model's name.
        starts: where each row's part of its record begins, by name; with ``record_id`` it says which row is which.

    Raises:
        DatasetError: records, classes, targets or patients differ, a row comes twice, or a score is NaN.
    """
    first_name, first = next(iter(models.items()))
    keys = {name: list(zip(each.record_id, starts[name], strict=True)) for name, each in models.items()}
    aligned = {}
    for name, each in models.items():
        if len(set(keys[name])) < len(keys[name]):
            raise DatasetError(f"{name}: a record_id with the same start comes twice; each row must be its own")
        if np.isnan(each.probabilities).any():
            lost = int(np.isnan(each.probabilities).any(axis=1).sum())
            raise DatasetError(
                f"{name}: {lost} rows have a score that is NaN; predict them or leave them out everywhere"
            )
        _same("records", first_name, keys[first_name], name, keys[name])
        _same("classes", first_name, first.classes, name, each.classes)
        place = {key: row for row, key in enumerate(keys[name])}
        rows = np.array([place[key] for key in keys[first_name]], dtype=np.int64)
        columns = np.array([each.classes.index(c) for c in first.classes], dtype=np.int64)
        aligned[name] = _taken(each, rows, columns)
        _same_truth(first_name, first, name, aligned[name])
    return aligned


def compare_predictions(
    models: Mapping[str, Predictions],
    classes: Sequence[str] | None = None,
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Json:
    """Compare every pair of models on the same records.

    Args:
        models: two or more, aligned (see ``align``), by name.
        classes: which to compare; all by default.
        n_resamples: of the bootstrap, at least 100.
        level: of the intervals; a corrected p-value below 1 - level is a difference.
        seed: of the bootstrap.

    Returns:
        Plain values for JSON: ``pairs`` with ``difference``, ``p``, ``p_adjusted``, ``verdict`` and ``per_class``.

    Raises:
        DatasetError: an unknown class, no class with positives and negatives, or classes too rare to resample.
    """
    if len(models) < 2:
        raise DatasetError(f"a comparison needs two models or more, got {len(models)}")
    first = next(iter(models.values()))
    chosen = _chosen(classes, first.classes)
    y = first.targets[:, chosen]
    defined = defined_classes(y)
    names = [first.classes[k] for k, known in zip(chosen, defined, strict=True) if known]
    if not names:
        raise DatasetError("no class has both a positive and a negative record, so no AUROC can be compared")
    y, columns = y[:, defined], np.array(chosen)[defined]
    scores = {name: each.probabilities[:, columns] for name, each in models.items()}
    weights, n_units, n_drawn = resampling_weights(y, first.groups, n_resamples, seed)
    if weights.shape[1] < 100:
        raise DatasetError(
            f"only {weights.shape[1]} of {n_drawn:,} resamples keep a positive and a negative of every class, 100 are "
            "needed; compare fewer classes with --class"
        )
    draws = {name: macro_auroc_draws(y, p, weights) for name, p in scores.items()}
    pairs = [_pair(a, b, draws, y, scores, first.groups, names, level) for a, b in combinations(models, 2)]
    _correct(pairs, level)
    _correct([row for pair in pairs for row in pair["per_class"]], level)
    unit = "record" if first.groups is None else "patient"
    known = first.patient_id if None not in first.patient_id else None
    return {
        "n_records": len(y),
        "n_patients": len(set(known)) if known else None,
        "classes": names,
        "undefined": [first.classes[k] for k, known in zip(chosen, defined, strict=True) if not known],
        "models": [{"name": name, "macro_auroc": asdict(_interval(draws[name], level))} for name in models],
        "pairs": pairs,
        "interval": asdict(Resampling(weights.shape[1], n_units, n_drawn, level, seed, unit)),
        "per_class_test": f"DeLong, paired, clustered by {unit}",
        "correction": f"Holm: over {len(pairs)} macro and over {len(pairs) * len(names)} class-wise comparisons",
    }


def verdict(pair: Mapping[str, Any]) -> str:
    """Return a comparison's answer as a sentence without a full stop.

    >>> verdict({"a": "A", "b": "B", "better": None, "difference": {"value": 0.001, "low": -0.004, "high": 0.006}})
    'the data cannot tell A from B: 0.0010 [-0.0040, 0.0060]'
    """
    figure = pair["difference"]
    value, low, high = figure["value"], figure["low"], figure["high"]
    if pair["better"] is None:
        return f"the data cannot tell {pair['a']} from {pair['b']}: {value:.4f} [{low:.4f}, {high:.4f}]"
    if pair["better"] == pair["a"]:
        return f"{pair['a']} is better than {pair['b']} by {value:.4f} [{low:.4f}, {high:.4f}]"
    return f"{pair['b']} is better than {pair['a']} by {-value:.4f} [{-high:.4f}, {-low:.4f}]"


def _pair(
    a: str,
    b: str,
    draws: Mapping[str, NDArray[np.float64]],
    y: NDArray[np.float64],
    scores: Mapping[str, NDArray[np.float64]],
    groups: Sequence[str] | None,
    names: Sequence[str],
    level: float,
) -> Json:
    tests = [delong_test(y[:, k], scores[a][:, k], scores[b][:, k], groups, level) for k in range(len(names))]
    return {
        **_row(a, b, paired_difference(draws[a], draws[b], level)),
        "per_class": [{"class": name, **_row(a, b, test)} for name, test in zip(names, tests, strict=True)],
    }


def _row(a: str, b: str, found: Difference) -> Json:
    figures = asdict(found)
    return {"a": a, "b": b, "p": figures.pop("p"), "difference": figures}


def _correct(rows: Sequence[Json], level: float) -> None:
    """Add the corrected p-value and who is better; a test that could not be made counts in the correction as 1."""
    adjusted = holm([1.0 if row["p"] is None else row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        figure = row["difference"]
        row["p_adjusted"] = None if row["p"] is None else p
        apart = figure["low"] is not None and (figure["low"] > 0 or figure["high"] < 0)
        row["better"] = (row["a"] if figure["value"] > 0 else row["b"]) if apart and p < 1 - level else None


def _interval(draws: NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(draws[0]), float(low), float(high))


def _chosen(classes: Sequence[str] | None, known: Sequence[str]) -> list[int]:
    for name in classes or ():
        if name not in known:
            raise DatasetError(f"no class {name!r}{nearest(name, known)}; classes are {', '.join(known)}")
    return [k for k, name in enumerate(known) if not classes or name in classes]


def _taken(each: Predictions, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictions:
    return replace(
        each.take(rows),
        classes=tuple(each.classes[k] for k in columns),
        targets=each.targets[np.ix_(rows, columns)],
        probabilities=each.probabilities[np.ix_(rows, columns)],
    )


def _same(what: str, first_name: str, first: Sequence[object], name: str, other: Sequence[object]) -> None:
    parts = []
    for owner, extra in ((first_name, set(first) - set(other)), (name, set(other) - set(first))):
        if extra:
            shown = ", ".join(sorted(str(x[0] if isinstance(x, tuple) else x) for x in extra)[:3])
            parts.append(f"{len(extra)} only in {owner} ({shown}{', ...' if len(extra) > 3 else ''})")
    if parts:
        raise DatasetError(f"{what} differ: {'; '.join(parts)}; compare predictions on the same {what}")


def _same_truth(first_name: str, first: Predictions, name: str, other: Predictions) -> None:
    differ = ~((first.targets == other.targets) | (np.isnan(first.targets) & np.isnan(other.targets))).all(axis=1)
    if differ.any():
        raise DatasetError(
            f"{int(differ.sum())} records have other targets in {name} than in {first_name}, such as "
            f"{first.record_id[int(differ.argmax())]}; compare predictions of the same task"
        )
    moved = [r for r, a, b in zip(first.record_id, first.patient_id, other.patient_id, strict=True) if a != b]
    if moved:
        raise DatasetError(
            f"{len(moved)} records have another patient in {name} than in {first_name}, such as {moved[0]}; resamples "
            "are drawn by patient, so they must agree"
        )
