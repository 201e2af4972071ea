"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError
from einthoven.runtimes._edge import load
from einthoven.runtimes._registry import Network

__all__ = ["open_network"]


def open_network(file: Path, about: Mapping[str, Any], threads: int) -> Network:
    """Open a graph; see ``runtimes.open_network``.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BundleError: it is too old, or a file is missing or damaged.
    """
    openvino = load("openvino", "openvino", "computing OpenVINO files")
    # Left alone it computes in bfloat16 where the processor can, and pins its threads to cores: one that something else
    # keeps busy makes it twenty times slower.
    how = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = openvino.Core().compile_model(str(file), "CPU", how)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].strip()
        raise BundleError(f"{file}: OpenVINO cannot open this graph: {why}; export it again") from None
    request = compiled.create_infer_request()

    def run(x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        found = request.infer([x] if facts is None else [x, facts])
        logits: NDArray[np.float32] = found[compiled.output(0)].copy()
        return logits

    return run
