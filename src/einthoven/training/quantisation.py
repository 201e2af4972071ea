r"""Quantisation-aware training: the network learns while its weights and signals lie on the grid that int8 will have.

Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference", for
what ONNX Runtime's static quantisation makes of convolutions and linear layers: weights with the batch norm that
follows folded in, symmetric, with a scale for each output channel and 7 bits (8-bit products overflow on processors
without VNNI), and signals as unsigned 8-bit numbers with one scale and zero for all. Gradients pass rounding unchanged.

The fakes are worn only while the network is called: its layers, names and weights stay plain floats throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

__all__ = ["FakeQuantisation", "fake_signal", "fake_weight"]

_WEIGHT_LEVELS = 64  # on either side of zero: 7 bits
_SIGNAL_LEVELS = 255
_PACE = 0.01  # share of the way that a range which has become too wide goes back, per batch
_SMALLEST = 1e-8  # scale

_RELUS = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


def fake_weight(weight: Tensor, norm: nn.BatchNorm1d | None = None) -> Tensor:
    r"""Put weights on their grid, as they will be with the batch norm folded in.

    Channel c of the folded weight is :math:`w_c \gamma_c / \sqrt{v_c + \epsilon}` with the norm's running variance v;
    its grid has the scale :math:`\max|w_c| / 64`.

    Args:
        weight: shape (out, ...).
        norm: follows the layer at once; None where none does.

    Returns:
        The same shape, divided by the norm's factor again, which the norm itself will apply.

    >>> fake_weight(torch.tensor([[1.0, 0.26, -0.01]]))
    tensor([[ 1.0000,  0.2656, -0.0156]])
    """
    factor = torch.ones(len(weight), device=weight.device)
    if norm is not None:
        assert norm.running_var is not None
        scale = norm.weight.detach() if norm.affine else 1.0
        factor = (scale / (norm.running_var + norm.eps).sqrt()).to(weight.dtype)
        factor = torch.where(factor.abs() < _SMALLEST, 1.0, factor)
    shaped = factor.reshape(-1, *[1] * (weight.ndim - 1))
    folded = weight * shaped
    scale = (folded.detach().abs().flatten(1).amax(dim=1) / _WEIGHT_LEVELS).clamp(min=_SMALLEST)
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    on_grid = torch.fake_quantize_per_channel_affine(folded, scale, zero, 0, -_WEIGHT_LEVELS, _WEIGHT_LEVELS)
    return on_grid / shaped


def fake_signal(x: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Put a signal on the grid of 256 values from ``lowest`` (at most 0) to ``highest`` (at least 0); 0 is one of them.

    >>> fake_signal(torch.tensor([-1.0, 0.0, 0.5, 3.0]), torch.tensor(-0.55), torch.tensor(2.0))
    tensor([-0.5500,  0.0000,  0.5000,  2.0000])
    """
    scale = ((highest - lowest) / _SIGNAL_LEVELS).clamp(min=_SMALLEST)
    zero = (-lowest / scale).round().clamp(0, _SIGNAL_LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, _SIGNAL_LEVELS)


class FakeQuantisation:
    """What rounds the weights and signals of a network while it is called.

    Rounded are the weights and inputs of convolutions and linear layers, and their outputs (after the batch norm, where
    one follows) unless a ReLU follows, whose output then is the input of the next layer.

    Args:
        model: whose layers they are.
        inputs: what it is called with, to see what follows each layer.

    Attributes:
        layers: by name, the batch norm that follows at once, if any, and whether a ReLU takes what comes out.
    """

    def __init__(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.layers = _find_layers(model, inputs)
        self._ranges: dict[str, Tensor] = {}
        self._learning = False

    @contextmanager
    def worn(self, model: nn.Module, *, learning: bool) -> Iterator[None]:
        """Let a network of the same layers compute with rounded weights and signals.

        Args:
            model: which.
            learning: whether the ranges of the signals follow what is seen, at once where it is wider, slowly where it
                is narrower; a signal that was never seen is not rounded.
        """
        handles: list[RemovableHandle] = []
        parts = dict(model.named_modules())
        self._learning = learning
        try:
            for name, (norm, rectified) in self.layers.items():
                handles += self._dress(name, parts[name], parts[norm] if norm else None, rectified)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _dress(self, name: str, layer: nn.Module, norm: nn.Module | None, rectified: bool) -> list[RemovableHandle]:
        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            assert isinstance(layer.weight, Tensor)
            with _in_float32(layer.weight.device):
                # What an instance has of its own hides the parameter of this name, whatever the layer's forward is.
                layer.__dict__["weight"] = fake_weight(layer.weight, norm)  # type: ignore[arg-type]
                return (self._round(f"{name}.input", args[0]), *args[1:])

        def after(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
            layer.__dict__.pop("weight", None)
            return None if norm or rectified or output is None else self._round(f"{name}.output", output)

        def after_norm(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
            return self._round(f"{name}.output", output)

        handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after, always_call=True)]
        if norm and not rectified:
            handles.append(norm.register_forward_hook(after_norm))
        return handles

    def _round(self, name: str, x: Tensor) -> Tensor:
        with _in_float32(x.device):
            x = x.float()
            if self._learning:
                self._follow(name, x.detach())
            return fake_signal(x, *self._ranges[name].to(x.device)) if name in self._ranges else x

    def _follow(self, name: str, x: Tensor) -> None:
        seen = torch.stack([x.amin().clamp(max=0), x.amax().clamp(min=0)])
        if name in self._ranges:
            # Never narrower than the batch: what is cut off has no gradient, and could not be brought back.
            slowly = torch.lerp(self._ranges[name].to(x.device), seen, _PACE)
            seen = torch.stack([torch.minimum(slowly[0], seen[0]), torch.maximum(slowly[1], seen[1])])
        self._ranges[name] = seen

    def state_dict(self) -> dict[str, Tensor]:
        """Lowest and highest value of every signal, shape (2,)."""
        return dict(self._ranges)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what ``state_dict`` returned."""
        self._ranges = dict(state)


def _in_float32(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)


class _Readers(TorchFunctionMode):
    """Notes which functions make something of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[int, list[Any]] = {}
        self._alive: list[Tensor] = []  # a freed tensor's id would be given to another

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in args if isinstance(result, Tensor) else ():  # to ask for a shape is not to read
            if isinstance(x, Tensor):
                self._of.setdefault(id(x), []).append(func)
                self._alive.append(x)
        return result

    def of(self, x: Tensor) -> list[Any]:
        """These functions."""
        return self._of.get(id(x), [])


def _find_layers(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, tuple[str | None, bool]]:
    """By the name of each layer that is called: its batch norm, and whether a ReLU takes what comes out."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}  # input and output
    parts = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv1d | nn.Linear | nn.BatchNorm1d)}
    handles = [layer.register_forward_hook(_keep(seen, name)) for name, layer in parts.items()]
    training = model.training
    try:
        with torch.no_grad(), _Readers() as readers:
            model.eval()(*inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    found: dict[str, tuple[str | None, bool]] = {}
    for name, (_, output) in seen.items():
        if isinstance(parts[name], nn.BatchNorm1d):
            continue
        norm = _norm_after(output, seen, parts) if readers.of(output) == [F.batch_norm] else None
        norm = norm if isinstance(parts[name], nn.Conv1d) else None  # no runtime folds one into a linear layer
        functions = readers.of(seen[norm][1] if norm else output)
        found[name] = (norm, bool(functions) and all(each in _RELUS for each in functions))
    return found


def _keep(seen: dict[str, tuple[Tensor, Tensor]], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = (args[0], output)

    return hook


def _norm_after(x: Tensor, seen: Mapping[str, tuple[Tensor, Tensor]], parts: Mapping[str, nn.Module]) -> str | None:
    names = (name for name, (inner, _) in seen.items() if inner is x and isinstance(parts[name], nn.BatchNorm1d))
    return next(names, None)
