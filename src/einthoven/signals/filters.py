"""Zero-phase band-pass and notch, for records that a specification asks to have filtered.

One idea: a filter is a list of biquads, and a biquad runs over blocks of samples by matrix products, so that NumPy is
enough. Importing ``scipy.signal`` costs more time than a prediction.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["band_pass", "notch"]

Array = NDArray[np.float64]
_BLOCK = 32  # samples; a larger block costs more per product, a smaller one more products


class Biquad(NamedTuple):
    """Second-order section: ``y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]``."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float


def band_pass(x: NDArray[np.float32], fs: float, low_hz: float, high_hz: float) -> NDArray[np.float32]:
    """Apply a Butterworth band-pass of order 2 forwards and backwards along the last axis.

    An edge at 0 Hz, or at half the rate, leaves that side open.

    Args:
        x: shape (..., samples), finite.
        fs: rate in Hz.
        low_hz: lower edge in Hz.
        high_hz: upper edge in Hz.
    """
    if low_hz <= 0 and high_hz >= fs / 2:
        return x
    if low_hz <= 0:
        sections = [_low_pass(_warped(high_hz, fs))]
    elif high_hz >= fs / 2:
        sections = [_high_pass(_warped(low_hz, fs))]
    else:
        sections = _band(_warped(low_hz, fs), _warped(high_hz, fs))
    return _zero_phase(x, sections, fs)


def notch(x: NDArray[np.float32], fs: float, frequency_hz: float, quality: float = 30.0) -> NDArray[np.float32]:
    """Remove one frequency (power line) with a second-order notch, forwards and backwards along the last axis."""
    w = 2 * math.pi * frequency_hz / fs
    gain = 1 / (1 + math.tan(w / quality / 2))
    middle = -2 * gain * math.cos(w)
    return _zero_phase(x, [Biquad(gain, middle, gain, middle, 2 * gain - 1)], fs)


def _warped(hz: float, fs: float) -> float:
    """The analogue frequency that the bilinear transform at a rate of 1 takes to ``hz``."""
    return 2 * math.tan(math.pi * hz / fs)


def _low_pass(w: float) -> Biquad:
    scale = 4 + 2 * math.sqrt(2) * w + w * w
    b = w * w / scale
    return Biquad(b, 2 * b, b, (2 * w * w - 8) / scale, (4 - 2 * math.sqrt(2) * w + w * w) / scale)


def _high_pass(w: float) -> Biquad:
    scale = 4 + 2 * math.sqrt(2) * w + w * w
    b = 4 / scale
    return Biquad(b, -2 * b, b, (2 * w * w - 8) / scale, (4 - 2 * math.sqrt(2) * w + w * w) / scale)


def _band(w1: float, w2: float) -> list[Biquad]:
    """A prototype pole p becomes the two roots of s^2 - p (w2 - w1) s + w1 w2; its conjugate brings theirs."""
    width = w2 - w1
    half = cmath.rect(width / 2, 3 * math.pi / 4)
    root = cmath.sqrt(half * half - w1 * w2)
    poles = [(2 + s) / (2 - s) for s in (half + root, half - root)]
    # The prototype's two zeros at the origin go to z = 1, the two at infinity to z = -1; the gain keeps what is left.
    gain = 4 * width * width / math.prod(abs(2 - s) ** 2 for s in (half + root, half - root))
    first, second = ((-2 * z.real, abs(z) ** 2) for z in poles)
    return [Biquad(gain, 0.0, -gain, *first), Biquad(1.0, 0.0, -1.0, *second)]


def _zero_phase(x: NDArray[np.float32], sections: Sequence[Biquad], fs: float) -> NDArray[np.float32]:
    """Run sections forwards and backwards over a mirrored extension of one second, which lets a slow edge settle."""
    pad = min(int(fs), x.shape[-1] - 1)
    y = np.pad(np.asarray(x, np.float64), [(0, 0)] * (x.ndim - 1) + [(pad, pad)], mode="reflect")
    for _ in ("forwards", "backwards"):
        for section in sections:
            y = _run(y, section)
        y = y[..., ::-1]
    return y[..., pad : pad + x.shape[-1]].astype(np.float32)


def _run(x: Array, section: Biquad) -> Array:
    """One section over the last axis, begun in the steady state of the first value (transposed direct form II)."""
    b0, b1, b2, a1, a2 = section
    answer, drive, observed, carry = _matrices(section)
    n, rows = x.shape[-1], x.reshape(-1, x.shape[-1])
    blocks = np.pad(rows, ((0, 0), (0, -n % _BLOCK))).reshape(-1, _BLOCK)
    driven = (blocks @ drive).reshape(len(rows), -1, 2)
    states = np.empty_like(driven)
    steady = (b0 + b1 + b2) / (1 + a1 + a2)
    state = rows[:, :1] * np.array([steady - b0, b2 - a2 * steady])
    for k in range(driven.shape[1]):
        states[:, k] = state
        state = state @ carry + driven[:, k]
    y = blocks @ answer + states.reshape(-1, 2) @ observed
    return y.reshape(len(rows), -1)[:, :n].reshape(x.shape)


@cache
def _matrices(section: Biquad) -> tuple[Array, Array, Array, Array]:
    """What a block's samples add to its output and to the state after it, and what the state before it adds to both."""
    b0, b1, b2, a1, a2 = section
    step, enter = np.array([[-a1, 1.0], [-a2, 0.0]]), np.array([b1 - a1 * b0, b2 - a2 * b0])
    powers = [np.eye(2)]
    for _ in range(_BLOCK):
        powers.append(step @ powers[-1])
    observed = np.stack([power[0] for power in powers[:-1]], axis=1)  # (2, block)
    drive = np.stack([power @ enter for power in powers[-2::-1]])  # (block, 2): the last sample acts undelayed
    response = np.concatenate([[b0], enter @ observed[:, :-1]])
    lag = np.arange(_BLOCK)[None, :] - np.arange(_BLOCK)[:, None]
    answer = np.where(lag >= 0, response[np.abs(lag)], 0.0)
    return answer, drive, observed, powers[-1].T
