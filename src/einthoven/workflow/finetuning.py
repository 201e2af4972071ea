"""Make a trained bundle smaller or fit for int8: prune it, train on at a tenth of the rate, learn from what it was.

All that is done is a recipe: the bundle's own with other starting weights. Folds stay, so no patient crosses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from einthoven.bundle import Bundle, list_pretrained, load_bundle
from einthoven.dataset import Dataset
from einthoven.errors import BundleError, RecipeError, nearest
from einthoven.training.recipe import Recipe, parse_recipe
from einthoven.training.runs import Run, is_of, list_runs
from einthoven.training.schema import Criterion, Scope
from einthoven.workflow.origin import dataset_of
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
    dataset: Dataset
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
        values["data"]["dataset"] = str(self.dataset.path)
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
    """Prune a bundle, or prepare it for int8, or both, by training on; a rerun goes on where the last one stopped.

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
        RecipeError: nothing to do, an ensemble, an architecture that cannot be pruned, fewer epochs than rounds, an
            unknown criterion or scope.
        DatasetError: see ``origin.dataset_of``.
        BundleError: there is no such bundle.
    """
    _check(ratio, quantize, epochs, rounds)
    _check_name("criterion", criterion, get_args(Criterion))
    _check_name("scope", scope, get_args(Scope))
    bundle = load_bundle(where)
    _check_bundle(bundle)
    plan = _Plan(
        bundle,
        str(where) if str(where) in list_pretrained() else str(bundle.path.resolve()),
        dataset_of(where, bundle, dataset),
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
    """Train a round; one that is finished, with the same recipe, weights and records, is taken as it is."""
    recipe = plan.recipe(number, begin)
    for run in reversed(list_runs(runs, recipe.name)):
        if run.finished and is_of(run, recipe) and _same_beginning(run, begin, plan.dataset):
            which = f"round {number} of {plan.rounds} is done" if plan.rounds > 1 else "this training is done"
            announce(f"{which}: {run.path} has the same recipe, weights and records; remove it to train anew")
            return run
    return train(recipe, runs, reporter=reporter, announce=announce)


def _same_beginning(run: Run, begin: str, dataset: Dataset) -> bool:
    """Whether the weights that a run began with, and its records, are still those that lie there now."""
    try:
        origin, weights = load_bundle(run.path).about["provenance"], load_bundle(begin).about["files"]
    except BundleError:
        return False  # an unreadable run is no reason not to train
    began = (origin["weights"] or {}).get("files", {})
    same = began.get("model.safetensors") == weights["model.safetensors"]
    return bool(same and origin["listing_sha256"] == dataset.listing_sha256)


def _check(ratio: float | None, quantize: bool, epochs: int, rounds: int) -> None:
    if ratio is None and not quantize:
        raise RecipeError("nothing to do: give a ratio of channels to prune, or quantize, or both")
    if ratio == 0:
        raise RecipeError(
            "a ratio of 0 prunes nothing; name a share as 0.5, or leave it out (--prune) to keep every channel"
        )
    if ratio is not None and not 0 < ratio < 1:
        raise RecipeError(f"the ratio is the share of the channels that go, above 0 and below 1; got {ratio:g}")
    if rounds < 1 or epochs < rounds:
        raise RecipeError(f"every round needs an epoch at least; got {rounds} rounds and {epochs} epochs")
    if ratio is None and rounds > 1:
        raise RecipeError(f"{rounds} rounds are for pruning bit by bit; give a ratio, or one round")


def _check_name(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise RecipeError(f"unknown {what} {name!r}{nearest(name, known)}; choose {', '.join(known)}")


def _check_bundle(bundle: Bundle) -> None:
    if "ensemble" in bundle.about["network"]:
        raise RecipeError(
            f"{bundle.name} is an ensemble, whose members cannot be trained together; distil it into one network first "
            "(training.distill)"
        )
    if "recipe" not in bundle.about["provenance"]:
        raise RecipeError(f"{bundle.name} does not say by which recipe it was trained, so it cannot be trained on")
