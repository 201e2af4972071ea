"""The process in which one way of computing a model lives: it loads, says what that took, and computes when told.

One idea: a process for each way, so that start and memory are its own, while the one who asks lets all take turns.
Questions come as lines of JSON on standard input and answers go out so; it ends when its input ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.errors import BundleError, EinthovenError
from einthoven.runtimes import Network
from einthoven.signals import aggregate, window_starts

__all__ = ["RECORD_S", "Way", "count_macs", "memory", "windows_of_a_record"]

RECORD_S = 10.0  # of the record whose windows are judged together
_OF_TORCH = ("torch", "compile")
_ONE_POOL = ("executorch",)  # runtimes whose threads are those of the whole process, set when a graph is opened
_COMPILERS = ("g++", "clang++", "c++")


def windows_of_a_record(bundle: Bundle) -> int:
    """How many windows a record of ``RECORD_S`` has."""
    return len(window_starts(round(RECORD_S * bundle.spec.fs), bundle.window, bundle.stride))


def memory() -> dict[str, int | None]:
    """Bytes of this process in physical memory: ``resident`` now (known on Linux alone), ``peak`` since it began."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        resident, peak = (int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
        return {"resident": resident, "peak": peak}
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return {"resident": None, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


class Way:
    """One way of computing a bundle.

    Args:
        model: where the bundle lies.
        way: a backend of ``load_bundle``, or ``"compile"``: the network in PyTorch through ``torch.compile``.
        threads: that it is loaded for.

    Raises:
        EinthovenError: it cannot be loaded.
        ModuleNotFoundError: its runtime is not installed.
    """

    def __init__(self, model: str, way: str, threads: int) -> None:
        from safetensors.numpy import load_file

        self._model, self._way = model, way
        self.bundle = self._load(threads)
        self._networks = {threads: self.bundle.network}
        self._kind = self.bundle.about.get("artefacts", {}).get(way, {}).get("kind")
        self._probe = load_file(self.bundle.path / "probe.safetensors")

    def _load(self, threads: int) -> Bundle:
        if self._way not in _OF_TORCH:
            return load_bundle(self._model, backend=self._way, threads=threads)
        import torch

        torch.set_num_threads(threads)
        bundle = load_bundle(self._model, backend="torch")
        return bundle if self._way == "torch" else replace(bundle, network=_compiled(bundle))

    def windows(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The probe's windows, and facts where the network sees any, repeated until there are ``n``."""
        x, facts = self._probe["input"], self._probe.get("facts")
        return np.resize(x, (n, *x.shape[1:])), None if facts is None else np.resize(facts, (n, *facts.shape[1:]))

    def judge_record(self) -> None:
        """Judge a record made of the probe's windows, from windows to findings."""
        x, facts = self.windows(windows_of_a_record(self.bundle))
        self.bundle.decide(aggregate(self.bundle.scores(x, facts), np.array([0]), self.bundle.how)[0])

    def seconds(self, threads: int, windows: int, calls: int, untimed: int) -> list[float]:
        """Seconds of each of several calls of the network with a batch of windows, after some that are not timed."""
        network, batch = self._network(threads), self.windows(windows)
        for _ in range(untimed):
            network(*batch)
        found = []
        for _ in range(calls):
            began = time.perf_counter()
            network(*batch)
            found.append(time.perf_counter() - began)
        return found

    def _network(self, threads: int) -> Network:
        if self._way in _OF_TORCH:
            import torch

            torch.set_num_threads(threads)  # one setting of the whole process
            return self.bundle.network
        if threads not in self._networks:
            if self._kind in _ONE_POOL:
                self._networks.clear()
            self._networks[threads] = self._load(threads).network
        return self._networks[threads]

    def macs(self) -> int:
        """Multiply-accumulate operations on one window; see ``count_macs``."""
        return count_macs(_module(self.bundle), *self.windows(1))


def count_macs(module: Any, *inputs: NDArray[np.float32] | None) -> int:
    """Multiply-accumulate operations of a module of PyTorch, of its convolutions and matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    tensors = [None if each is None else torch.from_numpy(each) for each in inputs]
    onednn: Any = torch.backends.mkldnn
    # oneDNN's LSTM is one operation, which the counter does not know; without oneDNN it is matrix products.
    with onednn.flags(enabled=False), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*tensors)
    return int(counter.get_total_flops()) // 2


def _module(bundle: Bundle) -> Any:
    from einthoven.models.weights import build_classifier, load_weights

    module = build_classifier(bundle.about["network"])
    load_weights(bundle.path / "model.safetensors", module)
    return module.eval()


def _compiled(bundle: Bundle) -> Network:
    import torch

    if not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        raise BundleError(f"torch.compile needs a C++ compiler, and none of {', '.join(_COMPILERS)} is here")
    # One graph for a single window and one for any other number; a graph for each number would be compiled anew.
    compiled: Any = torch.compile(_module(bundle), dynamic=True)

    def run(x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        with torch.inference_mode():
            seen = None if facts is None else torch.from_numpy(facts)
            logits: NDArray[np.float32] = compiled(torch.from_numpy(x), seen).numpy()
        return logits

    return run


def _serve(model: str, way: str, threads: int) -> None:
    # What a library prints goes to standard error, so that answers are all that the one who asks reads.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    before = memory()["resident"]
    try:
        subject = Way(model, way, threads)
    except EinthovenError as error:
        return answer({"why_not": str(error)})
    except ModuleNotFoundError as error:
        return answer({"why_not": f"{error.name} is not installed"})
    loaded = memory()["resident"]
    subject.judge_record()
    answer({"before": before, "loaded": loaded, "first_record": memory()["resident"]})
    asked: dict[str, Callable[..., Any]] = {"seconds": subject.seconds, "macs": subject.macs, "memory": memory}
    for line in sys.stdin:
        question = json.loads(line)
        answer(asked[question.pop("what")](**question))


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
