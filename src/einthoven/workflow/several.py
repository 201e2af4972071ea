"""Judge several models at once, and on wish their ensemble: the mean of their scores, judged like one model."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.decisions import fit_decisions
from einthoven.errors import RecipeError
from einthoven.evaluation.comparison import align, compare_predictions, verdict
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, predict_dataset
from einthoven.evaluation.sources import cross_source_table, fold_summary
from einthoven.evaluation.tables import write_csv
from einthoven.workflow.deciding import Judged, decide_split, plan_of
from einthoven.workflow.evaluate import Evaluated, caution_about, evaluate, leaks_of
from einthoven.workflow.extras import Extras, Signals, judge_extras, write_extras
from einthoven.workflow.finding import name_models
from einthoven.workflow.writing import locked, refuse_foreign, write_judgement

__all__ = ["Ensemble", "beside", "ensemble_of", "evaluate_several", "gain_in_words"]

_LONGEST_NAME = 100  # of a folder
Progress = Callable[[int, int], None]
Members = Mapping[str, Evaluated]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Where the judgement of an ensemble was written, what it says, and the mean scores."""

    folder: Path
    judgement: dict[str, Any]
    predictions: Predictions


def evaluate_several(
    models: Sequence[str],
    dataset_path: str | Path | None = None,
    *,
    out: Path | None = None,
    **options: Any,
) -> dict[str, Evaluated]:
    """Judge models one after the other.

    Args:
        models: see ``evaluate``.
        dataset_path: of all; runs know their own.
        out: folder that gets a folder for each model, ``models.csv``, and ``summary.csv`` with mean, deviation and
            interval of each figure over the models, as over the folds of a cross-validation; by default each writes
            where ``evaluate`` does, or, where a dataset is named, to ``evaluation-<model>-on-<dataset>``.
        options: of ``evaluate``.

    Returns:
        What ``evaluate`` returned, by names that differ.
    """
    done = {}
    for name, where in zip(name_models(models), models, strict=True):
        folder = out / name if out else None
        if folder is None and dataset_path is not None:
            by = f"-{options['backend']}" if options.get("backend") else ""
            folder = Path(f"evaluation-{name}{by}-on-{Path(dataset_path).resolve().name}")
        done[name] = evaluate(where, dataset_path, out=folder, **options)
    if out is not None:
        judgements = {name: each.judgement for name, each in done.items()}
        write_csv(out / "models.csv", cross_source_table(judgements))
        if len({each.bundle.classes for each in done.values()}) == 1:
            write_csv(out / "summary.csv", fold_summary(list(judgements.values())))
    return done


def ensemble_of(
    members: Members,
    *,
    out: Path | None = None,
    seed: int = 0,
    extras: Extras = Extras(),  # noqa: B008 (frozen)
    progress: Progress | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Judge the mean of the scores of models that were judged on the same records.

    Calibration, thresholds and all that follows are those of the mean: fitted on the members' validation records, or,
    on the validation split itself and on a dataset that is not the members' own, by cross-fitting.

    Args:
        members: what ``evaluate`` returned, by name; by the first go the plan of the decisions and the resamples.
        out: folder to write into, by default ``evaluation-ensemble-<members>``.
        seed: of the bootstrap.
        extras: what else to judge and to write; robustness and novelty are of single models.
        progress: called with windows of validation records done and their number, for each member.
        announce: told in a sentence what happens.

    Raises:
        DatasetError: the members were judged on different records, classes or targets.
        RecipeError: fewer than two members, or some of them multi-class.
        EinthovenError: the folder holds the judgement of something else, or is being written.
    """
    if len(members) < 2:
        raise RecipeError(f"an ensemble needs two models or more, got {len(members)}")
    if len({each.bundle.kind for each in members.values()}) > 1:
        raise RecipeError("an ensemble needs models of one kind; some of these are multi-class, others multi-label")
    began, first = time.perf_counter(), next(iter(members.values()))
    aligned = _aligned({name: each.predictions for name, each in members.items()})
    mean, own = _mean(aligned), all(map(_on_own_data, members.values()))
    dataset, part = first.selected.dataset, first.part
    folder = out or Path(f"evaluation-ensemble-{'+'.join(members)}"[:_LONGEST_NAME])
    refuse_foreign(folder, "ensemble", dataset.name)
    announce(f"judging the ensemble of {len(members)} on {len(mean.record_id):,} records of the {part.label} split")
    judged = _decide(members, mean, own, progress)
    how: dict[str, Any] = {"n_resamples": first.n_resamples, "seed": seed}
    caution = caution_about(part.split, leaks_of(first.bundle, first.selected)) if own else []
    judgement = judge(
        part.label,
        mean,
        judged.decided,
        judged.decisions,
        how_decided=judged.how,
        caution=caution,
        **how,
        interval=extras.interval,
        absent=extras.absent,
    )
    if "macro" in judgement:
        macros = {name: each.judgement["macro"] for name, each in members.items()}
        judgement["ensemble"] = beside(macros, aligned, mean, judgement, how)
        judgement["caution"] += gain_in_words(judgement["ensemble"])
    judgement |= {
        "dataset": {"name": dataset.name, "attribution": dataset.attribution},
        "judged": {
            "ensemble": [each.bundle.about["files"]["model.safetensors"] for each in members.values()],
            "dataset": [each.selected.dataset.listing_sha256 for each in members.values()],
        },
        "folds": part.folds,
        "n_unlabelled": part.n_unlabelled,
        "descriptions": dict(first.bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    title = f"Ensemble of {len(members)}: {first.bundle.about['task']['name']}"
    row_of = {name: row for row, name in enumerate(dataset.records.record_id)}
    signals = Signals(dataset, np.array([row_of[name] for name in mean.record_id], dtype=np.int64))
    judge_extras(judgement, mean, judged, extras, how=how)
    with locked(folder):
        write_extras(folder, judgement, mean, judged, extras, signals)
        write_judgement(folder, judgement, mean, title=title, context=_context(members), pdf=extras.pdf)
    return Ensemble(folder, judgement, mean)


def _aligned(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    return align(predictions, {name: [0] * len(each.record_id) for name, each in predictions.items()})


def _mean(aligned: Mapping[str, Predictions]) -> Predictions:
    scores = np.mean([each.probabilities for each in aligned.values()], axis=0)
    return replace(next(iter(aligned.values())), probabilities=scores)


def _on_own_data(member: Evaluated) -> bool:
    return member.selected.dataset.name == member.bundle.about["provenance"]["dataset"]


def _decide(members: Members, mean: Predictions, own: bool, progress: Progress | None) -> Judged:
    first = next(iter(members.values()))
    plan = plan_of(first.bundle, first.selected)
    known = all(len(each.selected.rows["validation"]) for each in members.values())
    if first.part.split == "validation" or not own or not known:
        return decide_split(mean, plan, None)
    seen = _mean(_aligned({name: _validation(each, progress) for name, each in members.items()}))
    decisions = fit_decisions(seen.targets, seen.probabilities, plan)
    what = "the likeliest class is chosen" if plan.kind == "multiclass" else f"thresholds {plan.rule.words}"
    how = (
        f"{what}; calibration, thresholds and all that follows from them were fitted on the members' mean scores of "
        "the validation split"
    )
    return Judged(decisions.decide(mean.probabilities), decisions, how)


def _validation(member: Evaluated, progress: Progress | None) -> Predictions:
    rows = member.selected.rows["validation"]
    return predict_dataset(member.bundle, member.selected.dataset, rows, member.selected.targets[rows], progress)


def beside(
    macros: Mapping[str, Mapping[str, Any]],
    aligned: Mapping[str, Predictions],
    mean: Predictions,
    judgement: Mapping[str, Any],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """The members' figures, and how much better than the best of them the ensemble is, on the same resamples.

    Args:
        macros: the macro figures of each member, as in its judgement.
        aligned: the members' predictions on the same records.
        mean: the ensemble's.
        judgement: of the ensemble.
        how: ``n_resamples`` and ``seed``.
    """
    rows = [{"name": name, "macro": macro} for name, macro in macros.items()]
    best = max(macros, key=lambda name: macros[name]["auroc"]["value"])
    pair = None
    if judgement["interval"]["n_resamples"] >= 100:  # fewer make no interval
        (pair,) = compare_predictions({"ensemble": mean, best: aligned[best]}, **how)["pairs"]
    return {"members": rows, "best": best, "difference": pair}


def gain_in_words(ensemble: Mapping[str, Any]) -> list[str]:
    """Who is better, the ensemble or the best member; nothing where no resamples tell."""
    if ensemble["difference"] is None:
        return []
    return [f"The best of the members was found on these very records: {verdict(ensemble['difference'])} macro AUROC."]


def _context(members: Members) -> dict[str, Any]:
    first = next(iter(members.values()))
    bundles = [each.bundle for each in members.values()]
    origin, split = first.bundle.about["provenance"], first.part
    trained = ("dataset", "attribution", "folds", "n_records", "n_patients")
    alike = all([b.about["provenance"][key] for key in trained] == [origin[key] for key in trained] for b in bundles)
    datasets = {str(each.selected.dataset.path) for each in members.values()}
    # Models that were judged on one dataset each, their own, are runs.
    models = [*(str(b.path) for b in bundles), *datasets] if len(datasets) == 1 else [b.path.parent for b in bundles]
    chosen = ["--split", split.split, *([] if split.whole else ["--fold", str(split.folds[0])])]
    return {
        "spread": fold_summary([each.judgement for each in members.values()]),
        "model": {
            "name": f"mean of the scores of {', '.join(members)}",
            "n_parameters": sum(bundle.about["network"]["n_parameters"] for bundle in bundles),
        },
        "trained_on": {
            "n_records": origin["n_records"],
            "n_patients": origin["n_patients"],
            "folds": origin["folds"]["train"],
            "name": origin["dataset"],
            "attribution": origin["attribution"],
        }
        if alike
        else {},
        "environment": origin["versions"],
        "commands": [shlex.join(["einthoven", "evaluate", *map(str, models), *chosen, "--ensemble"])],
    }
