"""Judge anyone's predictions: a file instead of a model, the same judgement, the same report."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.decisions import CALIBRATIONS, Plan, fit_decisions, parse_rule
from einthoven.errors import DatasetError, RecipeError, nearest
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, read_predictions
from einthoven.metrics.challenge import challenge_table
from einthoven.training.recipe import Evaluation
from einthoven.workflow.deciding import Judged, decide_split
from einthoven.workflow.extras import Extras, judge_extras, write_extras
from einthoven.workflow.writing import locked, refuse_foreign, write_judgement

__all__ = ["EvaluatedFile", "evaluate_file"]

_SUM_TOLERANCE = 1e-2  # of probabilities that were written with few digits

AGGREGATES = ("mean", "max", "none")


@dataclass(frozen=True, slots=True)
class EvaluatedFile:
    """Where a judgement was written, and what it says of which predictions."""

    folder: Path
    judgement: dict[str, Any]
    predictions: Predictions


def evaluate_file(
    path: Path,
    *,
    targets: Path | None = None,
    classes: Sequence[str] | None = None,
    aggregate: str = "mean",
    single_label: bool = False,
    thresholds: str = "f1",
    calibration: str = "platt",
    fit_on: Path | None = None,
    fit_on_targets: Path | None = None,
    out: Path | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    extras: Extras = Extras(),  # noqa: B008 (frozen)
    announce: Callable[[str], None] = lambda _: None,
) -> EvaluatedFile:
    """Judge a file of predictions and write metrics, plots and report.

    Args:
        path: Parquet, CSV or ``.npy``, see ``prediction_files``.
        targets: where ``path`` holds none.
        classes: names for the columns of a ``.npy``.
        aggregate: ``"mean"`` or ``"max"`` joins the windows of a record; ``"none"`` judges rows as they are.
        single_label: classes exclude each other: the likeliest is chosen.
        thresholds: see ``parse_rule``.
        calibration: see ``fit_calibration``.
        fit_on: predictions of other records that calibration and thresholds are fitted on; by default these are fitted
            on ``path`` and judged by cross-fitting.
        fit_on_targets: where ``fit_on`` holds none.
        out: folder to write into, by default ``evaluation-<name of the file>``.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
        extras: what else to judge and to write, as far as it needs no signals.
        announce: told in a sentence what happens.

    Raises:
        DatasetError: see ``read_rows``; or ``fit_on`` has other classes, or records that are judged.
        RecipeError: an unknown rule, calibration or aggregation.
        EinthovenError: the folder holds the judgement of something else, or is being written.
    """
    began = time.perf_counter()
    if aggregate not in AGGREGATES:
        raise RecipeError(f"unknown aggregation {aggregate!r}; windows are joined by {', '.join(AGGREGATES)}")
    how = None if aggregate == "none" else aggregate
    predictions = read_predictions(path, targets, classes, how)
    if single_label:
        _check_exclusive(path, predictions)
    plan = _plan(predictions.classes, single_label, thresholds, calibration)
    folder, name = out or Path(f"evaluation-{path.stem}"), path.stem
    refuse_foreign(folder, "predictions", name)
    announce(f"judging {len(predictions.record_id):,} records of {path}")
    if fit_on is None:
        judged, caution = decide_split(predictions, plan, None), []
    else:
        fitting = _same_classes(fit_on, read_predictions(fit_on, fit_on_targets, classes, how), predictions)
        caution = _check_apart(path, predictions, fit_on, fitting)
        judged = _fitted_elsewhere(predictions, plan, fit_on, fitting)
    judgement = judge(
        name.removeprefix("predictions-"),
        predictions,
        judged.decided,
        judged.decisions,
        how_decided=judged.how,
        n_resamples=n_resamples,
        seed=seed,
        caution=caution,
        interval=extras.interval,
        absent=extras.absent,
    )
    judgement |= {
        "dataset": {"name": name, "attribution": ""},
        "judged": {"predictions": _digest(predictions)},
        "seconds": time.perf_counter() - began,
    }
    options = {"targets": targets, "classes": ",".join(classes or ()), "aggregate": aggregate, "thresholds": thresholds}
    options |= {"calibration": calibration, "fit-on": fit_on, "fit-on-targets": fit_on_targets}
    options |= {"n-resamples": str(n_resamples), "seed": str(seed)}
    options |= {"interval": extras.interval, "absent": extras.absent}
    command = _command(path, options) + (" --single-label" if single_label else "")
    judge_extras(judgement, predictions, judged, extras, how={"n_resamples": n_resamples, "seed": seed})
    title, context = f"Predictions of {name}", {"commands": [command]}
    with locked(folder):
        write_extras(folder, judgement, predictions, judged, extras)
        write_judgement(folder, judgement, predictions, title=title, context=context, pdf=extras.pdf)
    return EvaluatedFile(folder, judgement, predictions)


def _plan(classes: tuple[str, ...], single_label: bool, thresholds: str, calibration: str) -> Plan:
    known = ("none", *CALIBRATIONS)
    if calibration not in known:
        raise RecipeError(
            f"unknown calibration {calibration!r}{nearest(calibration, known)}; there are {', '.join(known)}"
        )
    rule = parse_rule(thresholds)
    if rule.name == "challenge" and not set(classes) & set().union(*challenge_table(int(rule.value or 0)).classes):
        raise RecipeError(f"thresholds {rule}: no class has the name of a SNOMED CT code that this challenge scores")
    kind, error = "multiclass" if single_label else "multilabel", Evaluation().conformal_error
    return Plan(classes, kind, calibration, rule, error, {}, classes)


def _same_classes(path: Path, fitting: Predictions, judged: Predictions) -> Predictions:
    """Bring the columns to the order of those that are judged."""
    if set(fitting.classes) != set(judged.classes):
        odd = ", ".join(sorted(set(fitting.classes) ^ set(judged.classes)))
        raise DatasetError(f"{path}: thresholds cannot be fitted on other classes; only one of the files has {odd}")
    order = [fitting.classes.index(name) for name in judged.classes]
    return replace(
        fitting,
        classes=judged.classes,
        targets=fitting.targets[:, order],
        probabilities=fitting.probabilities[:, order],
    )


def _check_exclusive(path: Path, predictions: Predictions) -> None:
    """Refuse what classes that exclude each other cannot have."""
    many = np.flatnonzero((predictions.targets == 1).sum(axis=1) > 1)
    if len(many):
        true = [c for c, y in zip(predictions.classes, predictions.targets[many[0]], strict=True) if y == 1]
        raise DatasetError(
            f"{path}: record {predictions.record_id[many[0]]} is of {' and '.join(true)}, but with --single-label "
            "classes exclude each other; leave it out for multi-label predictions"
        )
    total = predictions.probabilities.sum(axis=1)
    off = np.flatnonzero(np.abs(total - 1) > _SUM_TOLERANCE)
    if len(off):
        raise DatasetError(
            f"{path}: the probabilities of record {predictions.record_id[off[0]]} sum to {total[off[0]]:.3g}; of "
            "classes that exclude each other they sum to 1"
        )


def _check_apart(path: Path, judged: Predictions, fit_on: Path, fitting: Predictions) -> list[str]:
    """Refuse fitting on what is judged, and return what must be said of patients in both."""
    named = ".npy" not in (path.suffix, fit_on.suffix)  # the records of an array have no names, only scores
    shared = set(judged.record_id) & set(fitting.record_id) if named else set()
    alike = np.array_equal(judged.probabilities, fitting.probabilities)
    if shared or alike:
        which = f"{len(shared):,} records are in both files, such as {min(shared)}" if shared else "the files are equal"
        raise DatasetError(
            f"{fit_on}: thresholds from the same split: {which}; leave out --fit-on, and they are judged by "
            "cross-fitting"
        )
    patients = (set(judged.patient_id) & set(fitting.patient_id)) - {None}
    if not patients:
        return []
    return [
        f"Calibration and thresholds were fitted on other records of {len(patients):,} of the patients that are judged "
        "here: figures of decisions are optimistic."
    ]


def _fitted_elsewhere(predictions: Predictions, plan: Plan, fit_on: Path, fitting: Predictions) -> Judged:
    decisions = fit_decisions(fitting.targets, fitting.probabilities, plan)
    what = "the likeliest class is chosen" if plan.kind == "multiclass" else f"thresholds {plan.rule.words}"
    how = (
        f"{what}; calibration, thresholds and all that follows from them were fitted on the "
        f"{len(fitting.record_id):,} records of {fit_on.name}, none of which is judged here"
    )
    return Judged(decisions.decide(predictions.probabilities), decisions, how)


def _digest(predictions: Predictions) -> str:
    """What was judged, whatever the format of its file."""
    digest = hashlib.sha256(repr((predictions.classes, predictions.record_id, predictions.start)).encode())
    for values in (predictions.targets, predictions.probabilities):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def _command(path: Path, options: dict[str, Any]) -> str:
    given = [part for name, value in options.items() if value for part in (f"--{name}", str(value))]
    return shlex.join(["einthoven", "evaluate", "--predictions", str(path), *given])
