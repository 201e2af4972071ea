"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from einthoven.errors import BundleError
from einthoven.runtimes._registry import Network

__all__ = ["open_network"]

# What it raises on a graph that it cannot open: damaged, or of a later format than it knows.
_REFUSALS = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


def open_network(file: Path, about: Mapping[str, Any], threads: int) -> Network:
    """Open a graph; see ``runtimes.open_network``."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns of what its own quantiser writes
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep: a spinning pool starves whatever shares the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except _REFUSALS as error:
        why = str(error).splitlines()[0]
        raise BundleError(
            f"{file}: onnxruntime {ort.__version__} cannot open this graph: {why}; if it is too old for it, install a "
            "later one"
        ) from None
    names = [entry.name for entry in session.get_inputs()]

    def run(x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, dict(zip(names, (x, facts), strict=False)))[0]
        return logits

    return run
