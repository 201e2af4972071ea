"""Several runs that belong together, as of a grid or of folds: which of them are done when some were interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run, is_of, list_runs
from einthoven.workflow.train import shorten

__all__ = ["finished_runs"]


def finished_runs(recipes: Sequence[Recipe], runs: Path, short: bool = False) -> dict[str, Run]:
    """Return the newest runs that are finished and of these very recipes, by the recipe's name.

    Args:
        recipes: as they are trained.
        runs: where run folders lie.
        short: look among the short runs.
    """
    found = {}
    for recipe in recipes:
        wanted = shorten(recipe) if short else recipe
        known = list_runs(runs, wanted.name, short=short)
        if known and known[-1].finished and is_of(known[-1], wanted):
            found[recipe.name] = known[-1]
    return found
