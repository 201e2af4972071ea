"""What is added to a signal: white noise, and at the electrodes baseline wander, power line and muscle.

One idea: wander, mains and muscle are potentials of electrodes. The leads that rest on an electrode share its noise, so
Einthoven's law holds for what is added, and twelve leads cost nine noises.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._electrodes import electrodes
from einthoven.augment._parameters import Amount, Count, Fraction, Numbers, Range
from einthoven.augment._tensors import normal, seconds, uniform, whole
from einthoven.errors import RecipeError

__all__ = ["baseline_wander", "muscle_noise", "noise", "power_line"]


@register_augmentation
def noise(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    sigma_mv: Amount = 0.02,
    snr_db: Range | None = None,
) -> Tensor:
    """Add white Gaussian noise to every lead, of a deviation drawn per record from U(0, sigma_mv).

    With ``snr_db`` = [low, high] the ratio of powers is drawn from U(low, high) instead: ``var(x) / var(noise) =
    10^(snr / 10)``, var(x) being the mean over the leads that are not silent, as in ``einthoven.signals.perturb``.
    AddNoise of dl-ecg-classifier.
    """
    if snr_db is None:
        level = uniform(x, generator, len(x), 1, 1, high=sigma_mv)
    else:
        power = x.var(-1, correction=0)
        power = power.sum(1) / (power > 0).sum(1).clamp(min=1)
        ratio = 10 ** (uniform(x, generator, len(x), low=snr_db[0], high=snr_db[1]) / 10)
        level = (power / ratio).sqrt()[:, None, None]
    return normal(x, generator, *x.shape).mul_(level).add_(x)


@register_augmentation
def baseline_wander(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    max_mv: Amount = 0.2,
    hz: Range = (0.05, 0.5),
    tones: Count = 3,
) -> Tensor:
    """Add slow tones at the electrodes: ``sum_k w_lk sin(2 pi f_k t + phase_k)``, f_k ~ U(hz), breathing and sweat.

    The sizes w are those of Gaussian potentials at the electrodes, scaled so that the lead that wanders most stays
    within A ~ U(0, max_mv). BaselineWander of Heart-Reader takes its frequencies in cycles per window; these are Hz.
    """
    rate = uniform(x, generator, len(x), tones, 1, low=hz[0], high=hz[1])
    phase = uniform(x, generator, len(x), tones, 1, high=2 * math.pi)
    weights = electrodes(context.leads, x.device)
    sizes = weights @ normal(x, generator, len(x), weights.shape[1], tones)
    most = sizes.abs().sum(2).amax(1).clamp(min=1e-12)
    level = uniform(x, generator, len(x), high=max_mv) / most
    waves = (2 * math.pi * rate * seconds(x, context.fs)).add_(phase).sin_()
    return torch.baddbmm(x, sizes * level[:, None, None], waves)


@register_augmentation
def power_line(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    max_mv: Amount = 0.1,
    hz: Numbers = (50.0, 60.0),
    drift: Fraction = 0.001,
) -> Tensor:
    """Add the mains: ``w_l sin(2 pi f ((1 + d0) t + (d1 - d0) t^2 / 2T))``, f one of ``hz``, d ~ U(-drift, drift).

    In step at all electrodes but of sizes ~ U(-1, 1); the largest amplitude in any lead is A ~ U(0, max_mv).
    Frequencies that are not below half the rate are left out, since a recorder's filter has removed them.

    Raises:
        RecipeError: no frequency is left.
    """
    possible = [each for each in hz if 0 < each < context.fs / 2]
    if not possible:
        raise RecipeError(
            f"augmentation 'power_line': {', '.join(f'{each:g}' for each in hz)} Hz cannot occur in signals of "
            f"{context.fs:g} Hz; leave the step out, or name frequencies below {context.fs / 2:g} Hz"
        )
    weights = electrodes(context.leads, x.device)
    sizes = weights @ uniform(x, generator, len(x), weights.shape[1], 1, low=-1)
    level = uniform(x, generator, len(x), 1, 1, high=max_mv) / sizes.abs().amax(1, keepdim=True).clamp(min=1e-12)
    mains = torch.tensor(possible, device=x.device)[whole(x, generator, len(x), 1, low=0, high=len(possible) - 1)]
    begin, end = uniform(x, generator, 2, len(x), 1, low=-drift, high=drift)
    phase = uniform(x, generator, len(x), 1, high=2 * math.pi)
    time = seconds(x, context.fs)
    cycles = mains * time * (1 + begin + (end - begin) / 2 * (time / time[-1]))
    wave = (2 * math.pi * cycles).add_(phase).sin_()
    return torch.baddbmm(x, sizes * level, wave[:, None])


@register_augmentation
def muscle_noise(
    x: Tensor, generator: torch.Generator, context: Context, max_mv: Amount = 0.05, hz: Range = (5.0, 100.0)
) -> Tensor:
    """Add Gaussian noise of flat spectrum within ``hz`` at every electrode, as muscles near it give.

    Drawn as the Fourier coefficients of the band, up to half the rate. The root mean square in the noisiest lead is
    A ~ U(0, max_mv). Band after Friesen et al., IEEE Trans. Biomed. Eng. 1990; 37: 85-98.

    Raises:
        RecipeError: the signals hold no frequency of the band.
    """
    n = x.shape[-1]
    first, last = max(1, math.ceil(hz[0] * n / context.fs)), min((n - 1) // 2, math.floor(hz[1] * n / context.fs))
    if last < first:
        raise RecipeError(
            f"augmentation 'muscle_noise': no frequency of {hz[0]:g} to {hz[1]:g} Hz fits into {n} samples at "
            f"{context.fs:g} Hz; the band must reach below {context.fs / 2:g} Hz"
        )
    weights = electrodes(context.leads, x.device)
    parts = normal(x, generator, len(x), weights.shape[1], last + 1 - first, 2)
    spectrum = torch.view_as_complex(F.pad(parts, (0, 0, first, n // 2 - last)))
    activity = torch.fft.irfft(spectrum, n=n)
    # Each coefficient of unit normal parts adds a variance of 4 / n^2.
    unit = n / (2 * math.sqrt(last + 1 - first)) / weights.norm(dim=1).max().clamp(min=1e-12)
    level = uniform(x, generator, len(x), 1, 1, high=max_mv)
    return torch.baddbmm(x, level * unit * weights, activity)
