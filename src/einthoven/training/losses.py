"""What is minimised: binary cross-entropy per class, or cross-entropy over classes that exclude each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["loss_of", "probabilities_of"]


def loss_of(logits: Tensor, targets: Tensor, kind: str, label_smoothing: float = 0.0) -> Tensor:
    """Mean loss of a batch.

    Args:
        logits: shape (batch, class).
        targets: shape (batch, class), 0, 1 or NaN (unknown, left out).
        kind: ``"multilabel"`` or ``"multiclass"`` (one 1 per row).
        label_smoothing: share of each target that is spread over its alternatives.
    """
    logits = logits.float()
    if kind == "multiclass":
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    known = ~torch.isnan(targets)
    soft = torch.nan_to_num(targets) * (1 - label_smoothing) + label_smoothing / 2
    each = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def probabilities_of(logits: Tensor, kind: str) -> Tensor:
    """Probabilities (batch, class) of logits."""
    return logits.float().softmax(dim=1) if kind == "multiclass" else logits.float().sigmoid()
