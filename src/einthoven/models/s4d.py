"""s4d: diagonal state spaces, in real arithmetic from the parameters to the logits.

Gu et al. 2022, "On the parameterization and initialization of diagonal state space models" (S4D-Lin, zero-order hold),
in the classifier of Mehari and Strodthoff 2023, "Towards quantitative precision for ECG analysis: leveraging state
space models, self-supervision and patient metadata": 4 layers of 512 features with 8 states each, both directions, GELU
and a gated mixture of features, dropout 0.2, layer norm after the shortcut, mean over time. Theirs is S4, with a
low-rank part beside the diagonal; Gu et al. found the diagonal alone as good.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from einthoven.models._network import Network
from einthoven.models._registry import register_model
from einthoven.models.convnext1d import ChannelNorm

__all__ = ["StateSpace", "convolve", "s4d", "s4d_small"]

_STEP_RANGE = (1e-3, 1e-1)  # of the state's clock, per sample


class StateSpace(nn.Module):
    r"""A linear system with a diagonal state for each feature, run forwards and backwards, as a convolution.

    With poles :math:`a = -e^{decay} + i\,frequency`, step :math:`d = e^{log\_step}` and output weights :math:`c`, the
    response to a sample ``l`` samples ago is :math:`2 \mathrm{Re} \sum_n c_n (e^{d a_n} - 1) / a_n \; e^{l d a_n}`;
    the backward system, with its own :math:`c`, sees the samples to come. Poles come in conjugate pairs, of which one
    is kept. All parameters are marked ``_no_weight_decay``: decay would pull the poles, not the size of the answer.

    Args:
        width: features, each with its own system.
        n_states: real states of a system, two to a pair of poles.
    """

    def __init__(self, width: int, n_states: int) -> None:
        super().__init__()
        if n_states % 2:
            raise ValueError(f"n_states must be even, because poles come in pairs; got {n_states}")
        pairs = n_states // 2
        low, high = math.log(_STEP_RANGE[0]), math.log(_STEP_RANGE[1])
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(width))
        self.decay = nn.Parameter(torch.full((width, pairs), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(pairs)).repeat(width, 1))
        self.output = nn.Parameter(math.sqrt(0.5) * torch.randn(2, 2, width, pairs))  # direction, real and imaginary
        self.direct = nn.Parameter(torch.randn(width))
        for parameter in self.parameters():
            parameter._no_weight_decay = True  # type: ignore[attr-defined]

    def kernel(self, n_samples: int) -> Tensor:
        """Responses 0 to n_samples - 1 samples later: forward and backward, shape (2, width, n_samples)."""
        step = self.log_step.exp()[:, None]
        a, b = -self.decay.exp(), self.frequency
        growth = (step * a).exp()
        real, imaginary = growth * (step * b).cos() - 1, growth * (step * b).sin()
        size = a**2 + b**2
        held = (real * a + imaginary * b) / size, (imaginary * a - real * b) / size  # (exp(d a) - 1) / a
        c_real, c_imaginary = self.output[:, 0], self.output[:, 1]
        u = 2 * (c_real * held[0] - c_imaginary * held[1])[..., None]  # (2, H, N, 1)
        v = 2 * (c_real * held[1] + c_imaginary * held[0])[..., None]
        time = torch.arange(n_samples, device=step.device, dtype=step.dtype)
        envelope = ((step * a)[..., None] * time).exp()
        phase = (step * b)[..., None] * time
        # A sum of products, not a matrix product: autocast would do that in half precision.
        return (u * (envelope * phase.cos()) - v * (envelope * phase.sin())).sum(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, time) to the same, in float32."""
        x = x.float()
        return convolve(x, self.kernel(x.shape[-1])) + self.direct[:, None] * x


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve features with responses to the past (with the present) and to the future.

    By FFT; in an exported graph by real matrix products with the same result, which every runtime has.

    Args:
        x: shape (batch, width, time), float32.
        kernel: shape (2, width, time).

    Returns:
        Shape (batch, width, time).
    """
    ahead, back = kernel[0], kernel[1, :, :-1]  # the backward system sees from the next sample on
    if torch.compiler.is_exporting():
        return _convolve_by_products(x, ahead, back)
    n_samples = x.shape[-1]
    n = _fft_length(2 * n_samples - 1)
    around = torch.cat([ahead, ahead.new_zeros(len(ahead), n - 2 * n_samples + 1), back.flip(-1)], dim=-1)
    out: Tensor = _CircularConvolution.apply(x, around)  # type: ignore[no-untyped-call]
    return out


def _fft_length(n: int) -> int:
    """Return the next length of the form 4, 5 or 6 times a power of two: odd factors cost more than zeros."""
    return min(c << max(0, math.ceil(math.log2(n / c))) for c in (4, 5, 6))


class _CircularConvolution(torch.autograd.Function):
    """FFT convolution whose gradient uses the spectra again and stays real: torch's own takes twice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        n = kernel.shape[-1]
        spectrum, response = torch.fft.rfft(x, n=n), torch.fft.rfft(kernel)
        ctx.save_for_backward(spectrum, response)
        ctx.n, ctx.n_samples = n, x.shape[-1]
        return torch.fft.irfft(spectrum * response, n=n)[..., : x.shape[-1]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        spectrum, response = ctx.saved_tensors
        g = torch.fft.rfft(gradient, n=ctx.n)
        to_x = torch.fft.irfft(g * response.conj(), n=ctx.n)[..., : ctx.n_samples]
        return to_x, torch.fft.irfft((g * spectrum.conj()).sum(dim=0), n=ctx.n)


def _convolve_by_products(x: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
    """Fourier transform, product and inverse in real matrix products; 8 to 15 times a depthwise convolution's speed."""
    n_samples = x.shape[-1]
    n = 2 * n_samples - 1  # odd, so that every frequency but 0 has its conjugate
    index = torch.arange(n_samples, device=x.device)
    angle = (torch.outer(index, index) % n).to(x.dtype) * (2 * math.pi / n)
    cos, sin = angle.cos(), angle.sin()  # symmetric, (time, frequency)
    response_real = ahead @ cos + back @ cos[1:]
    response_imaginary = back @ sin[1:] - ahead @ sin
    real, imaginary = x @ cos, -(x @ sin)
    weight = torch.where(index == 0, 1 / n, 2 / n)
    out_real = (real * response_real - imaginary * response_imaginary) * weight
    out_imaginary = (real * response_imaginary + imaginary * response_real) * weight
    return out_real @ cos - out_imaginary @ sin


class S4DBlock(nn.Module):
    """State spaces, GELU, a gated mixture of features, shortcut, norm; whole features are dropped."""

    def __init__(self, width: int, n_states: int, dropout: float) -> None:
        super().__init__()
        self.states = StateSpace(width, n_states)
        self.mix = nn.Conv1d(width, 2 * width, 1)
        self.dropout = nn.Dropout1d(dropout)
        self.norm = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, time) to the same."""
        y = self.dropout(F.gelu(self.states(x)))
        return self.norm(x + self.dropout(F.glu(self.mix(y), dim=1)))


def _s4d(
    n_leads: int, n_classes: int, width: int, depth: int, n_states: int, stem_stride: int, dropout: float
) -> Network:
    stem = nn.Conv1d(n_leads, width, stem_stride, stem_stride)
    body = nn.Sequential(stem, *(S4DBlock(width, n_states, dropout) for _ in range(depth)))
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, n_classes))
    return Network(body, head, n_features=width)


@register_model
def s4d(
    n_leads: int, n_classes: int, width: int = 512, depth: int = 4, n_states: int = 8, dropout: float = 0.2
) -> Network:
    """The published size: 2.17 M parameters at 12 leads and 5 classes; for a GPU."""
    return _s4d(n_leads, n_classes, width, depth, n_states, 1, dropout)


@register_model
def s4d_small(
    n_leads: int,
    n_classes: int,
    width: int = 192,
    depth: int = 4,
    n_states: int = 8,
    stem_stride: int = 2,
    dropout: float = 0.1,
) -> Network:
    """0.32 M parameters at 12 leads and 5 classes, at half the rate: about a tenth of ``s4d``'s work; for a CPU."""
    return _s4d(n_leads, n_classes, width, depth, n_states, stem_stride, dropout)
