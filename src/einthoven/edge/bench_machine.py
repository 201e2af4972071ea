"""The facts of a machine without which a time means nothing, and whether others are using it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from einthoven.threads import available_cores

__all__ = ["busy", "describe_machine"]

# Instruction sets that decide how fast a network is, and the flags of Linux that tell of them.
_INSTRUCTIONS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
    "AMX int8": {"amx_int8"},
    "NEON dot product": {"asimddp"},
    "NEON int8 matrix product": {"i8mm"},
}
_PACKAGES = ("einthoven", "numpy", "onnxruntime", "torch", "ai-edge-litert", "openvino", "executorch")
_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
_BUSY = 0.25  # load per core, from which others are felt


def describe_machine() -> dict[str, Any]:
    """Processor, its instruction sets (None where the system does not tell), cores, load, system and versions."""
    cpu = _cpu_facts()
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "instructions": {name: bool(any_of & flags) for name, any_of in _INSTRUCTIONS.items()} if flags else None,
        "cores": available_cores(),
        "load": _load(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def busy(machine: Mapping[str, Any]) -> str | None:
    """What to say of a machine that others used when a measurement began; None of a quiet one.

    >>> busy({"load": 2.2, "cores": 2})
    'the machine is busy: load average 2.20 on 2 cores; times are longer than on a quiet one, ratios less so'
    """
    load, cores = machine["load"], machine["cores"]
    if load is None or load <= _BUSY * cores:
        return None
    many = f"{cores} cores" if cores > 1 else "1 core"
    return (
        f"the machine is busy: load average {load:.2f} on {many}; times are longer than on a quiet one, ratios less so"
    )


def _cpu_facts() -> dict[str, str]:
    """The first processor's lines of ``/proc/cpuinfo``; none on other systems than Linux."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return {}
    pairs = (line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
