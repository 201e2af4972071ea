"""What happens to leads: lost, absent, or on the wrong cable."""

from __future__ import annotations

import torch
from torch import Tensor

from einthoven.augment._chain import Context, register_augmentation
from einthoven.augment._electrodes import exchanges as exchange_table
from einthoven.augment._parameters import Count, Fraction, Names
from einthoven.augment._tensors import uniform, whole

__all__ = ["lead_dropout", "lead_exchange", "lead_subset"]


@register_augmentation
def lead_dropout(x: Tensor, generator: torch.Generator, context: Context, p_lead: Fraction = 0.1) -> Tensor:
    """Set each lead to zero with probability ``p_lead``: an electrode that lost contact. One lead always stays.

    With ``p_lead`` = 0.5 it is the random lead masking of Oh et al., "Lead-agnostic self-supervised learning for local
    and global representations of electrocardiogram", CHIL 2022.
    """
    drawn = uniform(x, generator, len(x), x.shape[1], 1)
    return x * ((drawn >= p_lead) | (drawn == drawn.amax(1, keepdim=True)))


@register_augmentation
def lead_subset(x: Tensor, generator: torch.Generator, context: Context, min_leads: Count = 1) -> Tensor:
    """Keep a random subset of the leads and set the rest to zero, as if a device had only these.

    The number kept is uniform from ``min_leads`` to all, and every subset of a number equally likely. After Oh et al.,
    CHIL 2022, who mask each lead by itself, so that about half are kept (``lead_dropout``); here a single lead is as
    likely as all.
    """
    n = x.shape[1]
    kept = whole(x, generator, len(x), 1, 1, low=min(min_leads, n), high=n)
    rank = uniform(x, generator, len(x), n, 1).argsort(1).argsort(1)
    return x * (rank < kept)


@register_augmentation
def lead_exchange(x: Tensor, generator: torch.Generator, context: Context, exchanges: Names | None = None) -> Tensor:
    """Exchange two cables at random, with what follows for all leads: ``x' = W x``, W of the electrode algebra.

    ``exchanges`` names them, such as LA-RA (arm reversal) or V1-V2, each equally likely; by default they are the usual
    ones among arms, left leg and chest leads that these leads determine. How each changes the leads is told by
    ``einthoven.signals.electrodes.exchange_weights``.

    Raises:
        RecipeError: no such exchange, or these leads do not determine its result.
    """
    table = exchange_table(context.leads, exchanges, x.device)
    return torch.bmm(table[whole(x, generator, len(x), low=0, high=len(table) - 1)], x)
