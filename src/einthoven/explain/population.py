"""What moves a model over many records: per lead, per wave, and on the average beat.

One idea: every record counts once; its beats are averaged before records are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.explain.catalogue import METHODS
from einthoven.explain.checks import mean_interval
from einthoven.explain.explanation import Explanation, WaveShare
from einthoven.explain.waves import WAVES
from einthoven.explain.wording import rest_sentence

__all__ = ["BEFORE_S", "ClassSummary", "Population"]

Array = NDArray[np.float64]
BEFORE_S, _AFTER_S = 0.3, 0.5  # of the R peak


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over the records in which the model finds it.

    Attributes:
        name: of the class.
        n_records: explained.
        leads: names.
        mean_absolute: mean over records of the sum of absolute attributions of each lead, shape (leads,).
        sem: its standard error; None where there is one record only.
        contribution: mean over records of what each lead added, shape (leads,).
        beat: mean attribution around the R peak, shape (leads, samples); None where no record has whole, clear beats.
        signal: mean signal there, mV, same shape.
        n_beats: records behind ``beat``.
        fs: samples per second of ``beat``.
        waves: of each of ``WAVES`` share of the positive attribution over share of time, mean over records with its
            interval; beside it the mean shares themselves.
        beats: beats that were delineated and left out, and records without clear waves.
    """

    name: str
    n_records: int
    leads: tuple[str, ...]
    mean_absolute: Array
    sem: Array | None
    contribution: Array
    beat: Array | None
    signal: Array | None
    n_beats: int
    fs: float
    waves: dict[str, dict[str, Any]]
    beats: dict[str, int]

    @property
    def rest_warning(self) -> str:
        """A sentence where most of what speaks for the class lies outside all waves; else empty."""
        share = self.waves["rest"]["share_of_positive"]
        return "" if share is None else rest_sentence(share)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what one record cannot tell is None."""
        sem = [None] * len(self.leads) if self.sem is None else self.sem.tolist()
        rows = zip(self.leads, self.mean_absolute, sem, self.contribution, strict=True)
        return {
            "class": self.name,
            "n_records": self.n_records,
            "leads": [
                {"lead": lead, "mean_absolute": float(m), "sem": s, "contribution": float(c)} for lead, m, s, c in rows
            ],
            "waves": self.waves,
            "beats": self.beats,
            "rest_warning": self.rest_warning or None,
        }


@dataclass
class _Sums:
    absolute: list[Array] = field(default_factory=list)
    contribution: list[Array] = field(default_factory=list)
    beat: list[Array] = field(default_factory=list)
    signal: list[Array] = field(default_factory=list)
    shares: list[tuple[WaveShare, ...]] = field(default_factory=list)
    delineated: int = 0
    left_out: int = 0
    without: int = 0  # records


class Population:
    """Takes explanations of one model and method, one by one, and keeps no record of them but sums."""

    def __init__(self, leads: tuple[str, ...], fs: float) -> None:
        self.leads, self.fs = leads, fs
        self._of: dict[str, _Sums] = {}

    def add(self, explanation: Explanation) -> None:
        """Count an explanation in."""
        for k, name in enumerate(explanation.classes):
            sums, attribution = self._of.setdefault(name, _Sums()), explanation.attribution[k]
            sums.absolute.append(np.abs(attribution).sum(axis=1, dtype=np.float64))
            sums.contribution.append(attribution.sum(axis=1, dtype=np.float64))
            if METHODS[explanation.method].by_time:
                self._add_waves(sums, explanation, name)

    def _add_waves(self, sums: _Sums, explanation: Explanation, name: str) -> None:
        waves = explanation.waves
        if waves is None:
            sums.without += 1
            return
        sums.shares.append(explanation.wave_shares(name))
        sums.delineated += len(waves.peaks) - waves.n_left_out
        sums.left_out += waves.n_left_out
        self._add_beats(sums, explanation.of(name), explanation.record.signal, waves.peaks)

    def _add_beats(
        self, sums: _Sums, attribution: NDArray[np.float32], signal: NDArray[np.float32], peaks: NDArray[np.int64]
    ) -> None:
        before, after = round(BEFORE_S * self.fs), round(_AFTER_S * self.fs)
        whole = peaks[(peaks >= before) & (peaks + after <= attribution.shape[1])]
        if len(whole):
            at = whole[:, None] + np.arange(-before, after)
            sums.beat.append(attribution[:, at].mean(axis=1, dtype=np.float64))
            sums.signal.append(np.nan_to_num(signal[:, at]).mean(axis=1, dtype=np.float64))

    def summaries(self) -> dict[str, ClassSummary]:
        """What was found for each class, most frequent first."""
        order = sorted(self._of, key=lambda name: -len(self._of[name].absolute))
        return {name: self._summary(name, self._of[name]) for name in order}

    def _summary(self, name: str, sums: _Sums) -> ClassSummary:
        absolute = np.stack(sums.absolute)
        n = len(absolute)
        return ClassSummary(
            name=name,
            n_records=n,
            leads=self.leads,
            mean_absolute=absolute.mean(axis=0),
            sem=absolute.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else None,
            contribution=np.mean(sums.contribution, axis=0),
            beat=np.mean(sums.beat, axis=0) if sums.beat else None,
            signal=np.mean(sums.signal, axis=0) if sums.signal else None,
            n_beats=len(sums.beat),
            fs=self.fs,
            waves={wave: _wave_row([shares[k] for shares in sums.shares]) for k, wave in enumerate(WAVES)},
            beats={
                "delineated": sums.delineated,
                "left_out": sums.left_out,
                "records_without_waves": sums.without,
            },
        )


def _wave_row(shares: Sequence[WaveShare]) -> dict[str, Any]:
    """Ratio with its interval, and the mean shares of records where something speaks for the class."""
    known = [share for share in shares if np.isfinite(share.positive)]
    return {
        **mean_interval([share.ratio for share in known]),
        "share_of_positive": float(np.mean([share.positive for share in known])) if known else None,
        "share_of_time": float(np.mean([share.time for share in known])) if known else None,
    }
