"""What an explanation says: attributions over lead and time, and what can be read off them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Finding, Prediction
from einthoven.explain.catalogue import METHODS
from einthoven.explain.waves import WAVES, Labelled
from einthoven.explain.wording import beats_sentence, qrs_check, rest_sentence, sum_sentence
from einthoven.record import Record

__all__ = ["NOT_A_DEVICE", "Explanation", "WaveShare", "wave_shares"]

Array = NDArray[np.float64]
NOT_A_DEVICE = "Not a medical device. It shows what moved the model, not what is wrong with the heart."


@dataclass(frozen=True, slots=True)
class WaveShare:
    """How much of what speaks for a class lies in one kind of wave.

    Attributes:
        wave: one of ``WAVES``.
        positive: share of the positive attribution.
        time: share of the samples.
    """

    wave: str
    positive: float
    time: float

    @property
    def ratio(self) -> float:
        """Share of attribution over share of time: 1 is what chance gives."""
        return self.positive / self.time if self.time else float("nan")


def wave_shares(attribution: NDArray[np.floating], labels: NDArray[np.int8]) -> tuple[WaveShare, ...]:
    """Share of the positive attribution in every kind of wave.

    Args:
        attribution: shape (leads, samples).
        labels: shape (samples,) or (leads, samples): positions in ``WAVES``; below 0 is not counted.

    Returns:
        One for each of ``WAVES``; NaN shares where nothing is positive.
    """
    labels = np.broadcast_to(labels, attribution.shape)
    positive = np.where(labels >= 0, np.maximum(attribution, 0.0), 0.0).astype(np.float64)
    total, counted = positive.sum(), (labels >= 0).sum()
    shares = []
    for k, wave in enumerate(WAVES):
        inside = labels == k
        share = float(positive[inside].sum() / total) if total > 0 else float("nan")
        shares.append(WaveShare(wave, share, float(inside.sum() / max(counted, 1))))
    return tuple(shares)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model gives a record its scores.

    Attributes:
        record: as the model saw it: its leads, its rate, mV.
        bundle: the model's name.
        method: one of ``METHODS``.
        classes: those explained.
        attribution: float32, shape (classes, leads, samples), in ``unit``.
        unit: of ``attribution``.
        scores: log-odds of the record's score before calibration, shape (classes,).
        reference: mean log-odds of what it is compared with, shape (classes,); NaN where the method compares with none.
        gap: sum of the attribution minus (score minus reference), shape (classes,); NaN where no sum is promised.
        facts: what each fact beside the signal added to each class, held against its being unknown.
        compared_with: the reference in words.
        waves: which wave each sample belongs to; None where no beats are clear or NeuroKit is not installed.
        why_no_waves: which of the two it is, in words.
        prediction: what the model says.
        notes: what a reader must know, one sentence each.
        seconds: that it took.
    """

    record: Record
    bundle: str
    method: str
    classes: tuple[str, ...]
    attribution: NDArray[np.float32]
    unit: str
    scores: Array
    reference: Array
    gap: Array
    facts: dict[str, list[float]]
    compared_with: str
    waves: Labelled | None
    why_no_waves: str
    prediction: Prediction
    notes: tuple[str, ...]
    seconds: float

    def of(self, name: str) -> NDArray[np.float32]:
        """Attribution of one class, shape (leads, samples)."""
        return self.attribution[self.classes.index(name)]

    def finding(self, name: str) -> Finding:
        """What the model says about a class."""
        return next(finding for finding in self.prediction.findings if finding.name == name)

    @property
    def contributions(self) -> Array:
        """What each lead added, shape (classes, leads): the sum over time."""
        return self.attribution.sum(axis=2, dtype=np.float64)

    @property
    def importance(self) -> Array:
        """Share of each lead in the sum of absolute attributions, shape (classes, leads); rows sum to 1."""
        size = np.abs(self.attribution).sum(axis=2, dtype=np.float64)
        return size / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)

    def wave_shares(self, name: str) -> tuple[WaveShare, ...]:
        """Share of what speaks for a class in P, QRS, ST-T and the rest; empty where no waves are known."""
        if self.waves is None or not METHODS[self.method].by_time:
            return ()
        return wave_shares(self.of(name), self.waves.labels)

    def share_of(self, name: str, wave: str) -> WaveShare | None:
        """One of the shares; None where no waves are known or nothing speaks for the class."""
        found = [share for share in self.wave_shares(name) if share.wave == wave and np.isfinite(share.positive)]
        return found[0] if found else None

    def rest_warning(self, name: str) -> str:
        """A sentence where most of what speaks for a class lies outside all waves; else empty."""
        rest = self.share_of(name, "rest")
        return rest_sentence(rest.positive) if rest else ""

    def qrs_check(self, name: str) -> dict[str, Any] | None:
        """Whether a conduction disturbance is seen in the QRS complex; None for other classes, or without time."""
        if not METHODS[self.method].by_time:
            return None
        qrs = self.share_of(name, "QRS")
        return qrs_check(name, qrs.ratio if qrs else None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the attributions themselves."""
        waves = self.waves
        return {
            "record_id": self.record.record_id,
            "model": self.bundle,
            "method": self.method,
            "method_in_words": METHODS[self.method].words,
            "meaning": METHODS[self.method].meaning,
            "unit": self.unit,
            "compared_with": self.compared_with,
            "beats": None
            if waves is None
            else {
                "delineated": len(waves.peaks) - waves.n_left_out,
                "left_out": waves.n_left_out,
                "absent_waves": list(waves.absent),
            },
            "beats_in_words": beats_sentence(self),
            "classes": [self._class_dict(k, name) for k, name in enumerate(self.classes)],
            "prediction": self.prediction.to_dict(),
            "notes": [*self.notes, NOT_A_DEVICE],
            "seconds": round(self.seconds, 3),
        }

    def _class_dict(self, k: int, name: str) -> dict[str, Any]:
        method, leads = METHODS[self.method], self.record.leads
        lead_rows = zip(leads, self.contributions[k], self.importance[k], strict=True) if method.by_lead else ()
        return {
            "class": name,
            "log_odds": _number(self.scores[k]),
            "reference_log_odds": _number(self.reference[k]),
            "completeness_gap": _number(self.gap[k]),
            "sum": _number(self.attribution[k].sum(dtype=np.float64)),
            "sum_in_words": sum_sentence(self, name),
            "leads": [
                {"lead": lead, "contribution": _number(added), "importance": _number(share)}
                for lead, added, share in lead_rows
            ],
            "waves": [
                {
                    "wave": share.wave,
                    "share_of_positive": _number(share.positive),
                    "share_of_time": _number(share.time),
                    "ratio": _number(share.ratio),
                }
                for share in self.wave_shares(name)
            ],
            "rest_warning": self.rest_warning(name) or None,
            "qrs": self.qrs_check(name),
            "facts": {fact: _number(values[k]) for fact, values in self.facts.items()},
        }


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
