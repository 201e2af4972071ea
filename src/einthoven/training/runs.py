"""The run folder: ``runs/<recipe>/<NNN>/`` holds the recipe, the environment, checkpoints, history and results.

A run that was interrupted is continued by the same command; a finished one is followed by the next number.
"""

from __future__ import annotations

import csv
import fcntl
import os
import platform
import shlex
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import IO, Any

from einthoven.errors import EinthovenError, RecipeError
from einthoven.files import atomic_write, read_json, write_json
from einthoven.training.recipe import Recipe, load_recipe

__all__ = ["Run", "latest_finished", "open_run"]


class Run:
    """One run folder, locked by the process that trains in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def checkpoint(self) -> Path:
        """The state after the last whole epoch."""
        return self.path / "checkpoints" / "last.pt"

    def best(self, criterion: str) -> Path:
        """Weights of the epoch that was best by ``auroc``, ``accuracy`` or ``loss``."""
        return self.path / "checkpoints" / f"best-{criterion}.safetensors"

    @property
    def bundle(self) -> Path:
        """The portable model."""
        return self.path / "bundle"

    @property
    def finished(self) -> bool:
        """Whether training and judging are done."""
        return (self.path / "report.html").is_file()

    def lock(self) -> None:
        """Claim the folder until the process ends.

        Raises:
            EinthovenError: another process trains here.
        """
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EinthovenError(f"{self.path}: another process is training this run; wait for it or stop it") from None

    def recipe(self) -> Recipe:
        """The effective recipe of the run."""
        return load_recipe(self.path / "recipe.yaml")

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Write ``history.csv``, one row per epoch."""
        with atomic_write(self.path / "history.csv") as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def read_history(self) -> list[dict[str, float]]:
        """Read ``history.csv`` back."""
        path = self.path / "history.csv"
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]

    def environment(self) -> dict[str, Any]:
        """Read what the run was made with."""
        return read_json(self.path / "environment.json", EinthovenError, "a run")


def open_run(root: Path, recipe: Recipe, *, fresh: bool = False) -> tuple[Run, bool]:
    """Continue the latest unfinished run of this very recipe, or begin a new one.

    Args:
        root: usually ``runs``.
        recipe: the effective recipe.
        fresh: begin a new one in any case.

    Returns:
        The locked run, and whether it is continued.
    """
    folder = root / recipe.name
    numbers = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())
    if numbers and not fresh:
        latest = Run(folder / f"{numbers[-1]:03d}")
        if not latest.finished and _same_recipe(latest, recipe):
            latest.lock()
            return latest, latest.checkpoint.is_file()
    run = Run(folder / f"{numbers[-1] + 1 if numbers else 1:03d}")
    run.path.mkdir(parents=True)
    run.lock()
    with atomic_write(run.path / "recipe.yaml") as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    write_json(run.path / "environment.json", _environment())
    return run, False


def latest_finished(root: Path, name: str) -> Run:
    """Find the latest finished run of a recipe.

    Args:
        root: usually ``runs``.
        name: of the recipe.

    Raises:
        RecipeError: there is none.
    """
    numbers = sorted((int(path.name) for path in (root / name).glob("[0-9]*") if path.name.isdigit()), reverse=True)
    for number in numbers:
        if (run := Run(root / name / f"{number:03d}")).finished:
            return run
    raise RecipeError(
        f"no finished run of recipe {name} in {root / name}; train it first, or name its folder with --runs"
    )


def _same_recipe(run: Run, recipe: Recipe) -> bool:
    try:
        return run.recipe() == recipe
    except RecipeError:
        return False  # left by another version, or killed before the recipe was written


def _environment() -> dict[str, Any]:
    wanted = {"einthoven", "torch", "numpy", "scipy", "onnxruntime", "pyarrow", "pydantic"}
    packages = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"].lower() in wanted}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **dict(sorted(packages.items())),
    }
