"""What every benchmark shares: medians, ratios, the machine, and a JSON file beside the printed table."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from einthoven.threads import available_cores

__all__ = ["median_seconds", "report"]


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``work`` over ``repeats`` runs after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def report(name: str, figures: dict[str, float | int | str]) -> None:
    """Print the figures as a table and write them to ``benchmarks/results/<name>.json``."""
    machine = {"processor": _processor(), "cores": available_cores(), "python": platform.python_version()}
    width = max(map(len, figures))
    print(f"{name}: {machine['processor']}, {machine['cores']} cores")
    for key, value in figures.items():
        print(f"  {key:<{width}}  {value:.4g}" if isinstance(value, float) else f"  {key:<{width}}  {value}")
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
