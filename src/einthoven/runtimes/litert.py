"""LiteRT, formerly TensorFlow Lite: phones and small computers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError
from einthoven.runtimes._edge import load, one_by_one, quiet
from einthoven.runtimes._registry import Network

__all__ = ["open_network"]


def open_network(file: Path, about: Mapping[str, Any], threads: int) -> Network:
    """Open a graph; see ``runtimes.open_network``.

    Raises:
        MissingExtraError: LiteRT is not installed.
        BundleError: it is too old, or the file is damaged.
    """
    litert = load("ai-edge-litert", "ai_edge_litert.interpreter", "computing TFLite files with LiteRT")
    try:
        with quiet():
            interpreter = litert.Interpreter(model_content=file.read_bytes(), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise BundleError(f"{file}: LiteRT cannot open this graph: {why}; export it again, or update LiteRT") from None
    inputs = [entry["index"] for entry in interpreter.get_input_details()]
    output = interpreter.get_output_details()[0]["index"]

    def compute(window: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        for index, values in zip(inputs, window, strict=True):
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        logits: NDArray[np.float32] = interpreter.get_tensor(output)
        return logits

    return one_by_one(compute)
