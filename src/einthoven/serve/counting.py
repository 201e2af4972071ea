"""What Prometheus is told. Several workers count into files of one folder, and whichever is asked adds them up."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from einthoven.serve.settings import MULTIPROCESS

__all__ = ["CONTENT_TYPE", "Counts"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_REASONS = {401: "token", 408: "time", 413: "size", 429: "concurrency"}
_PROCESS = re.compile(r"_(\d+)\.db$")


class Counts:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "einthoven_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "einthoven_request_seconds",
            "From the head of a request to the end.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "einthoven_requests_in_flight",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.rejected = Counter("einthoven_rejected", "Requests beyond a limit.", ["reason"], registry=self._registry)
        self.records = Counter(
            "einthoven_records", "ECGs judged or refused.", ["model", "outcome"], registry=self._registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)
        if status in _REASONS:
            self.rejected.labels(_REASONS[status]).inc()

    def text(self) -> bytes:
        """The figures of all workers, in Prometheus' text format."""
        folder = os.environ.get(MULTIPROCESS)
        if not folder:
            return generate_latest(self._registry)
        _forget_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_dead(folder: Path) -> None:
    """A worker that was killed took nothing back: what it had in flight no longer is."""
    for path in folder.glob("gauge_live*.db"):
        found = _PROCESS.search(path.name)
        if not found:
            continue
        try:
            os.kill(int(found[1]), 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker was as quick
                mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
