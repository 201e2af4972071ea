"""Make a trained bundle smaller or fit for int8: prune it, train on at a tenth of the rate, learn from what it was.

All that is done is a recipe: the bundle's own with other starting weights. Folds stay, so no patient crosses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from einthoven.bundle import Bundle, list_pretrained, load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, RecipeError
from einthoven.training.recipe import Recipe, load_recipe, parse_recipe
from einthoven.training.runs import Run, is_of, list_runs
from einthoven.workflow.train import train

__all__ = ["finetune"]

_RATE = 0.1  # of the recipe's own
_LESSON = {"weight": 0.5, "temperature": 1.0}
# Averaging by epochs, waiting and checkpoints of a long training make no sense of a few epochs.
_SCHEDULE = {"schedule": "one_cycle", "swa": None, "early_stopping": None, "keep_every": None}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What shall be made of a bundle.

    Attributes:
        bundle: which.
        place: where it is loaded from.
        dataset: that it was trained on.
        pruning: ``criterion`` and ``scope``.
        ratio: share of its channels that go in the end; None prunes nothing.
        quantize: whether the last round learns with the errors of int8.
        epochs: of all rounds.
        rounds: runs that prune one after the other.
        lr: highest rate; None for a tenth of the bundle's own.
        overrides: ``key=value`` of every recipe.
    """

    bundle: Bundle
    place: str
    dataset: Path
    pruning: dict[str, str]
    ratio: float | None
    quantize: bool
    epochs: int
    rounds: int
    lr: float | None
    overrides: Sequence[str]

    def recipe(self, number: int, begin: str) -> Recipe:
        """The recipe of a round, from 1, that begins with the weights of a bundle."""
        values = yaml.safe_load(self.bundle.about["provenance"]["recipe"])
        last = number == self.rounds
        values["name"] = self._name() + ("" if last else f"-round{number}")
        values["description"] = f"{self.bundle.name}, trained on"
        values["data"]["dataset"] = str(self.dataset)
        values["model"] = {**values.get("model", {}), "weights": begin, "prune": self._prune()}
        training = values.setdefault("training", {})
        share = self.epochs // self.rounds
        training |= {
            "epochs": self.epochs - share * (self.rounds - 1) if last else share,
            "lr": self.lr or _RATE * parse_recipe(yaml.safe_dump(values)).training.lr,
            "distill": {"teacher": self.place, **_LESSON},
            "quantize": "int8" if self.quantize and last else None,
            **_SCHEDULE,
        }
        return parse_recipe(yaml.safe_dump(values, sort_keys=False), self.bundle.name, self.overrides)

    def _name(self) -> str:
        pruned = "" if self.ratio is None else f"-pruned{100 * self.ratio:g}"
        return f"{self.bundle.name}{pruned}{'-qat' if self.quantize else ''}"

    def _prune(self) -> dict[str, Any] | None:
        """Equal shares of what each round finds."""
        return None if self.ratio is None else {**self.pruning, "ratio": 1 - (1 - self.ratio) ** (1 / self.rounds)}


def finetune(
    where: str | Path,
    dataset: str | Path | None = None,
    *,
    ratio: float | None = None,
    criterion: str = "l1",
    scope: str = "global",
    epochs: int = 5,
    rounds: int = 1,
    quantize: bool = False,
    lr: float | None = None,
    overrides: Sequence[str] = (),
    runs: Path = Path("runs"),
    reporter: Any = None,
    announce: Callable[[str], None] = lambda _: None,
) -> Path:
    """Prune a bundle, or prepare it for int8, or both, by training on; an interrupted round is continued.

    Args:
        where: a bundle, a run or the name of a pretrained bundle.
        dataset: that it was trained on; a run knows its own.
        ratio: share of the channels that go; None prunes nothing.
        criterion: which go, see ``models.pruning.prune_network``.
        scope: ``"global"`` or ``"layer"``.
        epochs: of all rounds together.
        rounds: runs that prune one after the other, to equal shares of what the one before left.
        quantize: let the last round learn with the rounding errors of int8.
        lr: highest rate; a tenth of the bundle's own by default.
        overrides: ``key=value`` of the recipe of every round, as ``training.threads=1``.
        runs: where run folders lie.
        reporter: told of steps and epochs.
        announce: told in a sentence what happens.

    Returns:
        The folder of the last run.

    Raises:
        RecipeError: nothing to do, an ensemble, an architecture that cannot be pruned, fewer epochs than rounds.
        DatasetError: the dataset is of another corpus than the one that the bundle was trained on.
        BundleError: there is no such bundle.
    """
    bundle = load_bundle(where)
    _check(bundle, ratio, quantize, epochs, rounds)
    plan = _Plan(
        bundle,
        str(where) if str(where) in list_pretrained() else str(bundle.path.resolve()),
        _dataset_of(where, bundle, dataset),
        {"criterion": criterion, "scope": scope},
        ratio,
        quantize,
        epochs,
        rounds,
        lr,
        overrides,
    )
    begin = plan.place
    for number in range(1, rounds + 1):
        run = _round(plan, number, begin, runs, reporter, announce)
        begin = str(run.path.resolve())
    return run.path


def _round(plan: _Plan, number: int, begin: str, runs: Path, reporter: Any, announce: Callable[[str], None]) -> Run:
    """Train a round; one before the last that is finished is taken as it is."""
    recipe = plan.recipe(number, begin)
    if number < plan.rounds:
        done = [run for run in list_runs(runs, recipe.name) if run.finished and is_of(run, recipe)]
        if done:
            announce(f"round {number} of {plan.rounds} is done: {done[-1].path}")
            return done[-1]
    return train(recipe, runs, reporter=reporter, announce=announce)


def _check(bundle: Bundle, ratio: float | None, quantize: bool, epochs: int, rounds: int) -> None:
    if ratio is None and not quantize:
        raise RecipeError("nothing to do: give a ratio of channels to prune, or quantize, or both")
    if ratio is not None and not 0 < ratio < 1:
        raise RecipeError(f"the ratio is the share of the channels that go, above 0 and below 1; got {ratio:g}")
    if rounds < 1 or epochs < rounds:
        raise RecipeError(f"every round needs an epoch at least; got {rounds} rounds and {epochs} epochs")
    if ratio is None and rounds > 1:
        raise RecipeError(f"{rounds} rounds are for pruning bit by bit; give a ratio, or one round")
    if "ensemble" in bundle.about["network"]:
        raise RecipeError(
            f"{bundle.name} is an ensemble, whose members cannot be trained together; distil it into one network first "
            "(training.distill)"
        )
    if "recipe" not in bundle.about["provenance"]:
        raise RecipeError(f"{bundle.name} does not say by which recipe it was trained, so it cannot be trained on")


def _dataset_of(where: str | Path, bundle: Bundle, named: str | Path | None) -> Path:
    """The dataset that the bundle was trained on.

    Raises:
        DatasetError: none was named and the run does not know it, or another was named.
    """
    own = Path(where) / "recipe.yaml"
    if named is None and not own.is_file():
        name = bundle.about["provenance"]["dataset"]
        raise DatasetError(f"which dataset? {bundle.name} was trained on {name}; name the folder where it was prepared")
    path = Path(load_recipe(own).data.dataset if named is None else named)
    dataset, origin = open_dataset(path), bundle.about["provenance"]
    # By name: the same corpus prepared elsewhere holds the same patients; the teacher warns where it lists others.
    if dataset.name != origin["dataset"]:
        raise DatasetError(
            f"{path}: holds {dataset.name}, but {bundle.name} was trained on {origin['dataset']}, so nothing proves "
            "that no patient crosses its folds; name the dataset that it was trained on"
        )
    return path
