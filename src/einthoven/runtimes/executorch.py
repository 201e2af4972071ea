"""ExecuTorch: PyTorch's runtime for phones."""

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
    """Open a program; see ``runtimes.open_network``. The threads are those of the whole process.

    Raises:
        MissingExtraError: ExecuTorch is not installed.
        BundleError: it is too old, the file is damaged, or it needs an operator that this ExecuTorch does not have.
    """
    runtime = load("executorch", "executorch.runtime", "computing ExecuTorch programs")
    import torch
    from executorch.extension.pybindings import portable_lib

    try:
        with quiet():
            portable_lib._unsafe_reset_threadpool(threads)
            method = runtime.Runtime.get().load_program(file).load_method("forward")
    except (RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise BundleError(f"{file}: ExecuTorch cannot open this program: {why}; export it again") from None

    def compute(window: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = method.execute([torch.from_numpy(values) for values in window])[0].numpy().copy()
        return logits

    return one_by_one(compute)
