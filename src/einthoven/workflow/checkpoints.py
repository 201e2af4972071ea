"""Bundles of a run's other checkpoints: the best by another criterion, or the last, with decisions of their own.

What was fitted for the shipped epoch does not fit another: calibration and thresholds are fitted again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.decisions import fit_decisions
from einthoven.errors import BundleError, DatasetError, RecipeError, nearest
from einthoven.evaluation.predictions import predict_dataset
from einthoven.training.runs import Run, best_epoch
from einthoven.workflow.deciding import plan_of
from einthoven.workflow.selection import select_for_bundle

__all__ = ["PREFERENCES", "bundle_of_checkpoint", "dataset_of_run"]

PREFERENCES = ("auroc", "accuracy", "loss", "latest")
Progress = Callable[[int, int], None]


def dataset_of_run(run: Run, bundle: Bundle) -> Dataset:
    """Open the dataset that a run was trained on.

    Raises:
        DatasetError: another dataset lies there now.
    """
    data = run.recipe().data
    dataset = open_dataset(data.dataset)
    if dataset.listing_sha256 != bundle.about["provenance"]["listing_sha256"]:
        raise DatasetError(
            f"{dataset.path}: not the dataset that this run was trained on; name it to judge the model on it"
        )
    return dataset.leave_out_damaged() if data.skip_damaged else dataset


def bundle_of_checkpoint(run: Run, prefer: str, progress: Progress | None = None) -> Bundle:
    """Return the bundle of a run's best epoch by some criterion, or of its last, and make it where it is not there yet.

    It lies in ``bundle-<prefer>/`` beside the run's own bundle, which is returned where it is of that criterion.

    Args:
        run: a finished run.
        prefer: ``"auroc"``, ``"accuracy"``, ``"loss"`` or ``"latest"``.
        progress: called with windows of validation records done and their number.

    Raises:
        RecipeError: an unknown criterion.
        BundleError: the checkpoint is absent, or the run has no bundle.
        DatasetError: see ``dataset_of_run``.
    """
    if prefer not in PREFERENCES:
        raise RecipeError(
            f"unknown checkpoint {prefer!r}{nearest(prefer, PREFERENCES)}; --prefer is one of {', '.join(PREFERENCES)}"
        )
    shipped = load_bundle(run.path)
    if prefer == run.recipe().evaluation.select:
        return shipped
    path, epoch = run.path / f"bundle-{prefer}", _epoch(run, prefer)
    if (path / "bundle.json").is_file():
        known = load_bundle(path)
        if known.about["provenance"]["chosen_epoch"] == epoch:
            return known
    return _make(run, prefer, epoch, shipped, progress)


def _make(run: Run, prefer: str, epoch: int, shipped: Bundle, progress: Progress | None) -> Bundle:
    from einthoven.bundling import add_novelty, save_bundle, update_bundle

    model = _model(run, prefer, shipped)
    dataset = dataset_of_run(run, shipped)
    dataset.verify()
    selected = select_for_bundle(shipped, dataset)
    plan, rows = plan_of(shipped, selected), selected.rows["validation"]
    about = {key: value for key, value in shipped.about.items() if key not in ("format_version", "files", "metrics")}
    about |= {**plan.unfitted().to_dict(), "provenance": {**about["provenance"], "chosen_epoch": epoch}}
    # It takes its name when its decisions are fitted: a bundle that is there is whole.
    unfitted = save_bundle(run.path / f".bundle-{prefer}-unfitted", model, about)
    if shipped.novelty is not None:  # it is of the records, whatever the network
        unfitted = add_novelty(unfitted, shipped.novelty)
    seen = predict_dataset(unfitted, dataset, rows, selected.targets[rows], progress)
    update_bundle(unfitted, fit_decisions(seen.targets, seen.probabilities, plan).to_dict())
    path = run.path / f"bundle-{prefer}"
    shutil.rmtree(path, ignore_errors=True)
    unfitted.path.replace(path)
    return load_bundle(path)


def _epoch(run: Run, prefer: str) -> int:
    """Number, from 1, of the epoch that a criterion chooses, as ``Trainer.best_epoch`` does."""
    history = run.read_history()
    if not history:
        raise BundleError(f"{run.path}: no history.csv, so its checkpoints cannot be told apart")
    if prefer == "latest":
        return len(history)
    return best_epoch(history, prefer) or 1


def _model(run: Run, prefer: str, shipped: Bundle) -> Any:
    """The network of a checkpoint, on the CPU: of the last epoch the averaged one where there is one."""
    from einthoven.models.weights import build_classifier, load_weights
    from einthoven.training.checkpoints import load_checkpoint

    model = build_classifier(shipped.about["network"])
    if prefer != "latest":
        load_weights(run.best(prefer), model)
        return model.eval()
    if not run.checkpoint.is_file():
        raise BundleError(f"{run.checkpoint}: missing; the last epoch's weights are only there")
    state = load_checkpoint(run.checkpoint)
    model.load_state_dict(state.get("average", state["model"]))
    return model.eval()
