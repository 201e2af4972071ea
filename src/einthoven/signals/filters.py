"""Zero-phase band-pass and notch, for records that a specification asks to have filtered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["band_pass", "notch"]


def band_pass(x: NDArray[np.float32], fs: float, low_hz: float, high_hz: float) -> NDArray[np.float32]:
    """Apply a Butterworth band-pass of order 2 forwards and backwards along the last axis.

    An edge at 0 Hz, or at half the rate, leaves that side open.

    Args:
        x: shape (..., samples), finite.
        fs: rate in Hz.
        low_hz: lower edge in Hz.
        high_hz: upper edge in Hz.
    """
    from scipy import signal  # 0.75 s to import: only where a filter is asked for

    nyquist = fs / 2
    if low_hz <= 0 and high_hz >= nyquist:
        return x
    if low_hz <= 0:
        sos = signal.butter(2, high_hz, "lowpass", fs=fs, output="sos")
    elif high_hz >= nyquist:
        sos = signal.butter(2, low_hz, "highpass", fs=fs, output="sos")
    else:
        sos = signal.butter(2, (low_hz, high_hz), "bandpass", fs=fs, output="sos")
    # One second of mirrored signal on each side lets the slow edge settle.
    pad = min(int(fs), x.shape[-1] - 1)
    return np.asarray(signal.sosfiltfilt(sos, x, axis=-1, padtype="even", padlen=pad), dtype=np.float32)


def notch(x: NDArray[np.float32], fs: float, frequency_hz: float, quality: float = 30.0) -> NDArray[np.float32]:
    """Remove one frequency (power line) with a second-order notch, forwards and backwards along the last axis."""
    from scipy import signal

    b, a = signal.iirnotch(frequency_hz, quality, fs=fs)
    pad = min(int(fs), x.shape[-1] - 1)
    return np.asarray(signal.filtfilt(b, a, x, axis=-1, padtype="even", padlen=pad), dtype=np.float32)
