"""Muon for convolutions too: steps whose singular values are all near one, for every kernel as a matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonal"]


class Muon(torch.optim.Optimizer):
    """Jordan et al. 2024, "Muon", with the scale of Liu et al. 2025, so that AdamW's rate and decay serve.

    A convolution is the matrix (output, input and kernel). ``torch.optim.Muon`` refuses convolutions and computes in
    bfloat16, which many processors only emulate.

    Args:
        weights: of two dimensions or more, the output first.
        lr: AdamW's.
        momentum: of Nesterov's kind.
        weight_decay: AdamW's, decoupled.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step along the orthogonalised momentum."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                mean = state.setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                matrix = weight.grad.lerp(mean, group["momentum"]).flatten(1)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(matrix).view(weight.shape), alpha=-0.2 * group["lr"] * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with all singular values near 1, by five steps of Jordan's quintic Newton-Schulz iteration."""
    x = matrix / (matrix.norm() + 1e-7)
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
