"""Work divided among processes of this machine, which neither outlive their parent nor answer its Ctrl-C."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Protocol, TypeVar

from einthoven.errors import DatasetError
from einthoven.threads import available_cores

__all__ = ["FanOut", "as_finished"]

Job = TypeVar("Job", bound=tuple[Any, ...])
Result = TypeVar("Result")


class FanOut(Protocol):
    """How work is divided: ``as_finished`` here, or what ``einthoven.cluster`` gives, with the same promises."""

    def __call__(
        self, work: Callable[..., Result], jobs: Iterable[Job], workers: int | None = None
    ) -> Iterator[tuple[Job, Result]]:
        """See ``as_finished``."""


def as_finished(
    work: Callable[..., Result], jobs: Iterable[Job], workers: int | None = None, *, start: str | None = None
) -> Iterator[tuple[Job, Result]]:
    """Call ``work(*job)`` for every job and yield each with its result, in the order in which they are finished.

    Args:
        work: importable by name, or a ``partial`` of such a function.
        jobs: the arguments of each call; few are taken in advance.
        workers: processes, all cores by default; with one, or one job, all is done here and in order.
        start: how a process begins: ``"fork"``, where the system has it, or ``"spawn"``, for work that needs libraries
            with threads of their own.

    Raises:
        DatasetError: a process was killed.
    """
    workers = workers or available_cores()
    if isinstance(jobs, Sized):
        workers = max(1, min(workers, len(jobs)))
    if workers == 1:
        for job in jobs:
            yield job, work(*job)
        return
    context = multiprocessing.get_context(start or ("fork" if sys.platform == "linux" else "spawn"))
    waiting = iter(jobs)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        running: dict[Future[Result], Job] = {}
        try:
            while True:
                for job in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(work, *job)] = job
                if not running:
                    return
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
