"""Progress that people see: bars on standard error, and one line per epoch.

rich is loaded when something is drawn: a command that draws nothing starts the sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    console: Console

__all__ = ["TrainingBar", "bar", "console", "say", "transfer_bar"]


def __getattr__(name: str) -> Any:
    if name == "console":
        return _console()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a sentence on standard error; brackets in it are brackets."""
    _console().print(text, markup=False)


def _progress() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = _console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # a log wants no bars
    )


@contextmanager
def bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (done, total) that moves a bar."""
    with _progress() as progress:
        task = progress.add_task(description, total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def transfer_bar(description: str) -> Iterator[Callable[[int, int, int, int], None]]:
    """Yield a function (files, files in all, bytes, bytes expected) that moves a bar of files and bytes."""
    from rich.filesize import decimal

    began = monotonic()
    with _progress() as progress:
        task = progress.add_task(description, total=None, note="")

        def move(files: int, total: int, n_bytes: int, expected: int) -> None:
            speed = int(n_bytes / max(monotonic() - began, 1e-3))
            note = f"{decimal(n_bytes)} of about {decimal(expected)}, {decimal(speed)}/s"
            progress.update(task, completed=files, total=total, note=note)

        yield move


class TrainingBar:
    """Shows the steps of an epoch as a bar and each finished epoch as a line."""

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs
        self._progress = _progress()
        self._task = self._progress.add_task("epoch", total=None, note="")

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Move the bar."""
        description, note = f"epoch {epoch}/{self._n_epochs}", f"loss {loss:.4f}"
        self._progress.update(self._task, description=description, completed=step, total=n_steps, note=note)

    def epoch(self, row: dict[str, float]) -> None:
        """Print the epoch's line."""
        _console().print(
            f"epoch {row['epoch']:>3.0f}/{self._n_epochs}  loss {row['train_loss']:.4f}  "
            f"validation loss {row['validation_loss']:.4f}  AUROC {row['validation_auroc']:.4f}  "
            f"accuracy {row['validation_accuracy']:.4f}  {row['seconds']:.1f} s"
        )
