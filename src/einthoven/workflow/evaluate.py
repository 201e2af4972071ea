"""Judge a run or a bundle on a split, and write predictions, metrics, plots, model card and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, RecipeError
from einthoven.evaluation.card import model_card
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions, predict_dataset
from einthoven.evaluation.wording import fold_range
from einthoven.splits import rows_of_folds
from einthoven.training.runs import Run
from einthoven.workflow.checkpoints import bundle_of_checkpoint, dataset_of_run
from einthoven.workflow.deciding import decide_split, plan_of
from einthoven.workflow.extras import Extras, Signals, judge_extras, with_quality, write_extras
from einthoven.workflow.selection import SPLITS, Selected, select_for_bundle
from einthoven.workflow.writing import locked, refuse_foreign, write_judgement

__all__ = [
    "Evaluated",
    "Part",
    "caution_about",
    "context_of",
    "evaluate",
    "leaks_of",
    "part_of",
    "portable_metrics",
]

N_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """Which records are judged: a split, or one fold of it."""

    split: str
    label: str
    rows: NDArray[np.int64]
    folds: list[int]
    n_unlabelled: int

    @property
    def whole(self) -> bool:
        """Whether this is the whole split."""
        return self.label == self.split


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Where a judgement was written, what it says, and of what model and records."""

    folder: Path
    judgement: dict[str, Any]
    predictions: Predictions
    bundle: Bundle
    selected: Selected
    part: Part
    n_resamples: int


def evaluate(
    where: str | Path,
    dataset_path: str | Path | None = None,
    *,
    split: str = "test",
    fold: int | None = None,
    prefer: str | None = None,
    backend: str | None = None,
    out: Path | None = None,
    n_resamples: int | None = None,
    seed: int = 0,
    extras: Extras = Extras(),  # noqa: B008 (frozen)
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Evaluated:
    """Judge a run or a bundle on a split of a prepared dataset and write predictions, metrics and report.

    Args:
        where: a run folder, a bundle folder, or the name of a pretrained bundle.
        dataset_path: the dataset; a run knows its own.
        split: ``"train"``, ``"validation"`` or ``"test"``: the folds that the model's recipe gives these names.
        fold: judge this fold of the split only.
        prefer: judge another checkpoint of the run, see ``bundle_of_checkpoint``.
        backend: what computes, see ``load_bundle``. Where one is named, its judgement is written to a folder of its
            own, and leaves the run's and the bundle's as they are.
        out: folder to write into; by default the run's own (``evaluation-<prefer>`` in it for another checkpoint,
            ``evaluation-<backend>`` for a backend), or ``evaluation-<model>-on-<dataset>`` where a dataset is named.
        n_resamples: of the bootstrap; by default what a run's recipe says, or 1000.
        seed: of the bootstrap.
        extras: what else to judge and to write.
        progress: called with windows done and their number.
        announce: told in a sentence what happens.

    Raises:
        RecipeError: an unknown split or checkpoint.
        DatasetError: no dataset named for a bundle, or one of another form; a fold that is not in the split.
        BundleError: the bundle has no such backend.
        EinthovenError: another process judges the same run, or a backend's judgement would replace another.
    """
    if split not in SPLITS:
        raise RecipeError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    source = Run(Path(where)) if (Path(where) / "recipe.yaml").is_file() else None
    run = source if dataset_path is None else None
    with ExitStack() as held:
        if source and (run or prefer):
            held.enter_context(locked(source.path))
        bundle = _bundle(where, source, prefer, backend, progress)
        if run:
            dataset = dataset_of_run(run, bundle)
            n_resamples = run.recipe().evaluation.n_resamples if n_resamples is None else n_resamples
        elif dataset_path is None:
            raise DatasetError("name a prepared dataset to judge this bundle on")
        else:
            dataset = open_dataset(dataset_path)
        selected = select_for_bundle(bundle, dataset)
        part = part_of(selected, bundle, split, fold)
        dataset.verify()
        folder = out or _folder(run, bundle, selected, backend)
        if backend:
            refuse_foreign(folder, "backend", dataset.name)
        if run is None or folder.resolve() != run.path.resolve():
            held.enter_context(locked(folder))
        if leaks := leaks_of(bundle, selected):
            announce(f"warning: the folds leak by design: {leaks}")
        announce(f"judging {bundle.name} on {len(part.rows):,} records of the {part.label} split")
        how = {"n_resamples": N_RESAMPLES if n_resamples is None else n_resamples, "seed": seed}
        return _judge(run, bundle, selected, part, folder, how, extras, progress, backend)


def _bundle(where: str | Path, source: Run | None, prefer: str | None, backend: str | None, progress: Any) -> Bundle:
    if prefer is None:
        return load_bundle(where, backend=backend or "auto")
    if source is None:
        raise RecipeError(f"{where}: no run folder; only a run has other checkpoints to prefer")
    bundle = bundle_of_checkpoint(source, prefer, progress)
    return load_bundle(bundle.path, backend=backend) if backend else bundle


def _folder(run: Run | None, bundle: Bundle, selected: Selected, backend: str | None) -> Path:
    by = f"-{backend}" if backend else ""
    if run is None:
        return Path(f"evaluation-{bundle.name}{by}-on-{selected.dataset.path.name}")
    if bundle.path == run.bundle:
        return run.path / f"evaluation{by}" if backend else run.path
    return run.path / f"{bundle.path.name.replace('bundle-', 'evaluation-', 1)}{by}"


def part_of(selected: Selected, bundle: Bundle, split: str, fold: int | None = None) -> Part:
    """Choose the records of a split, or of one fold of it.

    Raises:
        DatasetError: the fold is not in the split.
    """
    purpose = bundle.about["provenance"]["folds"]
    folds, rows = list(purpose[split]), selected.rows[split]
    if fold is None:
        return Part(split, split, rows, folds, selected.n_unlabelled[split])
    if fold not in folds:
        home = [f"; it is in {name}: --split {name}" for name in SPLITS if fold in purpose[name]]
        raise DatasetError(f"fold {fold} is not in the {split} split ({fold_range(folds)}){''.join(home)}")
    every = rows_of_folds(selected.dataset.folds(purpose.get("split")), [fold])
    chosen = rows[np.isin(rows, every)]
    label = split if folds == [fold] else f"{split}-fold-{fold}"
    return Part(split, label, chosen, [fold], len(every) - len(chosen))


def _judge(
    run: Run | None,
    bundle: Bundle,
    selected: Selected,
    part: Part,
    folder: Path,
    how: dict[str, Any],
    extras: Extras,
    progress: Callable[[int, int], None] | None,
    backend: str | None,
) -> Evaluated:
    dataset, origin, began = selected.dataset, bundle.about["provenance"], time.perf_counter()
    predictions = predict_dataset(bundle, dataset, part.rows, selected.targets[part.rows], progress)
    signals = Signals(dataset, part.rows)
    predictions = with_quality(predictions, signals)
    # By name: the same corpus prepared elsewhere holds the same patients.
    own = dataset.name == origin["dataset"]
    fit_here = own and part.split == "validation" and len(part.rows) > 0
    judged = decide_split(predictions, plan_of(bundle, selected), None if fit_here else bundle.decisions)
    # What is written elsewhere leaves the run and its bundle as they are.
    home = run is not None and not backend and folder.resolve() == _folder(run, bundle, selected, None).resolve()
    if home and fit_here and part.whole:
        from einthoven.bundling import update_bundle

        bundle = update_bundle(bundle, judged.decisions.to_dict())
    judgement = judge(
        part.label,
        predictions,
        judged.decided,
        judged.decisions,
        how_decided=judged.how,
        caution=_caution(bundle, selected, part.split) if own else [],
        **how,
        interval=extras.interval,
        absent=extras.absent,
    )
    judgement |= {
        "dataset": {"name": dataset.name, "attribution": dataset.attribution},
        "judged": {"weights": bundle.about["files"]["model.safetensors"], "dataset": dataset.listing_sha256}
        | ({"backend": backend} if backend else {}),
        "folds": part.folds,
        "n_unlabelled": part.n_unlabelled,
        "descriptions": dict(bundle.descriptions),
        "seconds": time.perf_counter() - began,
    }
    if "macro" not in judgement:
        judgement["reason"] += f" in fold {', '.join(map(str, judgement['folds']))}"
    judge_extras(judgement, predictions, judged, extras, how=how, model=bundle, signals=signals, progress=progress)
    folds = write_extras(folder, judgement, predictions, judged, extras, signals)
    metrics = write_judgement(
        folder,
        judgement,
        predictions,
        title=f"{bundle.name}{f', {backend}' if backend else ''}: {bundle.about['task']['name']}",
        history=run.read_history() if run else [],
        context={**_context(bundle, run, part, backend), "runs": folds},
        pdf=extras.pdf,
    )
    if home:
        from einthoven.bundling import update_bundle

        update_bundle(bundle, {"metrics": portable_metrics(metrics)}, model_card(bundle.about, list(metrics.values())))
    return Evaluated(folder, judgement, predictions, bundle, selected, part, how["n_resamples"])


def portable_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as they may leave this machine: single records are nobody else's business."""
    return {name: {k: v for k, v in each.items() if k != "worst_errors"} for name, each in metrics.items()}


def leaks_of(bundle: Bundle, selected: Selected) -> str | None:
    """Why the folds of a model's own corpus leak, where they do by design."""
    origin = bundle.about["provenance"]
    # By name: the same corpus prepared elsewhere holds the same patients.
    return (selected.leaks or origin.get("leaks")) if selected.dataset.name == origin["dataset"] else None


def _caution(bundle: Bundle, selected: Selected, split: str) -> list[str]:
    said = caution_about(split, leaks_of(bundle, selected))
    if split == "validation" and bundle.about["provenance"].get("members"):
        said.append("The weights of the ensemble's members were learned on this very split.")
    return said


def caution_about(split: str, leaks: str | None) -> list[str]:
    """What makes figures on the model's own data optimistic, in sentences."""
    said = [f"The folds leak by design: {leaks}."] if leaks else []
    if split == "train":
        said.append("The model was trained on these records: the figures say nothing about others.")
    if split == "validation":
        remark = "" if leaks else "; the test split is not"
        said.append(f"This split chose the epoch that was kept, so its AUROC is slightly optimistic{remark}.")
    return said


def _context(bundle: Bundle, run: Run | None, part: Part, backend: str | None) -> dict[str, Any]:
    origin = bundle.about["provenance"]
    chosen = f"--split {part.split}" + ("" if part.whole else f" --fold {part.folds[0]}")
    chosen += f" --backend {backend}" if backend else ""
    commands: Sequence[str] = [f"einthoven evaluate {bundle.name} DATASET {chosen}"]
    if run:
        if bundle.path != run.bundle:
            chosen += f" --prefer {bundle.path.name.removeprefix('bundle-')}"
        commands = [run.environment()["command"], f"einthoven evaluate {run.path} {chosen}"]
    return {
        **context_of(bundle),
        "chosen_epoch": origin["chosen_epoch"],
        "recipe": run.recipe().to_yaml() if run else origin["recipe"],
        "environment": run.environment() if run else origin["versions"],
        "commands": list(commands),
        "bundle": str(bundle.path) if run else bundle.name,
    }


def context_of(bundle: Bundle) -> dict[str, Any]:
    """What a report says of any bundle: the network, the records it was trained on, and how long that took."""
    origin, network, spec = bundle.about["provenance"], bundle.about["network"], bundle.spec
    return {
        "model": {
            "name": network["name"],
            "n_parameters": network["n_parameters"],
            "input": f"{len(spec.leads)} leads, {spec.fs:g} Hz, windows of {bundle.window / spec.fs:g} s",
        },
        "trained_on": {
            "n_records": origin["n_records"],
            "n_patients": origin["n_patients"],
            "folds": origin["folds"]["train"],
            "name": origin["dataset"],
            "attribution": origin["attribution"],
        },
        "timing": {"training": origin["seconds"]},
    }
