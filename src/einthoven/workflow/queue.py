"""Train what one or several recipe files mean, one after the other: runs, grids, cross-validations, ensembles.

One that fails does not stop the others. A queue that was interrupted goes on with what is not done; one that is done
begins anew.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from einthoven.errors import EinthovenError, RecipeError
from einthoven.files import read_json
from einthoven.training.grid import Grid, read_grid
from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run, choose_run, latest_finished
from einthoven.workflow.crossvalidation import CrossValidation, cross_validate, folder_of, is_complete
from einthoven.workflow.evaluate import evaluate
from einthoven.workflow.rounds import finished_runs
from einthoven.workflow.train import shorten, train

__all__ = ["Choice", "Outcome", "Queue", "read_queue", "work_off"]

_YAML = (".yaml", ".yml")
# What the next recipe may survive: bad input, a full disk, memory of the device; anything else is a defect.
_SURVIVED = (EinthovenError, OSError, MemoryError, RuntimeError)
Announce = Callable[[str], None]


class Together(Protocol):
    """Trains the runs of several recipes at once; what it returns gives them one by one, called as ``train`` is."""

    def __call__(
        self, recipes: Sequence[Recipe], runs: Path, version: str | int | None, short: bool, announce: Announce
    ) -> Callable[..., Run]:
        """Train; a recipe that failed raises its error when its run is asked for."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How recipes are trained; see ``train``. ``test_only`` trains nothing and judges the chosen version on test."""

    version: str | int | None = None
    resume: str | int | None = None
    short: bool = False
    test_only: bool = False

    def __post_init__(self) -> None:
        if self.test_only and (self.resume is not None or self.version == "new"):
            raise RecipeError("--test-only trains nothing: leave out --resume and --version new")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipe: a run, a cross-validation, or an error in words; and the judgement."""

    name: str
    run: Run | None = None
    crossvalidation: CrossValidation | None = None
    judgement: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """Grids by file, and the files that could not be read, with the reason."""

    grids: dict[Path, Grid]
    unread: dict[Path, str] = field(default_factory=dict)

    @property
    def recipes(self) -> list[Recipe]:
        """All recipes in order."""
        return [recipe for grid in self.grids.values() for recipe in grid.recipes]


def read_queue(places: Sequence[Path], overrides: Sequence[str] = ()) -> Queue:
    """Read recipe files and folders of them, in order of name.

    Raises:
        RecipeError: the only file cannot be read, a folder without recipes, or two files of one name.
    """
    files = [file for place in places for file in _files(place)]
    if len(files) == 1:
        queue = Queue({files[0]: read_grid(files[0], overrides)})
    else:
        queue = Queue({})
        for file in files:
            try:
                queue.grids[file] = read_grid(file, overrides)
            except RecipeError as error:
                queue.unread[file] = str(error)
    owner: dict[str, Path] = {}
    for file, grid in queue.grids.items():
        for recipe in grid.recipes:
            if (other := owner.setdefault(recipe.name, file)) != file:
                raise RecipeError(f"{other} and {file} both have a recipe {recipe.name}; give each a name of its own")
        if grid.recipes[0].ensemble:
            _check_ensemble(file, grid)
    return queue


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = sorted(file for file in place.iterdir() if file.suffix in _YAML)
    if not files:
        raise RecipeError(f"{place}: no recipe (*.yaml) is in this folder")
    return files


def _check_ensemble(file: Path, grid: Grid) -> None:
    if len(grid.recipes) < 2:
        raise RecipeError(f"{file}: ensemble: true is of a grid of two recipes or more, this is one")
    if any(recipe.data.folds.rotate for recipe in grid.recipes):
        raise RecipeError(
            f"{file}: ensemble: true and data.folds.rotate: the folds' models have no validation records in common to "
            "learn weights on; leave out one"
        )


def work_off(
    queue: Queue,
    runs: Path,
    choice: Choice = Choice(),
    *,
    train_one: Callable[..., Run] = train,
    together: Together | None = None,
    announce: Announce = lambda _: None,
) -> list[Outcome]:
    """Train every recipe of a queue, or judge it on test.

    Args:
        queue: what to do.
        runs: where run folders lie.
        choice: how.
        train_one: what trains one recipe, called as ``train`` is.
        together: trains all runs before they are judged, several at a time, instead of ``train_one``.
        announce: told in a sentence what happens.

    Returns:
        What became of each, in order; those that failed say why.

    Raises:
        EinthovenError: the only recipe failed.
        RecipeError: several runs are to be resumed from one checkpoint.
    """
    alone = len(queue.recipes) == 1 and not queue.unread
    if choice.resume is not None and (not alone or queue.recipes[0].data.folds.rotate):
        raise RecipeError("--resume goes on from a checkpoint of one run; name a single recipe, with overrides perhaps")
    kept = _kept(queue, runs, choice)
    if together is not None and not choice.test_only and choice.resume is None:
        wanted = [_member(recipe) for recipe in queue.recipes if recipe.name not in kept]
        train_one = together(wanted, runs, choice.version, choice.short, announce)
    outcomes = [Outcome(str(file), error=why) for file, why in queue.unread.items()]
    for file, grid in queue.grids.items():
        if grid.axes:
            announce(f"{file}: {grid}")
        made = []
        for recipe in grid.recipes:
            if recipe.name in kept:
                announce(f"{recipe.name}: finished before, kept")
                made.append(kept[recipe.name])
            else:
                made.append(_survive(alone, recipe.name, _one, recipe, runs, choice, train_one, announce))
        outcomes += made
        if grid.recipes[0].ensemble and not choice.test_only:
            outcomes.append(_survive(False, f"{grid.name}-ensemble", _ensemble, grid, made, runs, choice, announce))
    return outcomes


def _kept(queue: Queue, runs: Path, choice: Choice) -> dict[str, Outcome]:
    """What an interrupted queue has finished; nothing where all of it was."""
    if choice.version is not None or choice.test_only or choice.resume is not None:
        return {}
    members = [_member(recipe) for recipe in queue.recipes]
    found = finished_runs([each for each in members if not each.data.folds.rotate], runs, choice.short)
    kept = {name: _told(name, run) for name, run in found.items()}
    for recipe in members:
        if recipe.data.folds.rotate and _is_complete(recipe, runs, choice.short):
            path = folder_of(recipe, runs, choice.short) / "metrics.json"
            judgement = read_json(path, EinthovenError, "a cross-validation")["oof"]
            kept[recipe.name] = Outcome(recipe.name, judgement=judgement)
    return {} if len(kept) == len(members) else kept


def _is_complete(recipe: Recipe, runs: Path, short: bool) -> bool:
    try:
        return is_complete(recipe, runs, short)
    except EinthovenError:
        return False  # its turn will come, and then the error is told as its own


def _one(recipe: Recipe, runs: Path, choice: Choice, train_one: Callable[..., Run], announce: Announce) -> Outcome:
    member, short = _member(recipe), choice.short
    if member.data.folds.rotate:
        found = cross_validate(
            member,
            runs,
            version=choice.version,
            short=short,
            test_only=choice.test_only,
            train_one=train_one,
            announce=announce,
        )
        return Outcome(recipe.name, crossvalidation=found, judgement=found.judgement)
    if choice.test_only:
        known = shorten(member) if short else member
        if choice.version is None:
            run = latest_finished(runs, known.name, short=short)
        else:
            run = choose_run(runs, known, choice.version, short=short)
        return Outcome(recipe.name, run, judgement=evaluate(run.path, split="test", announce=announce).judgement)
    run = train_one(member, runs, version=choice.version, resume=choice.resume, short=short, announce=announce)
    return _told(recipe.name, run)


def _member(recipe: Recipe) -> Recipe:
    """A run of a grid knows nothing of the ensemble that it will be in."""
    return recipe.model_copy(update={"ensemble": False})


def _told(name: str, run: Run) -> Outcome:
    return Outcome(name, run, judgement=read_json(run.path / "metrics.json", EinthovenError, "a run")["validation"])


def _ensemble(grid: Grid, members: Sequence[Outcome], runs: Path, choice: Choice, announce: Announce) -> Outcome:
    from einthoven.workflow.ensembling import make_ensemble

    if failed := [each.name for each in members if each.run is None]:
        raise RecipeError(f"no ensemble is made, for {len(failed)} of {len(members)} runs failed: {', '.join(failed)}")
    name = f"{grid.name}{'-short' if choice.short else ''}-ensemble"
    make_ensemble([each.run.path for each in members if each.run], runs / name, announce=announce)
    judged = read_json(runs / name / "metrics.json", EinthovenError, "an ensemble")
    return Outcome(name, Run(runs / name), judgement=judged["validation"])


def _survive(alone: bool, name: str, act: Callable[..., Outcome], *arguments: Any) -> Outcome:
    try:
        return act(*arguments)
    except _SURVIVED as error:
        if alone:
            raise
        if not isinstance(error, EinthovenError):
            arguments[-1](traceback.format_exc())
        return Outcome(name, error=str(error) or type(error).__name__)
