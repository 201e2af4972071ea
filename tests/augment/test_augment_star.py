"""Sinusoidal time-amplitude resampling, against NumPy and on beats whose places are known."""

import numpy as np
import torch
from scipy import signal

from einthoven.augment import Chain, Context, Step
from einthoven.augment.star import find_beats
from einthoven.corpora.synthetic import example_record
from einthoven.leads import TWELVE_LEADS

FS = 250.0
TWELVE = Context(FS, TWELVE_LEADS)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _apply(name, x, context=TWELVE, seed=0, **parameters):
    return Chain([Step(name, 1.0, parameters)], context)(x, _generator(seed))


def _x(n=64, leads=12, time=500):
    return torch.randn(n, leads, time, generator=_generator(9))


def _curve(v, low=0.8, high=1.3):
    y = np.sin(5 + 2 * v)
    return low + (high - low) * (y - np.sin(5)) / (np.sin(7) - np.sin(5))


def test_star_equals_a_numpy_reference():
    x = _x(2)
    got = _apply("star", x, min_depth=1.0, p_mirror=0.0)
    fine = np.linspace(0, 1, 200_001)
    c = _curve(fine)
    c /= np.trapezoid(c, fine)
    reached = np.concatenate([[0], np.cumsum((c[1:] + c[:-1]) / 2) * fine[1]])
    v = np.interp(np.linspace(0, 1, 500), reached, fine)
    gain = np.interp(v, fine, c)
    rows = [np.interp(v * 499, np.arange(500), lead) * gain for lead in x.numpy().reshape(-1, 500)]
    np.testing.assert_allclose(got.numpy().reshape(-1, 500), rows, atol=2e-3)
    mirrored = _apply("star", x.flip(-1), min_depth=1.0, p_mirror=1.0).flip(-1)
    torch.testing.assert_close(mirrored, got, atol=1e-3, rtol=0)


def _beating(intervals, fs=FS, time=2500, first=60):
    """Narrow QRS complexes at irregular intervals (samples) in 12 leads, and where they are."""
    places = first + np.concatenate([[0], np.cumsum(intervals)])
    t = np.arange(time)
    wave = sum(np.exp(-(((t - p) / (0.012 * fs)) ** 2) / 2) for p in places)
    return torch.tensor(np.outer(np.linspace(-0.5, 1.5, 12), wave), dtype=torch.float32), places


def test_beats_are_found_where_they_are():
    cases = [_beating(i) for i in ([200, 150, 260, 180, 240, 210], [90] * 25, [400, 420, 390, 410, 400])]
    x = torch.stack([each for each, _ in cases])
    x = x + 0.02 * torch.randn(x.shape, generator=_generator())
    for found, (_, places) in zip(find_beats(x, FS), cases, strict=True):
        got = found.nonzero()[:, 0].numpy()
        assert len(got) == len(places)
        assert np.abs(got - places).max() <= 6  # 24 ms
    assert not find_beats(torch.zeros(2, 12, 500), FS).any()


def test_beats_of_a_synthetic_ecg_are_found():
    record = example_record("NORM", noise=0.3)
    found = find_beats(torch.from_numpy(record.signal)[None], record.fs)[0].nonzero()[:, 0].numpy()
    energy = np.square(np.diff(record.signal, axis=1)).sum(0)
    peaks, _ = signal.find_peaks(energy, height=0.25 * energy.max(), distance=int(0.25 * record.fs))
    assert len(found) == len(peaks) >= 8
    assert np.abs(found - peaks).max() <= 0.06 * record.fs


def test_equal_segments_gives_beats_lengths_and_heights_of_the_sinus():
    intervals = np.array([200, 150, 260, 180, 240, 210, 170, 230])
    x, places = _beating(intervals)
    got = _apply("equal_segments", x[None], min_depth=1.0, p_mirror=0.0)[0]
    peaks, _ = signal.find_peaks(got[-1].numpy(), height=0.5)
    k = np.arange(8)
    y = np.sin(5 + 2 * k / 8)
    c = 0.8 + 0.5 * (y - np.sin(5)) / (np.sin(7) - np.sin(5))
    c *= 8 / c.sum()
    np.testing.assert_allclose(np.diff(peaks), c * intervals.mean(), atol=5)
    assert abs(peaks[0] - places[0]) <= 3
    assert abs(peaks[-1] - places[-1]) <= 3
    heights = got[-1].numpy()[peaks] / x[-1].numpy()[places]
    at_beats = np.r_[c[0], (c[1:] + c[:-1]) / 2, c[-1]]
    np.testing.assert_allclose(heights, at_beats, atol=0.03)
    torch.testing.assert_close(got[:, :40], x[:, :40] * c[0].astype(np.float32), atol=1e-4, rtol=0)


def test_equal_segments_without_depth_equalises_the_rhythm_only():
    x, _ = _beating([200, 150, 260, 180, 240, 210, 170, 230])
    got = _apply("equal_segments", x[None], low=0.9999, high=1.0001)[0]
    peaks, _ = signal.find_peaks(got[-1].numpy(), height=0.5)
    assert np.ptp(np.diff(peaks)) <= 8
    np.testing.assert_allclose(got[-1].numpy()[peaks], 1.5, atol=0.05)


def test_records_with_fewer_than_three_beats_are_left_unchanged():
    x = torch.stack([_beating([200])[0], _beating([200, 190, 230])[0], torch.zeros(12, 2500)])
    got = _apply("equal_segments", x)
    assert torch.equal(got[0], x[0])
    assert not torch.equal(got[1], x[1])
    assert torch.equal(got[2], x[2])
