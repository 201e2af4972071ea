"""What moves a model over many records: per lead, per wave, and on the average beat.

One idea: every record counts once; its beats are averaged before records are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.explain.checks import mean_interval
from einthoven.explain.explanation import Explanation
from einthoven.explain.methods import METHODS
from einthoven.explain.waves import WAVES

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
        sem: its standard error.
        contribution: mean over records of what each lead added, shape (leads,).
        beat: mean attribution around the R peak, shape (leads, samples); None where no record has whole beats.
        signal: mean signal there, mV, same shape.
        n_beats: records behind ``beat``.
        fs: samples per second of ``beat``.
        waves: of each of ``WAVES`` share of the positive attribution over share of time, mean over records.
    """

    name: str
    n_records: int
    leads: tuple[str, ...]
    mean_absolute: Array
    sem: Array
    contribution: Array
    beat: Array | None
    signal: Array | None
    n_beats: int
    fs: float
    waves: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = zip(self.leads, self.mean_absolute, self.sem, self.contribution, strict=True)
        return {
            "class": self.name,
            "n_records": self.n_records,
            "leads": [
                {"lead": lead, "mean_absolute": float(m), "sem": float(s), "contribution": float(c)}
                for lead, m, s, c in rows
            ],
            "waves": self.waves,
        }


@dataclass
class _Sums:
    absolute: list[Array] = field(default_factory=list)
    contribution: list[Array] = field(default_factory=list)
    beat: list[Array] = field(default_factory=list)
    signal: list[Array] = field(default_factory=list)
    ratios: list[list[float]] = field(default_factory=list)


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
            if shares := explanation.wave_shares(name):
                sums.ratios.append([share.ratio for share in shares])
            if explanation.waves is not None and METHODS[explanation.method].by_time:
                self._add_beats(sums, attribution, explanation.record.signal, explanation.waves.peaks)

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
        sem = absolute.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(self.leads), np.nan)
        ratios = np.array(sums.ratios).reshape(-1, len(WAVES)).T
        return ClassSummary(
            name=name,
            n_records=n,
            leads=self.leads,
            mean_absolute=absolute.mean(axis=0),
            sem=sem,
            contribution=np.mean(sums.contribution, axis=0),
            beat=np.mean(sums.beat, axis=0) if sums.beat else None,
            signal=np.mean(sums.signal, axis=0) if sums.signal else None,
            n_beats=len(sums.beat),
            fs=self.fs,
            waves={wave: mean_interval(values.tolist()) for wave, values in zip(WAVES, ratios, strict=True)},
        )
