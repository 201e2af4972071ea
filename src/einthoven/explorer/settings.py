"""Where the Explorer looks: folders of runs and datasets, and the model that was named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings", "current", "use"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said.

    Attributes:
        runs: folder of run folders.
        datasets: folder of prepared datasets, or one itself.
        model: named by the user; see ``find_choices``.
    """

    runs: Path = Path("runs")
    datasets: Path = Path("datasets")
    model: str | None = None


_CURRENT = [Settings()]  # of the process: the server and its pages share one


def use(settings: Settings) -> None:
    """Make these the settings of every page."""
    _CURRENT[0] = settings


def current() -> Settings:
    """Return the settings of every page."""
    return _CURRENT[0]
