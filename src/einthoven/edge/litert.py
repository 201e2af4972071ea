"""LiteRT (TFLite) graphs: 32-bit floats, weights in 16 bits, and static 8-bit quantisation.

Inputs and outputs stay floats in every one: millivolts and facts, unknown facts as NaN, go in; logits come out. In 8
bits the values are rounded behind the scaling layers, where NaN has become a mask. What pools and normalises in front
of the classifier stays in floats: maxima and means side by side have one range, in which the means would drown.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.edge.tracing import cannot, trace
from einthoven.errors import BundleError
from einthoven.runtimes._edge import load, quiet

__all__ = ["convert", "make", "operators", "quantise", "tidy"]

_INPUTS = ("signals_mv", "facts")
# Later rules win: operators whose output's name, the path of the module, holds the text are quantised, or not.
_RULES = (
    ("", "*", True),
    ("", "INPUT", False),
    ("", "OUTPUT", False),
    ("", "LOGISTIC", False),  # its 8-bit form has a scale of its own, which XNNPACK refuses in gates
    ("Scaling_", "*", False),
    ("Sequential_(head|embed|branch)/", "*", False),
    ("Sequential_(head|embed|branch)/", "FULLY_CONNECTED", True),
    ("Sequential_(head|embed|branch)/", "CONV_2D", True),
)
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_TAIL = {"minmax": 0.0, "percentile": 5e-6}  # share of the values beyond each end of the range

Array = NDArray[np.float32]


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.tflite``, ``model.fp16.tflite`` or ``model.int8.tflite``; see ``formats.Maker``.

    Raises:
        MissingExtraError: the converter is not installed.
        BundleError: it has nothing for an operator of the network.
    """
    graph, how = convert(bundle)
    if name == "tflite-fp16":
        graph = _halve(graph)
    elif name == "tflite-int8":
        assert calibration is not None
        graph, more = quantise(graph, calibration, options)
        how = {**how, **more}
    file = folder / f"model{name.removeprefix('tflite').replace('-', '.')}.tflite"
    file.write_bytes(tidy(graph))
    return Made([file.name], how)


def convert(bundle: Bundle) -> tuple[bytes, dict[str, Any]]:
    """Convert a bundle's network to a graph in floats; tensors are named by the path of their module.

    Raises:
        MissingExtraError: the converter is not installed.
        BundleError: it has nothing for an operator of the network.
    """
    litert_torch = load("litert-torch", "litert_torch", "converting networks to LiteRT")
    traced = trace(bundle)
    try:
        with quiet():
            graph = litert_torch.convert(traced.module, traced.example).model_content()
    except Exception as error:  # the converter has no error class of its own
        raise cannot(bundle, traced, "TFLite", error) from error
    return graph, {"litert-torch": version("litert-torch")}


def quantise(graph: bytes, calibration: Calibration, options: Options) -> tuple[bytes, dict[str, Any]]:
    """Quantise weights (per channel) and activations to 8 bits; returns the graph and how it was made.

    Raises:
        MissingExtraError: the quantiser is not installed.
        BundleError: no layer was quantised.
    """
    quantizer = load("ai-edge-quantizer", "ai_edge_quantizer.quantizer", "quantising LiteRT graphs")
    kept = _layers_to_keep(graph, options.keep_float)
    quantise_some = quantizer.Quantizer(graph)
    quantise_some.load_quantization_recipe(_recipe([tensor for tensors in kept.values() for tensor in tensors]))
    with quiet():
        found = bytes(quantise_some.quantize(_ranges(graph, calibration, options.ranges)).quantized_model)
    if not any(operator == "QUANTIZE" for operator, _ in operators(found)):
        layers = ", ".join(sorted({operator for operator, _ in operators(graph)}))
        raise BundleError(f"nothing in this graph can be quantised: its operators are {layers}")
    return found, {
        "ai-edge-quantizer": version("ai-edge-quantizer"),
        "ranges": options.ranges,
        "activations": "s8",
        "weights": "s8 per channel",
        "kept_float": list(kept),
    }


def _recipe(kept: list[str]) -> list[dict[str, Any]]:
    from ai_edge_quantizer import recipe

    eight = recipe.static_wi8_ai8()[0]
    return [
        {**eight, "regex": where or ".*", "operation": operator}
        if quantised
        else {"regex": where or ".*", "operation": operator, "algorithm_key": "no_quantize", "op_config": {}}
        for where, operator, quantised in (*_RULES, *((f"^{re.escape(each)};?$", "*", False) for each in kept))
    ]


def _ranges(graph: bytes, calibration: Calibration, how: str) -> dict[str, dict[str, Array]]:
    """Range of each activation over all calibration windows, by the name of its tensor.

    The quantiser's own calibration averages the extremes of the windows, which cuts every unusual beat.
    """
    interpreter = _open(graph, preserve=True)
    made = {index for step in interpreter._get_ops_details() for index in step["outputs"]}
    inputs = [entry["index"] for entry in interpreter.get_input_details()]
    floats = [each for each in interpreter.get_tensor_details() if each["dtype"] == np.float32]
    watched = {each["index"]: each for each in floats if each["index"] in made | set(inputs)}
    tails: dict[int, _Tails] = {}
    for feed in calibration.feeds():
        for index, values in zip(inputs, feed, strict=True):
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        for index in watched:
            values = interpreter.get_tensor(index).ravel()
            n_values = values.size * len(calibration.signals)
            tails.setdefault(index, _Tails(max(1, int(_TAIL[how] * n_values)))).see(values[np.isfinite(values)])
    return {
        entry["name"]: {
            end: np.full([1] * len(entry["shape"]), value, np.float32)
            for end, value in zip(("min", "max"), tails[index].ends(), strict=True)
        }
        for index, entry in watched.items()
        if tails[index].seen
    }


class _Tails:
    """The ``k`` lowest and highest of the values seen: the outermost of a share, without keeping all."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._low = self._high = np.empty(0, np.float32)

    @property
    def seen(self) -> bool:
        """Whether there was any value."""
        return bool(len(self._low))

    def see(self, values: Array) -> None:
        """Take more values."""
        low, high = np.concatenate([self._low, values]), np.concatenate([self._high, values])
        if len(low) > self._k:
            low = np.partition(low, self._k - 1)[: self._k]
        if len(high) > self._k:
            high = np.partition(high, -self._k)[-self._k :]
        self._low, self._high = low, high

    def ends(self) -> tuple[float, float]:
        """What lies within: the highest of the lowest, the lowest of the highest."""
        return float(self._low.max()), float(self._high.min())


def _layers_to_keep(graph: bytes, which: tuple[str, ...]) -> dict[str, list[str]]:
    """Layers that stay in floats, each with the tensors that are not rounded for it.

    What leads up to the first layer only moves samples about, so these stay floats with it.
    """
    interpreter = _open(graph)
    name = {entry["index"]: entry["name"] for entry in interpreter.get_tensor_details()}
    outputs = [(step["op_name"], name[step["outputs"][0]]) for step in interpreter._get_ops_details()]
    layers = [k for k, (operator, _) in enumerate(outputs) if operator in _WEIGHTED]
    if which and not layers:
        raise BundleError("the graph has no convolution and no linear layer, so none can stay in 32 bits")
    spans = {"first": slice(0, layers[0] + 1), "last": slice(layers[-1], layers[-1] + 1)} if which else {}
    return {_layer(outputs[spans[each].stop - 1][1]): [tensor for _, tensor in outputs[spans[each]]] for each in which}


def operators(graph: bytes) -> list[tuple[str, str]]:
    """Operators of a graph in order, as ``CONV_2D``, with the layer that each belongs to, as ``network.body.0``."""
    interpreter = _open(graph)
    name = {entry["index"]: entry["name"] for entry in interpreter.get_tensor_details()}
    return [(step["op_name"], _layer(name[step["outputs"][0]])) for step in interpreter._get_ops_details()]


def _layer(tensor: str) -> str:
    """``network.body`` of ``a.Classifier/b.Network_network/c.Sequential_body;``, the first of what was made one."""
    paths = [each.split("/") for each in tensor.split(";") if "/" in each]
    return ".".join(part.rsplit(".", 1)[-1].partition("_")[2] for part in paths[-1][1:]) if paths else "output"


def _open(graph: bytes, preserve: bool = False) -> Any:
    """An interpreter without delegates, in which every operator is seen."""
    litert = load("ai-edge-litert", "ai_edge_litert.interpreter", "computing TFLite files with LiteRT")
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet():
        interpreter = litert.Interpreter(
            model_content=graph,
            num_threads=1,
            experimental_op_resolver_type=plain,
            experimental_preserve_all_tensors=preserve,
        )
        interpreter.allocate_tensors()
    return interpreter


def _halve(graph: bytes) -> bytes:
    """Store weights in 16 bits, brought back to 32 where they are used."""
    quantizer = load("ai-edge-quantizer", "ai_edge_quantizer.quantizer", "quantising LiteRT graphs")
    halve = quantizer.Quantizer(graph)
    config = {
        "weight_tensor_config": {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "FLOAT"},
        "compute_precision": "FLOAT",
        "explicit_dequantize": True,
    }
    halve.load_quantization_recipe(
        [
            {"regex": ".*", "operation": each, "algorithm_key": "float_casting", "op_config": config}
            for each in _WEIGHTED
        ]
    )
    with quiet():
        return bytes(halve.quantize().quantized_model)


def tidy(graph: bytes) -> bytes:
    """Name inputs and output for what they are, drop all other names, and keep weights inside the structure.

    The quantiser appends weights behind it, where LiteRT for Microcontrollers reads zeros.
    """
    tools = load("ai-edge-litert", "ai_edge_litert.tools.flatbuffer_utils", "rewriting TFLite files")
    model = tools.read_model_from_bytearray(bytearray(graph))
    for part in model.subgraphs:
        part.name = None
        for tensor in part.tensors:
            tensor.name = None
        for index, name in zip(part.inputs, _INPUTS, strict=False):
            part.tensors[index].name = name
        part.tensors[part.outputs[0]].name = "logits"
    return bytes(tools.convert_object_to_bytearray(model))
