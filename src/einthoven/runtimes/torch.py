"""PyTorch on the CPU, as the network was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from einthoven.models.weights import build_classifier, load_weights
from einthoven.runtimes._registry import Network

__all__ = ["open_network"]


def open_network(file: Path, about: Mapping[str, Any], threads: int) -> Network:
    """Build the module and load its weights; the threads of torch are one setting of the whole process, left alone."""
    model = build_classifier(about["network"])
    load_weights(file, model)
    model.eval()

    def run(x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        with torch.inference_mode():
            seen = None if facts is None else torch.from_numpy(facts)
            logits: NDArray[np.float32] = model(torch.from_numpy(x), seen).numpy()
        return logits

    return run
