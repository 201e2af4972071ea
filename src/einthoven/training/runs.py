"""The run folder: ``runs/<recipe>/<NNN>/`` holds the recipe, the environment, checkpoints, history and results.

A run that was interrupted is continued by the same command; a finished one is followed by the next number.
"""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import IO, Any

from einthoven.errors import EinthovenError, RecipeError
from einthoven.files import atomic_write, read_json, write_json
from einthoven.training.recipe import Recipe, load_recipe

__all__ = [
    "CRITERIA",
    "Run",
    "begin_run",
    "best_epoch",
    "changes",
    "choose_run",
    "is_of",
    "latest_finished",
    "list_runs",
    "open_run",
]

CRITERIA = {"auroc": 1, "accuracy": 1, "loss": -1}  # of the best epoch; sign: larger is better


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

    @property
    def short(self) -> bool:
        """Whether this is a short run, which tries everything and finds nothing."""
        path = self.path / "environment.json"
        return path.is_file() and bool(self.environment().get("short"))

    @property
    def locked(self) -> bool:
        """Whether a process trains here now."""
        path = self.path / ".lock"
        if not path.is_file():
            return False
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

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

    def note(self, **facts: Any) -> None:
        """Add to what the run was made with."""
        write_json(self.path / "environment.json", self.environment() | facts)


def list_runs(root: Path, name: str, *, short: bool = False) -> list[Run]:
    """The runs of a recipe by number, either the short ones or the others."""
    numbers = sorted(_numbers(root / name))
    return [run for n in numbers if (run := Run(root / name / f"{n:03d}")).short == short]


def open_run(root: Path, recipe: Recipe, *, version: str | int | None = None, short: bool = False) -> tuple[Run, bool]:
    """Continue the latest unfinished run of this very recipe, or begin a new one.

    Args:
        root: usually ``runs``.
        recipe: the effective recipe.
        version: ``"new"`` begins a new one in any case; ``"latest"`` or a number continues that one and no other.
        short: a short run, which is told apart from long ones for ever.

    Returns:
        The locked run, and whether it is continued.

    Raises:
        RecipeError: see ``choose_run``; or the chosen run is finished.
    """
    if version is not None and version != "new":
        return _continue(choose_run(root, recipe, version, short=short))
    known = list_runs(root, recipe.name, short=short)
    if version is None and known and not known[-1].finished and is_of(known[-1], recipe):
        return _continue(known[-1])
    return begin_run(root, recipe, short=short), False


def choose_run(root: Path, recipe: Recipe, version: str | int = "latest", *, short: bool = False) -> Run:
    """Find a run of a recipe by its number, or the newest.

    Args:
        root: usually ``runs``.
        recipe: the effective recipe, which must be the run's own.
        version: ``"latest"`` or a number.
        short: look among the short runs.

    Raises:
        RecipeError: there is none, or its recipe differs; every key that differs is named, old and new value.
    """
    known = {int(run.path.name): run for run in list_runs(root, recipe.name, short=short)}
    if not known:
        raise RecipeError(f"no run of recipe {recipe.name} in {root / recipe.name}; train it first")
    number = max(known) if version == "latest" else version
    if number not in known:
        raise RecipeError(
            f"no version {number} of recipe {recipe.name} in {root / recipe.name}; versions are new, latest, "
            f"{', '.join(map(str, known))}"
        )
    run = known[int(number)]
    if differing := changes(run.recipe().model_dump(mode="json"), recipe.model_dump(mode="json")):
        raise RecipeError(
            f"{run.path}: made by another recipe: {'; '.join(differing)}; set these back, or train with --version new, "
            f"from its weights with model.weights={run.path}"
        )
    return run


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say key by key how two recipes differ, as ``training.lr: 0.01 -> 0.001``.

    >>> changes({"lr": 1, "swa": {"start": 0.5}}, {"lr": 2, "swa": None})
    ['lr: 1 -> 2', 'swa: {"start": 0.5} -> null']
    """
    found = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += changes(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {json.dumps(a, ensure_ascii=False)} -> {json.dumps(b, ensure_ascii=False)}")
    return found


def best_epoch(history: Sequence[Mapping[str, float]], criterion: str) -> int | None:
    """Number, from 1, of the first epoch that is best by ``auroc``, ``accuracy`` or ``loss``; None where none is known.

    >>> best_epoch([{"validation_loss": 0.5}, {"validation_loss": 0.4}, {"validation_loss": 0.4}], "loss")
    2
    """
    scores = [CRITERIA[criterion] * row[f"validation_{criterion}"] for row in history]
    known = [score for score in scores if not math.isnan(score)]
    return scores.index(max(known)) + 1 if known else None


def begin_run(root: Path, recipe: Recipe, *, short: bool = False, **facts: Any) -> Run:
    """Make and lock the folder of the next number; ``facts`` go into ``environment.json``."""
    number = max(_numbers(root / recipe.name), default=0) + 1
    run = Run(root / recipe.name / f"{number:03d}")
    run.path.mkdir(parents=True)
    run.lock()
    # The recipe last: a folder with a recipe is a run, and a run has an environment.
    write_json(run.path / "environment.json", _environment() | ({"short": True} if short else {}) | facts)
    with atomic_write(run.path / "recipe.yaml") as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")
    return run


def latest_finished(root: Path, name: str, *, short: bool = False) -> Run:
    """Find the latest finished run of a recipe; short ones count only among themselves.

    Args:
        root: usually ``runs``.
        name: of the recipe.
        short: look among the short runs.

    Raises:
        RecipeError: there is none.
    """
    for run in reversed(list_runs(root, name, short=short)):
        if run.finished:
            return run
    raise RecipeError(
        f"no finished run of recipe {name} in {root / name}; train it first, or name its folder with --runs"
    )


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()]


def _continue(run: Run) -> tuple[Run, bool]:
    if run.finished:
        raise RecipeError(
            f"{run.path}: finished, so there is nothing to continue; --version new trains again, --test-only judges "
            "it, --resume best or an epoch trains on from there"
        )
    run.lock()
    return run, run.checkpoint.is_file()


def is_of(run: Run, recipe: Recipe) -> bool:
    """Whether a run was made by this very recipe."""
    try:
        return run.recipe() == recipe
    except RecipeError:
        return False  # left by another version, or killed before the recipe was written


def _environment() -> dict[str, Any]:
    wanted = {"einthoven", "torch", "numpy", "scipy", "onnxruntime", "pyarrow", "pydantic"}
    packages = {d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"].lower() in wanted}
    return {
        "began": datetime.now().astimezone().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **dict(sorted(packages.items())),
    }
