"""Judge a recording beat by beat, with a model that was trained on single beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.corpora.mitdb import RR_FEATURES, rr_features
from einthoven.errors import BundleError, ConformError
from einthoven.leads import ANY_LEAD, rhythm_lead
from einthoven.record import Record
from einthoven.signals import MIN_DURATION_S, conform

__all__ = ["JudgedBeats", "judge_beats", "judges_beats"]

_BATCH = 512
_FEATURES = "features:"


@dataclass(frozen=True, slots=True, eq=False)
class JudgedBeats:
    """The beats of a recording.

    Attributes:
        record_id: of the recording.
        lead: that was judged.
        fs: of the recording in Hz.
        samples: of the R peaks, ascending, shape (beats,).
        classes: of the model.
        chosen: number of each beat's class, shape (beats,).
        probabilities: calibrated, shape (beats, classes).
        notes: what is to be said, one sentence each.
    """

    record_id: str
    lead: str
    fs: float
    samples: NDArray[np.int64]
    classes: tuple[str, ...]
    chosen: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The class of each beat."""
        return [self.classes[k] for k in self.chosen]

    def counts(self) -> dict[str, int]:
        """How many beats each class has."""
        return dict(zip(self.classes, np.bincount(self.chosen, minlength=len(self.classes)).tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "record_id": self.record_id,
            "lead": self.lead,
            "counts": self.counts(),
            "beats": [
                {"time_s": round(sample / self.fs, 4), "class": name, "probability": round(float(p.max()), 6)}
                for sample, name, p in zip(self.samples.tolist(), self.names, self.probabilities, strict=True)
            ],
            "notes": list(self.notes),
        }


def judges_beats(bundle: Bundle) -> bool:
    """Whether a model judges single beats that are cut out around their R peaks."""
    return bundle.about["provenance"].get("before_r_s") is not None and bundle.kind == "multiclass"


def judge_beats(
    bundle: Bundle, record: Record, *, lead: str | None = None, samples: Sequence[int] | None = None
) -> JudgedBeats:
    """Find the beats of a recording and name each.

    Args:
        bundle: a model of single beats, see ``judges_beats``.
        record: at least two seconds.
        lead: to judge; by default the model's own, or the rhythm lead where it takes any.
        samples: of the R peaks, where they are known; else they are found in all leads (see ``locate_beats``).

    Raises:
        BundleError: another kind of model.
        RecordError: there is no such lead.
        ConformError: the lead that the model needs is missing, too short a recording, or no beat was found.
        MissingExtraError: beats are to be found, and NeuroKit is not installed.
    """
    if not judges_beats(bundle):
        raise BundleError(_why_not(bundle))
    name = record.record_id or "record"
    if record.duration_s < MIN_DURATION_S:
        raise ConformError(
            f"{name}: beats are found in {MIN_DURATION_S:g} s or more, this is {record.duration_s:.2f} s"
        )
    peaks = _located(record) if samples is None else np.asarray(samples, np.int64)
    if not len(peaks):
        raise ConformError(f"{name}: no row of heartbeats was found; is this an ECG, and in millivolts?")
    taken = lead or _lead_of(bundle, record)
    conformed = conform(record if taken is None else record.lead(taken), bundle.spec)
    cut = _cut(conformed, peaks / record.fs - bundle.about["provenance"]["before_r_s"], bundle.window)
    facts = _facts(bundle, peaks, record)
    parts = [slice(k, k + _BATCH) for k in range(0, len(cut), _BATCH)]
    decided = bundle.decisions.decide(np.concatenate([bundle.scores(cut[part], facts[part]) for part in parts]))
    notes = () if samples is not None else ("beats were found by NeuroKit's detector; what it missed was not judged",)
    return JudgedBeats(
        record_id=record.record_id,
        lead=taken or ", ".join(bundle.spec.leads),
        fs=record.fs,
        samples=peaks,
        classes=bundle.classes,
        chosen=decided.probabilities.argmax(axis=1),
        probabilities=decided.probabilities,
        notes=(*conformed.notes, *notes),
    )


def _why_not(bundle: Bundle) -> str:
    if bundle.about["provenance"].get("record_s", np.inf) >= MIN_DURATION_S:
        return f"{bundle.name} does not judge single beats; use einthoven predict"
    return (
        f"{bundle.name} judges single beats, but does not say where in its windows the R peak lies; prepare mitdb and "
        "train again"
    )


def _located(record: Record) -> NDArray[np.int64]:
    from einthoven.features.locating import locate_beats

    return locate_beats(record.signal, record.fs)


def _lead_of(bundle: Bundle, record: Record) -> str | None:
    return rhythm_lead(record.leads) if bundle.spec.leads == (ANY_LEAD,) else None


def _cut(record: Record, starts_s: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """Windows (beats, leads, samples) that begin at the given seconds; 0 where nothing was recorded."""
    at = np.rint(starts_s * record.fs).astype(np.int64)[:, None] + np.arange(n)
    inside = (at >= 0) & (at < record.n_samples)
    cut = record.signal[:, np.clip(at, 0, record.n_samples - 1)].transpose(1, 0, 2)
    return np.ascontiguousarray(np.where(inside[:, None], np.nan_to_num(cut), np.float32(0)))


def _facts(bundle: Bundle, peaks: NDArray[np.int64], record: Record) -> NDArray[np.float32]:
    """What the model knows beside the signal: RR intervals by name; other facts are unknown."""
    table = dict(zip(RR_FEATURES, rr_features(peaks, record.fs).T, strict=True))
    unknown = np.full(len(peaks), np.nan, np.float32)
    columns = [table.get(fact.removeprefix(_FEATURES), unknown) for fact in bundle.facts]
    return np.stack(columns, axis=1) if columns else np.empty((len(peaks), 0), np.float32)
