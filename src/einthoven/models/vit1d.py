"""vit1d: a small vision transformer whose tokens are patches of one lead.

Dosovitskiy et al. 2021, "An image is worth 16x16 words", on the lead-time patches of Na et al. 2024 ("Guiding masked
representation learning to capture spatio-temporal relationship of electrocardiogram", ST-MEM): every patch of some
samples of one lead is a token, with a learned embedding of its lead and sines and cosines of its time, so that any
length works. The head is the PTB-XL benchmark's, with the maximum over time beside the mean: a transformer of this size
learns far sooner with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.models._network import Network, pooled_head
from einthoven.models._registry import register_model
from einthoven.models.convnext1d import DropPath

__all__ = ["vit1d"]


class Tokens(nn.Module):
    """Cut leads into patches, embed them, add where each is from.

    Args:
        n_leads: leads, whose order is fixed from here on.
        patch: samples of a patch; the last one is filled up with zeros.
        width: features of a token; even.
    """

    def __init__(self, n_leads: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch, self.width = patch, width
        self.embed = nn.Linear(patch, width)
        nn.init.normal_(self.embed.weight, std=patch**-0.5)  # as large as positions, which would hide it otherwise
        self.lead = nn.Parameter(0.02 * torch.randn(n_leads, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lead, time) to (batch, lead, patch, width)."""
        x = F.pad(x, (0, -x.shape[-1] % self.patch))
        x = x.reshape(*x.shape[:2], -1, self.patch)
        return self.embed(x) + self.lead + sinusoids(x.shape[2], self.width, x.device)


def sinusoids(n_positions: int, width: int, device: torch.device | None = None) -> Tensor:
    """Vaswani et al. 2017's positions, shape (n_positions, width): sines, then cosines, wavelengths up to 10,000."""
    rate = torch.exp(torch.arange(width // 2, device=device) * (-2 * math.log(10_000) / width))
    phase = torch.arange(n_positions, device=device)[:, None] * rate
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


class TransformerBlock(nn.Module):
    """Attention and two pointwise layers, each after a norm and beside a shortcut."""

    def __init__(self, width: int, n_heads: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm, self.qkv, self.project = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout, self.drop_path = nn.Dropout(dropout), DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, token, width) to the same."""
        heads = self.qkv(self.norm(x)).reshape(*x.shape[:2], 3, self.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, head, token, width of a head)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, token, width)
        x = x + self.drop_path(self.dropout(self.project(seen)))
        return x + self.drop_path(self.dropout(self.pointwise(x)))


class LeadTimeTransformer(nn.Module):
    """Tokens, blocks, a norm; the mean over leads remains over time."""

    def __init__(self, tokens: Tokens, blocks: list[TransformerBlock]) -> None:
        super().__init__()
        self.tokens, self.blocks, self.norm = tokens, nn.Sequential(*blocks), nn.LayerNorm(tokens.width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lead, time) to (batch, width, patch)."""
        tokens = self.tokens(x)
        out: Tensor = self.norm(self.blocks(tokens.flatten(1, 2)))
        return out.reshape(tokens.shape).mean(dim=1).transpose(1, 2)


@register_model
def vit1d(
    n_leads: int,
    n_classes: int,
    patch: int = 25,
    width: int = 96,
    depth: int = 4,
    n_heads: int = 4,
    dropout: float = 0.1,
    drop_path: float = 0.1,
) -> Network:
    """0.48 M parameters at 12 leads and 5 classes; at 100 Hz a patch is a quarter of a second."""
    if width % (2 * n_heads):
        raise ValueError(f"width must be a multiple of twice n_heads, got {width} and {n_heads}")
    shares = torch.linspace(0, drop_path, depth).tolist()
    body = LeadTimeTransformer(
        Tokens(n_leads, patch, width), [TransformerBlock(width, n_heads, dropout, share) for share in shares]
    )
    network = Network(body, pooled_head(width, n_classes), n_features=width)
    for module in body.blocks.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return network
