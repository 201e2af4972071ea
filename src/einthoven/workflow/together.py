"""Many trainings at once on other machines: the runs of a grid, or the folds of a cross-validation.

The number of each run is settled before it starts, so a run whose machine died is continued from its last checkpoint by
another one, and none is trained twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError
from einthoven.processes import FanOut
from einthoven.training.recipe import Recipe, Training
from einthoven.training.runs import Run, open_run
from einthoven.workflow.crossvalidation import fold_recipes, kept_folds
from einthoven.workflow.train import shorten, train

__all__ = ["train_together"]

Announce = Callable[[str], None]
Ended = tuple[str | None, str | None]  # the folder of the run, or why there is none
_FAILURES = (EinthovenError, OSError, MemoryError, RuntimeError)  # that other runs survive


@dataclass(frozen=True, slots=True)
class _Trained:
    """What became of runs, by name of their recipe; called as ``train`` is."""

    ended: dict[str, Ended]

    def __call__(self, recipe: Recipe, runs: Path, **_: Any) -> Run:
        path, error = self.ended[recipe.name]
        if path is None:
            raise EinthovenError(error or recipe.name)
        return Run(Path(path))


def train_together(
    divide: Callable[[Training], FanOut],
    workers: int | None,
    recipes: Sequence[Recipe],
    runs: Path,
    version: str | int | None,
    short: bool,
    announce: Announce,
) -> Callable[..., Run]:
    """Train recipes, and every fold of those that rotate, each on one machine; see ``queue.Together``.

    Args:
        divide: how trainings are divided among machines, by what each needs.
        workers: runs at a time; by default as many as there is room for.
        recipes: what to train; all need what the first does.
        runs: where run folders lie, for every machine.
        version: of each run, see ``train``.
        short: short runs, see ``train``.
        announce: told in a sentence what happens.
    """
    ended: dict[str, Ended] = {}
    jobs = []
    for recipe in [each for several in recipes for each in _singles(several, runs, version, short)]:
        try:
            jobs.append((recipe, _number(recipe, runs, version, short)))
        except EinthovenError as error:
            ended[recipe.name] = None, str(error)
    if not jobs:
        return _Trained(ended)
    announce(f"{len(jobs)} runs are trained, as many at a time as there is room for")
    work = _Work(runs.absolute(), short)
    for (recipe, _), outcome in divide(jobs[0][0].training)(work, jobs, workers):
        ended[recipe.name] = outcome
        announce(f"{recipe.name}: {outcome[1] or 'trained'} ({len(ended)} of {len(jobs)})")
    return _Trained(ended)


def _singles(recipe: Recipe, runs: Path, version: str | int | None, short: bool) -> list[Recipe]:
    if not recipe.data.folds.rotate:
        return [recipe]
    try:
        folds = fold_recipes(recipe, open_dataset(recipe.data.dataset))
        kept = kept_folds(recipe, folds, runs, version, short)
    except EinthovenError:
        return []  # its turn will come, and then the error is told as its own
    return [each for each in folds.values() if each.name not in kept]


def _number(recipe: Recipe, runs: Path, version: str | int | None, short: bool) -> int:
    """The number of the run that is continued or begun; its folder is left unlocked for the machine that trains."""
    run, _ = open_run(runs, shorten(recipe) if short else recipe, version=version, short=short)
    return int(run.path.name)


@dataclass(frozen=True, slots=True)
class _Work:
    """Trains one run; called on the machine that does it."""

    runs: Path
    short: bool

    def __call__(self, recipe: Recipe, number: int) -> Ended:
        name = shorten(recipe).name if self.short else recipe.name
        run = Run(self.runs / name / f"{number:03d}")
        try:
            if not run.finished:  # it is where a machine died after the last word
                run = train(recipe, self.runs, version=number, short=self.short)
        except _FAILURES as error:
            return None, str(error) or type(error).__name__
        return str(run.path), None
