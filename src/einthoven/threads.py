"""Threads are set on purpose: two OpenMP threads on a busy core are up to a hundred times slower than one."""

from __future__ import annotations

import os

__all__ = ["available_cores", "be_patient"]


def available_cores() -> int:
    """Cores that this process may run on; ``EINTHOVEN_CORES`` says so where others share them, as on a cluster."""
    if stated := os.environ.get("EINTHOVEN_CORES"):
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def be_patient() -> None:
    """Let idle OpenMP threads sleep instead of spin, and keep NumPy to one thread beside worker processes.

    Must run before numpy and torch are imported; what the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
