"""Export a bundle to other forms, each proven on a whole split before it is called good."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.bundle import Bundle, list_pretrained, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.decisions import Decisions
from einthoven.edge.artefacts import copy_bundle, install, with_artefact
from einthoven.edge.calibration import draw_calibration
from einthoven.edge.formats import FORMATS, Calibration, Made, Options, maker_of
from einthoven.edge.proof import prove, verdict_of
from einthoven.edge.record import answer_records, long_enough
from einthoven.errors import BundleError, DatasetError, RecipeError
from einthoven.evaluation.predictions import Predictions, predict_dataset
from einthoven.training.runs import Run
from einthoven.workflow.checkpoints import dataset_of_run
from einthoven.workflow.evaluate import part_of
from einthoven.workflow.selection import SPLITS, Selected, select_for_bundle

__all__ = ["Exported", "Prover", "dataset_of", "export"]

Announce = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the bundle lies that has the artefacts, the page if one was written, and what was refused and why."""

    bundle: Bundle
    web: Path | None
    refused: dict[str, str] = field(default_factory=dict)


def export(
    where: str | Path,
    formats: Sequence[str],
    dataset_path: str | Path | None = None,
    *,
    out: Path | None = None,
    split: str = "validation",
    n_calibration: int = 256,
    options: Options = Options(),  # noqa: B008 (frozen)
    max_drop: float = 0.005,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
    announce: Announce = lambda _: None,
) -> Exported:
    """Make artefacts of a bundle, prove each against the trained network in PyTorch, and keep those that are good.

    Args:
        where: a run, a bundle or a pretrained name.
        formats: names of ``FORMATS``, and ``"web"``: a page that runs the smallest good graph in a browser.
        dataset_path: the dataset that the model was trained on; a run knows its own.
        out: folder of a copy of the bundle that gets the artefacts; by default the bundle itself, and for a pretrained
            one ``<name>-edge``.
        split: on all of whose records an artefact must give the model's answers.
        n_calibration: training records that show the ranges of activations.
        options: see ``Options``.
        max_drop: of the macro AUROC, beyond which an artefact is refused.
        n_resamples: of patients, for the intervals.
        seed: of calibration records and resamples.
        progress: called with windows done and their number.
        announce: told in a sentence what happens.

    Returns:
        The bundle with its artefacts; an older artefact of a refused one's name stays as it is.

    Raises:
        RecipeError: an unknown split.
        DatasetError: no dataset, or not the one of the model.
        BundleError: a damaged bundle, an operator that a format lacks, or a folder that cannot be written.
    """
    if split not in SPLITS:
        raise RecipeError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    source = load_bundle(where, backend="torch")
    if out is None and source.name in list_pretrained() and not Path(where).exists():
        out = Path(f"{source.name}-edge")
    made_of_data = [name for name in formats if name in FORMATS]
    proof = None
    if made_of_data:
        dataset = dataset_of(where, source, dataset_path)
        selected = select_for_bundle(source, dataset)
        announce(f"checking the dataset's checksums: {dataset.path}")
        dataset.verify()
        proof = Prover(source, selected, split, max_drop, n_resamples, seed, progress)
    bundle = source if out is None else load_bundle(copy_bundle(source, out), backend="torch")
    refused: dict[str, str] = {}
    calibration = None
    for name in made_of_data:
        assert proof is not None
        if FORMATS[name].calibrated and calibration is None:
            rows, targets = proof.selected.rows["train"], proof.selected.targets
            calibration = draw_calibration(source, proof.selected.dataset, rows, targets, n_calibration, seed)
        announce(f"{name}: {FORMATS[name].words}")
        try:
            bundle = _add(bundle, name, calibration, options, proof, announce)
        except BundleError as error:
            refused[name] = str(error)
            announce(f"{name} is refused: {error}")
    web = _write_page(bundle, announce) if "web" in formats else None
    return Exported(bundle, web, refused)


def dataset_of(where: str | Path, bundle: Bundle, path: str | Path | None) -> Dataset:
    """Open the dataset that a bundle was trained on.

    Raises:
        DatasetError: none was named and the bundle is no run, or another was named.
    """
    home = Path(where) if (Path(where) / "recipe.yaml").is_file() else Path(where).resolve().parent
    if path is None and (home / "recipe.yaml").is_file():
        return dataset_of_run(Run(home), bundle)
    if path is None:
        raise DatasetError(
            f"{bundle.name} is no run, so name the prepared dataset that it was trained on: every artefact is proven "
            "on a split of it"
        )
    dataset, origin = open_dataset(path), bundle.about["provenance"]
    # By name: the same corpus prepared elsewhere holds the same patients in the same folds.
    if dataset.name != origin["dataset"]:
        raise DatasetError(
            f"{dataset.path}: {dataset.name}, but {bundle.name} was trained on {origin['dataset']}; artefacts are "
            "calibrated on its training records and proven on its other folds"
        )
    return dataset


class Prover:
    """Judges artefacts, or smaller models, against one reference, which is computed when it is first needed."""

    def __init__(
        self,
        source: Bundle,
        selected: Selected,
        split: str,
        max_drop: float,
        n_resamples: int,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.selected, self._source, self._progress = selected, source, progress
        self._rows, self._split = part_of(selected, source, split).rows, split
        if not len(self._rows):
            raise DatasetError(f"{selected.dataset.path}: no labelled record in the {split} split to prove anything on")
        self._how: dict[str, Any] = {"max_drop": max_drop, "n_resamples": n_resamples, "seed": seed}
        self._reference: Predictions | None = None

    def prove(self, artefact: Bundle) -> dict[str, Any]:
        """Return what ``prove`` says, with the split and the dataset."""
        return self._prove(self._known(), self._predict(artefact), artefact.decisions)

    def prove_records(self, file: Path, how: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same of a graph that takes whole records."""
        dataset, fits = self.selected.dataset, long_enough(self.selected.dataset, self._rows, how)
        if not fits.any():
            raise BundleError(
                f"no record of the {self._split} split is {how['seconds']:g} s long, so nothing is proven"
            )
        known = self._known().take(np.flatnonzero(fits))
        expected, answers = answer_records(self._source, dataset, self._rows[fits], file, how, self._progress)
        return self._prove(replace(known, probabilities=expected), replace(known, probabilities=answers))

    def _prove(self, reference: Predictions, artefact: Predictions, own: Decisions | None = None) -> dict[str, Any]:
        found, dataset = prove(reference, artefact, self._source.decisions, own, **self._how), self.selected.dataset
        return {"split": self._split, "dataset": dataset.name, "listing_sha256": dataset.listing_sha256, **found}

    def _known(self) -> Predictions:
        if self._reference is None:
            self._reference = self._predict(self._source)
        return self._reference

    def _predict(self, bundle: Bundle) -> Predictions:
        dataset, targets = self.selected.dataset, self.selected.targets
        return predict_dataset(bundle, dataset, self._rows, targets[self._rows], self._progress)


def _add(
    bundle: Bundle,
    name: str,
    calibration: Calibration | None,
    options: Options,
    prover: Prover,
    announce: Announce,
) -> Bundle:
    """Make an artefact in a folder of its own, prove it, and put it into the bundle."""
    with tempfile.TemporaryDirectory(prefix="einthoven-") as temporary:
        folder = Path(temporary)
        made = maker_of(name)(name, bundle, folder, calibration if FORMATS[name].calibrated else None, options)
        if calibration is not None and FORMATS[name].calibrated:
            about = {"records": list(calibration.record_ids), "n": len(calibration.record_ids)}
            made = Made(made.files, {**made.how, "calibration": about})
        if name == "record":
            proof = prover.prove_records(folder / made.files[0], made.how)
        elif FORMATS[name].kind is None:
            return install(bundle, name, folder, made, None)
        else:
            proof = prover.prove(with_artefact(bundle, name, folder / made.files[0]))
        moved, flips = proof["probability_difference"], proof["flips"]
        size = sum((folder / file).stat().st_size for file in made.files)
        announce(
            f"{name}: {size / 1000:,.0f} kB; {verdict_of(proof)}; probabilities differ by {moved['largest']:.2g} at "
            f"most, {moved['median']:.2g} in the median; {flips['decisions']:,} of {flips['of']:,} decisions change"
        )
        if not proof["good"]:
            raise BundleError(
                f"not the model any more: {verdict_of(proof)}; nothing was written. Choose other --ranges, "
                "--keep-float first,last, train with quantisation in mind (--qat), or allow more with --max-drop"
            )
        return install(bundle, name, folder, made, proof)


def _write_page(bundle: Bundle, announce: Announce) -> Path:
    from einthoven.edge.web import write_web

    known = bundle.about.get("artefacts", {})
    graph = bundle.path / (known["int8"]["files"][0] if "int8" in known else "model.onnx")
    folder = bundle.path.parent / ("web" if bundle.path.name == "bundle" else f"{bundle.path.name}-web")
    announce(f"writing the page with {graph.name}")
    return write_web(bundle, graph, folder, announce=announce)
