"""Smaller ONNX graphs: 16-bit weights, static 8-bit quantisation, and dynamic 8-bit for comparison.

Static quantisation writes activations as U8 and weights as S8 per channel with quantise/dequantise nodes (QDQ), the one
form that ONNX Runtime computes fast on x86.
"""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_dynamic
from onnxruntime.quantization import quantize_static as static
from onnxruntime.quantization.registry import QDQRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from einthoven.bundle import Bundle
from einthoven.bundling import without_traces
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.errors import BundleError

__all__ = ["make"]

# Its entropy method is left out: with as many bins as levels it has one range to choose from, that of minmax.
_RANGES = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
_CHUNK = 32  # calibration windows at a time, to bound memory
_SMALL = 64  # tensors of fewer elements stay in 32 bits: they cost nothing and are scales
# Where chooses between known and unknown facts: its inputs may be NaN, which has no 8-bit value.
_NEVER = {"Where"}


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.<name>.onnx``; see ``formats.Maker``.

    Raises:
        BundleError: nothing in the graph can be quantised, or a layer that shall stay in 32 bits is not there.
    """
    source, out = bundle.path / "model.onnx", folder / f"model.{name}.onnx"
    how: dict[str, Any] = {"onnxruntime": ort.__version__}
    if name == "onnx":
        shutil.copyfile(source, folder / source.name)
        return Made([source.name], how)
    if name == "fp16":
        graph = _halved(onnx.load(source))
    else:
        prepared = folder / f".{name}.prepared.onnx"
        with _quiet():
            # Its symbolic shape inference fails on heads that pool twice and concatenate.
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(prepared)
            del graph.graph.value_info[:]  # shapes noted there contradict those inferred after quantisation
            onnx.save(graph, prepared)
            if name == "int8":
                assert calibration is not None
                how |= _quantise(prepared, out, calibration, options)
            else:
                quantize_dynamic(str(prepared), str(out), per_channel=True, reduce_range=options.reduce_range)
        prepared.unlink()
        graph = onnx.load(out)
    onnx.save_model(without_traces(graph), str(out))
    return Made([out.name], how)


def _quantise(prepared: Path, out: Path, calibration: Calibration, options: Options) -> dict[str, Any]:
    graph = onnx.load(prepared)
    kept = _nodes_to_keep(graph, options.keep_float)
    static(
        str(prepared),
        str(out),
        _Reader([entry.name for entry in graph.graph.input], calibration),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=options.reduce_range,
        calibrate_method=_RANGES[options.ranges],
        op_types_to_quantize=sorted(set(QDQRegistry) - _NEVER),
        nodes_to_exclude=kept,
    )
    kinds = [node.op_type for node in onnx.load(out).graph.node]
    if "QuantizeLinear" not in kinds:
        layers = ", ".join(sorted({node.op_type for node in graph.graph.node}))
        raise BundleError(f"nothing in this graph can be quantised: its layers are {layers}")
    return {
        "ranges": options.ranges,
        "activations": "u8",
        "weights": "s8 per channel" + (", 7 bits used" if options.reduce_range else ""),
        "kept_float": kept,
    }


def _nodes_to_keep(graph: onnx.ModelProto, which: tuple[str, ...]) -> list[str]:
    layers = [node.name for node in graph.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    if which and not layers:
        raise BundleError("the graph has no convolution and no linear layer, so none can stay in 32 bits")
    return [layers[0 if each == "first" else -1] for each in which]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration windows in chunks."""

    def __init__(self, names: list[str], calibration: Calibration) -> None:
        self._names, self._feeds = names, calibration.feeds(_CHUNK)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next chunk, None after the last."""
        feed = next(self._feeds, None)
        return None if feed is None else dict(zip(self._names, feed, strict=True))


def _halved(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights in 16 bits, cast to 32 where they are used: half the file, the same arithmetic."""
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise BundleError(f"the weights {tensor.name} reach {np.abs(values).max():.3g}, beyond 16-bit floats")
        wanted, half = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [wanted], f"{wanted}.cast", to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.graph.node.insert(0, cast)
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises through the root logger what has just been done, and prints its histograms."""
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
