"""Where do signals lie while a network trains on them? On its device, in memory, in a memory map, or in a stream.

``auto`` goes by what was measured: bytes of the signals, free memory of the device, memory of this machine. Device,
memory and map draw the same batches, so which of them is taken may follow from what is free at the moment; the border
to the stream, which draws others, follows from what the machine has, so that a resumed run meets the same batches.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from einthoven.dataset import Dataset

__all__ = ["Residence", "choose_residence", "free_bytes", "memory_bytes"]

_ON_DEVICE = 1 / 3  # of its free memory; the rest is for the network
_IN_MEMORY = 1 / 2  # of the free memory
_IN_MAP = 1 / 2  # of all memory: then the page cache holds the files, and drawing at random costs no disk


@dataclass(frozen=True, slots=True)
class Residence:
    """Where signals lie (``device``, ``memory``, ``map`` or ``stream``), and why, in words."""

    name: str
    why: str

    def __str__(self) -> str:
        where = {"device": "on the device", "memory": "in memory", "map": "in a memory map", "stream": "streamed"}
        return f"{where[self.name]}; {self.why}"


def choose_residence(dataset: Dataset, device: torch.device, wanted: str = "auto", n_ranks: int = 1) -> Residence:
    """Choose where the signals of a training lie.

    Args:
        dataset: the signals.
        device: of the network.
        wanted: ``auto``, or the answer.
        n_ranks: processes that each keep signals of their own in this machine's memory.
    """
    if wanted != "auto":
        return Residence(wanted, "as the recipe says")
    needed, free, whole = dataset.n_bytes, free_bytes(device), memory_bytes()
    cuda = device.type == "cuda"
    if needed > whole * _IN_MAP and not (cuda and needed < torch.cuda.get_device_properties(device).total_memory / 2):
        return Residence("stream", f"{_gb(needed)} of signals are more than half of the {_gb(whole)} of memory")
    if needed * (1 if cuda else n_ranks) < free * _ON_DEVICE:
        where = "the device's" if cuda else "the"
        return Residence("device", f"{_gb(needed)} of signals fill less than a third of {where} {_gb(free)} free")
    if cuda and needed * n_ranks < (spare := free_bytes(torch.device("cpu"))) * _IN_MEMORY:
        return Residence("memory", f"{_gb(needed)} of signals fit beside the device, where {_gb(spare)} are free")
    if dataset.url is not None:
        return Residence("stream", f"{_gb(needed)} of signals at a URL do not fit into the {_gb(free)} of free memory")
    return Residence("map", f"{_gb(needed)} of signals do not fit into {_gb(free)} free, but into half the memory")


def free_bytes(device: torch.device) -> int:
    """Bytes that are free now: of a GPU its own; else of this machine or the container that we run in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    fields = _meminfo()
    available = fields.get("MemAvailable", os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    return available if limit is None else max(0, min(available, limit - (used or 0)))


def memory_bytes() -> int:
    """Bytes of memory that this machine, or the container that we run in, has in all."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(whole, _number("/sys/fs/cgroup/memory.max") or whole)


def _meminfo() -> dict[str, int]:
    path = Path("/proc/meminfo")
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _number(path: str) -> int | None:
    file = Path(path)
    text = file.read_text(encoding="ascii").strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
