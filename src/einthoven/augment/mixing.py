"""What makes one sample of two: signals are mixed, and targets and facts in the same proportion."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_mixing
from einthoven.augment._parameters import Amount
from einthoven.augment._tensors import uniform
from einthoven.errors import RecipeError

__all__ = ["cutmix", "mixup"]

Mixture = tuple[Tensor, Tensor, Tensor | None]
_QUANTILES = 4097


@register_mixing
def mixup(
    x: Tensor,
    y: Tensor,
    facts: Tensor | None,
    chosen: Tensor,
    generator: torch.Generator,
    context: Context,
    alpha: Amount = 0.3,
) -> Mixture:
    """Average with a random partner of the batch: ``m x + (1 - m) x'``, m ~ Beta(alpha, alpha), targets alike.

    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018. Every record has its own m.
    """
    weight = torch.where(chosen, _beta(x, generator, alpha, "mixup"), 1.0)
    partner = torch.randperm(len(x), generator=generator, device=x.device)
    mixed = x.index_select(0, partner).lerp_(x, weight[:, None, None])
    return mixed, _mixed(y, partner, weight), None if facts is None else _mixed(facts, partner, weight)


@register_mixing
def cutmix(
    x: Tensor,
    y: Tensor,
    facts: Tensor | None,
    chosen: Tensor,
    generator: torch.Generator,
    context: Context,
    alpha: Amount = 1.0,
) -> Mixture:
    """Replace a stretch of time, in all leads, by a random partner's; targets are mixed by the share of samples.

    Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", ICCV 2019, in
    one dimension: the stretch is 1 - m of the window, m ~ Beta(alpha, alpha), and lies wholly within it.
    """
    n = x.shape[-1]
    width = ((1 - _beta(x, generator, alpha, "cutmix")) * n).round_() * chosen
    start = (uniform(x, generator, len(x)) * (n + 1 - width)).floor_()
    partner = torch.randperm(len(x), generator=generator, device=x.device)
    t = torch.arange(n, device=x.device, dtype=x.dtype)
    inside = (t >= start[:, None]) & (t < (start + width)[:, None])
    weight = 1 - width / n
    mixed = x.index_select(0, partner).lerp_(x, (~inside).to(x.dtype)[:, None])
    return mixed, _mixed(y, partner, weight), None if facts is None else _mixed(facts, partner, weight)


def _mixed(values: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of rows and their partners'; NaN of one that has weight stays, of one without does not count."""
    own = weight.to(values.dtype)[:, None]
    mine = torch.where(own > 0, own * values, 0.0)
    return mine + torch.where(own < 1, (1 - own) * values[partner], 0.0)


def _beta(x: Tensor, generator: torch.Generator, alpha: float, name: str) -> Tensor:
    """Numbers from Beta(alpha, alpha), one per sample, by the distribution's quantiles."""
    if not alpha > 0:
        raise RecipeError(f"augmentation {name!r}: alpha must be above 0, got {alpha:g}")
    table = _beta_quantiles(alpha, x.device)
    place = uniform(x, generator, len(x), high=_QUANTILES - 1)
    left = place.long().clamp_(max=_QUANTILES - 2)
    return torch.lerp(table[left], table[left + 1], place - left)


@lru_cache(maxsize=16)
def _beta_quantiles(alpha: float, device: torch.device) -> Tensor:
    from scipy.special import betaincinv  # torch draws Beta from its global generator only

    return torch.from_numpy(betaincinv(alpha, alpha, np.linspace(0, 1, _QUANTILES))).float().to(device)
