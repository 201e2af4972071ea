"""ExecuTorch programs for XNNPACK: 32-bit floats, and 8 bits by PyTorch's own quantisation of exported graphs."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from einthoven.bundle import Bundle
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.edge.tracing import Traced, cannot, trace
from einthoven.errors import BundleError
from einthoven.runtimes._edge import load, quiet

__all__ = ["make"]

_FINEST = 2.0**-12  # no scale is finer, as in ExecuTorch's own configuration


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.pte`` or ``model.int8.pte``; see ``formats.Maker``.

    Raises:
        MissingExtraError: ExecuTorch is not installed.
        BundleError: it has nothing for an operator of the network, or knows no such ranges.
    """
    exir = load("executorch", "executorch.exir", "converting networks to ExecuTorch")
    load("torchao", "torchao", "converting networks to ExecuTorch")
    traced, how = trace(bundle), {"executorch": version("executorch")}
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    try:
        with quiet():
            module: Any = traced.module
            if name == "executorch-int8":
                assert calibration is not None
                module, more = _quantise(traced, calibration, options)
                how |= more
            exported = torch.export.export(module, traced.example)
            lowered = exir.to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            program = lowered.to_executorch().buffer
    except BundleError:
        raise
    except Exception as error:  # the converter has no error class of its own
        raise cannot(bundle, traced, "ExecuTorch", error) from error
    file = folder / f"model{name.removeprefix('executorch').replace('-', '.')}.pte"
    file.write_bytes(program)
    return Made([file.name], how)


def _quantise(traced: Traced, calibration: Calibration, options: Options) -> tuple[Any, dict[str, Any]]:
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if options.ranges != "minmax":
        raise BundleError(f"executorch-int8 takes its ranges by minmax, not by {options.ranges}")
    config = xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    observed = MinMaxObserver.with_args(eps=_FINEST)
    ends = {
        end: replace(getattr(config, end), observer_or_fake_quant_ctr=observed)
        for end in ("input_activation", "output_activation")
    }
    quantizer = xnnpack_quantizer.XNNPACKQuantizer().set_global(replace(config, **ends))
    kept = _layers_to_keep(traced, options.keep_float)
    for layer in kept:
        quantizer.set_module_name(layer, None)
    exported = torch.export.export(traced.module, traced.example).module()
    prepared = prepare_pt2e(exported, quantizer)
    with torch.no_grad():
        for feed in calibration.feeds():
            prepared(*map(torch.from_numpy, feed))
    return convert_pt2e(prepared), {
        "torchao": version("torchao"),
        "ranges": options.ranges,
        "activations": "s8",
        "weights": "s8 per channel",
        "kept_float": kept,
    }


def _layers_to_keep(traced: Traced, which: tuple[str, ...]) -> list[str]:
    aten = torch.ops.aten
    weighted = (aten.conv1d.default, aten.conv2d.default, aten.linear.default)
    names = [
        str(list(node.meta["nn_module_stack"].values())[-1][0])
        for node in traced.module.graph.nodes
        if node.target in weighted
    ]
    return [names[0 if each == "first" else -1] for each in which]
