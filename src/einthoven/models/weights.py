"""Weights on disk, and the module they belong to: safetensors with exact names and shapes, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from einthoven.errors import BundleError
from einthoven.files import atomic_write
from einthoven.models._registry import create_model
from einthoven.models.ensemble import WeightedMean
from einthoven.models.fusion import FactScaling, FusedNetwork
from einthoven.models.scaling import Classifier, Scaling
from einthoven.models.widths import narrow_network

__all__ = ["build_classifier", "load_matching", "load_weights", "save_weights"]


def build_classifier(network: Mapping[str, Any]) -> Classifier | WeightedMean:
    """Build the module that a bundle's ``network`` entry describes, with weights still to be loaded.

    Raises:
        BundleError: it was pruned to widths that its architecture does not have.
    """
    if "ensemble" in network:
        members = [build_classifier(member) for member in network["ensemble"]]
        return WeightedMean(members, network["weights"], network["kind"], network["columns"])
    n_scales = network["n_scales"]
    scaling = Scaling([0.0] * n_scales, [1.0] * n_scales)
    body = create_model(network["name"], network["n_leads"], network["n_classes"], **network["options"])
    model = Classifier(scaling, body)
    if n_facts := network.get("n_facts", 0):
        fused = FusedNetwork(body, n_facts, **network["fusion"])
        model = Classifier(scaling, fused, FactScaling([0.0] * n_facts, [1.0] * n_facts))
    if pruned := network.get("pruned"):
        try:
            narrow_network(model.network, pruned["widths"], pruned["n_features"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the widths of the pruned {network['name']} do not fit it: {error}") from None
    return model


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a module's weights and buffers as safetensors."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}))


def load_weights(path: Path, model: nn.Module) -> None:
    """Load what ``save_weights`` wrote; names and shapes must agree exactly.

    Raises:
        BundleError: the file is damaged or belongs to another architecture.
    """
    if not path.is_file():
        raise BundleError(f"{path}: missing")
    try:
        model.load_state_dict(load_file(path), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BundleError(f"{path}: weights do not fit the model: {str(error).splitlines()[0]}") from None


def load_matching(
    path: Path, model: nn.Module, classifier: str, known: Sequence[str], wanted: Sequence[str]
) -> set[str]:
    """Fill a module with the weights of a file whose names and shapes agree, and its classifier class by class.

    Args:
        path: what ``save_weights`` wrote.
        model: of ``wanted`` classes.
        classifier: name of the module whose rows are classes.
        known: classes of the file's rows; a class of the module that is not among them keeps its own row.
        wanted: classes of the module's rows.

    Returns:
        Names that only one of the two has, or that have another shape; in the module these are left as they were.
    """
    here, there = model.state_dict(), load_file(path)
    for part in (f"{classifier}.weight", f"{classifier}.bias"):
        if part in here and part in there and here[part].shape[1:] == there[part].shape[1:]:
            there[part] = _by_class(here[part], there[part], known, wanted)
    fitting = {name for name, tensor in here.items() if name in there and there[name].shape == tensor.shape}
    model.load_state_dict({**here, **{name: there[name] for name in fitting}})
    return (here.keys() | there.keys()) - fitting


def _by_class(here: Tensor, there: Tensor, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    both = [(k, known.index(name)) for k, name in enumerate(wanted) if name in known]
    rows = here.clone()
    rows[[k for k, _ in both]] = there[[k for _, k in both]].to(rows.dtype)  # shipped weights have 16 bits
    return rows
