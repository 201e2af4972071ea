"""Our biquads are SciPy's filters, and need no SciPy."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from einthoven.signals.filters import band_pass, notch


def _sections(fs, low, high):
    if low <= 0:
        return signal.butter(2, high, "lowpass", fs=fs, output="sos")
    if high >= fs / 2:
        return signal.butter(2, low, "highpass", fs=fs, output="sos")
    return signal.butter(2, (low, high), "bandpass", fs=fs, output="sos")


def _drifting(n):
    generator = np.random.default_rng(7)
    drift = generator.standard_normal((3, n)).cumsum(axis=-1) * 0.02 + 3
    return (drift + 0.1 * generator.standard_normal((3, n))).astype(np.float32)


@pytest.mark.parametrize(("fs", "n"), [(100, 1000), (360, 3601), (500, 5000), (1000, 31), (250, 2)])
@pytest.mark.parametrize(("low", "high"), [(0.05, 1000), (0.05, 45), (0.5, 40), (0, 40), (1.0, 47.0)])
def test_a_band_is_that_of_scipy(fs, n, low, high):
    x, pad = _drifting(n), min(fs, n - 1)
    want = signal.sosfiltfilt(_sections(fs, low, high), x, axis=-1, padtype="even", padlen=pad)
    np.testing.assert_allclose(band_pass(x, fs, low, high), want, atol=1e-6 * np.abs(x).max())


@pytest.mark.parametrize(("fs", "hz", "quality"), [(100, 49, 30), (500, 50, 30), (500, 60, 5), (360, 60, 200)])
def test_a_notch_is_that_of_scipy(fs, hz, quality):
    x = _drifting(10 * fs)
    b, a = signal.iirnotch(hz, quality, fs=fs)
    want = signal.filtfilt(b, a, x, axis=-1, padtype="even", padlen=fs)
    np.testing.assert_allclose(notch(x, fs, hz, quality), want, atol=1e-6 * np.abs(x).max())


def test_one_lead_and_a_batch_are_filtered_alike():
    x = _drifting(700)
    each = np.stack([band_pass(row, 100, 0.5, 40) for row in x])
    np.testing.assert_allclose(band_pass(x[None], 100, 0.5, 40)[0], each, atol=1e-6)


def test_an_open_band_changes_nothing():
    x = _drifting(300)
    assert band_pass(x, 100, 0.0, 50.0) is x


def test_filtering_loads_no_scipy():
    code = (
        "import sys, numpy as np; from einthoven.signals.filters import band_pass, notch\n"
        "notch(band_pass(np.ones((12, 1000), np.float32), 100, 0.5, 40), 100, 45)\n"
        "print('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
