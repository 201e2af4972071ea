"""Who does the model work for? The same figures for women and men, young and old, each source, clean and poor signals.

One idea: all groups of a column share their resamples of patients, so that a patient in two groups counts in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import MISSING, Dataset
from einthoven.decisions import Decided, Decisions
from einthoven.errors import DatasetError, nearest
from einthoven.evaluation.predictions import Predictions
from einthoven.metrics import Resampling, auroc, holm, macro_auroc_draws, paired_difference, resampling_weights
from einthoven.signals import check_signal

__all__ = ["MIN_CASES", "MIN_PATIENTS", "MIN_RECORDS", "UNKNOWN", "age_band", "judge_subgroups", "quality_of"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Json = dict[str, Any]

UNKNOWN = "unknown"
MIN_RECORDS = 30  # of a group
MIN_CASES = 10  # of either kind: a class with fewer is not judged in a group, its AUROC would be chance
MIN_PATIENTS = 5  # that have them: resamples would lose fewer
_MAX_GROUPS = 30
# Ischaemic disease is rare below 40, and guidelines treat patients from 75 on apart; 60 halves the years between.
_BANDS = ((40.0, "under 40"), (60.0, "40 to 59"), (75.0, "60 to 74"), (np.inf, "75 and over"))
_RATES = ("auroc", "sensitivity", "specificity")
_RULE = "redraw until every judged class of every group, and of the others, has a positive and a negative"
_CAUTION = (
    "A gap between groups is not yet unfairness: groups differ in how common and how severe a finding is, and in what "
    "else the records show, which moves every figure. The largest gap of several groups is above zero by chance alone."
)


def age_band(age: float | None) -> str:
    """Name the band of an age in years: under 40, 40 to 59, 60 to 74, 75 and over, or unknown.

    >>> age_band(59.5), age_band(None)
    ('40 to 59', 'unknown')
    """
    if age is None or np.isnan(age):
        return UNKNOWN
    return next(name for below, name in _BANDS if age < below)


def quality_of(dataset: Dataset, rows: NDArray[np.int64]) -> list[str]:
    """Say of each record whether its signal is ``"clean"`` or ``"flagged"`` by ``check_signal``.

    Args:
        dataset: whose signals are looked at.
        rows: which records.
    """
    table, shards, said = dataset.records, dataset.open_shards(), []
    for row in rows:
        steps = shards[table.shard[row]][table.offset[row] : table.offset[row] + table.length[row]]
        signal = np.where(steps == MISSING, np.float32(np.nan), steps * np.float32(dataset.step_uv / 1000)).T
        said.append("flagged" if check_signal(signal, dataset.spec.fs, dataset.spec.leads) else "clean")
    return said


def judge_subgroups(
    predictions: Predictions,
    decided: Decided,
    decisions: Decisions,
    *,
    columns: Sequence[str] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Json]:
    """Judge each group of each column, and compare it with all other records.

    A class is judged in a group with at least ``MIN_CASES`` positives and negatives there, each of ``MIN_PATIENTS``
    patients; a group with at least ``MIN_RECORDS`` records and one such class. AUROC is of the network's scores.
    Sensitivity and specificity are of the decisions. The gap is between the macro AUROCs of the classes judged in every
    judged group; each group is also tested against all other records, over the classes judged in both, on the same
    resamples, and p-values are corrected after Holm over all columns.

    Args:
        predictions: of a split.
        decided: about the same records; cross-fitted where the steps were fitted on them.
        decisions: the fitted steps.
        columns: ``"sex"``, ``"age"`` (in bands), ``"source"`` or any of ``predictions.facts``; by default those three
            and ``"quality"``, as far as there are two groups or more.
        n_resamples: of the bootstrap, by patient; each keeps every judged class of every group. 0 gives no intervals.
        level: of the intervals.
        seed: of the bootstrap.

    Returns:
        Plain values for JSON, one per column.

    Raises:
        DatasetError: no such column, or one of too many different values.
    """
    found = []
    for name in _usual(predictions) if columns is None else dict.fromkeys(columns):
        labels = _labels(predictions, name)
        if columns is None and len(set(labels)) < 2:
            continue
        found.append(_Column(name, labels, predictions, decided, decisions, n_resamples, level, seed).judge())
    _correct(found, level)
    return found


def _usual(predictions: Predictions) -> list[str]:
    return [name for name in ("sex", "age", "source", "quality") if name == "source" or name in predictions.facts]


def _labels(predictions: Predictions, name: str) -> list[str]:
    columns = {"source": predictions.source, **predictions.facts}
    if name not in columns:
        raise DatasetError(f"no column {name!r}{nearest(name, columns)}; groups can be made by {', '.join(columns)}")
    values = columns[name]
    labels = [age_band(v) for v in values] if name == "age" else [UNKNOWN if v is None else str(v) for v in values]
    if (n := len(set(labels))) > _MAX_GROUPS:
        raise DatasetError(
            f"column {name!r} has {n:,} different values; at most {_MAX_GROUPS} groups are judged: put them in bands"
        )
    return labels


class _Column:
    """One column under judgement: its groups, what can be judged in each, and the shared resamples."""

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        predictions: Predictions,
        decided: Decided,
        decisions: Decisions,
        n_resamples: int,
        level: float,
        seed: int,
    ) -> None:
        self.name, self.level, self.predictions, self.present = name, level, predictions, decided.present
        self.y, self.p = predictions.targets, predictions.probabilities
        limits = zip(decisions.thresholds, predictions.classes, strict=True)
        self.decides = [decisions.kind == "multiclass" or limit is not None for limit, _ in limits]
        own = np.asarray(labels)
        self.groups: dict[str, Mask] = {group: own == group for group in _ordered(name, labels)}
        units = predictions.groups
        self.units = np.asarray(predictions.record_id if units is None else units)
        self.classes = {group: self._judged_classes(mask) for group, mask in self.groups.items()}
        # What is compared with all other records must be judged there too.
        self.compared = {group: self._also_in_rest(group) for group in self.groups}
        judged = [set(classes) for classes in self.classes.values() if classes]
        self.common = sorted(set.intersection(*judged)) if len(judged) > 1 else []
        self.weights, self.how = self._resample(n_resamples, seed)

    def _judged_classes(self, mask: Mask) -> list[int]:
        """Columns of the classes that are judged in a group; none where the group itself is too small."""
        if mask.sum() < MIN_RECORDS:
            return []
        return [
            k for k in range(self.y.shape[1]) if all(self._enough(mask & (self.y[:, k] == kind)) for kind in (0, 1))
        ]

    def _enough(self, cases: Mask) -> bool:
        return int(cases.sum()) >= MIN_CASES and len(set(self.units[cases])) >= MIN_PATIENTS

    def _also_in_rest(self, group: str) -> list[int]:
        rest = set(self._judged_classes(~self.groups[group])) if self.classes[group] else set()
        return [k for k in self.classes[group] if k in rest]

    def _resample(self, n_resamples: int, seed: int) -> tuple[NDArray[np.float32], Resampling]:
        cells = [(mask, k) for group, mask in self.groups.items() for k in self.classes[group]]
        cells += [(~mask, k) for group, mask in self.groups.items() for k in self.compared[group]]
        kept = [np.where(mask, self.y[:, k], np.nan) for mask, k in cells]
        groups = self.predictions.groups
        marks = np.stack(kept, axis=1) if kept else np.empty((len(self.y), 0))
        weights, n_units, n_drawn = resampling_weights(marks, groups, n_resamples if kept else 0, seed)
        unit = "record" if groups is None else "patient"
        return weights, Resampling(weights.shape[1], n_units, n_drawn, self.level, seed, unit, _RULE)

    def judge(self) -> Json:
        """Return plain values: the groups and the gap between the best and the worst of them."""
        classes = self.predictions.classes
        return {
            "column": self.name,
            "groups": [self._group(group, mask) for group, mask in self.groups.items()],
            "gap": self._gap(),
            "gap_classes": [classes[k] for k in self.common],
            "interval": asdict(self.how),
            "caution": _CAUTION,
        }

    def _gap(self) -> Json | None:
        if not self.common:
            return None
        values = {}
        for group in (name for name, judged in self.classes.items() if judged):
            y, p = self._part(self.groups[group], self.common)
            values[group] = float(auroc(y, p).mean())
        highest, lowest = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
        return {"value": values[highest] - values[lowest], "highest": highest, "lowest": lowest, "macro_auroc": values}

    def _group(self, group: str, mask: Mask) -> Json:
        classes = self.classes[group]
        own = {k: self._class(k, mask) for k in classes}
        macro = {
            name: self._figure(np.mean([each[name] for each in own.values() if name in each], axis=0))
            for name in _RATES
            if any(name in each for each in own.values())
        }
        known = [self.predictions.patient_id[row] for row in np.flatnonzero(mask).tolist()]
        return {
            "group": group,
            "n_records": int(mask.sum()),
            "n_patients": None if None in known else len(set(known)),
            "judged": bool(classes),
            "reason": None if classes else _too_small(int(mask.sum())),
            "n_classes": len(classes),
            "macro": {name: macro.get(name) for name in _RATES},
            "per_class": [self._row(k, mask, own.get(k, {})) for k in range(self.y.shape[1])],
            **self._difference(group, mask),
        }

    def _row(self, k: int, mask: Mask, draws: Mapping[str, Array]) -> Json:
        figures = {name: self._figure(draws[name]) if name in draws else None for name in _RATES}
        y = self.y[mask, k]
        counts = {"positives": int((y == 1).sum()), "negatives": int((y == 0).sum())}
        return {"class": self.predictions.classes[k], **counts, **figures}

    def _class(self, k: int, mask: Mask) -> dict[str, Array]:
        """Figures of a class in a group: on the data, then on every resample."""
        draws = {"auroc": self._auroc([k], mask)}
        if self.decides[k]:
            for name, kind in (("sensitivity", 1), ("specificity", 0)):
                cases = mask & (self.y[:, k] == kind)
                w = self.weights[cases].astype(np.float64)
                right = self.present[cases, k] == kind
                draws[name] = np.r_[right.mean(), (right @ w) / w.sum(axis=0)]
        return draws

    def _auroc(self, classes: Sequence[int], mask: Mask) -> Array:
        return macro_auroc_draws(*self._part(mask, classes), self.weights[mask])

    def _part(self, mask: Mask, classes: Sequence[int]) -> tuple[Array, Array]:
        return self.y[mask][:, classes], self.p[mask][:, classes]

    def _difference(self, group: str, mask: Mask) -> Json:
        """The macro AUROC of a group minus that of all other records, over the classes judged in both."""
        classes = self.compared[group]
        if not classes:
            return {"difference": None, "n_classes_compared": 0, "p": None}
        found = asdict(paired_difference(self._auroc(classes, mask), self._auroc(classes, ~mask), self.level))
        return {"p": found.pop("p"), "difference": found, "n_classes_compared": len(classes)}

    def _figure(self, draws: Array) -> Json:
        value, resampled = float(draws[0]), draws[1:]
        if len(resampled) < 100:  # too few resamples for a percentile in the tails
            return {"value": value, "low": None, "high": None}
        low, high = np.quantile(resampled, [(1 - self.level) / 2, (1 + self.level) / 2])
        return {"value": value, "low": float(low), "high": float(high)}


def _ordered(name: str, labels: Sequence[str]) -> list[str]:
    """Ages in their order, other groups by size; what is unknown comes last."""
    size = Counter(labels)
    bands = [band for _, band in _BANDS]
    return sorted(size, key=lambda g: (g == UNKNOWN, bands.index(g) if name == "age" and g in bands else -size[g], g))


def _too_small(n_records: int) -> str:
    if n_records < MIN_RECORDS:
        return f"fewer than {MIN_RECORDS} records"
    return f"no class has {MIN_CASES} positives and {MIN_CASES} negatives of {MIN_PATIENTS} patients each"


def _correct(columns: Sequence[Json], level: float) -> None:
    """Add corrected p-values: one test per group, but two groups that make up all records are one test."""
    families = []
    for column in columns:
        tested = [row for row in column["groups"] if row["p"] is not None]
        families += [tested] if len(column["groups"]) == 2 else [[row] for row in tested]
    families = [rows for rows in families if rows]
    adjusted = holm([rows[0]["p"] for rows in families])
    for rows, p in zip(families, adjusted, strict=True):
        for row in rows:
            low, high = row["difference"]["low"], row["difference"]["high"]
            row |= {"p_adjusted": p, "apart": bool((low > 0 or high < 0) and p < 1 - level)}
    for column in columns:
        column["correction"] = f"Holm, over {len(families)} comparisons"
        for row in column["groups"]:
            row.setdefault("p_adjusted", None)
            row.setdefault("apart", None)
