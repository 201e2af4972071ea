"""OpenVINO graphs, from the bundle's own ONNX graph: 32-bit floats, and 8 bits by NNCF."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.errors import BundleError
from einthoven.runtimes._edge import load, quiet

__all__ = ["make"]

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.<name>.xml`` and ``.bin``; see ``formats.Maker``. The batch stays free.

    Raises:
        MissingExtraError: OpenVINO or NNCF is not installed.
        BundleError: OpenVINO has nothing for an operator of the graph, or nothing in it can be quantised.
    """
    openvino = load("openvino", "openvino", "converting networks to OpenVINO")
    try:
        with quiet():
            model = openvino.convert_model(str(bundle.path / "model.onnx"))
    except RuntimeError as error:
        why = " ".join(line.strip() for line in str(error).splitlines() if "onversion" in line or "support" in line)
        raise BundleError(f"{bundle.name} cannot be exported as OpenVINO: {why or str(error).strip()}") from None
    how: dict[str, Any] = {"openvino": version("openvino")}
    if name == "openvino-int8":
        assert calibration is not None
        model, more = _quantise(model, calibration, options)
        how |= more
    file = folder / f"model.{name}.xml"
    openvino.save_model(model, str(file), compress_to_fp16=False)
    return Made([file.name, file.with_suffix(".bin").name], how)


def _quantise(model: Any, calibration: Calibration, options: Options) -> tuple[Any, dict[str, Any]]:
    nncf = load("nncf", "nncf", "quantising OpenVINO graphs")
    layers = [step.get_friendly_name() for step in model.get_ordered_ops() if step.get_type_name() in _WEIGHTED]
    if not layers:
        raise BundleError("nothing in this graph can be quantised: it has no convolution and no linear layer")
    kept = [layers[0 if each == "first" else -1] for each in options.keep_float]
    # The fixed point of unknown facts is in front of every layer that has weights: nothing there is quantised.
    masks = [step.get_friendly_name() for step in model.get_ordered_ops() if step.get_type_name() == "IsNaN"]
    with quiet():
        found = nncf.quantize(
            model,
            nncf.Dataset(_Feeds(calibration)),
            subset_size=len(calibration.signals),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=kept + masks),
            advanced_parameters=_advanced(nncf, options),
        )
    if not any(step.get_type_name() == "FakeQuantize" for step in found.get_ops()):
        raise BundleError("nothing in this graph could be quantised")
    return found, {
        "nncf": version("nncf"),
        "ranges": options.ranges,
        "weights": "s8 per channel" + (", 7 bits used" if options.reduce_range else ""),
        "kept_float": kept,
    }


class _Feeds:
    """Calibration windows that can be gone through several times, as NNCF does."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def __iter__(self) -> Iterator[list[NDArray[np.float32]]]:
        return self._calibration.feeds()


def _advanced(nncf: Any, options: Options) -> Any:
    estimators = nncf.quantization.range_estimator
    ranges = estimators.RangeEstimatorParametersSet.MINMAX
    if options.ranges == "percentile":  # of each window, then their mean: it keeps no more
        end = estimators.StatisticsCollectorParameters(
            estimators.StatisticsType.QUANTILE, estimators.AggregatorType.MEAN, quantile_outlier_prob=1e-5
        )
        ranges = estimators.RangeEstimatorParameters(min=end, max=end)
    fix = nncf.OverflowFix if hasattr(nncf, "OverflowFix") else nncf.quantization.advanced_parameters.OverflowFix
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=ranges,
        overflow_fix=fix.ENABLE if options.reduce_range else fix.DISABLE,
    )
