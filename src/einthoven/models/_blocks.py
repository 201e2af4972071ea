"""Blocks that several families share: channel gates, residual blocks, adaptive pooling, dense layers of a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import conv1d

__all__ = ["PoolTo", "ResidualBlock", "SqueezeExcite", "dense_layers", "init_convolutions", "residual_stages"]


class SqueezeExcite(nn.Module):
    """Gates on channels, learned from their means over time (Hu et al. 2018, "Squeeze-and-excitation networks").

    Args:
        n_channels: channels in and out.
        reduction: how many times fewer the hidden units are.
        narrowest: hidden units that there are at least.
    """

    def __init__(self, n_channels: int, reduction: int = 16, narrowest: int = 1) -> None:
        super().__init__()
        n_hidden = max(n_channels // reduction, narrowest)
        hidden = [nn.Linear(n_channels, n_hidden, bias=False), nn.ReLU()]
        self.gate = nn.Sequential(*hidden, nn.Linear(n_hidden, n_channels, bias=False), nn.Sigmoid())

    def squeeze(self, x: Tensor) -> Tensor:
        """One number per channel: (batch, channel, time) to (batch, channel)."""
        return x.mean(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to the same shape."""
        gates: Tensor = self.gate(self.squeeze(x))
        return x * gates[..., None]


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm beside a shortcut, which is a 1x1 convolution where the shape changes.

    Args:
        n_in: channels in.
        n_out: channels out.
        stride: of the first convolution.
        kernels: of the two convolutions.
        bias: whether these two have one.
        dropout: between them.
        gate: what the branch passes before it is added, given its channels.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        stride: int = 1,
        kernels: tuple[int, int] = (3, 3),
        bias: bool = False,
        dropout: float = 0.0,
        gate: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        first = nn.Conv1d(n_in, n_out, kernels[0], stride, padding=kernels[0] // 2, bias=bias)
        second = nn.Conv1d(n_out, n_out, kernels[1], padding=kernels[1] // 2, bias=bias)
        branch = [first, nn.BatchNorm1d(n_out), nn.ReLU(), nn.Dropout(dropout), second, nn.BatchNorm1d(n_out)]
        self.branch = nn.Sequential(*branch, *([gate(n_out)] if gate else []))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.shortcut = nn.Sequential(conv1d(n_in, n_out, 1, stride), nn.BatchNorm1d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, time) to (batch, n_out, time / stride)."""
        return F.relu(self.branch(x) + self.shortcut(x))


def residual_stages(
    n_in: int, widths: Sequence[int], depths: Sequence[int], block: Callable[[int, int, int], nn.Module]
) -> list[nn.Module]:
    """Build stages of ``block(n_in, n_out, stride)``; every stage but the first halves the length."""
    layers = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for k in range(depth):
            layers.append(block(n_in, width, 2 if stage > 0 and k == 0 else 1))
            n_in = width
    return layers


class PoolTo(nn.Module):
    """Mean of ``n`` windows that cover all of time, as ``nn.AdaptiveAvgPool1d``; nothing happens at ``n`` samples.

    A matrix product, because the gradient of PyTorch's own adaptive pooling differs from run to run on a GPU.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to (batch, channel, n)."""
        n_samples = x.shape[-1]
        if n_samples == self.n:
            return x
        window = torch.arange(self.n, device=x.device)
        start, stop = window * n_samples // self.n, ((window + 1) * n_samples + self.n - 1) // self.n
        sample = torch.arange(n_samples, device=x.device)[:, None]
        inside = (sample >= start) & (sample < stop)
        return x @ (inside.to(x.dtype) / (stop - start))


def dense_layers(n_in: int, n_classes: int, hidden: int, dropouts: tuple[float, float]) -> list[nn.Module]:
    """Batch norm, dropout and a linear layer, twice, from pooled features to logits."""
    layers = [nn.BatchNorm1d(n_in), nn.Dropout(dropouts[0]), nn.Linear(n_in, hidden), nn.ReLU()]
    return [*layers, nn.BatchNorm1d(hidden), nn.Dropout(dropouts[1]), nn.Linear(hidden, n_classes)]


def init_convolutions(network: nn.Module) -> None:
    """Draw every convolution's weights anew by He et al.'s rule for the outputs; other layers stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
