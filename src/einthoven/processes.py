"""Work divided among processes of this machine, which neither outlive their parent nor answer its Ctrl-C."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from einthoven.errors import DatasetError

__all__ = ["as_finished"]

Job = TypeVar("Job", bound=tuple[Any, ...])
Result = TypeVar("Result")


def as_finished(work: Callable[..., Result], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """Call ``work(*job)`` for every job and yield each with its result, in the order in which they are finished.

    Args:
        work: importable by name, or a ``partial`` of such a function.
        jobs: the arguments of each call.
        workers: processes; with one, or one job, all is done here and in order.

    Raises:
        DatasetError: a process was killed.
    """
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, work(*job)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_start_worker) as pool:
        running: dict[Future[Result], Job] = {pool.submit(work, *job): job for job in jobs}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool:
            raise DatasetError("a worker process was killed (out of memory?); run the same command again") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG: a worker must not outlive a killed parent
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
