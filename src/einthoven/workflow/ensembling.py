"""Several trained models as one bundle: weights learned on the validation split, judged on it by cross-fitting."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.decisions import Plan, fit_decisions
from einthoven.errors import DatasetError, EinthovenError
from einthoven.evaluation.card import model_card
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, predict_dataset
from einthoven.metrics import bootstrap_metrics
from einthoven.workflow.deciding import Judged, plan_of
from einthoven.workflow.evaluate import (
    N_RESAMPLES,
    caution_about,
    context_of,
    leaks_of,
    part_of,
    portable_metrics,
)
from einthoven.workflow.extras import Extras, Signals, judge_extras, with_quality, write_extras
from einthoven.workflow.members import Members, load_members, network_entry, provenance_of
from einthoven.workflow.selection import Selected, select_for_bundle
from einthoven.workflow.several import beside, gain_in_words
from einthoven.workflow.weighting import Weighed, weigh
from einthoven.workflow.writing import locked, write_judgement

__all__ = ["make_ensemble"]

_LONGEST_NAME = 100  # of a folder
Progress = Callable[[int, int], None]


def make_ensemble(
    members: Sequence[str | Path],
    out: Path | None = None,
    *,
    dataset_path: str | Path | None = None,
    n_resamples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make one bundle of several models, judge it on the validation split and write the report.

    Weights and decisions are learned on the validation split, and judged there by patient-grouped cross-fitting of
    both; the bundle keeps the full fit. Equal weights are kept where learned ones are no better by cross-fitting.

    Args:
        members: runs, bundles or pretrained names, two or more, trained on one dataset and validated on one split.
        out: folder that gets ``bundle/`` and the report, by default ``ensemble-<members>``.
        dataset_path: the dataset that they were trained on; a run knows its own.
        n_resamples: of the bootstrap; by default what the recipe of the first run says, or 1000.
        seed: of the bootstrap.
        progress: called with windows of validation records done and their number, for each model.
        announce: told in a sentence what happens.

    Returns:
        The bundle's folder; the report lies beside it.

    Raises:
        RecipeError, DatasetError: see ``load_members``.
        EinthovenError: the folder holds something else, or is being written.
    """
    joined = load_members(members, dataset_path)
    folder = out or Path(f"ensemble-{'+'.join(joined.bundles)}"[:_LONGEST_NAME])
    _refuse_other(folder)
    dataset = joined.dataset
    dataset.verify()
    selected = select_for_bundle(joined.first, dataset)
    if not len(selected.rows["validation"]):
        raise DatasetError(f"{dataset.path}: no labelled record in the validation folds, so no weights can be learned")
    if n_resamples is None:
        n_resamples = joined.run.recipe().evaluation.n_resamples if joined.run else N_RESAMPLES
    with locked(folder):
        announce(
            f"predicting {len(selected.rows['validation']):,} validation records with {len(joined.bundles)} models"
        )
        seen = {name: _validation(bundle, selected, progress) for name, bundle in joined.bundles.items()}
        plan, first = plan_of(joined.first, selected), next(iter(seen.values()))
        weighed = weigh(first.targets, np.stack([each.probabilities for each in seen.values()]), first.groups, plan)
        announce(_told(joined.bundles, weighed))
        announce("making the bundle")
        bundle = _bundle(folder, joined, weighed.weights, selected, plan, progress)
        how = {"n_resamples": n_resamples, "seed": seed}
        _judge(folder, bundle, seen, weighed, selected, how, list(map(str, members)))
    return bundle.path


def _refuse_other(folder: Path) -> None:
    known = folder / "bundle"
    if not folder.is_dir() or not any(path for path in folder.iterdir() if path.name != ".evaluate.lock"):
        return
    if (known / "bundle.json").is_file() and "ensemble" in load_bundle(known).about["network"]:
        return  # the same command again, or with other members
    raise EinthovenError(f"{folder}: holds something else than an ensemble; name another folder with --out")


def _validation(bundle: Bundle, selected: Selected, progress: Progress | None) -> Predictions:
    rows = selected.rows["validation"]
    return predict_dataset(bundle, selected.dataset, rows, selected.targets[rows], progress)


def _told(names: Mapping[str, Bundle], weighed: Weighed) -> str:
    figures = f"macro AUROC by cross-fitting {weighed.learned:.4f}, of the plain mean {weighed.equal:.4f}"
    if weighed.kept_equal:
        return f"equal weights: learned ones are no better on other patients ({figures})"
    weights = ", ".join(f"{name} {w:.3f}" for name, w in zip(names, weighed.weights, strict=True))
    return f"weights: {weights} ({figures})"


def _bundle(
    folder: Path,
    members: Members,
    weights: NDArray[np.float64],
    selected: Selected,
    plan: Plan,
    progress: Progress | None,
) -> Bundle:
    from einthoven.bundling import add_novelty, save_bundle, update_bundle
    from einthoven.models.weights import build_classifier, load_weights

    first = members.first
    network, facts = network_entry(members, weights)
    model: Any = build_classifier(network)
    counted = [bundle for bundle, w in zip(members.bundles.values(), weights, strict=True) if w > 0]
    for part, bundle in zip(model.members, counted, strict=True):
        load_weights(bundle.path / "model.safetensors", part)
    about = {key: v for key, v in first.about.items() if key not in ("format_version", "files", "metrics", "novelty")}
    about |= {"name": folder.resolve().name, "network": network, "facts": facts, **plan.unfitted().to_dict()}
    about["provenance"] = provenance_of(members, weights)
    # It takes its name when its decisions are fitted: a bundle that is there is whole.
    unfitted = save_bundle(folder / ".bundle-unfitted", model.eval(), about)
    if first.novelty is not None:  # it is of the records, whatever the network
        unfitted = add_novelty(unfitted, first.novelty)
    own = _validation(unfitted, selected, progress)
    update_bundle(unfitted, fit_decisions(own.targets, own.probabilities, plan).to_dict())
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    unfitted.path.replace(folder / "bundle")
    return load_bundle(folder / "bundle")


def _judge(
    folder: Path,
    bundle: Bundle,
    seen: Mapping[str, Predictions],
    weighed: Weighed,
    selected: Selected,
    how: dict[str, Any],
    places: Sequence[str],
) -> None:
    """Judge cross-fitted scores and decisions; write predictions, metrics, model card and report."""
    from einthoven.bundling import update_bundle

    began, dataset, part = time.perf_counter(), selected.dataset, part_of(selected, bundle, "validation")
    signals = Signals(dataset, part.rows)
    first = next(iter(seen.values()))
    predictions = with_quality(replace(first, probabilities=weighed.scores), signals)
    judged = Judged(weighed.decided, bundle.decisions, _how_judged(weighed, predictions.unit))
    caution = caution_about("validation", leaks_of(bundle, selected))
    judgement = judge(
        "validation", predictions, judged.decided, judged.decisions, how_decided=judged.how, caution=caution, **how
    )
    if "macro" in judgement:
        macros = {name: _macro(each, how) for name, each in seen.items()}
        judgement["ensemble"] = beside(macros, seen, predictions, judgement, how)
        judgement["caution"] += gain_in_words(judgement["ensemble"])
    judgement |= {
        "dataset": {"name": dataset.name, "attribution": dataset.attribution},
        "judged": {"weights": bundle.about["files"]["model.safetensors"], "dataset": dataset.listing_sha256},
        "folds": part.folds,
        "n_unlabelled": part.n_unlabelled,
        "descriptions": dict(bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    judge_extras(judgement, predictions, judged, Extras(), how=how)
    write_extras(folder, judgement, predictions, judged, Extras(), signals)
    context = _context(bundle, places)
    metrics = write_judgement(folder, judgement, predictions, title=f"Ensemble: {bundle.name}", context=context)
    update_bundle(bundle, {"metrics": portable_metrics(metrics)}, model_card(bundle.about, list(metrics.values())))


def _how_judged(weighed: Weighed, unit: str) -> str:
    if weighed.kept_equal:
        weights = f"weights are equal, because learned ones were no better by cross-fitting ({weighed.learned:.4f})"
    else:
        weights = f"weights were learned on this split (the plain mean has a macro AUROC of {weighed.equal:.4f})"
    return (
        f"{weights}; weights, calibration, thresholds and all that follows from them are judged by 5-fold "
        f"cross-fitting, grouped by {unit}"
    )


def _macro(predictions: Predictions, how: Mapping[str, Any]) -> dict[str, Any]:
    found = bootstrap_metrics(predictions.targets, predictions.probabilities, predictions.groups, **how)[0]
    return {name: asdict(value) for name, value in found.items()}


def _context(bundle: Bundle, places: Sequence[str]) -> dict[str, Any]:
    origin = bundle.about["provenance"]
    return {
        **context_of(bundle),
        "recipe": origin["recipe"],
        "environment": origin["versions"],
        "commands": [shlex.join(["einthoven", "ensemble", *places])],
        "bundle": str(bundle.path),
    }
