"""The one way from a record to findings: quality, conform, windows, network, aggregate, decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle.prediction import Finding, Prediction
from einthoven.decisions import Decided, Decisions, Novelty
from einthoven.errors import ConformError, RecordError
from einthoven.record import Record
from einthoven.runtimes import Network
from einthoven.signals import (
    MIN_DURATION_S,
    Flag,
    aggregate,
    check_signal,
    conform,
    feature_names,
    record_features,
    windows,
)
from einthoven.spec import SignalSpec

__all__ = ["Bundle", "to_probabilities"]

Array = NDArray[np.float64]

# What a conformal set says: whether it holds "present", and "absent".
_SURE = {
    (True, False): "present",
    (False, True): "absent",
    (True, True): "undecided",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model.

    Attributes:
        path: its folder.
        name: for people.
        spec: the form of signals that its windows are cut from.
        window: samples per window.
        stride: samples from one window to the next.
        how: ``"mean"`` or ``"max"`` over windows.
        kind: ``"multilabel"`` or ``"multiclass"``.
        classes: names in the order of the logits.
        descriptions: classes in words.
        decisions: calibration, thresholds, conformal sets and contradictions, fitted on validation records.
        about: everything else that ``bundle.json`` says (network, provenance, metrics, licence).
        network: the loaded graph.
        novelty: tells records unlike those of training; None where the bundle has no detector.
        facts: names of what the network sees beside the signal; see ``einthoven.facts``.
    """

    path: Path
    name: str
    spec: SignalSpec
    window: int
    stride: int
    how: str
    kind: Literal["multilabel", "multiclass"]
    classes: tuple[str, ...]
    descriptions: Mapping[str, str]
    decisions: Decisions
    about: Mapping[str, Any] = field(repr=False)  # pages of it
    network: Network = field(repr=False)
    novelty: Novelty | None = field(default=None, repr=False)
    facts: tuple[str, ...] = ()

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The threshold of each class, None where none could be fitted."""
        return dict(zip(self.classes, self.decisions.thresholds, strict=True))

    def scores(self, x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> Array:
        """The network's scores, 0 to 1 and not calibrated, (windows, classes) of windows (windows, leads, samples).

        Args:
            x: millivolts.
            facts: shape (windows, facts), NaN where unknown; all are unknown where none are given.
        """
        if not self.facts:
            facts = None  # a table without columns is no input
        elif facts is None:
            facts = np.full((len(x), len(self.facts)), np.nan, np.float32)
        return to_probabilities(self.network(x, facts), self.kind)

    def predict(self, record: Record) -> Prediction:
        """Judge one record: quality, conform, windows, network, aggregate, decide.

        A record that is not fit (a lead missing beyond derivation, no heart's amplitudes, too short, too many missing
        samples) is refused by name in ``flags``; lesser faults are flagged.

        Raises:
            RecordError: no record, but a path or an array.
        """
        return self.predict_many([record])[0]

    def predict_many(self, records: Sequence[Record]) -> list[Prediction]:
        """Judge several records as ``predict`` does, their windows in one call of the network."""
        _check_records(records)
        begun = [self._check(record) for record in records]
        found = [prediction for prediction, _ in begun]
        fit = [k for k, (_, conformed) in enumerate(begun) if conformed is not None]
        ready = [conformed for _, conformed in begun if conformed is not None]
        if not ready:
            return found
        odd, looked_up = self._check_novelty(ready), [self._look_up(record) for record in ready]
        cuts = [windows(record.signal, self.window, self.stride)[0] for record in ready]
        rows = [np.repeat(row[None], len(cut), axis=0) for (row, _), cut in zip(looked_up, cuts, strict=True)]
        first = np.cumsum([0, *map(len, cuts[:-1])])
        p = aggregate(self.scores(np.concatenate(cuts), np.concatenate(rows)), first, self.how)
        decided = self.decisions.decide(p)
        for row, k in enumerate(fit):
            flags = (*found[k].flags, *odd[row], *looked_up[row][1])
            found[k] = replace(found[k], findings=self._findings(decided, row), flags=flags)
        return found

    def _check(self, record: Record) -> tuple[Prediction, Record | None]:
        """A prediction without findings, and the conformed record, None where it is refused."""
        try:
            conformed = conform(record, self.spec)
        except ConformError as error:
            flag = Flag("does_not_conform", str(error), True)
            return Prediction(record.record_id, (), (flag,), record.notes), None
        flags = check_signal(conformed.signal, self.spec.fs, self.spec.leads) + self._check_rate(record.fs)
        flags += self._check_kind(conformed.duration_s)
        if any(flag.refuse for flag in flags):
            return Prediction(record.record_id, (), tuple(flags), conformed.notes), None
        if conformed.n_samples < self.window:
            text = f"{conformed.duration_s:.2f} s is less than the model's window of {self.window / self.spec.fs:g} s"
            flags.append(Flag("padded", f"{text}; the rest was filled with zeros", False))
        return Prediction(record.record_id, (), tuple(flags), conformed.notes), conformed

    def _look_up(self, conformed: Record) -> tuple[NDArray[np.float32], list[Flag]]:
        """Facts of a record, and which of them nobody knows."""
        if not self.facts:
            return np.empty(0, np.float32), []
        from einthoven.facts import facts_of_record

        facts, why = facts_of_record(conformed, self.facts)
        unknown = [name for name, value in zip(self.facts, facts, strict=True) if np.isnan(value)]
        if not unknown:
            return facts, []
        some = ", ".join(unknown[:4]) + (" ..." if len(unknown) > 4 else "")
        text = f"{len(unknown)} of {len(self.facts)} facts that the model can use are unknown: {some}"
        return facts, [Flag("facts_unknown", "; ".join([text, *why]), False)]

    def _check_rate(self, fs: float) -> list[Flag]:
        if fs >= self.spec.fs:
            return []
        text = f"recorded at {fs:g} Hz, below the model's {self.spec.fs:g} Hz"
        return [Flag("low_rate", f"{text}: is the rate right?", fs < self.spec.fs / 2)]

    def _check_kind(self, duration_s: float) -> list[Flag]:
        beat_s = self.about["provenance"].get("record_s", np.inf)
        if beat_s >= MIN_DURATION_S or duration_s <= 2 * beat_s:
            return []
        text = (
            f"the model judges single beats cut out around their R peak ({beat_s:g} s), not a recording of "
            f"{duration_s:.1f} s; einthoven beats finds and judges those of a recording"
        )
        return [Flag("no_beat", text, True)]

    def _check_novelty(self, records: Sequence[Record]) -> list[list[Flag]]:
        """Flags of each record; those of one length are measured together."""
        flags: list[list[Flag]] = [[] for _ in records]
        if self.novelty is None:
            return flags
        for length in {record.n_samples for record in records}:
            alike = [k for k, record in enumerate(records) if record.n_samples == length]
            signals = np.stack([records[k].signal for k in alike])
            features = record_features(signals, self.spec.fs, self.spec.leads)
            for k, row, score in zip(alike, features, self.novelty.score(features), strict=True):
                flags[k] = self._novelty_flags(row, float(score), self.novelty)
        return flags

    def _novelty_flags(self, features: Array, score: float, detector: Novelty) -> list[Flag]:
        if score <= detector.threshold:
            return []
        names = feature_names(self.spec.leads)
        odd = ", ".join(names[k] for k in detector.most_unusual(features))
        bound = f"score {score:.1f}, alarm above {detector.threshold:.1f}"
        text = f"unlike the records of training ({bound}), most in {odd}"
        return [Flag("unlike_training", text, False)]

    def decide(self, p: Array) -> tuple[Finding, ...]:
        """Turn the scores of one record, shape (classes,), into findings."""
        return self._findings(self.decisions.decide(p[None]), 0)

    def _findings(self, decided: Decided, row: int) -> tuple[Finding, ...]:
        return tuple(self._finding(decided, row, k) for k in range(len(self.classes)))

    def _finding(self, decided: Decided, row: int, k: int) -> Finding:
        name, limit = self.classes[k], self.decisions.thresholds[k]
        undecided = limit is None and self.kind == "multilabel"
        sure = None
        if decided.may_be_present is not None and decided.may_be_absent is not None:
            sure = _SURE[bool(decided.may_be_present[row, k]), bool(decided.may_be_absent[row, k])]
        return Finding(
            name=name,
            description=self.descriptions.get(name, ""),
            probability=float(decided.probabilities[row, k]),
            threshold=limit,
            present=None if undecided else bool(decided.present[row, k]),
            overruled=bool(decided.overruled[row, k]),
            sure=sure,
        )


def _check_records(records: Sequence[Record]) -> None:
    """Refuse paths and arrays, which tell neither leads nor rate nor unit."""
    for given in records:
        if not isinstance(given, Record):
            shape = f" of shape {given.shape}" if isinstance(given, np.ndarray) else ""
            raise RecordError(
                f"a model judges records, got {type(given).__name__}{shape}; read a file with "
                "einthoven.read_record(path), or write einthoven.Record(signal, fs, leads) for an array in mV"
            )


def to_probabilities(logits: NDArray[np.float32], kind: str) -> Array:
    """Sigmoid of each logit, or softmax over classes that exclude each other."""
    z = np.asarray(logits, dtype=np.float64)
    if kind == "multiclass":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):  # a logit below -709 is a probability of 0
        return np.asarray(1 / (1 + np.exp(-z)))
