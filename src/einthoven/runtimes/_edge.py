"""What the runtimes of the edge environment share: found, or missing, or too old; quiet; one window at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import BundleError, EinthovenError, MissingExtraError

__all__ = ["LEAST", "MissingRuntimeError", "load", "one_by_one", "quiet"]

# The earliest versions that these graphs were computed with; their formats are not promised to earlier ones.
LEAST: Mapping[str, tuple[int, ...]] = {
    "ai-edge-litert": (2, 3),
    "ai-edge-quantizer": (0, 10),
    "executorch": (1, 5),
    "litert-torch": (0, 10),
    "nncf": (3, 4),
    "openvino": (2026, 4),
    "tflite-micro": (0,),
    "torchao": (0, 18),
}


class MissingRuntimeError(MissingExtraError):
    """A package of the edge environment is needed, which no ``pip install`` beside the other extras can bring."""

    def __init__(self, purpose: str) -> None:
        EinthovenError.__init__(
            self,
            f"{purpose} needs packages that contradict those of this environment: run  make edge  once, and then the "
            "same command with  .venv-edge/bin/einthoven",
        )


def load(package: str, module: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        package: as it is installed, one of ``LEAST``.
        module: to import.
        purpose: what it is needed for, the beginning of a sentence.

    Raises:
        MissingRuntimeError: it is not installed.
        BundleError: it is too old.
    """
    # OpenVINO and NNCF report their use to Google Analytics with this package, and with their stubs where it is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        there = version(package)
        with quiet():
            loaded = import_module(module)
    except (PackageNotFoundError, ModuleNotFoundError):
        raise MissingRuntimeError(purpose) from None
    if _numbers(there) < LEAST[package]:
        least = ".".join(map(str, LEAST[package]))
        raise BundleError(f"{purpose} needs {package} {least} or later, this is {there}; make edge installs it")
    return loaded


def _numbers(text: str) -> tuple[int, ...]:
    """The first two numbers of a version, as ``(1, 5)`` of ``"1.5.1"``."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


@contextmanager
def quiet() -> Iterator[None]:
    """Discard what is written to standard output and error, by Python or by libraries: they narrate what they do."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {target: os.dup(target) for target in (1, 2)}
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        try:
            for target in kept:
                os.dup2(nothing.fileno(), target)
            yield
        finally:
            for target, copy in kept.items():
                os.dup2(copy, target)
                os.close(copy)


def one_by_one(
    compute: Callable[[list[NDArray[np.float32]]], NDArray[np.float32]],
) -> Callable[[NDArray[np.float32], NDArray[np.float32] | None], NDArray[np.float32]]:
    """Make a network of a function for one window: graphs for small machines have a batch of one, fixed."""

    def run(x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        inputs = [x] if facts is None else [x, facts]
        inputs = [np.ascontiguousarray(each, np.float32) for each in inputs]
        return np.concatenate([compute([each[k : k + 1] for each in inputs]) for k in range(len(x))])

    return run
