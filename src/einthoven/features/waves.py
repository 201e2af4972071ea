"""Where P wave, QRS complex and T wave of the representative beat begin and end, and whether they are there at all.

One idea: a wave is there when the single beats agree on it. A delineator names a P wave in every beat, in atrial
fibrillation too; here a wave that does not repeat from beat to beat is no wave.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.features.beats import FS, Beat, neurokit, root_mean_square

__all__ = ["Span", "Waves", "delineate"]

Array = NDArray[np.float64]

_SMOOTH_S = 0.026  # running mean of the spatial velocity
_EDGE_SMOOTH_S = 0.03
_QUIET_S = 0.01
_QRS_SEARCH_S = (0.12, 0.14)  # before and after the R peak: where the velocity is largest
_QRS_SHARE = 0.12  # of the largest velocity: QRS complex
_P_ON_SHARE, _P_OFF_SHARE, _T_OFF_SHARE = 0.4, 0.5, 0.25  # of the steepest slope: P and T wave
_P_REACH_S, _T_REACH_S = 0.11, 0.2  # from peak to end of a wave at most
_HALF_PEAK_S = 0.01
_LEVEL_S = 0.02
_HOLD_S = 0.8  # so that no copy lies where NeuroKit looks for the P wave of another
_ST_LEAST_MS = 100  # from the end of the QRS complex to the T peak
_WINDOW_S = 0.06  # around the peak of a wave: what beats are asked to agree on
_AGREEMENT = 0.6  # correlation of a beat with the others, in the median
_OWN_AGREEMENT = 0.5  # of a single beat, to be counted as having the wave
_LEAST_MV = 0.008  # root mean square over leads and window


@dataclass(frozen=True, slots=True)
class Span:
    """First sample, peak and last sample of a wave in the representative beat."""

    on: int
    peak: int
    off: int


@dataclass(frozen=True, slots=True)
class Waves:
    """What was found; None where a wave is not there or its bounds are not clear.

    Attributes:
        p: the P wave.
        qrs: the QRS complex.
        t: the T wave; its first sample is the end of the QRS complex, for its onset is not defined sharply.
        p_share: share of all beats with a P wave.
    """

    p: Span | None
    qrs: Span
    t: Span | None
    p_share: float


def delineate(beat: Beat) -> Waves | None:
    """Find the waves of the representative beat; None where the QRS complex has no clear bounds.

    QRS complex: from where the spatial velocity (root mean square over leads of the derivative) rises above 12 % of
    its largest value, to where it falls below it for 10 ms. P and T peak: NeuroKit's delineation by prominence (Emrich
    et al. 2024) of the root mean square of the leads. Their ends: where the slope falls to a share of the steepest one
    (Martinez et al. 2004), in the combination of leads that is largest at the peak.
    """
    qrs = _qrs(beat)
    if qrs is None:
        return None
    first = max(qrs.on - round(_LEVEL_S * FS), 0)
    level = np.median(beat.smooth[:, first : qrs.on + 1], axis=1, keepdims=True)
    p_peak, t_peak = _peaks(root_mean_square(beat.smooth - level), qrs)
    p, p_share, t = None, 0.0, None
    if p_peak is not None and _there(beat, *(window := _window(p_peak, 0, qrs.on))):
        p, p_share = _p_wave(beat, level, p_peak, qrs), _share_with(beat, *window)
    if t_peak is not None and _there(beat, *_window(t_peak, qrs.off, beat.smooth.shape[1])):
        t = _t_wave(beat, level, t_peak, qrs)
    return Waves(p, qrs, t, p_share)


def _qrs(beat: Beat) -> Span | None:
    velocity = _running_mean(root_mean_square(np.gradient(beat.smooth, axis=-1)), round(_SMOOTH_S * FS))
    begin = max(beat.before - round(_QRS_SEARCH_S[0] * FS), 0)
    near = velocity[begin : beat.before + round(_QRS_SEARCH_S[1] * FS)]
    fastest = begin + int(near.argmax())
    n = round(_QUIET_S * FS)
    loud = np.concatenate([[0], np.cumsum(velocity >= _QRS_SHARE * near.max())])
    quiet = np.flatnonzero(loud[n:] == loud[:-n])  # first samples of stretches of 10 ms
    ahead, after = quiet[quiet + n <= fastest], quiet[quiet > fastest]
    if not (len(ahead) and len(after)):
        return None
    on, off = int(ahead[-1]) + n - 1, int(after[0])
    return Span(on, on + int(np.abs(beat.smooth[:, on:off]).max(axis=0).argmax()), off)


def _peaks(size: Array, qrs: Span) -> tuple[int | None, int | None]:
    """Peak of P and T wave, by NeuroKit, which asks for several beats: it is given the same one three times."""
    curve = size.copy()
    # One hump, so that the first of two R waves is not taken for a P wave.
    curve[qrs.on : qrs.off + 1] = np.linspace(size[qrs.on], size[qrs.off], qrs.off - qrs.on + 1)
    curve[qrs.on : qrs.off + 1] += size.max() * np.sin(np.linspace(0, np.pi, qrs.off - qrs.on + 1))
    # Between copies the ends are held, so that the tail of a T wave does not become a peak.
    hold = round(_HOLD_S * FS)
    copies = np.tile(np.pad(curve, (hold, 0), mode="edge"), 3)
    step = len(curve) + hold
    r_peaks = hold + (qrs.on + qrs.off) // 2 + step * np.arange(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, found = neurokit().ecg_delineate(
            copies, r_peaks, sampling_rate=int(FS), method="prominence", typical_st_segment=_ST_LEAST_MS
        )
    p, t = (found[f"ECG_{wave}_Peaks"][1] - step - hold for wave in "PT")
    return (int(p) if 0 < p < qrs.on else None, int(t) if qrs.off < t < len(size) - 1 else None)  # NaN is neither


def _p_wave(beat: Beat, level: Array, peak: int, qrs: Span) -> Span | None:
    curve = _strongest(beat, level, peak)
    reach = round(_P_REACH_S * FS)
    on = _end(curve[: peak + 1][::-1], reach, _P_ON_SHARE)
    if on is None:
        return None
    # A P wave that runs into the QRS complex ends there.
    off = _end(curve[peak : qrs.on], reach, _P_OFF_SHARE)
    return Span(peak - on, peak, qrs.on if off is None else peak + off)


def _t_wave(beat: Beat, level: Array, peak: int, qrs: Span) -> Span | None:
    off = _end(_strongest(beat, level, peak)[peak:], round(_T_REACH_S * FS), _T_OFF_SHARE)
    return None if off is None else Span(qrs.off, peak, peak + off)


def _strongest(beat: Beat, level: Array, peak: int) -> Array:
    """The combination of leads in which a wave is largest at its peak; positive there."""
    half = round(_HALF_PEAK_S * FS)
    at = beat.smooth[:, max(peak - half, 0) : peak + half + 1].mean(axis=1, keepdims=True) - level
    return np.asarray((at * (beat.smooth - level)).sum(axis=0) / max(float(np.linalg.norm(at)), 1e-9))


def _end(curve: Array, reach: int, share: float) -> int | None:
    """Samples from the peak, which comes first, to where the fall is slower than a share of its steepest."""
    if len(curve) < 3:
        return None
    fall = -np.gradient(_running_mean(curve, round(_EDGE_SMOOTH_S * FS)))
    steepest = int(fall[:reach].argmax())
    slow = np.flatnonzero(fall[steepest:] < share * fall[steepest])
    return steepest + int(slow[0]) if fall[steepest] > 0 and len(slow) else None


def _window(peak: int, lowest: int, highest: int) -> tuple[int, int]:
    half = round(_WINDOW_S * FS)
    return max(peak - half, lowest), min(peak + half, highest)


def _there(beat: Beat, begin: int, end: int) -> bool:
    """Whether a wave is of some size and the beats agree on it."""
    if end - begin < round(_WINDOW_S * FS):
        return False
    size = float(np.sqrt((_level_free(beat.smooth[:, begin:end]) ** 2).mean()))
    return size >= _LEAST_MV and float(np.median(_agreement(beat.alike, begin, end))) >= _AGREEMENT


def _share_with(beat: Beat, begin: int, end: int) -> float:
    """Share of all beats that have the wave of the representative beat."""
    own = _agreement(beat.alike, begin, end)
    wave = _level_free(beat.smooth[:, begin:end])
    foreign = _correlation(_level_free(beat.other[:, :, begin:end]), wave[None])
    return float((np.concatenate([own, foreign]) > _OWN_AGREEMENT).mean())


def _agreement(beats: Array, begin: int, end: int) -> Array:
    """Correlation of each beat with the mean of the others, over leads and samples, shape (beats,)."""
    parts = _level_free(beats[:, :, begin:end])
    return _correlation(parts, (parts.sum(axis=0) - parts) / (len(parts) - 1))


def _correlation(a: Array, b: Array) -> Array:
    norm = np.sqrt((a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2)))
    return np.asarray((a * b).sum(axis=(1, 2)) / np.maximum(norm, 1e-12))


def _level_free(x: Array) -> Array:
    """Without mean and slope along the last axis: a drifting baseline is no wave."""
    ramp = np.linspace(-1, 1, x.shape[-1])
    x = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(x - (x @ ramp / (ramp @ ramp))[..., None] * ramp)


def _running_mean(x: Array, n: int) -> Array:
    n = max(1, n) | 1
    padded = np.pad(x, n // 2, mode="edge")
    return np.convolve(padded, np.full(n, 1 / n), "valid")
