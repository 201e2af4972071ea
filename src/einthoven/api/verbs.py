"""Train from Python: the same recipe, words and results as ``einthoven train``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from einthoven.training.recipe import Recipe, load_recipe, parse_recipe
from einthoven.training.runs import Run

__all__ = ["as_overrides", "train", "training_bar"]

_LOG = logging.getLogger("einthoven")


def train(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    runs: str | Path = "runs",
    *,
    version: str | int | None = None,
    resume: str | int | None = None,
    short: bool = False,
    progress: bool | None = None,
    **overrides: Any,
) -> Run:
    """Train a recipe, make its bundle, judge it on the validation split and write the report.

    What happens is logged to the logger ``einthoven``.

    Args:
        recipe: a recipe, the same as a mapping, or the path of a YAML file.
        runs: folder of the run folders; an interrupted run of the same recipe is continued.
        version: of the run that is continued: ``"new"``, ``"latest"`` or a number.
        resume: go on from this checkpoint: ``"best"``, ``"latest"`` or an epoch.
        short: one epoch of ten batches, to see whether everything works.
        progress: show a bar and a line per epoch; by default on a terminal only.
        overrides: values that win over the recipe's, with two underscores for the dot: ``training__epochs=5``.

    Returns:
        The run: ``einthoven.load(run.path)`` is its model, ``run.path / "report.html"`` its report.

    Raises:
        RecipeError: an unknown key or a value that does not fit, with the place where it stands.
        DatasetError: no such dataset, or records that cannot be trained on.
    """
    from einthoven import workflow

    effective = _effective(recipe, overrides)
    with training_bar(effective.training.epochs, progress) as reporter:
        return workflow.train(
            effective,
            Path(runs),
            version=version,
            resume=resume,
            short=short,
            reporter=reporter,
            announce=_LOG.info,
        )


def _effective(recipe: Recipe | Mapping[str, Any] | str | Path, overrides: Mapping[str, Any]) -> Recipe:
    texts = as_overrides({key.replace("__", "."): value for key, value in overrides.items()})
    if isinstance(recipe, str | Path):
        return load_recipe(recipe, texts)
    if isinstance(recipe, Recipe):
        return parse_recipe(recipe.to_yaml(), recipe.name, texts) if texts else recipe
    return parse_recipe(yaml.safe_dump(_plain(recipe), sort_keys=False), "recipe", texts)


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Values by the dotted key of a recipe, as ``key.sub=value`` with the value in YAML."""
    return [f"{key}={_flow(value)}" for key, value in values.items()]


def _flow(value: Any) -> str:
    return yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()


def _plain(value: Any) -> Any:
    """Values that YAML has: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@contextmanager
def training_bar(n_epochs: int, wanted: bool | None) -> Iterator[Any]:
    """Yield who is told how training goes: a bar, or None where none is wanted or nobody looks."""
    from einthoven.cli.progress import TrainingBar, console

    if wanted or (wanted is None and console.is_terminal):
        with TrainingBar(n_epochs) as bar:
            yield bar
    else:
        yield None
