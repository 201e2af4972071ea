"""From a network to an ONNX graph that computes the same, fast, and tells nothing of where it was made."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from einthoven.bundling.layout import widen
from einthoven.errors import BundleError
from einthoven.files import atomic_write

__all__ = ["export_onnx", "without_traces"]


def export_onnx(
    model: torch.nn.Module,
    example: NDArray[np.float32],
    path: Path,
    facts: NDArray[np.float32] | None = None,
    names: tuple[str, str] = ("signals_mv", "logits"),
) -> None:
    """Export millivolts (and facts) to logits as an ONNX graph with a free batch size.

    Args:
        model: in evaluation mode.
        example: of its input, shape (batch, leads, samples).
        path: of the file.
        facts: of its second input, where it has one.
        names: of the first input and of the output.

    Raises:
        BundleError: an operator of the network has no ONNX form; it and its layer are named.
    """
    inputs = {names[0]: example} | ({} if facts is None else {"facts": facts})
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)  # the exporter narrates its passes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                tuple(map(torch.from_numpy, inputs.values())),
                dynamo=True,
                opset_version=18,
                input_names=list(inputs),
                output_names=[names[1]],
                dynamic_shapes=({0: torch.export.Dim("batch")},) * len(inputs),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = _reason(error, model, tuple(map(torch.from_numpy, inputs.values())))
        raise BundleError(f"the network cannot be exported to ONNX: {reason}") from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None  # what the exporter returns with dynamo=True
    with atomic_write(path) as temporary:
        onnx.save_model(without_traces(widen(program.model_proto)), str(temporary))


def _reason(error: BaseException, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> str:
    """Name the operator that has no ONNX form, and the layer that uses it; else the exporter's own first sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    missing = re.search(r"op='([\w.]+)'", str(error))
    if missing is None:
        return str(error).splitlines()[0]
    name = missing[1]
    graph = torch.export.export(model, inputs).run_decompositions().graph
    for node in graph.nodes:
        if name in str(node.target):
            layers = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
            where = f"layer {layers[-1]}" if layers else "its outermost function"
            return f"operator {name} of {where} has no ONNX form"
    return f"operator {name} has no ONNX form"


def without_traces(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about where it ran: stack traces with the paths of this machine."""
    parts = [graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return graph
