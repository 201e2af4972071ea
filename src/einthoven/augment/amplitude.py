"""What changes the height of a signal: gains, whole, per lead, or changing with time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Amount, Factor, Fraction
from einthoven.augment._tensors import normal, seconds, uniform, whole

__all__ = ["multiply_linear", "multiply_sine", "multiply_triangle", "scale", "sign_flip"]


@register_augmentation
def scale(
    x: Tensor, generator: torch.Generator, context: Context, sigma: Amount = 0.1, lead_sigma: Amount = 0.0
) -> Tensor:
    """Multiply the record, and every lead, by a log-normal factor: another body build, another gain.

    ``x exp(sigma N + lead_sigma N_l)`` with N drawn per record and N_l per lead. Unlike the uniform gains of
    Heart-Reader's RandomScale, half is as likely as double.
    """
    exponent = sigma * normal(x, generator, len(x), 1, 1)
    if lead_sigma:
        exponent = exponent + lead_sigma * normal(x, generator, len(x), x.shape[1], 1)
    return x * exponent.exp()


@register_augmentation
def sign_flip(x: Tensor, generator: torch.Generator, context: Context) -> Tensor:
    """Turn the sign of all leads: ``-x`` (Flipy of dl-ecg-classifier)."""
    return -x


@register_augmentation
def multiply_sine(
    x: Tensor, generator: torch.Generator, context: Context, max_hz: Amount = 2.0, max_depth: Fraction = 0.3
) -> Tensor:
    """Let the gain of every lead swing: ``x (1 + a sin(2 pi f t))``, f ~ U(0, max_hz), a ~ U(0, max_depth).

    MultiplySine of dl-ecg-classifier (there a up to 1), which takes the rate for 250 Hz whatever it is; here f is in
    Hz.
    """
    hz = uniform(x, generator, len(x), x.shape[1], 1, high=max_hz)
    depth = uniform(x, generator, len(x), x.shape[1], 1, high=max_depth)
    swing = (2 * math.pi * hz * seconds(x, context.fs)).sin_()
    return torch.addcmul(x, x, swing.mul_(depth))


@register_augmentation
def multiply_linear(x: Tensor, generator: torch.Generator, context: Context, scale: Factor = 2.5) -> Tensor:
    """Let the gain of every lead rise or fall evenly from m1 to m2, both ~ U(1, scale).

    ``x (m1 + (m2 - m1) u)``, u from 0 to 1. MultiplyLinear of dl-ecg-classifier; ecg-multilabel-classifier has m1 = 1
    and m2 = scale always, here both are drawn.
    """
    first = uniform(x, generator, len(x), x.shape[1], 1, low=1, high=scale)
    last = uniform(x, generator, len(x), x.shape[1], 1, low=1, high=scale)
    share = torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)
    return torch.addcmul(first, last - first, share).mul_(x)


@register_augmentation
def multiply_triangle(x: Tensor, generator: torch.Generator, context: Context, scale: Factor = 2.0) -> Tensor:
    """Let the gain of every lead go from 1 to a peak m ~ U(1 / scale, scale) and back to 1.

    ``linspace(1, m, k)`` followed by ``linspace(m, 1, n - k)``, k drawn per lead from 2 to n - 2: MultiplyTriangle of
    dl-ecg-classifier and, with scale 4, the best augmentation in the study of ecg-multilabel-classifier. There k may be
    0 or n, which leaves one ramp.
    """
    n, shape = x.shape[-1], (len(x), x.shape[1], 1)
    peak = uniform(x, generator, *shape, low=1 / scale, high=scale)
    turn = whole(x, generator, *shape, low=2, high=n - 2).to(x.dtype)
    i = torch.arange(n, device=x.device, dtype=x.dtype)
    # The two ramps cross once, so that the lower one is the triangle.
    height = torch.minimum(i * (1 / (turn - 1)), (n - 1 - i) * (1 / (n - turn - 1)))
    return torch.addcmul(x, x, height.mul_(peak - 1))
