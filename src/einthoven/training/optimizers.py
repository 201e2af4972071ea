"""Who makes the steps? A table of optimisers, and which parameters each of them may pull towards zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from einthoven.errors import MissingExtraError, RecipeError
from einthoven.models import Classifier
from einthoven.training.muon import Muon
from einthoven.training.recipe import Training

__all__ = ["make_optimizer"]

Groups = list[dict[str, Any]]


def make_optimizer(model: Classifier, options: Training) -> Optimizer:
    """Return the optimiser of a recipe for a network.

    Parameters with a true attribute ``_no_weight_decay`` do not decay.

    Raises:
        RecipeError: muon, for a network without hidden matrices.
        MissingExtraError: lion, without its package.
    """
    return _OPTIMIZERS[options.optimizer](model, options)


def _groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> Groups:
    decaying: list[nn.Parameter] = []
    staying: list[nn.Parameter] = []
    for parameter in parameters:
        (staying if _stays(parameter) else decaying).append(parameter)
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": staying, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _stays(parameter: nn.Parameter) -> bool:
    return bool(getattr(parameter, "_no_weight_decay", False))


def _adamw(model: Classifier, options: Training) -> Optimizer:
    return AdamW(_groups(model.parameters(), options.weight_decay), lr=options.lr, fused=True)


def _adam(model: Classifier, options: Training) -> Optimizer:
    return Adam(_groups(model.parameters(), options.weight_decay), lr=options.lr, fused=True)  # decay is L2


def _sgd(model: Classifier, options: Training) -> Optimizer:
    momentum, groups = options.momentum, _groups(model.parameters(), options.weight_decay)
    return SGD(groups, lr=options.lr, momentum=momentum, nesterov=momentum > 0, fused=True)


def _lion(model: Classifier, options: Training) -> Optimizer:
    """Chen et al. 2023, "Symbolic discovery of optimization algorithms"; rates are a tenth of AdamW's."""
    try:
        from lion_pytorch import Lion
    except ImportError:
        raise MissingExtraError("training.optimizer lion", "train") from None
    lion: Optimizer = Lion(_groups(model.parameters(), options.weight_decay), lr=options.lr)
    return lion


def _muon(model: Classifier, options: Training) -> Optimizer:
    """Muon for matrices and kernels within the network; AdamW, of the same rate, for all else and the classifier."""
    classifier = model.network.get_classifier().weight
    matrices = [p for p in model.parameters() if _is_matrix(p) and p is not classifier and not _stays(p)]
    if not matrices:
        raise RecipeError(
            "training.optimizer muon is for networks with hidden matrices, and this one has none; use adamw"
        )
    muon = Muon(matrices, options.lr, options.momentum, options.weight_decay)
    rest = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return _Both(muon, AdamW(_groups(rest, options.weight_decay), lr=options.lr, fused=True))


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it takes several inputs to several outputs; a depthwise kernel takes one."""
    return parameter.ndim >= 2 and min(parameter.shape[:2]) > 1


class _Both(Optimizer):
    """Two optimisers of different parameters that step as one; it has the groups of both, so that a schedule sees all.

    Args:
        first: one of them.
        second: the other.
    """

    def __init__(self, first: Optimizer, second: Optimizer) -> None:
        self._parts = (first, second)
        super().__init__([*first.param_groups, *second.param_groups], {"lr": first.defaults["lr"]})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Let both step."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Both states."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


_OPTIMIZERS: dict[str, Callable[[Classifier, Training], Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "lion": _lion,
    "muon": _muon,
}
