"""ECGFounder's published weights, from a local file into our ``ecgfounder_net1d``: all of them, or a named error.

Li et al. 2025, "An electrocardiogram foundation model built on over 10 million recordings" (MIT licence; files
``12_lead_ECGFounder.pth`` and ``1_lead_ECGFounder.pth`` of huggingface.co/PKUDigitalHealth/ECGFounder; 500 Hz, 10 s,
150 classes). Names, shapes and arithmetic follow the published source. The files themselves were never at hand: the
tests read a made-up file of their layout, and agree with an independent form of the published network.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.errors import BundleError
from einthoven.models._network import Network

__all__ = ["load_ecgfounder"]

Shape = tuple[int, ...]

_HEAD = "dense."
_NAMES = (  # ours, theirs
    (r"body\.stem\.(\w+)", r"first_conv.conv.\1"),
    (r"body\.stages\.(\d+)\.(\d+)\.conv(\d)\.(\w+)", r"stage_list.\1.block_list.\2.conv\3.conv.\4"),
    (r"body\.stages\.(\d+)\.(\d+)\.gate\.squeeze\.(\w+)", r"stage_list.\1.block_list.\2.se_fc1.\3"),
    (r"body\.stages\.(\d+)\.(\d+)\.gate\.excite\.(\w+)", r"stage_list.\1.block_list.\2.se_fc2.\3"),
    (r"head\.2\.(\w+)", _HEAD + r"\1"),
)
_NOT_WEIGHTS = {  # how a file begins that a download left instead of weights
    b"<": "a web page; the download was answered by a page, perhaps one that asks to log in",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with  git lfs pull",
}
_STEM = "first_conv.conv.weight"
_TOLERANCE = 1e-3  # largest difference of a logit from the stored one


def load_ecgfounder(network: Network, path: Path, probe: Path | None = None) -> list[str]:
    """Fill a network with ECGFounder's weights and see that it answers as it should.

    Every tensor of the file must be one of the published network, and none may be missing. Its norms are the exception
    that the published network itself makes: it holds but never runs them, so they are checked and left aside.

    Args:
        network: an ``ecgfounder_net1d`` on the CPU, with as many leads as the file's; other classes are welcome.
        path: the ``.pth`` file, loaded without unpickling code, or the same tensors as ``.safetensors``.
        probe: a safetensors file of ``input`` (batch, lead, time) and the file's own ``logits`` (batch, class). Where
            none is given, answers must be finite and weights beyond what a fresh network is drawn from.

    Returns:
        Our names of what was left as it was: the classifier's, where the number of classes differs, else nothing.

    Raises:
        BundleError: the file is no file of weights, is cut short, holds more than tensors and plain values, belongs to
            another architecture or other leads, or does not answer the probe.
    """
    state, names = _read(path), _their_names(network)
    own = network.state_dict()
    shapes = {theirs: tuple(own[ours].shape) for ours, theirs in names.items()}
    fresh = _fresh_head(names, shapes, state)
    _check_layout(path, state, {**shapes, **_idle_norms(shapes)}, {names[ours] for ours in fresh})
    network.load_state_dict({ours: own[ours] if ours in fresh else state[theirs] for ours, theirs in names.items()})
    _check_answers(network, path, state, probe)
    return fresh


def _read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by their published names."""
    if not path.is_file():
        raise BundleError(
            f"{path}: missing; download ECGFounder's weights from huggingface.co/PKUDigitalHealth/ECGFounder"
        )
    with path.open("rb") as file:
        start = file.read(512).lstrip()
    for beginning, what in _NOT_WEIGHTS.items():
        if start.startswith(beginning):
            raise BundleError(f"{path}: not weights but {what}")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, start)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise BundleError(f"{path}: holds no state_dict, a mapping of names to tensors")
    return dict(state)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cut short or damaged ({error}); download it again") from None


def _read_torch(path: Path, start: bytes) -> Any:
    if not zipfile.is_zipfile(path):
        what = "cut short; download it again" if start.startswith(b"PK") else "not a file that torch.save wrote"
        raise BundleError(f"{path}: {what}")
    # The published training stores its validation score, a NumPy number, beside the weights.
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("f4", "f8", "i8")]
    allowed = [scalar, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    try:
        with torch.serialization.safe_globals([*allowed, np.dtype, *dtypes]):  # type: ignore[list-item]
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        code = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error))
        if code:
            raise BundleError(
                f"{path}: holds pickled code ({code[1]}); only tensors and plain values are loaded"
            ) from None
        reason = str(error).splitlines()[0]
        raise BundleError(f"{path}: damaged ({type(error).__name__}: {reason}); download it again") from None


def _their_names(network: Network) -> dict[str, str]:
    """Our names with the published ones."""
    names = {}
    for ours in network.state_dict():
        found = [re.sub(pattern, theirs, ours) for pattern, theirs in _NAMES if re.fullmatch(pattern, ours)]
        if not found:
            raise BundleError(f"ECGFounder's weights fit the model ecgfounder_net1d only; this network has {ours}")
        names[ours] = found[0]
    return names


def _fresh_head(names: Mapping[str, str], shapes: Mapping[str, Shape], state: Mapping[str, Tensor]) -> list[str]:
    """Our names of the classifier, where the file's has another number of classes."""
    head = {ours: theirs for ours, theirs in names.items() if theirs.startswith(_HEAD)}
    same = all(theirs not in state or state[theirs].shape == shapes[theirs] for theirs in head.values())
    return [] if same else list(head)


def _idle_norms(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Names and shapes of the norms that the published network holds but never runs: one before each convolution."""
    widths = {"first_bn": shapes["first_conv.conv.weight"][0]}
    for name, shape in shapes.items():
        if found := re.fullmatch(r"(stage_list.+)\.conv(\d)\.conv\.weight", name):
            # The grouped second convolution has as many channels before it as after it.
            widths[f"{found[1]}.bn{found[2]}"] = shape[0] if found[2] == "2" else shape[1]
    parts = ("weight", "bias", "running_mean", "running_var")
    norms: dict[str, Shape] = {f"{name}.{part}": (width,) for name, width in widths.items() for part in parts}
    return norms | {f"{name}.num_batches_tracked": () for name in widths}


def _check_layout(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Shape], free: set[str]) -> None:
    """Every name must be there and none besides, each with its shape."""
    for kind, names in (("lacks", wanted.keys() - state), ("has besides", state.keys() - wanted)):
        if names:
            some = ", ".join(sorted(names)[:3])
            raise BundleError(f"{path}: of another architecture than ECGFounder: {kind} {len(names)} tensors ({some})")
    leads, ours = state[_STEM].shape[1:2], wanted[_STEM][1:2]
    if leads != ours:
        raise BundleError(
            f"{path}: for {leads[0]} leads, but the network has {ours[0]}; build it with n_leads={leads[0]}"
        )
    for name in wanted.keys() - free:
        if state[name].shape != wanted[name]:
            shapes = f"{tuple(state[name].shape)} instead of {wanted[name]}"
            raise BundleError(f"{path}: of another architecture than ECGFounder: {name} has shape {shapes}")


def _check_answers(network: Network, path: Path, state: Mapping[str, Tensor], probe: Path | None) -> None:
    """Compare with stored logits, or see at least that the weights are trained and their answers finite."""
    pair = _read_probe(probe) if probe else None
    x = pair["input"] if pair else torch.linspace(-1, 1, 1000 * state[_STEM].shape[1]).reshape(1, -1, 1000)
    was_training = network.training
    with torch.inference_mode():
        embedding = network.eval().forward_head(network.forward_features(x), pre_logits=True)
    network.train(was_training)
    logits = F.linear(embedding, state[_HEAD + "weight"], state[_HEAD + "bias"])  # the file's, whatever our classes
    if not torch.isfinite(logits).all():
        raise BundleError(f"{path}: the network's answers are not finite; the file is damaged")
    if pair:
        off = float((logits - pair["logits"]).abs().max()) if logits.shape == pair["logits"].shape else math.inf
        if not off <= _TOLERANCE:  # NaN is no agreement
            raise BundleError(f"{path}: differs by {off:.3g} in a logit from {probe} (at most {_TOLERANCE:g})")
    elif _as_drawn(network.body):
        raise BundleError(f"{path}: weights of an untrained network; no training moved any beyond its first range")


def _read_probe(path: Path) -> dict[str, Tensor]:
    pair = _read_safetensors(path) if path.is_file() else {}
    if pair.keys() != {"input", "logits"}:
        raise BundleError(
            f"{path}: a probe is a safetensors file of input (batch, lead, time) and logits (batch, class)"
        )
    return pair


def _as_drawn(module: nn.Module) -> bool:
    """Whether all weights lie in the range that torch draws fresh ones from, 1 / sqrt(inputs of a unit)."""
    layers = [m for m in module.modules() if isinstance(m, nn.Conv1d | nn.Linear)]
    return all(float(m.weight.detach().abs().max()) <= 1.001 * m.weight[0].numel() ** -0.5 for m in layers)
