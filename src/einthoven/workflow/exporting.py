"""Export a bundle to other forms, each proven on a whole split before it is called good."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, backends_of, list_pretrained, load_bundle
from einthoven.decisions import Decisions
from einthoven.edge import record, web
from einthoven.edge.artefacts import with_artefact
from einthoven.edge.calibration import about_calibration, draw_calibration
from einthoven.edge.formats import FORMATS, Calibration, Made, Options, maker_of
from einthoven.edge.proof import prove, verdict_of
from einthoven.edge.shelf import Shelf
from einthoven.errors import BundleError, DatasetError, EinthovenError, MissingExtraError, RecipeError
from einthoven.evaluation.predictions import Predictions, predict_dataset
from einthoven.workflow.evaluate import part_of
from einthoven.workflow.origin import dataset_of
from einthoven.workflow.selection import SPLITS, Selected, select_for_bundle

__all__ = ["Exported", "Prover", "export"]

Announce = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to.

    Attributes:
        bundle: that has the artefacts; where none was good, the one that was given, as it was.
        made: names of the artefacts that were put into it.
        web: folder of the page, if one was written.
        refused: what was not, and why.
    """

    bundle: Bundle
    made: tuple[str, ...]
    web: Path | None
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is made of which bundle, and how it is proven."""

    source: Bundle
    options: Options
    prover: Prover
    n_calibration: int
    ids: bool
    seed: int
    progress: Progress | None
    announce: Announce


def export(
    where: str | Path,
    formats: Sequence[str],
    dataset_path: str | Path | None = None,
    *,
    out: Path | None = None,
    lean: bool = False,
    split: str = "validation",
    n_calibration: int = 256,
    ids: bool = True,
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
        out: folder of a copy of the bundle that gets the artefacts; by default the bundle itself, ``<name>-edge`` for a
            pretrained one, and ``<name>-lean`` for a lean one.
        lean: make a copy for a device: the artefacts and what predicting with them needs, no network in 32 bits.
        split: on all of whose records an artefact must give the model's answers.
        n_calibration: training records that show the ranges of activations.
        ids: store which records those were; otherwise their number and a digest.
        options: see ``Options``.
        max_drop: of the macro AUROC, beyond which an artefact is refused.
        n_resamples: of patients, for the intervals.
        seed: of calibration records and resamples.
        progress: called with windows done and their number.
        announce: told in a sentence what happens.

    Returns:
        What was made; an older artefact of a refused one's name stays as it is, and a copy without any good one is not
        made.

    Raises:
        RecipeError: an unknown split, or a lean copy that nothing could compute.
        DatasetError: no dataset, or not the one of the model.
        BundleError: a damaged bundle, one that a format cannot serve, or a folder that cannot be written.
    """
    names = [name for name in formats if name in FORMATS]
    _check(split, lean, names)
    source = load_bundle(where, backend="torch")
    if "record" in names:
        record.check(source)
    if "web" in formats:
        web.check(source)
    out = _out(where, source, out, lean)
    with Shelf(source, out, lean=lean) as shelf:
        refused = {}
        if names:
            dataset = dataset_of(where, source, dataset_path)
            selected = select_for_bundle(source, dataset)
            announce(f"checking the dataset's checksums: {dataset.path}")
            dataset.verify()
            prover = Prover(source, selected, split, max_drop, n_resamples, seed, progress)
            order = _Order(source, options, prover, n_calibration, ids, seed, progress, announce)
            refused = _make_all(order, names, shelf)
    page = None
    if "web" in formats:
        try:
            page = _write_page(shelf.bundle, source, out or source.path, announce)
        except EinthovenError as error:  # what was made before it stays, and is told
            refused["web"] = str(error)
    return Exported(shelf.bundle, tuple(shelf.names), page, refused)


def _check(split: str, lean: bool, names: Sequence[str]) -> None:
    if split not in SPLITS:
        raise RecipeError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    if lean and not any(FORMATS[name].kind for name in names):
        known = ", ".join(name for name, form in FORMATS.items() if form.kind)
        raise RecipeError(
            f"nothing could compute a lean copy of {', '.join(names) or 'a page'} alone; add one of {known}"
        )


def _out(where: str | Path, source: Bundle, out: Path | None, lean: bool) -> Path | None:
    if out is not None:
        return out
    if lean:
        return Path(f"{source.name}-lean")
    shipped = source.name in list_pretrained() and not Path(where).exists()
    return Path(f"{source.name}-edge") if shipped else None


def _make_all(order: _Order, names: Sequence[str], shelf: Shelf) -> dict[str, str]:
    """Make and prove artefacts one after the other; returns what is refused, and why."""
    calibration, refused = None, {}
    for name in names:
        if FORMATS[name].calibrated and calibration is None:
            calibration = _calibrate(order)
        order.announce(f"{name}: {FORMATS[name].words}")
        try:
            _make(order, name, calibration if FORMATS[name].calibrated else None, shelf)
        except (BundleError, MissingExtraError) as error:
            refused[name] = str(error)
    return refused


def _calibrate(order: _Order) -> Calibration:
    selected, n = order.prover.selected, order.n_calibration
    rows = selected.rows["train"]
    calibration = draw_calibration(order.source, selected.dataset, rows, selected.targets, n, order.seed)
    if len(calibration.record_ids) < n:
        order.announce(f"calibration: {n:,} records were asked for, all {len(rows):,} training records are shown")
    return replace(calibration, progress=order.progress)


def _make(order: _Order, name: str, calibration: Calibration | None, shelf: Shelf) -> None:
    """Make an artefact in a folder of its own, prove it, and put it on the shelf."""
    if name == "record":  # before minutes of work
        order.prover.long_enough(order.options.record_fs, order.options.record_s)
    with tempfile.TemporaryDirectory(prefix="einthoven-") as temporary:
        folder = Path(temporary)
        made = maker_of(name)(name, order.source, folder, calibration, order.options)
        if calibration is not None:
            made = Made(made.files, {**made.how, "calibration": about_calibration(calibration, order.ids)})
        proof = _prove(order, name, folder, made)
        shelf.put(name, folder, made, proof)


def _prove(order: _Order, name: str, folder: Path, made: Made) -> dict[str, Any] | None:
    """The proof of an artefact; None where nothing here can compute it.

    Raises:
        BundleError: it is not the model any more.
    """
    file, size = folder / made.files[0], sum((folder / each).stat().st_size for each in made.files)
    if name == "record":
        proof = order.prover.prove_records(file, made.how)
    elif FORMATS[name].kind is None:
        order.announce(f"{name}: {size / 1000:,.0f} kB; nothing here computes it, so its answers are not proven")
        return None
    else:
        proof = order.prover.prove(with_artefact(order.source, name, file))
    moved, flips = proof["probability_difference"], proof["flips"]
    order.announce(
        f"{name}: {size / 1000:,.0f} kB; {verdict_of(proof)}; probabilities differ by {moved['largest']:.2g} at "
        f"most, {moved['median']:.2g} in the median; {flips['decisions']:,} of {flips['of']:,} decisions change"
    )
    if not proof["good"]:
        advice = "choose other --ranges, --keep-float first,last, train with quantisation in mind (--qat)"
        if name == "record":
            advice = f"it sees {made.how['seconds']:g} s of records that the bundle judges whole; give more --seconds"
        raise BundleError(f"not the model any more: {verdict_of(proof)}; {advice}, or allow more with --max-drop")
    return proof


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
        dataset, fits = self.selected.dataset, self.long_enough(how["fs"], how["seconds"])
        known = self._known().take(np.flatnonzero(fits))
        whole, answers = record.answer_records(self._source, dataset, self._rows[fits], file, how, self._progress)
        proof = self._prove(replace(known, probabilities=whole), replace(known, probabilities=answers))
        return {**proof, "compared_with": f"the bundle's answers on whole records, brought to {how['fs']:g} Hz"}

    def long_enough(self, fs: float, seconds: float) -> NDArray[np.bool_]:
        """Which records of the split fill a graph that takes whole records.

        Raises:
            BundleError: none does.
        """
        fits = record.long_enough(self.selected.dataset, self._rows, {"fs": fs, "seconds": seconds})
        if not fits.any():
            raise BundleError(f"no record of the {self._split} split is {seconds:g} s long, so nothing is proven")
        return fits

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


def _write_page(bundle: Bundle, source: Bundle, place: Path, announce: Announce) -> Path:
    """Write the page beside the bundle's place, with int8 where the bundle has it."""
    name = "int8" if "int8" in backends_of(bundle.about) else "onnx"
    whole = load_bundle(bundle.path if name == "int8" else source.path, backend=name)
    folder = place.parent / ("web" if place.name == "bundle" else f"{place.name}-web")
    return web.write_web(whole, whole.path / backends_of(whole.about)[name][1][0], folder, announce=announce)
