"""What a record is like, in about 190 numbers: size, spectrum, shape, how leads go together, and whether a heart beats.

One idea: numbers that no network made, to ask whether a record resembles those a network was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from einthoven.leads import LIMB_LEADS, limb_lead_weights
from einthoven.signals.windows import window_starts

__all__ = ["feature_names", "feature_parts", "record_features", "segment_features", "segment_starts"]

Array = NDArray[np.float64]

SEGMENT_S = 10.0
MAX_SEGMENTS = 6
_FLOOR_MV = 1e-3  # below a converter's step: as good as flat
_RESIDUAL_FLOOR = 0.1  # of the size of the limb leads: coarse converters and derived leads stay below
_BANDS_HZ = ((0.0, 0.7), (5.0, 15.0), (15.0, 35.0), (35.0, 150.0))
_SHARE_FLOOR = 1e-5
_LARGEST_CORRELATION = 0.999
_BEAT_S = (0.3, 2.0)  # 200 to 30 beats a minute
_SMOOTH_S = 0.1
_REPOLARISATION_S = 0.3  # from the QRS complex to the T wave
_N_BEAT = 3
_LEAST_SAMPLES = 16

_PER_LEAD = (
    "amplitude",
    "content below 0.7 Hz",
    "content at 5 to 15 Hz",
    "content at 15 to 35 Hz",
    "content above 35 Hz",
    "peakedness",
    "skewness",
    "skewness of slopes",
    "asymmetry in time",
)


def feature_names(leads: Sequence[str]) -> tuple[str, ...]:
    """Names of the features in the order of ``record_features``."""
    return _names(tuple(leads))


@lru_cache(maxsize=64)
def _names(leads: tuple[str, ...]) -> tuple[str, ...]:
    own = [f"{what} of {lead}" for what in _PER_LEAD for lead in leads]
    pairs = [f"correlation of {a} and {b}" for k, a in enumerate(leads) for b in leads[k + 1 :]]
    laws = [f"Einthoven's law in {lead}" for lead, _ in _laws(leads)]
    means = [f"mean {what}" for what in _PER_LEAD]
    return (*own, *pairs, *laws, "strength of the beat", "interval of the beat", "sharpness of the beat", *means)


def feature_parts(leads: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns of two looks at a record: lead by lead and pair by pair; and on the whole, with the beat.

    A fault in few leads shows in the first, one that is the same in all (noise, gain) in the second.
    """
    n, n_means = len(feature_names(leads)), len(_PER_LEAD)
    return np.arange(n - n_means), np.arange(n - n_means - _N_BEAT, n)


@lru_cache(maxsize=64)
def segment_starts(n_samples: int, fs: float) -> tuple[NDArray[np.int64], int]:
    """Which parts of a record are looked at: up to six of 10 s, spread evenly; a shorter record whole.

    Returns:
        First sample of each part, and samples per part.
    """
    length = min(n_samples, round(SEGMENT_S * fs))
    every = window_starts(n_samples, length, length)
    chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), MAX_SEGMENTS)).round().astype(int))
    return every[chosen], length


def record_features(x: NDArray[np.float32], fs: float, leads: Sequence[str]) -> Array:
    """Features of records of any length: the median over their parts, see ``segment_starts``.

    Args:
        x: shape (leads, samples) or (records, leads, samples), mV; NaN counts as 0, as a network is given it.
        fs: rate in Hz.
        leads: names of the rows.

    Returns:
        Shape (features,) or (records, features).
    """
    starts, length = segment_starts(x.shape[-1], fs)
    records = x.reshape(-1, *x.shape[-2:])
    parts = np.concatenate([records[..., start : start + length] for start in starts])
    features = segment_features(parts, fs, leads).reshape(len(starts), *x.shape[:-2], -1)
    return np.asarray(features[0] if len(starts) == 1 else np.median(features, axis=0))


def segment_features(x: NDArray[np.float32], fs: float, leads: Sequence[str]) -> Array:
    """Features of parts of equal length.

    Per lead: log10 of the standard deviation in mV; log10 of the share of power in four bands; log10 of the kurtosis;
    skewness of values and of slopes; and the time asymmetry E[x(t)^2 x(t+s) - x(t) x(t+s)^2] / sd^3 with s = 0.3 s,
    which tells a T wave after a QRS complex from one before it. Per pair of leads: Fisher's z of the correlation. Per
    limb lead that follows from two others: log10 of the rest that Einthoven's and Goldberger's laws leave, relative to
    the limb leads. Of the beat: Fisher's z and log2 of the lag (s) of the largest autocorrelation of the steepness at
    0.3 to 2 s, and log10 of the kurtosis of the steepness. At the end the means over leads of what is told per lead.

    Args:
        x: shape (parts, leads, samples), mV; NaN counts as 0, and fewer than 16 samples are followed by zeros.
        fs: rate in Hz.
        leads: names of the rows.

    Returns:
        Shape (parts, features), finite.
    """
    x = np.asarray(x, dtype=np.float32)
    if not np.isfinite(x).all():
        x = np.nan_to_num(x, nan=0.0)
    if x.shape[-1] < _LEAST_SAMPLES:
        x = np.pad(x, [(0, 0), (0, 0), (0, _LEAST_SAMPLES - x.shape[-1])])
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.maximum(centred.std(axis=-1, dtype=np.float64), _FLOOR_MV)
    z = centred / spread[..., None].astype(np.float32)  # unit variance per lead; a flat one stays near zero
    slope = z[..., 1:] - z[..., :-1]
    size, form = np.log10(spread), np.stack([*_bands(z, fs), *_shape(z, slope, fs)])
    columns = [size, *form, _correlations(z), _law_residuals(x, leads), _beat(slope, fs)]
    return np.concatenate([*columns, size.mean(axis=1)[:, None], form.mean(axis=-1).T], axis=1)


def _bands(z: NDArray[np.float32], fs: float) -> Array:
    spectrum = np.fft.rfft(z, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    total = np.maximum(power.sum(axis=-1), 1e-12)
    shares = np.stack([power[..., first:last].sum(axis=-1) for first, last in _band_edges(z.shape[-1], fs)]) / total
    return np.asarray(np.log10(np.maximum(shares, _SHARE_FLOOR)))


@lru_cache(maxsize=64)
def _band_edges(n_samples: int, fs: float) -> tuple[tuple[int, int], ...]:
    hz = np.fft.rfftfreq(n_samples, 1 / fs)
    return tuple((int(first), int(last)) for first, last in (np.searchsorted(hz, band) for band in _BANDS_HZ))


def _shape(z: NDArray[np.float32], slope: NDArray[np.float32], fs: float) -> list[Array]:
    square, steps = z * z, slope * slope
    kurtosis = (square * square).mean(axis=-1)
    steep = np.maximum(steps.mean(axis=-1), 1e-12)
    lag = min(round(_REPOLARISATION_S * fs), z.shape[-1] - 1)
    before, after = z[..., :-lag], z[..., lag:]
    asymmetry = (before * after * (before - after)).mean(axis=-1)
    return [
        np.log10(np.maximum(kurtosis, 1.0)),
        np.arcsinh((square * z).mean(axis=-1)),
        np.arcsinh((steps * slope).mean(axis=-1) / steep**1.5),
        np.arcsinh(asymmetry),
    ]


def _correlations(z: NDArray[np.float32]) -> Array:
    together = z @ z.transpose(0, 2, 1) / z.shape[-1]
    return _fisher(together[:, *_pairs(z.shape[1])])


@lru_cache(maxsize=64)
def _pairs(n_leads: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(n_leads, 1)


def _fisher(r: NDArray[np.floating]) -> Array:
    return np.asarray(np.arctanh(np.clip(r, -_LARGEST_CORRELATION, _LARGEST_CORRELATION)))


@lru_cache(maxsize=64)
def _laws(leads: tuple[str, ...]) -> tuple[tuple[str, dict[str, float]], ...]:
    limb = [lead for lead in LIMB_LEADS if lead in leads]
    return tuple((lead, limb_lead_weights(lead, limb[:2]) or {}) for lead in limb[2:])


def _law_residuals(x: NDArray[np.float32], leads: Sequence[str]) -> Array:
    laws = _laws(tuple(leads))
    if not laws:
        return np.empty((len(x), 0))
    limb = x[:, [leads.index(lead) for lead in LIMB_LEADS if lead in leads]]
    size = np.maximum(np.sqrt((limb.astype(np.float64) ** 2).mean(axis=(1, 2))), _FLOOR_MV)
    first, second = np.array([list(weights.values()) for _, weights in laws], np.float32).T[..., None]
    # The laws tell every limb lead from the first two.
    rest = (limb[:, 2:] - (first * limb[:, :1] + second * limb[:, 1:2])).astype(np.float64)
    return np.asarray(np.log10(np.maximum(np.sqrt((rest**2).mean(axis=-1)) / size[:, None], _RESIDUAL_FLOOR)))


def _beat(slope: NDArray[np.float32], fs: float) -> Array:
    steepness = np.sqrt((slope**2).mean(axis=1)).astype(np.float64)
    width = max(1, min(round(_SMOOTH_S * fs), steepness.shape[-1] // 4))
    summed = np.zeros((len(steepness), steepness.shape[-1] + 1))
    np.cumsum(steepness, axis=-1, out=summed[:, 1:])
    smooth = (summed[:, width:] - summed[:, :-width]) / width
    smooth -= smooth.mean(axis=-1, keepdims=True)
    n, square = smooth.shape[-1], smooth**2
    spectrum = np.fft.rfft(smooth, 2 * n, axis=-1)
    # Not divided by the number of pairs, so that one beat is favoured over two.
    together = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=-1)[:, :n]
    first, last = min(max(1, round(_BEAT_S[0] * fs)), n - 1), min(round(_BEAT_S[1] * fs), n // 2)
    at = together[:, first : max(last, first) + 1]
    best = at.argmax(axis=-1)
    power = np.maximum(together[:, 0], 1e-12)
    strength = at[np.arange(len(at)), best] / power
    kurtosis = (square**2).mean(axis=-1) / np.maximum(square.mean(axis=-1) ** 2, 1e-24)
    return np.stack([_fisher(strength), np.log2((first + best) / fs), np.log10(np.maximum(kurtosis, 1.0))], axis=1)
