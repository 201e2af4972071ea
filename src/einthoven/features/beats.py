"""Where the beats are, and the one beat that stands for them.

One idea: beats of one shape are laid upon each other, and their median is what is measured; what differs from beat to
beat (noise, breathing, an odd beat) is gone from it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import MissingExtraError
from einthoven.signals import resample

__all__ = ["FS", "Beat", "Recording", "clean", "find_beats", "neurokit", "representative_beat"]

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

FS = 500.0  # Hz of all that is measured
MAX_S = 60.0
_LEAST_S = 1.0
_MAX_MISSING = 0.2
_FLAT_MV = 0.002
# Zero-phase high-pass below 0.67 Hz keeps the ST level, Kligfield et al. 2007.
_BASELINE_HZ, _NOISE_HZ = 0.5, 40.0
_QRS_HZ = (5.0, 25.0)
_LEAST_PEAK_MV = 0.03
# Of the R peaks over the record's median. Noise: below 1.7 in twelve leads, below 5 in one; PTB-XL: 99 % above 7.9.
_LEAST_CONTRAST = 5.0
_QRS_S, _SHAPE_S = 0.06, 0.1  # half widths of what is aligned, and of what is compared
_SHIFT_S = 0.03
_ALIKE = 0.85
_BEFORE, _AFTER = (0.5, 0.55), (0.58, 0.7)  # of the RR interval, and at most so many seconds


@dataclass(frozen=True, slots=True)
class Recording:
    """A record made ready: at 500 Hz, without baseline wander, leads that tell something only.

    Attributes:
        rows: which leads of the record these are.
        wide: high-passed, for amplitudes, mV, shape (leads, samples).
        smooth: 0.5 to 40 Hz, for times, mV, shape (leads, samples).
        recorded: whether all these leads were recorded, shape (samples,).
    """

    rows: Positions
    wide: Array
    smooth: Array
    recorded: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Beat:
    """The median of the beats of the most frequent shape, and the beats themselves.

    Attributes:
        wide: shape (leads, samples), mV, high-passed.
        smooth: shape (leads, samples), mV, 0.5 to 40 Hz.
        before: sample of the R peak.
        alike: smooth beats of that shape, shape (beats, leads, samples).
        other: smooth beats of any other shape, likewise.
    """

    wide: Array
    smooth: Array
    before: int
    alike: Array
    other: Array


def clean(signal: NDArray[np.float32], fs: float) -> Recording | None:
    """Bring a record to 500 Hz and remove baseline wander; None where no lead tells anything.

    Leads that are flat, or missing for more than a fifth, are left out; shorter gaps are bridged by straight lines and
    remembered. Of a record above 60 s the middle 60 s are taken.

    Args:
        signal: shape (leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.
    """
    n = min(signal.shape[1], round(MAX_S * fs))
    first = (signal.shape[1] - n) // 2
    signal = signal[:, first : first + n]
    if n < _LEAST_S * fs:
        return None
    finite = np.isfinite(signal)
    fit = finite.mean(axis=1) >= 1 - _MAX_MISSING
    rows = np.flatnonzero(fit)[[np.ptp(signal[k][finite[k]]) >= _FLAT_MV for k in np.flatnonzero(fit)]]
    if not len(rows):
        return None
    x = np.stack([_bridged(signal[k], finite[k]) for k in rows])
    # Offsets of many mV would ring in single precision.
    x = resample(x - np.median(x, axis=1, keepdims=True), fs, FS)
    wide = _filtered(x, "highpass", _BASELINE_HZ)
    smooth = _filtered(wide, "lowpass", _NOISE_HZ)
    source = np.minimum((np.arange(x.shape[1]) * (fs / FS)).astype(np.int64), n - 1)
    recorded = np.asarray(finite[rows].all(axis=0))[source]
    return Recording(rows, wide, smooth, recorded)


def find_beats(recording: Recording) -> Positions:
    """R peaks of a record, as samples at 500 Hz; none where what is there is no row of QRS complexes.

    NeuroKit's detector (Brammer 2020, in Makowski et al. 2021) on the root mean square of the leads at 5 to 25 Hz.

    Raises:
        MissingExtraError: NeuroKit is not installed.
    """
    nk = neurokit()
    size = root_mean_square(_filtered(recording.smooth, "bandpass", *_QRS_HZ))
    if size.max() < _LEAST_PEAK_MV:
        return np.empty(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means over nothing where there is no peak
        found = nk.ecg_findpeaks(size, sampling_rate=int(FS), method="neurokit", show=False)["ECG_R_Peaks"]
    peaks = np.asarray(found, np.int64)
    peaks = peaks[recording.recorded[peaks]]
    typical = float(np.median(size[recording.recorded]))
    if len(peaks) < 2 or np.median(size[peaks]) < max(_LEAST_PEAK_MV, _LEAST_CONTRAST * typical):
        return np.empty(0, np.int64)
    return peaks


def neurokit() -> ModuleType:
    """Return the neurokit2 package, loaded here because that takes seconds.

    Raises:
        MissingExtraError: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what SciPy has put aside
        try:
            import neurokit2
        except ModuleNotFoundError:
            raise MissingExtraError("measuring ECGs", "features") from None
    module: ModuleType = neurokit2
    return module


def representative_beat(recording: Recording, peaks: Positions) -> tuple[Beat | None, NDArray[np.bool_]]:
    """Median of the beats of the most frequent shape, and which of the peaks have that shape.

    Beats of one shape correlate above 0.85 within 0.1 s of the R peak; they are shifted by up to 0.03 s to fit. A beat
    reaches from 50 % of the RR interval (at most 0.55 s) before the R peak to 58 % (at most 0.7 s) after it. None where
    fewer than two such beats were recorded whole.
    """
    alike = _most_alike(recording, peaks)
    interval = float(np.median(np.diff(peaks))) / FS
    before, after = (int(min(share * interval, most) * FS) for share, most in (_BEFORE, _AFTER))
    aligned = _aligned(recording, peaks[alike])
    aligned = aligned[_whole(recording, aligned, before, after)]
    if len(aligned) < 2:
        return None, alike
    other = peaks[~alike]
    other = other[_whole(recording, other, before, after)]
    smooth = _cut(recording.smooth, aligned, before, after)
    wide = np.median(_cut(recording.wide, aligned, before, after), axis=0)
    beat = Beat(wide, np.median(smooth, axis=0), before, smooth, _cut(recording.smooth, other, before, after))
    return beat, alike


def root_mean_square(x: Array) -> Array:
    """Root mean square over leads, shape (samples,): one curve that is high wherever any lead moves."""
    return np.asarray(np.sqrt((x**2).mean(axis=0)))


@lru_cache(maxsize=8)
def _sections(kind: str, edges_hz: tuple[float, ...]) -> Array:
    from scipy import signal  # 0.75 s to import

    return np.asarray(signal.butter(2, edges_hz if len(edges_hz) > 1 else edges_hz[0], kind, fs=FS, output="sos"))


def _filtered(x: NDArray[np.floating], kind: str, *edges_hz: float) -> Array:
    """Butterworth of order 2, forwards and backwards, so that nothing moves in time.

    As ``signals.filters``, with the design kept: making it costs as much as filtering a record.
    """
    from scipy import signal

    pad = min(int(FS), x.shape[-1] - 1)
    return np.asarray(signal.sosfiltfilt(_sections(kind, edges_hz), x, axis=-1, padtype="even", padlen=pad), np.float64)


def _bridged(lead: NDArray[np.float32], finite: NDArray[np.bool_]) -> NDArray[np.float32]:
    if finite.all():
        return lead
    at = np.arange(len(lead))
    return np.interp(at, at[finite], lead[finite]).astype(np.float32)


def _whole(recording: Recording, peaks: Positions, before: int, after: int) -> NDArray[np.bool_]:
    """Which beats lie within the record and were recorded in every lead."""
    inside = (peaks >= before) & (peaks + after <= len(recording.recorded))
    missing = np.concatenate([[0], np.cumsum(~recording.recorded)])
    begin, end = np.maximum(peaks - before, 0), np.minimum(peaks + after, len(recording.recorded))
    return np.asarray(inside & (missing[end] == missing[begin]))


def _cut(x: Array, peaks: Positions, before: int, after: int) -> Array:
    """Return the beats, shape (beats, leads, samples)."""
    return np.ascontiguousarray(x[:, peaks[:, None] + np.arange(-before, after)].transpose(1, 0, 2))


def _most_alike(recording: Recording, peaks: Positions) -> NDArray[np.bool_]:
    """Which peaks have the shape that most have."""
    half = round(_SHAPE_S * FS)
    whole = _whole(recording, peaks, half, half)
    alike = np.zeros(len(peaks), bool)
    if whole.any():
        shapes = _cut(recording.smooth, peaks[whole], half, half)
        shapes = (shapes - shapes.mean(axis=-1, keepdims=True)).reshape(len(shapes), -1)
        shapes /= np.maximum(np.linalg.norm(shapes, axis=1, keepdims=True), 1e-9)
        near = shapes @ shapes.T > _ALIKE
        alike[whole] = near[near.sum(axis=1).argmax()]
    return alike


def _aligned(recording: Recording, peaks: Positions) -> Positions:
    """Shift every beat to where its QRS complex fits the median one best, by least squares, twice."""
    half, reach = round(_QRS_S * FS), round(_SHIFT_S * FS)
    for _ in range(2):
        peaks = peaks[_whole(recording, peaks, half + reach, half + reach)]
        if len(peaks) < 2:
            return peaks
        cut = _cut(recording.smooth, peaks, half + reach, half + reach)
        cut -= cut.mean(axis=-1, keepdims=True)
        median = np.median(cut, axis=0)[:, reach:-reach]
        shifted = np.lib.stride_tricks.sliding_window_view(cut, 2 * half, axis=-1)
        energy = np.concatenate([np.zeros((len(cut), 1)), np.cumsum((cut**2).sum(axis=1), axis=1)], axis=1)
        misfit = energy[:, 2 * half :] - energy[:, : -2 * half] - 2 * np.einsum("nlkw,lw->nk", shifted, median)
        peaks = peaks + misfit.argmin(axis=1) - reach
    return peaks
