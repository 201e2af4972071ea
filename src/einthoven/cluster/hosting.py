"""What must stay with the driver: a function in a process of its machine, called from any node.

A study in SQLite is written on one machine only, and messages to the user end where the user sits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["hosted", "listening"]

_POLL_S = 0.3
Message = tuple[Any, ...]


class _Host:
    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self._act = make()

    def call(self, *arguments: Any) -> Any:
        return self._act(*arguments)


class _Remote:
    """Calls the hosted function, and waits for its answer."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, *arguments: Any) -> Any:
        return ray.get(self._actor.call.remote(*arguments))


def hosted(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Make a function in a process of this machine; what is returned calls it from any node, one call at a time.

    A process that dies is made anew, so the function keeps on disk what must not be lost. It ends when nobody holds
    what is returned.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    actor: Any = ray.remote(_Host)
    return _Remote(actor.options(**options).remote(make))


class _Box:
    """Keeps messages until they are fetched, by a call without any."""

    def __init__(self) -> None:
        self._kept: list[Message] = []

    def __call__(self, *message: Any) -> list[Message]:
        if message:
            self._kept.append(message)
            return []
        kept, self._kept = self._kept, []
        return kept


@contextmanager
def listening(hear: Callable[..., None]) -> Iterator[Callable[..., Any]]:
    """Yield a function that nodes call with messages; ``hear`` is called here with each, in another thread."""
    post, over = hosted(_Box), threading.Event()

    def fetch() -> None:
        while not over.wait(_POLL_S):
            for message in post():
                hear(*message)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        yield post
    finally:
        over.set()
        thread.join()
        for message in post():
            hear(*message)
