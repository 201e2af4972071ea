"""lstm and lstm_bidir: recurrence over time, as in the PTB-XL benchmark.

Hochreiter and Schmidhuber 1997, "Long short-term memory"; as configured by Strodthoff et al. 2021: two layers of 256
units, pooled over time into maximum, mean and last output, and the benchmark's dense layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from einthoven.models._blocks import dense_layers
from einthoven.models._network import Network
from einthoven.models._registry import register_model

__all__ = ["Recurrent", "lstm", "lstm_bidir"]


class Recurrent(nn.Module):
    """LSTM layers along the last axis: (batch, n_in, step) to (batch, units of all directions, step)."""

    def __init__(self, n_in: int, hidden: int, layers: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, hidden, layers, batch_first=True, bidirectional=bidirectional)
        self.n_out = hidden * (1 + bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, step) to (batch, n_out, step)."""
        if torch.onnx.is_in_onnx_export():
            return self._as_onnx(x)
        out: Tensor = self.lstm(x.transpose(1, 2))[0]
        return out.transpose(1, 2)

    def _as_onnx(self, x: Tensor) -> Tensor:
        """The same as ONNX's own operator; the exporter would trace PyTorch's step by step, which takes minutes."""
        hidden, both = self.lstm.hidden_size, self.lstm.bidirectional
        direction = "bidirectional" if both else "forward"
        x = x.permute(2, 0, 1)  # (step, batch, feature)
        for layer in range(self.lstm.num_layers):
            shape = (x.shape[0], 1 + both, x.shape[1], hidden)
            y = torch.onnx.ops.symbolic(
                "LSTM",
                (x, *self._onnx_weights(layer)),
                {"hidden_size": hidden, "direction": direction},
                dtype=x.dtype,
                shape=shape,
            )
            x = y.transpose(1, 2).flatten(2)
        return x.permute(1, 2, 0)

    def _onnx_weights(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Input weights, recurrent weights and biases of a layer, directions first, gates in the order of ONNX."""
        directions = ("", "_reverse") if self.lstm.bidirectional else ("",)

        def weight(kind: str) -> Tensor:
            parts = [getattr(self.lstm, f"{kind}_l{layer}{direction}") for direction in directions]
            i, f, g, o = torch.stack(parts).chunk(4, dim=1)
            return torch.cat([i, o, f, g], dim=1)

        return weight("weight_ih"), weight("weight_hh"), torch.cat([weight("bias_ih"), weight("bias_hh")], dim=1)


class RecurrentPool(nn.Module):
    """Maximum, mean and last output, side by side: (batch, feature, time) to (batch, 3 * feature).

    The last output of the reverse direction is that at the first sample.
    """

    def __init__(self, bidirectional: bool) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        last = x[..., -1]
        if self.bidirectional:
            half = x.shape[1] // 2
            last = torch.cat([x[:, :half, -1], x[:, half:, 0]], dim=1)
        return torch.cat([x.amax(dim=-1), x.mean(dim=-1), last], dim=1)


@register_model
def lstm(n_leads: int, n_classes: int, hidden: int = 256, layers: int = 2, bidirectional: bool = False) -> Network:
    """0.90 M parameters at 12 leads and 5 classes; one step per sample, so slow for long signals."""
    body = Recurrent(n_leads, hidden, layers, bidirectional)
    dense = dense_layers(3 * body.n_out, n_classes, hidden=128, dropouts=(0.25, 0.5))
    return Network(body, nn.Sequential(RecurrentPool(bidirectional), *dense), n_features=body.n_out)


@register_model
def lstm_bidir(n_leads: int, n_classes: int, hidden: int = 256, layers: int = 2) -> Network:
    """Both directions; 2.3 M parameters at 12 leads and 5 classes.

    The benchmark means to pool the last output of each direction but takes the last sample of both; ours takes what is
    meant, which changes no count.
    """
    return lstm(n_leads, n_classes, hidden, layers, bidirectional=True)
