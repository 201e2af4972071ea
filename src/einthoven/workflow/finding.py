"""What the arguments of ``evaluate`` stand for: runs, bundles, recipes whose latest runs are meant, and one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from einthoven.bundle import list_pretrained, refuse_folder_of_runs
from einthoven.errors import DatasetError, RecipeError
from einthoven.training.grid import expand
from einthoven.training.runs import latest_finished

__all__ = ["find_models", "name_models"]

_YAML = (".yaml", ".yml")


def find_models(names: Sequence[str], runs: Path) -> tuple[list[str], Path | None]:
    """Tell models from the dataset among arguments.

    Args:
        names: run folders, bundle folders, pretrained names, recipes (files or folders of them), and at most one
            dataset folder, which has a ``dataset.json``.
        runs: where the runs of recipes lie.

    Returns:
        Where the models lie, each once, and the dataset where one was named.

    Raises:
        DatasetError: no model, two datasets, a model named twice, or a name that is none of these.
        RecipeError: a folder without recipes, or a recipe that was never trained to the end.
    """
    datasets = [name for name in names if any((Path(name) / file).is_file() for file in ("dataset.json", "plan.json"))]
    if len(datasets) > 1:
        raise DatasetError(f"models are judged on one dataset at a time, got {', '.join(datasets)}")
    models = [where for name in names if name not in datasets for where in _models(name, runs)]
    if not models:
        raise DatasetError("which model shall be judged? name a run, a bundle or a pretrained model before the dataset")
    places = [_place(where) for where in models]
    for k, place in enumerate(places):
        if place in places[:k]:
            raise DatasetError(f"{models[k]}: named twice; each model is judged once")
    return models, Path(datasets[0]) if datasets else None


def name_models(models: Sequence[str]) -> list[str]:
    """Short names that differ: ``recipe-001`` for runs, the folder's or bundle's own name otherwise."""
    short = [_short(where) for where in models]
    return [name if short.count(name) == 1 else f"{name}-{k + 1}" for k, name in enumerate(short)]


def _short(where: str) -> str:
    path = Path(where).resolve()
    if (path / "recipe.yaml").is_file():
        return f"{path.parent.name}-{path.name}"
    if path.name.startswith("bundle") and (path.parent / "recipe.yaml").is_file():
        return f"{path.parent.parent.name}-{path.parent.name}{path.name.removeprefix('bundle')}"
    return path.name


def _place(where: str) -> Path:
    """Where the bundle lies that a name leads to."""
    path = Path(where).resolve()
    return path / "bundle" if (path / "bundle" / "bundle.json").is_file() else path


def _models(name: str, runs: Path) -> list[str]:
    path = Path(name)
    if path.suffix in _YAML and path.is_file():
        return _runs_of(path, runs)
    if not path.is_dir():
        if path.suffix in _YAML or "/" in name:
            raise DatasetError(f"{name}: no such run, bundle, recipe or dataset")
        return [name]  # a pretrained model, or refused by name where bundles are loaded
    if name in list_pretrained() or any((path / file).exists() for file in ("bundle.json", "bundle", "recipe.yaml")):
        return [name]
    recipes = sorted(file for file in path.iterdir() if file.suffix in _YAML)
    if not recipes:
        refuse_folder_of_runs(path)
        raise RecipeError(f"{name}: neither a run, a bundle nor a dataset, and no recipe is in this folder")
    return [where for recipe in recipes for where in _runs_of(recipe, runs)]


def _runs_of(recipe: Path, runs: Path) -> list[str]:
    """The latest finished run of a recipe, or of each of a grid."""
    return [str(latest_finished(runs, each.name).path) for each in expand(recipe)]
