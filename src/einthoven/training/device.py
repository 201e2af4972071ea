"""Which device, how many threads, which precision, how many processes: decided once, said in the log."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from einthoven.errors import RecipeError
from einthoven.threads import available_cores
from einthoven.training.problem import Problem
from einthoven.training.recipe import Training

__all__ = ["Engine", "check_devices", "make_engine"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Engine:
    """Where and how to compute.

    Attributes:
        device: of the network and the batches.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        threads: of torch on the CPU.
        rank: number of this process among those that share each batch.
        n_ranks: how many they are.
    """

    device: torch.device
    precision: str
    threads: int
    rank: int = 0
    n_ranks: int = 1

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which the forward pass runs."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])

    def of_rank(self, rank: int, n_ranks: int) -> Engine:
        """Where one of several processes computes: on a GPU of its own, or with its share of the threads."""
        cuda = self.device.type == "cuda"
        device = torch.device("cuda", rank) if cuda else self.device
        return replace(self, device=device, threads=max(1, self.threads // n_ranks), rank=rank, n_ranks=n_ranks)

    def describe(self) -> str:
        """One line for people."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{self.threads} CPU threads"
        return f"{name}, {self.precision}"


def make_engine(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Engine:
    """Choose what the recipe leaves open, and set torch's threads.

    Raises:
        RecipeError: a device that is not there, or fp16 on the CPU.
    """
    cuda = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    if device.startswith("cuda") and not cuda:
        raise RecipeError(f"training.device is {device!r} but this machine has no usable CUDA device; use cpu or auto")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise RecipeError(f"training.device must be auto, cpu or cuda[:N], got {device!r}") from None
    n_threads = threads or available_cores()
    torch.set_num_threads(n_threads)
    if precision == "auto":
        precision = _fast_precision(chosen)
    if precision == "fp16" and chosen.type == "cpu":
        raise RecipeError("training.precision fp16 needs a GPU; use bf16 or fp32 on the CPU")
    if chosen.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    return Engine(chosen, precision, n_threads)


def check_devices(options: Training, problem: Problem, engine: Engine) -> None:
    """Refuse devices that cannot share a training, and a compilation that cannot be.

    Raises:
        RecipeError: one GPU named and several wanted, a batch that cannot be shared evenly, a teacher, or no compiler.
    """
    n = options.devices
    if options.compile and not _has_compiler():
        raise RecipeError("training.compile needs a C++ compiler (g++ or clang++, or CXX names one); install one")
    if n == 1:
        return
    if options.device.startswith("cuda:"):
        raise RecipeError(f"training.device {options.device} is one GPU, but training.devices is {n}; use cuda or auto")
    if options.batch_size % n or len(problem.train) < n:
        below = max(n, options.batch_size // n * n)
        raise RecipeError(
            f"training.batch_size {options.batch_size} of {len(problem.train):,} records cannot be shared evenly by "
            f"{n} devices; use {below}, with at least {n} records"
        )
    if problem.teacher is not None:
        raise RecipeError("training.distill works on one device only; set training.devices to 1")


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++"))


def _fast_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"
