"""Sinusoidal time-amplitude resampling: beats become longer and taller along a sinus, shorter and lower elsewhere.

The curve is that of ecg-multilabel-classifier: ``y = sin(5 + 2 v)``, v from 0 to 1, brought to the range from ``low``
to ``high`` and to a mean of 1; c = y is the factor of length and of amplitude. It exists in two forms, beat by beat and
in closed form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Amount, Fraction
from einthoven.augment._tensors import at, uniform
from einthoven.errors import RecipeError

__all__ = ["equal_segments", "find_beats", "star"]

_FIRST, _SPAN = 5.0, 2.0  # radians of the sinus
_BOTTOM, _TOP = math.sin(_FIRST), math.sin(_FIRST + _SPAN)
_REFRACTORY_S, _QRS_S, _BLOCK_S = 0.25, 0.1, 1.5
_MIN_BEATS = 3
_NEWTON_STEPS = 4


@register_augmentation
def star(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    low: Amount = 0.8,
    high: Amount = 1.3,
    min_depth: Fraction = 0.0,
    p_mirror: Fraction = 0.5,
) -> Tensor:
    """Make parts longer and taller along a sinus, without looking for beats: the limit of many equal beats.

    What is at v goes to ``u = integral of c from 0 to v``, a closed form whose inverse takes four Newton steps, and is
    multiplied by c(v). The range of c is narrowed towards 1 by a depth ~ U(min_depth, 1); with ``p_mirror`` the curve
    runs backwards. The class STAR of ecg-multilabel-classifier is a power of time instead: ``resample_power``.

    Raises:
        RecipeError: ``low`` is not below ``high``, or not above 0.
    """
    rising, base = _curve(x, generator, low, high, min_depth)
    mirrored = uniform(x, generator, len(x), 1) < p_mirror
    u = torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)
    u = torch.where(mirrored, 1 - u, u)
    # c(v) = base + rising sin(5 + 2 v), scaled to a mean of 1
    mean = base + rising * (math.cos(_FIRST) - math.cos(_FIRST + _SPAN)) / _SPAN
    rising, base = rising / mean, base / mean
    v = u
    for _ in range(_NEWTON_STEPS):
        angle = _FIRST + _SPAN * v
        reached = base * v + rising * (math.cos(_FIRST) - angle.cos()) / _SPAN
        v = v - (reached - u) / (base + rising * angle.sin())
    gain = base + rising * (_FIRST + _SPAN * v).sin()
    v = torch.where(mirrored, 1 - v, v)
    return at(x, v * (x.shape[-1] - 1)).mul_(gain[:, None])


@register_augmentation
def equal_segments(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    low: Amount = 0.8,
    high: Amount = 1.3,
    min_depth: Fraction = 0.0,
    p_mirror: Fraction = 0.5,
) -> Tensor:
    """Give all beats the same length, then make them longer and taller along a sinus: EqualSegmentResampler.

    Between S + 1 beats lie S segments; segment k becomes ``c_k mean(RR)`` long, ``c_k ~ sin(5 + 2 k / S)`` of mean 1,
    so first and last beat stay where they are. Records with fewer than three beats are left as they are. In
    ecg-multilabel-classifier the gain jumps at every R peak and is 1 outside; here it runs evenly from beat to beat,
    each having the mean of its neighbours' c, and holds outside. ``min_depth`` and ``p_mirror`` as in ``star``; 1 and 0
    give its fixed curve.

    Raises:
        RecipeError: ``low`` is not below ``high``, or not above 0.
    """
    rising, base = _curve(x, generator, low, high, min_depth)
    mirrored = uniform(x, generator, len(x), 1) < p_mirror
    beats = _beats_of(x, context.fs)
    k = torch.arange(beats.place.shape[1] - 1, device=x.device, dtype=x.dtype)
    inside = k < beats.n_segments
    along = torch.where(mirrored, beats.n_segments - 1 - k, k)
    c = base + rising * torch.sin(_FIRST + _SPAN * along / beats.n_segments)
    c = torch.where(inside, c, 0.0)
    c = c * beats.n_segments / c.sum(1, keepdim=True)
    position, gain = _rearranged(x.shape[-1], beats, c)
    return at(x, position).mul_(gain[:, None])


class _Beats(NamedTuple):
    """Beats of a batch in columns: sample of each (the length of the signal where there is none), and their count."""

    place: Tensor  # (batch, most)
    n_segments: Tensor  # (batch, 1), at least 1
    enough: Tensor  # (batch, 1)


def find_beats(x: Tensor, fs: float) -> Tensor:
    """Where QRS complexes are, as truth values of shape (batch, time): a detector without a loop.

    Squared differences of neighbouring samples are summed over the leads and averaged over 0.1 s. A beat is where this
    energy is the largest within 0.25 s on either side and above 0.3 of the median over blocks of 1.5 s of their
    largest. It finds the beats of usual rhythms up to 220 per minute; it does not claim to be a detector for diagnosis.

    Args:
        x: shape (batch, lead, time), mV.
        fs: rate in Hz.
    """
    n = x.shape[-1]
    energy = F.pad((x[..., 1:] - x[..., :-1]).square_().sum(1, keepdim=True), (1, 0))
    width = max(1, round(_QRS_S * fs / 2))
    energy = F.avg_pool1d(energy, 2 * width + 1, 1, width)
    around = max(1, round(_REFRACTORY_S * fs))
    largest = F.max_pool1d(energy, 2 * around + 1, 1, around)
    block = min(n, round(_BLOCK_S * fs))
    usual = F.max_pool1d(energy, block, block).median(-1, keepdim=True).values
    rises = F.pad(energy[..., 1:] > energy[..., :-1], (1, 0))
    return ((energy == largest) & (energy > 0.3 * usual) & rises)[:, 0]


def _beats_of(x: Tensor, fs: float) -> _Beats:
    n = x.shape[-1]
    found = find_beats(x, fs)
    most = max(2, min(n, n // max(1, round(_REFRACTORY_S * fs)) + 1))
    place = torch.where(found, torch.arange(n, device=x.device), n)
    place = place.topk(most, largest=False, sorted=True).values
    count = (place < n).sum(1, keepdim=True)
    return _Beats(place.to(x.dtype), (count - 1).clamp(min=1).to(x.dtype), count >= _MIN_BEATS)


def _rearranged(n: int, beats: _Beats, c: Tensor) -> tuple[Tensor, Tensor]:
    """Which sample is read at every moment, and with what gain, both (batch, time)."""
    place, last = beats.place, beats.n_segments.long()
    first = place[:, :1]
    mean = (place.gather(1, last) - first) / beats.n_segments
    new = torch.cat([first, first + mean * c.cumsum(1)], dim=1)
    new = torch.where(place < n, new, float(n))
    before, behind = F.pad(c, (1, 0)), F.pad(c, (0, 1))  # of each beat; 0 outside
    gains = (before + behind) / ((before > 0).to(c.dtype) + (behind > 0)).clamp(min=1)
    t = torch.arange(n, device=c.device, dtype=c.dtype).expand(len(c), n).contiguous()
    segment = (torch.searchsorted(new.contiguous(), t, right=True) - 1).clamp(min=0).minimum(last - 1)
    begin, end = new.gather(1, segment), new.gather(1, segment + 1)
    share = (t - begin) / (end - begin).clamp(min=1e-6)
    position = torch.lerp(place.gather(1, segment), place.gather(1, segment + 1), share)
    gain = torch.lerp(gains.gather(1, segment), gains.gather(1, segment + 1), share.clamp(0, 1))
    position = torch.where((share >= 0) & (share <= 1) & beats.enough, position, t)
    return position, torch.where(beats.enough, gain, 1.0)


def _curve(x: Tensor, generator: torch.Generator, low: float, high: float, min_depth: float) -> tuple[Tensor, Tensor]:
    """Slope and base of ``c = base + slope sin(...)``, whose ends are ``low`` and ``high`` drawn towards 1."""
    if not 0 < low < high:
        raise RecipeError(f"sinusoidal resampling needs 0 < low < high, got low {low:g} and high {high:g}")
    depth = uniform(x, generator, len(x), 1, low=min_depth)
    slope = depth * (high - low) / (_TOP - _BOTTOM)
    return slope, 1 + depth * (low - 1) - slope * _BOTTOM
