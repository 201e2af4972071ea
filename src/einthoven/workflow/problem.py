"""From a recipe and its records to what the trainer learns."""

from __future__ import annotations

from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe
from einthoven.workflow.selection import Selected

__all__ = ["make_problem"]


def make_problem(recipe: Recipe, selected: Selected) -> Problem:
    """Return targets, rows, facts and teacher of a training."""
    task, rows = selected.task, selected.rows
    return Problem(selected.dataset, task.kind, task.classes, selected.targets, rows["train"], rows["validation"])
