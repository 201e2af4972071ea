"""A way of computing with the process it lives in, and the race in which all of them take turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Any

from einthoven.errors import BundleError

__all__ = ["STARTS", "Lane", "race"]

STARTS = 3
_SLOW_START_S = 6.0  # beyond which one start must do
_BURST_S = 0.06  # of calls in a turn
# Fewest and most calls in a turn, and how many before them are not timed: the caches hold what others computed.
_CALLS = {"window": (5, 20, 2), "record": (1, 5, 1), "batch": (1, 1, 0)}


class Lane:
    """One way of computing a model.

    Args:
        model: its name.
        way: a backend of ``load_bundle``, or ``"compile"``.
        where: the bundle.
        batches: number of windows of ``"window"``, ``"record"`` and ``"batch"``.
        threads: numbers of threads.

    Attributes:
        starts: seconds from each new process to its first findings.
        memory: bytes in physical memory ``before`` it loaded, when it was ``loaded``, and after its ``first_record``.
        times: seconds of the calls of each round, by threads and batch.
        why_not: why it cannot compute; None where it can.
    """

    def __init__(self, model: str, way: str, where: Path, batches: Mapping[str, int], threads: Sequence[int]) -> None:
        self.model, self.way = model, way
        self.starts: list[float] = []
        self.memory: dict[str, int | None] = {}
        self.times: dict[int, dict[str, list[list[float]]]] = {n: {what: [] for what in batches} for n in threads}
        self.why_not: str | None = None
        self._batches, self._calls = batches, dict[tuple[int, str], int]()
        self._command = [sys.executable, "-m", "einthoven.edge.bench_worker", str(where), way, str(threads[0])]
        self._held = ExitStack()

    def start(self) -> None:
        """Start a process, after ending the one before, and time it up to its first findings."""
        self.close()
        self._said = self._held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (closed with the lane)
        began = time.perf_counter()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )
        self._held.callback(self._end)
        found = self._answer()
        if isinstance(found, str):
            self.why_not = found
            return
        self.starts.append(time.perf_counter() - began)
        self.why_not = found.pop("why_not", None)
        self.memory = found

    def warm_up(self) -> None:
        """Compute each batch with each number of threads, and see how often it can be computed in a turn."""
        for threads, times in self.times.items():
            for what in times:
                fewest, most, _ = _CALLS[what]
                found = self.ask("seconds", threads=threads, windows=self._batches[what], calls=fewest, untimed=1)
                self._calls[threads, what] = min(most, max(fewest, round(_BURST_S / median(found))))

    def turn(self) -> None:
        """Time one burst of calls of each batch with each number of threads."""
        for threads, times in self.times.items():
            for what, rounds in times.items():
                calls = {"calls": self._calls[threads, what], "untimed": _CALLS[what][2]}
                rounds.append(self.ask("seconds", threads=threads, windows=self._batches[what], **calls))

    def ask(self, what: str, **details: Any) -> Any:
        """Put a question to the process and wait for its answer; see ``bench_worker``.

        Raises:
            BundleError: the process has died.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, of which the answer tells
            print(json.dumps({"what": what, **details}), file=self._process.stdin, flush=True)
        found = self._answer()
        if isinstance(found, str):
            raise BundleError(f"{self.model}, {self.way}: {found}")
        return found

    def _answer(self) -> Any:
        """What the process answers; a sentence where it has died."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return json.loads(line)
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with code {code}: {said[-1] if said else 'without a word'}"

    def _end(self) -> None:
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()

    def close(self) -> None:
        """End the process."""
        self._held.close()


def race(lanes: Sequence[Lane], rounds: int, tick: Callable[[], None]) -> None:
    """Start all lanes, warm them up, and let them take turns.

    Args:
        lanes: those that cannot compute have ``why_not`` set when they were started, and take no turn.
        rounds: turns of each lane; who begins changes from round to round.
        tick: called after every start, warm-up and turn of a lane, ``(STARTS + 1 + rounds) * len(lanes)`` times.

    Raises:
        BundleError: a process died when it had begun to compute.
    """
    for _ in range(STARTS):
        for lane in lanes:
            if lane.why_not is None and max(lane.starts, default=0.0) <= _SLOW_START_S:
                lane.start()
            tick()
    for k in range(-1, rounds):
        first = max(k, 0) % max(1, len(lanes))
        for lane in (*lanes[first:], *lanes[:first]):
            if lane.why_not is None:
                lane.warm_up() if k < 0 else lane.turn()
            tick()
