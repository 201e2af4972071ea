"""What changes the speed at which a signal is played: closed maps of time, read by linear interpolation.

One idea: each map is written down as the moment that is read at every moment, so it is monotone by construction, and
all leads of a record follow the same one. Times u run from 0 to 1 over the window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Amount, Count, Factor, Fraction, Range
from einthoven.augment._tensors import at, log_uniform, normal, seconds, uniform
from einthoven.errors import RecipeError

__all__ = [
    "crop_stretch",
    "resample_linear",
    "resample_power",
    "resample_sine",
    "resample_triangle",
    "stretch",
    "time_warp",
]


@register_augmentation
def time_warp(
    x: Tensor, generator: torch.Generator, context: Context, strength: Fraction = 0.2, waves: Count = 4
) -> Tensor:
    """Vary the speed smoothly within a record: ``u + sum_k a_k sin(pi k u) / (pi k)``, the ends kept.

    The speed is ``1 + sum_k a_k cos(pi k u)``; a ~ N(0, 1) scaled to ``sum_k |a_k| = s``, s ~ U(0, strength), keeps it
    within 1 - s and 1 + s. TimeWarp of Heart-Reader stretches and shrinks back, which changes next to nothing.
    """
    sizes = normal(x, generator, len(x), waves)
    total = uniform(x, generator, len(x), 1, high=strength)
    sizes = sizes * total / sizes.abs().sum(1, keepdim=True).clamp(min=1e-12)
    k = math.pi * torch.arange(1, waves + 1, device=x.device, dtype=x.dtype)
    u = _window(x)
    return _read(x, u + (sizes / k) @ torch.sin(k[:, None] * u))


@register_augmentation
def crop_stretch(x: Tensor, generator: torch.Generator, context: Context, min_fraction: Fraction = 0.6) -> Tensor:
    """Take a random part of ~ U(min_fraction, 1) of the window and stretch it to the whole of it.

    ``a + f u`` with f that part and a ~ U(0, 1 - f): RandomCrop of Heart-Reader, brought back to the length of the
    window.
    """
    share = uniform(x, generator, len(x), 1, low=min_fraction)
    start = uniform(x, generator, len(x), 1) * (1 - share)
    return _read(x, start + share * _window(x))


@register_augmentation
def stretch(x: Tensor, generator: torch.Generator, context: Context, scale: Factor = 1.5) -> Tensor:
    """Stretch or shrink the whole record by m, log-uniform from 1 / scale to scale: ``u / m``, the edge holding.

    RandomStretch of dl-ecg-classifier changes the first lead only and leaves the old signal behind a shrunken one; here
    all leads are stretched.
    """
    return _read(x, _window(x) / log_uniform(x, generator, len(x), 1, scale=scale))


@register_augmentation
def resample_sine(
    x: Tensor, generator: torch.Generator, context: Context, max_hz: Amount = 0.3, max_s: Amount = 0.5
) -> Tensor:
    """Let time swing: x at ``t + A sin(2 pi f t)``, f ~ U(0, max_hz) Hz, A ~ U(0, max_s) s, the edge holding.

    ResampleSine of dl-ecg-classifier, with the signal's own rate instead of 250 Hz.

    Raises:
        RecipeError: time could run backwards.
    """
    if 2 * math.pi * max_hz * max_s >= 1:
        raise RecipeError(
            f"augmentation 'resample_sine': with {max_hz:g} Hz and {max_s:g} s time would run backwards; "
            "2 pi max_hz max_s must be below 1"
        )
    hz = uniform(x, generator, len(x), 1, high=max_hz)
    size = uniform(x, generator, len(x), 1, high=max_s)
    time = seconds(x, context.fs)
    return at(x, (time + size * torch.sin(2 * math.pi * hz * time)) * context.fs)


@register_augmentation
def resample_linear(x: Tensor, generator: torch.Generator, context: Context, scale: Factor = 2.0) -> Tensor:
    """Let the speed rise or fall evenly: ``u (1 + (s - 1) u) / s``, s ~ U(1, scale), or its mirror image in time.

    ResampleLinear of dl-ecg-classifier draws s from U(scale, scale), always the same; here it is drawn.
    """
    s = uniform(x, generator, len(x), 1, low=1, high=scale)
    mirrored = uniform(x, generator, len(x), 1) < 0.5
    u = _window(x)
    v = torch.where(mirrored, 1 - u, u)
    v = v * (1 + (s - 1) * v) / s
    return _read(x, torch.where(mirrored, 1 - v, v))


@register_augmentation
def resample_triangle(x: Tensor, generator: torch.Generator, context: Context, scale: Factor = 1.5) -> Tensor:
    """Let the speed go evenly from 1 to m, log-uniform from 1 / scale to scale, and back, the ends kept.

    The turn is at c ~ U(0.1, 0.9); with V = (1 + m) / 2 the map is ``(u + (m - 1) u^2 / 2c) / V`` up to c and, with w =
    1 - u, ``1 - (w + (m - 1) w^2 / 2(1 - c)) / V`` behind it. ResampleTriangle of ecg-multilabel-classifier joins two
    ramps drawn once for a whole training; here every record has its own.
    """
    peak = log_uniform(x, generator, len(x), 1, scale=scale)
    turn = uniform(x, generator, len(x), 1, low=0.1, high=0.9)
    u = _window(x)
    mean, half = (1 + peak) / 2, (peak - 1) / 2
    rising = u + half / turn * u.square()
    falling = (1 - u) + half / (1 - turn) * (1 - u).square()
    return _read(x, torch.where(u < turn, rising / mean, 1 - falling / mean))


@register_augmentation
def resample_power(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    stretch: Range = (1.0, 1.2),
    power: Range = (1.0, 1.2),
) -> Tensor:
    """Stretch by a power of time counted from the end: ``1 - (1 - u / m)^q``, m ~ U(stretch), q ~ U(power).

    With 1.2 for both it is, up to the rounding of lengths, the class STAR of ecg-multilabel-classifier, which is
    neither sinusoidal nor changes amplitudes; ``star`` here does both.

    Raises:
        RecipeError: a stretch below 1, which would leave nothing for the end, or a power below 0.1.
    """
    if stretch[0] < 1 or power[0] < 0.1:
        raise RecipeError(
            f"augmentation 'resample_power': stretch must be at least 1 and power at least 0.1, got {stretch[0]:g} and "
            f"{power[0]:g}"
        )
    m = uniform(x, generator, len(x), 1, low=stretch[0], high=stretch[1])
    q = uniform(x, generator, len(x), 1, low=power[0], high=power[1])
    return _read(x, 1 - (1 - _window(x) / m).clamp(min=0) ** q)


def _window(x: Tensor) -> Tensor:
    """Times from 0 at the first sample to 1 at the last."""
    return torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)


def _read(x: Tensor, u: Tensor) -> Tensor:
    return at(x, u * (x.shape[-1] - 1))
