"""One function over many files in threads: results as they come, an end as soon as it is wanted.

The threads are daemons: after Ctrl-C nobody waits for a server that is silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from einthoven.downloads.client import DownloadError

__all__ = ["in_parallel"]

_LEFT_OPEN_S = 1.0  # how long an ended download waits for its transfers
_TICK_S = 0.2

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(
    work: Callable[[T], R],
    items: Sequence[T],
    n_threads: int,
    stop: threading.Event,
    tick: Callable[[], None] = lambda: None,
) -> Generator[R | DownloadError, None, None]:
    """Yield each result, or the DownloadError in its place, as it comes; any other error stops everything."""
    todo, lock = iter(items), threading.Lock()
    results: SimpleQueue[R | BaseException] = SimpleQueue()

    def run() -> None:
        while not stop.is_set():
            with lock:
                item = next(todo, None)
            if item is None:
                return
            try:
                results.put(work(item))
            except BaseException as error:  # carried to the thread that waits for it
                results.put(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(n_threads, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for _ in items:
            yield _result(results, tick)
    except BaseException:
        stop.set()
        raise
    finally:
        deadline = time.monotonic() + _LEFT_OPEN_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _result(results: SimpleQueue[R | BaseException], tick: Callable[[], None]) -> R | DownloadError:
    while True:
        try:
            result = results.get(timeout=_TICK_S)
        except Empty:
            tick()
            continue
        if isinstance(result, OSError):
            raise DownloadError(
                f"cannot write {result.filename or 'to the disk'}: {result.strerror or result}; "
                "what is verified stays, and the same command continues"
            )
        if isinstance(result, BaseException) and not isinstance(result, DownloadError):
            raise result
        return result
