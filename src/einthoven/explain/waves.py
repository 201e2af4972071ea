"""Which wave of the heart does each sample belong to? P, QRS and ST-T of every beat, from the delineation of features.

One idea: the representative beat is delineated once, and its waves are laid upon every beat of its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from einthoven.features.beats import FS, MAX_S, clean, find_beats, representative_beat
from einthoven.features.waves import delineate
from einthoven.record import Record

__all__ = ["WAVES", "Labelled", "label_waves", "runs_of"]

WAVES = ("rest", "P", "QRS", "ST-T")
Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Waves of a record.

    Attributes:
        labels: of each sample, position in ``WAVES``, shape (samples,).
        peaks: samples of the R peaks.
        delineated: which of the beats got waves; those of another shape than the most frequent one did not.
        absent: waves that the beats do not have, or whose bounds are not clear.
    """

    labels: Labels
    peaks: NDArray[np.int64]
    delineated: NDArray[np.bool_]
    absent: tuple[str, ...]

    @property
    def n_left_out(self) -> int:
        """Beats without waves."""
        return int((~self.delineated).sum())


def label_waves(record: Record) -> Labelled | None:
    """Label the samples of a record; None where no beats are found or their bounds are not clear.

    ST-T reaches from the end of the QRS complex to the end of the T wave. Beats of another shape than the most frequent
    one count as rest, for nobody has delineated them. Of records above 60 s the middle 60 s are labelled.

    Raises:
        MissingExtraError: NeuroKit is not installed.
    """
    recording = clean(record.signal, record.fs)
    peaks = np.empty(0, np.int64) if recording is None else find_beats(recording)
    if recording is None or not len(peaks):
        return None
    beat, alike = representative_beat(recording, peaks)
    waves = None if beat is None else delineate(beat)
    if beat is None or waves is None:
        return None
    first = (record.n_samples - min(record.n_samples, round(MAX_S * record.fs))) // 2
    labels, at = np.zeros(record.n_samples, np.int8), first + peaks / FS * record.fs
    # QRS last: where waves meet, the complex has the sample.
    spans = {"P": waves.p, "ST-T": waves.t, "QRS": waves.qrs}
    for name, span in spans.items():
        if span is not None:
            on, off = ((edge - beat.before) / FS * record.fs for edge in (span.on, span.off))
            for peak in at[alike]:
                labels[max(0, round(peak + on)) : max(0, round(peak + off) + 1)] = WAVES.index(name)
    peaks = np.clip(np.rint(at).astype(np.int64), 0, record.n_samples - 1)
    return Labelled(labels, peaks, alike, tuple(name for name, span in spans.items() if span is None))


def runs_of(labels: NDArray[np.integer]) -> list[tuple[int, int, int]]:
    """Stretches of one label: (label, first sample, sample after the last).

    >>> runs_of(np.array([0, 0, 2, 2, 0]))
    [(0, 0, 2), (2, 2, 4), (0, 4, 5)]
    """
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return [(int(labels[a]), a, b) for a, b in pairwise(edges) if b > a]
