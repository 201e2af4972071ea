"""Ctrl-C in a command that can be continued: the user is told how; typer would end it without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from einthoven.errors import EinthovenError

__all__ = ["InterruptedByUserError", "continuable"]


class InterruptedByUserError(EinthovenError):
    """The user stopped a command; its exit code is 130."""


@contextmanager
def continuable(onward: str = "the same command continues where it stopped") -> Iterator[None]:
    """Turn Ctrl-C into a sentence on how to go on; what a ``KeyboardInterrupt`` says itself comes first."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise InterruptedByUserError(f"interrupted{stop}; {onward}") from None
