"""Where are the beats of a recording of any length? Found in pieces of a minute that overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from einthoven.features.beats import FS, clean, find_beats

__all__ = ["locate_beats"]

_PIECE_S, _OVERLAP_S = 50.0, 5.0  # a piece is read with what is around it, and keeps the beats within
_REFINE_S, _LEVEL_S = 0.05, 0.3
_REFRACTORY_S = 0.2  # no second beat sooner


def locate_beats(signal: NDArray[np.float32], fs: float) -> NDArray[np.int64]:
    """R peaks as samples of the signal, ascending.

    NeuroKit's detector on the root mean square of the leads (see ``find_beats``), then moved to where the leads are
    farthest from their level within 0.05 s, as annotators mark it. Stretches in which no row of QRS complexes is to be
    seen have none.

    Args:
        signal: shape (leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.

    Raises:
        MissingExtraError: NeuroKit is not installed.
    """
    n, piece, overlap = signal.shape[1], round(_PIECE_S * fs), round(_OVERLAP_S * fs)
    found: list[NDArray[np.int64]] = []
    for start in range(0, max(n, 1), piece):
        low, high = max(0, start - overlap), min(n, start + piece + overlap)
        recording = clean(signal[:, low:high], fs)
        if recording is None:
            continue
        peaks = low + np.rint(find_beats(recording) * (fs / FS)).astype(np.int64)
        found.append(peaks[(peaks >= start) & (peaks < start + piece)])
    peaks = np.concatenate([*found, np.empty(0, np.int64)])
    return _apart(_refined(signal, peaks, fs), _REFRACTORY_S * fs)


def _refined(signal: NDArray[np.float32], peaks: NDArray[np.int64], fs: float) -> NDArray[np.int64]:
    """Move each peak to where the leads are farthest from their level around it."""
    if not len(peaks):
        return peaks
    around, near = (np.arange(-round(reach * fs), round(reach * fs) + 1) for reach in (_LEVEL_S, _REFINE_S))
    x, last = np.nan_to_num(signal), signal.shape[1] - 1
    level = np.median(x[:, np.clip(peaks[:, None] + around, 0, last)], axis=-1, keepdims=True)
    at = np.clip(peaks[:, None] + near, 0, last)
    size = ((x[:, at] - level) ** 2).mean(axis=0)
    return np.asarray(at[np.arange(len(at)), size.argmax(axis=1)])


def _apart(peaks: NDArray[np.int64], least: float) -> NDArray[np.int64]:
    """Each peak once: of two that are nearer than a heart can beat, the first."""
    peaks = np.unique(peaks)
    return peaks[np.diff(peaks, prepend=-np.inf) >= least]
