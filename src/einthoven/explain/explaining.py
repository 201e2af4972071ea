"""``explain``: a bundle and a record in, attributions over lead and time out, checked where a check exists."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.bundle import Bundle, Prediction
from einthoven.errors import BundleError, EinthovenError, MissingExtraError, RecordError
from einthoven.explain.background import synthetic_background
from einthoven.explain.catalogue import Method, Settings, bound, check_classes, doubled, method_named
from einthoven.explain.explanation import Explanation
from einthoven.explain.methods import run_method
from einthoven.explain.subject import Model, RecordScore, Subject, open_subject
from einthoven.explain.waves import Labelled, label_waves, runs_of
from einthoven.record import Record

__all__ = ["attribute", "baselines_of", "default_classes", "explain", "explain_subject"]

Array = NDArray[np.float64]


def explain(
    bundle: Bundle,
    record: Record,
    *,
    method: str = "ig",
    classes: Sequence[str] | None = None,
    background: NDArray[np.float32] | None = None,
    settings: Settings | None = None,
    model: Model | None = None,
) -> Explanation:
    """Say what each lead and moment of a record adds to the model's findings.

    Args:
        bundle: the model.
        record: one ECG; it is conformed, cut and judged as ``Bundle.predict`` does it.
        method: one of ``METHODS``.
        classes: which to explain; by default those that are found, or the likeliest where none is.
        background: records to compare with, shape (n, leads, samples), mV, in the model's form and of the record's
            length; by default a synthetic one, where the method compares with a background.
        settings: steps, seeds, tolerances.
        model: the network, where it is at hand.

    Raises:
        EinthovenError: an unknown method or class.
        RecordError: the model refuses the record, or the sum does not come out.
        BundleError: no weights, or a network that the method is not made for.

    >>> from einthoven.bundle import load_bundle
    >>> from einthoven.corpora.synthetic import example_record
    >>> found = explain(load_bundle("ptbxl-superdiagnostic"), example_record("CLBBB"), classes=["CD"])
    >>> found.attribution.shape, bool(abs(found.gap[0]) < 0.1)
    ((1, 12, 1000), True)
    """
    method_named(method)
    check_classes(bundle, classes or ())
    subject = open_subject(bundle, record, model)
    return explain_subject(subject, method=method, classes=classes, background=background, settings=settings)


def explain_subject(
    subject: Subject,
    *,
    method: str = "ig",
    classes: Sequence[str] | None = None,
    background: NDArray[np.float32] | None = None,
    settings: Settings | None = None,
) -> Explanation:
    """Do the work of ``explain`` on a record that is ready."""
    began = time.perf_counter()
    chosen, entry = method_named(method), subject.bundle
    settings = settings or Settings(steps=chosen.steps)
    names = tuple(classes or default_classes(subject.prediction))
    check_classes(entry, names)
    numbers = [entry.classes.index(name) for name in names]
    baselines = baselines_of(subject, chosen, background, settings)
    with torch.no_grad():
        scores = subject.score(subject.x[None])[0].double().numpy()[numbers]
        means = _scores(subject.score, baselines).mean(dim=0).double().numpy()[numbers]
    parts = [
        attribute(subject, chosen, k, baselines, settings, g) for k, g in zip(numbers, scores - means, strict=True)
    ]
    stacked = torch.stack(parts).numpy()
    gap = stacked.sum(axis=(1, 2), dtype=np.float64) - (scores - means)
    waves, why = _waves(subject.record)
    return Explanation(
        record=subject.record,
        bundle=entry.name,
        method=method,
        classes=names,
        attribution=stacked,
        unit=chosen.unit,
        scores=scores,
        reference=means if chosen.complete else np.full_like(means, np.nan),
        gap=gap if chosen.complete else np.full_like(gap, np.nan),
        facts=_facts(subject, numbers),
        compared_with=_compared_with(chosen, background, settings),
        waves=waves,
        why_no_waves=why,
        prediction=subject.prediction,
        notes=_notes(subject, chosen),
        seconds=time.perf_counter() - began,
    )


def attribute(subject: Subject, method: Method, k: int, baselines: Tensor, settings: Settings, gain: float) -> Tensor:
    """Attribution of one class, shape (leads, samples); a complete method's sum is held against the gain.

    Raises:
        RecordError: the sum does not come out, with as many steps as are worth taking.
        BundleError: it does not come out, because the method's rule does not hold for the network.
    """
    tries = doubled(settings) if method.integrates else [settings]
    for each in tries:
        found = run_method(method, subject, k, baselines, each)
        gap = float(found.sum(dtype=torch.float64)) - gain
        if not method.complete or abs(gap) <= bound(gain, settings):
            return found
    said = (
        f"{method.words}: its parts sum to {gain + gap:.3f}, but the score of {subject.bundle.classes[k]} gained "
        f"{gain:.3f}, and a difference of {bound(gain, settings):.3f} is allowed"
    )
    if method.integrates:
        name = subject.record.record_id or "record"
        raise RecordError(f"{name}: {said}, with {tries[-1].steps} steps as with fewer; take more steps")
    raise BundleError(
        f"{said}: the rule does not hold for this network's layers; use method eg, which gives SHAP values of any "
        "network"
    )


def default_classes(prediction: Prediction) -> tuple[str, ...]:
    """The classes that were found, or the likeliest one where none was."""
    present = tuple(finding.name for finding in prediction.findings if finding.present)
    return present or (max(prediction.findings, key=lambda finding: finding.probability).name,)


def baselines_of(
    subject: Subject, method: Method, background: NDArray[np.float32] | None, settings: Settings
) -> Tensor:
    """What a record is compared with, shape (n, leads, samples); nothing differs where nothing was recorded.

    Raises:
        EinthovenError: the background has another form than the record.
    """
    if method.reference in ("flat", "none"):
        return torch.zeros_like(subject.x)[None]
    if method.reference == "bridged":
        return _bridged(subject)[None]
    if background is None:
        n_samples = subject.x.shape[1]
        background = synthetic_background(subject.bundle, n_samples, settings.n_background, settings.seed)
    if background.ndim != 3 or background.shape[1:] != subject.x.shape:
        raise EinthovenError(
            f"the background has the shape {background.shape}, and must be (records, {subject.x.shape[0]} leads, "
            f"{subject.x.shape[1]} samples) as the record is for the model"
        )
    return torch.from_numpy(np.where(subject.recorded, background, np.float32(0)))


def _bridged(subject: Subject) -> Tensor:
    """Every wave replaced by a straight line between its ends, so that taking it out leaves no step."""
    found, x = label_waves(subject.record), subject.x.numpy()
    if found is None:
        return subject.x.clone()  # the method itself refuses such a record
    out = x.copy()
    for _, first, last in runs_of(found.labels):
        share = np.linspace(0, 1, last - first + 2, dtype=np.float32)[1:-1]
        left, right = x[:, max(first - 1, 0)], x[:, min(last, x.shape[1] - 1)]
        out[:, first:last] = left[:, None] * (1 - share) + right[:, None] * share
    return torch.from_numpy(out)


def _scores(score: RecordScore, records: Tensor) -> Tensor:
    return torch.cat([score(record[None]) for record in records])


def _facts(subject: Subject, numbers: Sequence[int]) -> dict[str, list[float]]:
    """What knowing each fact added: the score with it, minus the score were it unknown; both sexes are one fact."""
    names = subject.bundle.facts
    groups: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        if np.isfinite(subject.facts[k]):
            groups.setdefault("sex" if name in ("female", "male") else name, []).append(k)
    added: dict[str, list[float]] = {}
    with torch.no_grad():
        own = subject.score(subject.x[None])[0]
        for name, columns in groups.items():
            less = subject.facts.copy()
            less[columns] = np.nan
            other = RecordScore(subject.score.model, subject.bundle, subject.x.shape[1], less)
            added[name] = (own - other(subject.x[None])[0])[list(numbers)].tolist()
    return added


def _waves(record: Record) -> tuple[Labelled | None, str]:
    """Waves, or why there are none."""
    try:
        found = label_waves(record)
    except MissingExtraError:
        return None, "NeuroKit is not installed"
    return found, "" if found else "no beats are clear in this record"


def _compared_with(method: Method, background: NDArray[np.float32] | None, settings: Settings) -> str:
    if method.reference != "background":
        return method.compared_with
    if background is not None:
        return f"{len(background)} records that were given"
    return f"{settings.n_background} synthetic ECGs of seed {settings.seed}"


def _notes(subject: Subject, method: Method) -> tuple[str, ...]:
    notes = [*subject.record.notes]
    if not any(finding.present for finding in subject.prediction.findings):
        notes.append("Nothing was found; that is not the same as a normal ECG.")
    if not method.by_lead:
        notes.append("This method tells moments apart, not leads: it is the same for all of them.")
    if not method.by_time:
        notes.append("This method tells leads apart, not moments: it is the same over the whole lead.")
    if subject.bundle.facts:
        notes.append("Facts beside the signal were held fixed; what each added is listed with them.")
    if subject.bundle.about.get("artefacts"):
        notes.append("What is explained is the network as it was trained, not an 8-bit or 16-bit form of it.")
    return tuple(notes)
