"""What is taken out of a signal's band, in the frequency domain: whole batches, every record its own filter.

The responses are exactly those of the digital filters that ``einthoven.signals.filters`` applies forwards and
backwards; the signal is mirrored for a second on both sides, as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._parameters import Factor, Range
from einthoven.augment._tensors import uniform
from einthoven.errors import RecipeError

__all__ = ["band_limit", "notch"]


@register_augmentation
def notch(
    x: Tensor, generator: torch.Generator, context: Context, hz: Range = (1.0, 50.0), quality: Factor = 2.0
) -> Tensor:
    """Remove a random frequency f0 ~ U(hz), up to just below half the rate, with a zero-phase second-order notch.

    ``H = (cos w - cos w0)^2 / ((cos w - cos w0)^2 + tan(w0 / 2Q)^2 sin(w)^2)``, w = 2 pi f / fs. NotchFilter of
    dl-ecg-classifier; that of ecg-multilabel-classifier always removes 20 Hz, here the frequency is drawn.

    Raises:
        RecipeError: the band lies above half the rate.
    """
    high = min(hz[1], 0.49 * context.fs)
    if not 0 < hz[0] < high:
        raise RecipeError(
            f"augmentation 'notch': hz must lie between 0 and half of the rate of {context.fs:g} Hz, got "
            f"{hz[0]:g} to {hz[1]:g}"
        )
    centre = uniform(x, generator, len(x), 1, 1, low=hz[0], high=high) * (2 * math.pi / context.fs)

    def response(w: Tensor) -> Tensor:
        away = (w.cos() - centre.cos()).square()
        return away / (away + ((centre / (2 * quality)).tan() * w.sin()).square()).clamp(min=1e-12)

    return _filtered(x, context.fs, response)


@register_augmentation
def band_limit(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    low_hz: Range = (0.05, 1.0),
    high_hz: Range = (25.0, 45.0),
) -> Tensor:
    """Pass a random band only, from ~ U(low_hz) to ~ U(high_hz): another device's filter.

    Zero-phase Butterworth edges of order 2: ``H = 1 / (1 + (tan(w_low / 2) / tan(w / 2))^4) / (1 + (tan(w / 2) /
    tan(w_high / 2))^4)``. An upper edge at or above half the rate leaves that side open.

    Raises:
        RecipeError: the lower edge may lie above the upper one.
    """
    if low_hz[1] >= high_hz[0]:
        raise RecipeError(
            f"augmentation 'band_limit': low_hz must lie below high_hz, got {low_hz[1]:g} and {high_hz[0]:g} Hz"
        )
    low = uniform(x, generator, len(x), 1, 1, low=low_hz[0], high=low_hz[1])
    high = uniform(x, generator, len(x), 1, 1, low=high_hz[0], high=high_hz[1])
    edges = [(math.pi / context.fs * each).tan() for each in (low, high.clamp(max=0.49 * context.fs))]
    open_above = high >= context.fs / 2

    def response(w: Tensor) -> Tensor:
        height = (w / 2).tan().abs().clamp(min=1e-9)
        below = torch.where(open_above, 1.0, 1 / (1 + (height / edges[1]) ** 4))
        return below / (1 + (edges[0] / height) ** 4)

    return _filtered(x, context.fs, response)


def _filtered(x: Tensor, fs: float, response: Callable[[Tensor], Tensor]) -> Tensor:
    """Multiply the spectrum of the mirrored signal by a response to the frequency in radians per sample."""
    n = x.shape[-1]
    margin = min(round(fs), n - 1)
    spectrum = torch.fft.rfft(F.pad(x, (margin, margin), mode="reflect"))
    w = torch.linspace(0, 1, spectrum.shape[-1], device=x.device, dtype=x.dtype)
    total = n + 2 * margin
    w = w * (2 * math.pi * (total // 2) / total)
    return torch.fft.irfft(spectrum.mul_(response(w)), n=total)[..., margin : margin + n].contiguous()
