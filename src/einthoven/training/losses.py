"""What is minimised: one table of losses for classes that may occur together, one for classes that exclude each other.

Every loss gives one value per record and class for targets from 0 to 1, so that smoothed, mixed and taught ones need no
case of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from einthoven.errors import RecipeError, nearest
from einthoven.training.recipe import Training

__all__ = ["lesson_loss", "loss_of", "make_loss", "probabilities_of"]

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(options: Training, kind: str, weights: Tensor | None = None) -> Loss:
    """Return the loss that a recipe asks for, of logits (batch, class) and targets alike.

    Args:
        options: ``loss``, ``loss_options`` and ``label_smoothing`` count.
        kind: ``"multilabel"`` or ``"multiclass"``.
        weights: of the classes, see ``loss_of``.

    Raises:
        RecipeError: the loss does not fit the targets, or does not have an option, or not that value of it.
    """
    table = _LOSSES[kind]
    name = next(iter(table)) if options.loss == "auto" else options.loss
    if name not in table:
        raise RecipeError(f"training.loss {name} does not fit {kind} targets; use {', '.join(table)}")
    chosen = _checked(name, table[name].options, options.loss_options)
    return partial(
        loss_of, kind=kind, label_smoothing=options.label_smoothing, name=name, options=chosen, weights=weights
    )


def loss_of(
    logits: Tensor,
    targets: Tensor,
    kind: str,
    label_smoothing: float = 0.0,
    *,
    name: str = "auto",
    options: Mapping[str, float | None] | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean loss of a batch: over known targets, or over records with known ones where classes exclude each other.

    Args:
        logits: shape (batch, class).
        targets: shape (batch, class), from 0 to 1, or NaN (unknown, left out); rows sum to 1 if ``"multiclass"``.
        kind: ``"multilabel"`` or ``"multiclass"``.
        label_smoothing: share of each target that is spread over its alternatives.
        name: of the loss; binary cross-entropy or cross-entropy by default.
        options: of the loss; those not given have their defaults.
        weights: shape (class,): of a class' positives, or of the records that are of the class. The mean is over
            their number, not their weights, so that a batch counts as much however it is divided.
    """
    table, z = _LOSSES[kind], logits.float()
    each = table[next(iter(table)) if name == "auto" else name]
    known = ~torch.isnan(targets)
    y = torch.nan_to_num(targets)
    if kind == "multiclass":
        known = known.all(dim=1, keepdim=True)
        soft = y * (1 - label_smoothing) + label_smoothing / y.shape[1]
    else:
        soft = y * (1 - label_smoothing) + label_smoothing / 2
    loss = each.function(z, soft, **{**each.options, **(options or {})})
    if weights is not None:
        loss = loss * ((y * weights).sum(dim=1, keepdim=True) if kind == "multiclass" else 1 + y * (weights - 1))
    return (loss * known).sum() / known.sum().clamp(min=1)


def lesson_loss(logits: Tensor, teacher: Tensor, kind: str, temperature: float) -> Tensor:
    """How far a student is from its teacher: cross-entropy to the teacher's probabilities, both at a temperature.

    Hinton et al., "Distilling the knowledge in a neural network", 2015; times the temperature's square, so that the
    size of the gradient does not depend on it.

    Args:
        logits: the student's, shape (batch, class).
        teacher: the teacher's logits, likewise.
        kind: ``"multilabel"`` or ``"multiclass"``.
        temperature: both logits are divided by it.
    """
    return loss_of(logits / temperature, probabilities_of(teacher / temperature, kind), kind) * temperature**2


def probabilities_of(logits: Tensor, kind: str) -> Tensor:
    """Probabilities (batch, class) of logits."""
    return logits.float().softmax(dim=1) if kind == "multiclass" else logits.float().sigmoid()


def _bce(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y, reduction="none")


def _focal(z: Tensor, y: Tensor, gamma: float, alpha: float | None) -> Tensor:
    r"""Lin et al. 2017, "Focal loss for dense object detection": :math:`-\alpha_t (1 - p_t)^\gamma \log p_t`."""
    # (1 - p)^gamma is taken as exp(gamma log(1 - p)), whose gradient is finite where p is 1.
    positive = torch.exp(-gamma * F.softplus(z)) * F.softplus(-z)
    negative = torch.exp(-gamma * F.softplus(-z)) * F.softplus(z)
    if alpha is None:
        return y * positive + (1 - y) * negative
    return alpha * y * positive + (1 - alpha) * (1 - y) * negative


def _asymmetric(z: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float) -> Tensor:
    """Ridnik et al. 2021, "Asymmetric loss for multi-label classification": negatives below ``clip`` are left alone."""
    positive = torch.exp(-gamma_pos * F.softplus(z)) * F.softplus(-z)
    shifted = (torch.sigmoid(z) - clip).clamp(min=1e-8)
    negative = -(shifted**gamma_neg) * torch.log1p(-shifted.clamp(max=1 - 1e-7))
    return y * positive + (1 - y) * negative


def _mse(z: Tensor, y: Tensor) -> Tensor:
    return (z.sigmoid() - y) ** 2


def _l1(z: Tensor, y: Tensor) -> Tensor:
    return (z.sigmoid() - y).abs()


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return -(F.log_softmax(z, dim=1) * y)


def _focal_exclusive(z: Tensor, y: Tensor, gamma: float) -> Tensor:
    log_p = F.log_softmax(z, dim=1)
    rest = (1 - log_p.exp()).clamp(min=1e-7)
    return -(rest**gamma * log_p * y)


def _mse_exclusive(z: Tensor, y: Tensor) -> Tensor:
    return (z.softmax(dim=1) - y) ** 2


def _l1_exclusive(z: Tensor, y: Tensor) -> Tensor:
    return (z.softmax(dim=1) - y).abs()


class _Each(NamedTuple):
    """A loss per record and class of logits and soft targets, and the options that it takes, with their defaults."""

    function: Callable[..., Tensor]
    options: Mapping[str, float] = {}


# The first of each kind is what "auto" means. Lin's and Heart-Reader's gamma and alpha; Ridnik's gammas and clip.
_LOSSES: dict[str, dict[str, _Each]] = {
    "multilabel": {
        "bce": _Each(_bce),
        "focal": _Each(_focal, {"gamma": 2.0, "alpha": 0.25}),
        "asymmetric": _Each(_asymmetric, {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}),
        "mse": _Each(_mse),
        "l1": _Each(_l1),
    },
    "multiclass": {
        "cross_entropy": _Each(_cross_entropy),
        "nll": _Each(_cross_entropy),  # the negative log-likelihood of a softmax is its cross-entropy
        "focal": _Each(_focal_exclusive, {"gamma": 2.0}),
        "mse": _Each(_mse_exclusive),
        "l1": _Each(_l1_exclusive),
    },
}
_HIGHEST = {"alpha": 1.0, "clip": 0.5}


def _checked(name: str, known: Mapping[str, float], given: Mapping[str, float | None]) -> dict[str, float | None]:
    for option, value in given.items():
        if option not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise RecipeError(
                f"training.loss_options: loss {name} has no {option!r}{nearest(option, known)}; it {takes}"
            )
        highest = _HIGHEST.get(option, float("inf"))
        if value is None and option == "alpha":
            continue  # focal loss without its balance
        if value is None or not 0 <= value <= highest:
            allowed = "0 or above" if highest == float("inf") else f"from 0 to {highest:g}"
            raise RecipeError(f"training.loss_options: {option} must be {allowed}, got {value}")
    return dict(given)
