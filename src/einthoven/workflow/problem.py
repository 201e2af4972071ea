"""From a recipe and its records to what the trainer learns."""

from __future__ import annotations

from collections.abc import Callable

from einthoven.facts import facts_of_dataset, resolve_facts
from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe
from einthoven.workflow.distilling import load_teacher
from einthoven.workflow.selection import Selected

__all__ = ["make_problem"]


def make_problem(recipe: Recipe, selected: Selected, announce: Callable[[str], None] = lambda _: None) -> Problem:
    """Return targets, rows, facts and teacher of a training.

    Args:
        recipe: what to do.
        selected: on what.
        announce: told in a sentence what cannot be known about a teacher.

    Raises:
        RecipeError: an unknown fact, or a teacher of something else.
        DatasetError: measurements are wanted, but the dataset was not measured; or the teacher has seen the records
            that judge the student.
    """
    task, rows, dataset = selected.task, selected.rows, selected.dataset
    names = resolve_facts(recipe.data.facts, dataset)
    distill, crop = recipe.training.distill, max(1, round(recipe.data.crop_s * dataset.spec.fs))
    return Problem(
        dataset,
        task.kind,
        task.classes,
        selected.targets,
        rows["train"],
        rows["validation"],
        facts=facts_of_dataset(dataset, names) if names else None,
        fact_names=names,
        teacher=load_teacher(distill, selected, names, n_samples=crop, announce=announce) if distill else None,
    )
