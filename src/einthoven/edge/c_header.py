"""A C header with the 8-bit LiteRT graph, for microcontrollers: LiteRT for Microcontrollers computes it in place.

Its kernels are fewer than LiteRT's. ``micro_kernels.csv`` lists them as ``python_ops_resolver.cc`` of
tensorflow/tflite-micro registers them (commit 03e16b29). That a kernel is there does not yet say that it takes these
tensors, so the graph is also computed by them here before a header is written.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.edge.litert import convert, operators, quantise, tidy
from einthoven.errors import BundleError
from einthoven.runtimes._edge import load, quiet

__all__ = ["check_kernels", "header", "make", "micro_kernels"]

_WINDOWS = 8  # of the calibration, computed by both runtimes
_TOLERANCE = 0.25  # logits: both round to 8 bits after every layer, not always the same way
_LARGEST_ARENA = 1 << 26
_PER_LINE = 20

Array = NDArray[np.float32]


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.h``; see ``formats.Maker``.

    Raises:
        MissingExtraError: the converter, or LiteRT for Microcontrollers, is not installed.
        BundleError: microcontrollers have no kernel for an operator, or their kernels answer otherwise than LiteRT's.
    """
    assert calibration is not None
    graph, how = convert(bundle)
    graph, more = quantise(graph, calibration, options)
    steps = operators(graph)
    check_kernels(bundle.name, steps)
    graph = tidy(graph)
    proof = _compare(graph, calibration)
    arena = _arena_bytes(graph)
    file = folder / "model.h"
    file.write_text(header(graph, _about(bundle), [operator for operator, _ in steps], arena), encoding="utf-8")
    return Made([file.name], {**how, **more, **proof, "arena_bytes": arena, "graph_bytes": len(graph)})


def micro_kernels() -> dict[str, str]:
    """Operators that LiteRT for Microcontrollers has a kernel for, and the function that registers each."""
    text = (files("einthoven.edge") / "micro_kernels.csv").read_text(encoding="utf-8")
    return {row["operator"]: row["resolver"] for row in csv.DictReader(text.splitlines())}


def check_kernels(name: str, steps: Sequence[tuple[str, str]]) -> None:
    """Check that every operator has a kernel.

    Args:
        name: of the bundle.
        steps: operators with the layers that they belong to.

    Raises:
        BundleError: one has none; it is named with its layer.
    """
    known = micro_kernels()
    for operator, layer in steps:
        if operator not in known:
            raise BundleError(
                f"{name} cannot run on microcontrollers: LiteRT Micro has no kernel for the operator {operator} of the "
                f"layer {layer}; choose an architecture of convolutions, pooling and linear layers"
            )


def _about(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "leads": list(bundle.spec.leads),
        "fs": bundle.spec.fs,
        "samples": bundle.window,
        "facts": list(bundle.facts),
        "classes": list(bundle.classes),
    }


def header(graph: bytes, about: Mapping[str, Any], used: Sequence[str], arena: int) -> str:
    """Text of a C header: the graph as bytes, what goes in and out, and which kernels it needs.

    Args:
        graph: a LiteRT file.
        about: ``name``, ``leads``, ``fs``, ``samples``, ``facts`` and ``classes`` of the model.
        used: operators of the graph.
        arena: bytes that LiteRT for Microcontrollers needs to compute it.
    """
    known = micro_kernels()
    resolvers = sorted({known[operator] for operator in used})
    lines = [graph[k : k + _PER_LINE] for k in range(0, len(graph), _PER_LINE)]
    n_leads, n_samples = len(about["leads"]), about["samples"]
    facts = [f" *   facts       float [1][{len(about['facts'])}]: {', '.join(about['facts'])}; NaN where unknown"]
    return "\n".join(
        [
            f"/* {_plain(about['name'])}: a static 8-bit LiteRT graph for LiteRT for Microcontrollers.",
            " *",
            f" *   signals_mv  float [1][{n_leads}][{n_samples}]: millivolts at {about['fs']:g} Hz, leads",
            f" *               {', '.join(about['leads'])}",
            *(facts if about["facts"] else []),
            f" *   logits      float [1][{len(about['classes'])}]: {_plain(', '.join(about['classes']))}",
            " *",
            f" * Operators of MicroMutableOpResolver<{len(resolvers)}>:",
            *(f" *   {each}" for each in resolvers),
            " *",
            f" * SHA-256 of the graph: {hashlib.sha256(graph).hexdigest()}",
            " */",
            "#ifndef EINTHOVEN_MODEL_H",
            "#define EINTHOVEN_MODEL_H",
            "",
            f"#define EINTHOVEN_N_LEADS {n_leads}",
            f"#define EINTHOVEN_N_SAMPLES {n_samples}",
            f"#define EINTHOVEN_N_FACTS {len(about['facts'])}",
            f"#define EINTHOVEN_N_CLASSES {len(about['classes'])}",
            f"#define EINTHOVEN_N_OPERATORS {len(resolvers)}",
            "/* Measured where pointers have 64 bits; 32-bit processors need less. */",
            f"#define EINTHOVEN_ARENA_BYTES {arena}",
            f"#define EINTHOVEN_MODEL_BYTES {len(graph)}",
            "",
            "#ifdef __cplusplus",
            "#define EINTHOVEN_ALIGNED alignas(16)",
            "#else",
            "#define EINTHOVEN_ALIGNED _Alignas(16)",
            "#endif",
            "",
            "EINTHOVEN_ALIGNED static const unsigned char einthoven_model[EINTHOVEN_MODEL_BYTES] = {",
            *("    " + ",".join(map(str, line)) + "," for line in lines),
            "};",
            "",
            "#endif",
            "",
        ]
    )


def _plain(text: str) -> str:
    """Text that cannot end a comment."""
    return text.replace("*/", "* /")


def _compare(graph: bytes, calibration: Calibration) -> dict[str, Any]:
    """Compute some windows with both runtimes.

    Raises:
        BundleError: they differ by more than rounding.
    """
    feeds = [
        [calibration.signals[k : k + 1]] + ([] if calibration.facts is None else [calibration.facts[k : k + 1]])
        for k in range(min(_WINDOWS, len(calibration.signals)))
    ]
    micro = _interpreter(graph, _LARGEST_ARENA)
    off = max(float(np.abs(_micro(micro, feed) - _full(graph, feed)).max()) for feed in feeds)
    if not off <= _TOLERANCE:
        raise BundleError(
            f"LiteRT for Microcontrollers answers otherwise than LiteRT: logits differ by {off:.3g}, rounding explains "
            f"{_TOLERANCE}; the header was not written"
        )
    return {"tflite-micro": version("tflite-micro"), "micro_windows": len(feeds), "micro_logit_difference": off}


def _interpreter(graph: bytes, arena: int) -> Any:
    micro = load("tflite-micro", "tflite_micro.python.tflite_micro.runtime", "checking graphs for microcontrollers")
    with quiet():
        return micro.Interpreter.from_bytes(graph, arena_size=arena)


def _micro(interpreter: Any, feed: Sequence[Array]) -> Array:
    for k, values in enumerate(feed):
        interpreter.set_input(values, k)
    interpreter.invoke()
    logits: Array = interpreter.get_output(0)
    return logits


def _full(graph: bytes, feed: Sequence[Array]) -> Array:
    litert = load("ai-edge-litert", "ai_edge_litert.interpreter", "computing TFLite files with LiteRT")
    with quiet():
        interpreter = litert.Interpreter(model_content=graph, num_threads=1)
        interpreter.allocate_tensors()
    for entry, values in zip(interpreter.get_input_details(), feed, strict=True):
        interpreter.set_tensor(entry["index"], values)
    interpreter.invoke()
    logits: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return logits


def _arena_bytes(graph: bytes) -> int:
    """Find the smallest memory, to the next KiB, in which the graph can be computed."""
    too_small, enough = 0, _LARGEST_ARENA >> 10
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        try:
            _interpreter(graph, middle << 10)
            enough = middle
        except RuntimeError:
            too_small = middle
    return enough << 10
