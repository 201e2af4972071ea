"""The table of runtimes, and the one way to open a graph with one of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError, nearest
from einthoven.threads import available_cores

__all__ = ["RUNTIMES", "Network", "open_network"]


class Network(Protocol):
    """Logits (windows, classes) of windows (windows, leads, samples) in mV, and of facts where it sees any."""

    def __call__(self, x: NDArray[np.float32], facts: NDArray[np.float32] | None, /) -> NDArray[np.float32]: ...


# Format of a file, and the module here whose ``open_network(file, about, threads)`` computes it.
RUNTIMES = {
    "safetensors": "torch",
    "onnx": "onnx",
    "tflite": "litert",
    "openvino": "openvino",
    "executorch": "executorch",
}


def open_network(kind: str, file: Path, about: Mapping[str, Any], threads: int | None = None) -> Network:
    """Open a network's file with the runtime of its format.

    Args:
        kind: the format, one of ``RUNTIMES``.
        file: weights or graph.
        about: the bundle's ``bundle.json``.
        threads: on how many threads it computes; by default on all cores that this process may use.

    Raises:
        BundleError: an unknown format, or a file that the runtime cannot open.
        ModuleNotFoundError: the runtime is not installed.
    """
    if kind not in RUNTIMES:
        raise BundleError(f"unknown format {kind!r}{nearest(kind, RUNTIMES)}; formats are {', '.join(RUNTIMES)}")
    module = import_module(f"einthoven.runtimes.{RUNTIMES[kind]}")
    network: Network = module.open_network(file, about, threads or available_cores())
    return network
