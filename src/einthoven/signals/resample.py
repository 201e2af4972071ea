"""Any sampling rate to any other, anti-aliased, for whole batches.

A polyphase Kaiser-windowed sinc as one matrix product: overlapping blocks of input times a banded matrix of taps. NumPy
only, because importing ``scipy.signal`` costs more than a prediction.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import ConformError

__all__ = ["polyphase_taps", "resample", "resampled_length"]

_ZERO_CROSSINGS = 24  # on each side: transition band of about 8 % of the lower Nyquist frequency
_KAISER_BETA = 8.0  # stop band near -80 dB
_MAX_DENOMINATOR = 16384  # rates to four digits are exact; else off by 4e-9: 0.007 samples over an hour at 500 Hz
_DENSE_PHASES = 512  # above it the block matrix outgrows the cache and taps are gathered per output sample


def resampled_length(n_samples: int, fs_in: float, fs_out: float) -> int:
    """Samples after resampling: every output sample that lies within the input's duration."""
    up, down = _ratio(fs_in, fs_out)
    return -(-n_samples * up // down)


def resample(x: NDArray[np.floating], fs_in: float, fs_out: float) -> NDArray[np.float32]:
    """Resample the last axis from ``fs_in`` to ``fs_out`` Hz.

    Output sample k stands at time k / fs_out, as in ``scipy.signal.resample_poly``. Signals are continued by their
    first and last value, so that a baseline offset does not ring at the edges.

    Args:
        x: shape (..., samples), finite.
        fs_in: rate of ``x`` in Hz.
        fs_out: wanted rate in Hz.

    Returns:
        float32, shape (..., ceil(samples * fs_out / fs_in)).

    Raises:
        ConformError: a ratio of rates beyond 1:1000.

    >>> resample(np.ones((12, 5000)), 500, 100).shape
    (12, 1000)
    """
    up, down = _ratio(fs_in, fs_out)
    x = np.asarray(x, dtype=np.float32)
    if up == down or x.shape[-1] == 0:
        return x
    taps = _taps(up, down)
    n_out = resampled_length(x.shape[-1], fs_in, fs_out)
    product = _dense if up <= _DENSE_PHASES else _gathered
    return product(x, taps, up, down, n_out)


def polyphase_taps(fs_in: float, fs_out: float) -> tuple[NDArray[np.float32], int, int]:
    """Return the taps of each phase, shape (up, length), and ``up`` and ``down`` of the ratio of rates in lowest terms.

    Output sample k is the sum of ``taps[k % up]`` times the inputs from ``k * down // up - length // 2 + 1`` on.

    Raises:
        ConformError: a ratio of rates beyond 1:1000.
    """
    up, down = _ratio(fs_in, fs_out)
    return _taps(up, down), up, down


@lru_cache(maxsize=64)
def _ratio(fs_in: float, fs_out: float) -> tuple[int, int]:
    # Rates such as 128.5 are exact as decimal text, not as binary floats.
    ratio = (Fraction(str(fs_out)) / Fraction(str(fs_in))).limit_denominator(_MAX_DENOMINATOR)
    if ratio < Fraction(1, 1000) or ratio > 1000:
        raise ConformError(f"cannot resample from {fs_in} Hz to {fs_out} Hz: the rates must be within 1:1000")
    return ratio.numerator, ratio.denominator


@lru_cache(maxsize=32)
def _taps(up: int, down: int) -> NDArray[np.float32]:
    """Taps of each phase, shape (up, length): phase p weighs the inputs around position p * down / up."""
    cutoff = min(1.0, up / down)
    half = int(np.ceil(_ZERO_CROSSINGS / cutoff))
    fraction = (np.arange(up) * down % up) / up
    distance = np.arange(-half + 1, half + 1) - fraction[:, None]
    inside = np.clip(1 - (distance / half) ** 2, 0, None)
    # A slightly lower cutoff puts the transition band below the new Nyquist frequency.
    edge = cutoff * (1 - 1.6 / _ZERO_CROSSINGS)
    weights = edge * np.sinc(edge * distance) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _pad(x: NDArray[np.float32], before: int, after: int) -> NDArray[np.float32]:
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, max(0, after))], mode="edge")


@lru_cache(maxsize=32)
def _block_matrix(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """One matrix that turns a stretch of input into ``periods * up`` outputs, and ``periods``."""
    taps = _taps(up, down)
    periods = max(1, -(-48 // up))
    outputs = np.arange(periods * up)
    starts = outputs * down // up
    matrix = np.zeros((int(starts[-1]) + taps.shape[1], len(outputs)), np.float32)
    for column, start in enumerate(starts):
        matrix[start : start + taps.shape[1], column] = taps[column % up]
    return matrix, periods


def _dense(x: NDArray[np.float32], taps: NDArray[np.float32], up: int, down: int, n_out: int) -> NDArray[np.float32]:
    matrix, periods = _block_matrix(up, down)
    span, step, width = matrix.shape[0], periods * down, periods * up
    n_blocks = -(-n_out // width)
    before = taps.shape[1] // 2 - 1
    padded = _pad(x, before, (n_blocks - 1) * step + span - before - x.shape[-1])
    blocks = np.lib.stride_tricks.sliding_window_view(padded, span, axis=-1)[..., ::step, :][..., :n_blocks, :]
    y = blocks @ matrix  # (..., blocks, width)
    return np.ascontiguousarray(y.reshape(*x.shape[:-1], n_blocks * width)[..., :n_out])


def _gathered(x: NDArray[np.float32], taps: NDArray[np.float32], up: int, down: int, n_out: int) -> NDArray[np.float32]:
    before = taps.shape[1] // 2 - 1
    outputs = np.arange(n_out)
    starts = outputs * down // up
    padded = _pad(x, before, int(starts[-1]) + taps.shape[1] - before - x.shape[-1])
    y = np.empty((*x.shape[:-1], n_out), np.float32)
    views = np.lib.stride_tricks.sliding_window_view(padded, taps.shape[1], axis=-1)
    for first in range(0, n_out, 2048):  # bounded memory: each output sample needs its own row of taps
        part = slice(first, first + 2048)
        y[..., part] = np.einsum("...nk,nk->...n", views[..., starts[part], :], taps[outputs[part] % up])
    return y
