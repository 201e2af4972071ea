"""Shifts and maps of time, against their formulas and what must hold for any."""

import numpy as np
import pytest
import torch
from scipy import stats

from einthoven.augment import Chain, Context, Step
from einthoven.leads import TWELVE_LEADS

FS = 250.0
TWELVE = Context(FS, TWELVE_LEADS)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _apply(name, x, context=TWELVE, seed=0, **parameters):
    return Chain([Step(name, 1.0, parameters)], context)(x, _generator(seed))


def _x(n=64, leads=12, time=500):
    return torch.randn(n, leads, time, generator=_generator(9))


def _ramp(n=64, time=500):
    """A signal that tells which moment is read."""
    return torch.arange(float(time)).expand(n, 12, time)


def test_shift_moves_all_leads_together_and_repeats_the_edge():
    x = _ramp(time=100)
    moved = _apply("shift", x, max_fraction=0.1)
    by = (x - moved)[:, 0, 50]
    assert by.abs().max() <= 10
    assert len(by.unique()) > 10
    assert torch.equal(moved, (x - by[:, None, None]).clamp(0, 99))


def test_roll_is_circular():
    x = _x(time=100)
    rolled = _apply("roll", x, max_fraction=0.3)
    by = [next(b for b in range(-30, 31) if torch.equal(r, a.roll(b, -1))) for a, r in zip(x, rolled, strict=True)]
    assert min(by) < -15
    assert max(by) > 15


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("time_warp", {"strength": 0.9}),
        ("resample_linear", {"scale": 3.0}),
        ("resample_triangle", {"scale": 3.0}),
        ("star", {"low": 0.3, "high": 2.0}),
        ("resample_sine", {"max_hz": 0.3, "max_s": 0.5}),
        ("resample_power", {"stretch": [1, 1.5], "power": [0.5, 2]}),
        ("stretch", {"scale": 1.5}),
        ("crop_stretch", {"min_fraction": 0.4}),
    ],
)
def test_time_never_runs_backwards_and_warps_are_random(name, parameters):
    read = _apply(name, _ramp(), **parameters)[:, 0]
    if name == "star":  # divided by its gain
        read = read / _apply(name, torch.ones(64, 12, 500), **parameters)[:, 0]
    assert (read.diff(dim=-1) >= -1e-2).all()
    assert len(read[:, 250].round().unique()) > 20
    if name in ("time_warp", "resample_linear", "resample_triangle", "star"):
        assert torch.allclose(read[:, 0], torch.zeros(64), atol=1e-2)
        assert torch.allclose(read[:, -1], torch.full((64,), 499.0), atol=1e-2)
        assert (read.diff(dim=-1) > 0).all()


def test_time_warp_keeps_its_speed_within_the_strength_and_really_warps():
    read = _apply("time_warp", _ramp(500), strength=0.3)[:, 0]
    speed = read.diff(dim=-1)
    assert 0.7 - 1e-2 <= speed.min() < 0.8
    assert 1.2 < speed.max() <= 1.3 + 1e-2
    assert float((read - torch.arange(500.0)).abs().amax(1).mean()) > 5  # samples


def test_stretch_changes_all_leads_and_holds_the_edge():
    read = _apply("stretch", _ramp(400), scale=1.5)
    assert torch.equal(read, read[:, :1].expand_as(read))
    speed = read[:, 0, 100] / 100
    logs = (-speed.log() / np.log(1.5)).numpy()
    assert stats.kstest(logs, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    expected = (torch.arange(500.0) * speed[:, None]).clamp(max=499)
    torch.testing.assert_close(read[:, 0], expected, atol=0.02, rtol=0)


def test_crop_stretch_reads_a_straight_part_of_the_window():
    read = _apply("crop_stretch", _ramp(400), min_fraction=0.5)[:, 0]
    share = (read[:, -1] - read[:, 0]) / 499
    assert stats.kstest(share.numpy(), stats.uniform(0.5, 0.5).cdf).pvalue > 1e-3
    np.testing.assert_allclose(read, np.linspace(read[:, 0].numpy(), read[:, -1].numpy(), 500, axis=1), atol=0.02)
    assert read.min() >= 0
    assert read.max() <= 499


def test_resample_sine_is_a_sinus_in_seconds():
    moved = (_apply("resample_sine", _ramp(64, 5000), max_hz=0.25, max_s=0.5)[:, 0] - torch.arange(5000.0)) / FS
    inner = moved[:, 500:4500]
    assert float(inner.abs().max()) <= 0.5
    time = np.arange(5000) / FS
    best = []
    for row in moved.numpy():  # the frequency that fits the swing best, by least squares
        fits = [
            np.square(row - np.sin(2 * np.pi * f * time) * (row @ (s := np.sin(2 * np.pi * f * time)) / (s @ s)))[
                500:4500
            ].mean()
            for f in np.arange(0.005, 0.26, 0.005)
        ]
        best.append(min(fits) / max(1e-9, np.square(row[500:4500]).mean()))
    assert np.median(best) < 0.02


def test_resample_linear_is_the_published_map_or_its_mirror_image():
    read = _apply("resample_linear", _ramp(200), scale=2.0)[:, 0] / 499
    u = torch.linspace(0, 1, 500)
    ok = []
    for row in read:
        found = False
        for mirrored in (False, True):
            v = 1 - row.flip(0) if mirrored else row
            w = float(u[249])
            s = w * (1 - w) / (float(v[249]) - w * w)
            found |= abs(s) < 2.01 and s > 0.99 and bool(torch.allclose(v, u * (1 + (s - 1) * u) / s, atol=2e-3))
        ok.append(found)
    assert all(ok)
    assert len(read[:, 250].mul(1000).round().unique()) > 50


def test_resample_triangle_has_a_triangular_speed():
    read = _apply("resample_triangle", _ramp(200, 1000), scale=2.0)[:, 0]
    speed = read.diff(dim=-1).double()
    bend = speed.diff(dim=-1)
    for row, change in zip(speed, bend, strict=True):
        peak = float(row.max()) if row[500] > row[0] else float(row.min())
        assert 0.49 < peak / float(row[0]) < 2.05
        assert float(change[:50].median() * change[-50:].median()) <= 1e-12  # up and down, or down and up
    torch.testing.assert_close(speed[:, 0], speed[:, -1], atol=1e-2, rtol=0)


def test_resample_power_equals_the_class_star_with_its_constants():
    x = _x(2)
    n, m = 500, 600
    new = np.linspace(0, 1, m) ** 1.2 * (n - 1)
    rows = [np.interp(new, np.arange(n), lead[::-1])[::-1][:n] for lead in x.numpy().reshape(-1, n)]
    # The class counts n - 1 steps of the old and m - 1 of the new signal, so its stretch is 599 / 499.
    ratio = (m - 1) / (n - 1)
    got = _apply("resample_power", x, stretch=[ratio, ratio], power=[1.2, 1.2])
    np.testing.assert_allclose(got.numpy().reshape(-1, n), rows, atol=2e-3)
