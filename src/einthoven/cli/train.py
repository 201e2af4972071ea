"""``einthoven train``: recipes, folders of them, grids, folds; then the headline in print, and what failed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from einthoven.cli.evaluate import print_judgement, print_table
from einthoven.cli.interrupts import continuable
from einthoven.cli.machines import Ray, cluster_of
from einthoven.cli.progress import TrainingBar, say
from einthoven.errors import EinthovenError, RecipeError

if TYPE_CHECKING:
    from einthoven.cluster.tasks import Cluster
    from einthoven.training.recipe import Recipe
    from einthoven.training.runs import Run
    from einthoven.workflow.crossvalidation import CrossValidation
    from einthoven.workflow.queue import Outcome, Queue

__all__ = ["split_arguments", "train"]


def train(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE]...",
            help="YAML recipes or folders of them, and overrides, for example training.epochs=5 or seed=[0,1,2]",
        ),
    ],
    runs: Annotated[Path, typer.Option(help="folder of the run folders")] = Path("runs"),
    version: Annotated[
        str | None,
        typer.Option(
            help="of the run: new begins anew; latest or a number continues that one  [default: the unfinished one]"
        ),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="go on from a checkpoint of the run: best, latest or the number of an epoch")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short-run", help="try everything: one epoch of ten batches, in a run folder of its own")
    ] = False,
    test_only: Annotated[
        bool, typer.Option("--test-only", help="train nothing; judge the latest finished run, or --version, on test")
    ] = False,
    ray: Ray = None,
) -> None:
    """Train recipes, judge them on their validation folds, and write bundles and reports."""
    from einthoven.workflow.queue import Choice, read_queue, work_off

    places, overrides = split_arguments(arguments)
    choice = Choice(_version(version), _resume(resume), short, test_only)
    onward = [*arguments, *(["--runs", str(runs)] if runs != Path("runs") else []), *(["--short-run"] if short else [])]
    if isinstance(choice.version, int) and choice.resume is None:
        onward += ["--version", str(choice.version)]
    onward += ["--ray", ray] if ray else []
    with continuable(f"go on with  {shlex.join(['einthoven', 'train', *onward])}"):
        queue = read_queue(places, overrides)
        with cluster_of(ray, shared=[runs]) as cluster:
            how = {} if cluster is None else _on_cluster(cluster, queue)
            outcomes = work_off(queue, runs, choice, announce=say, **{"train_one": _train_one, **how})
    _print(outcomes)


def _on_cluster(cluster: Cluster, queue: Queue) -> dict[str, Any]:
    """How a queue is trained on a cluster: its runs side by side, or each by several workers where it says so."""
    if any(recipe.training.devices > 1 for recipe in queue.recipes):
        from einthoven.cluster.training import fit_on

        return {"train_one": partial(_train_one, fit=partial(fit_on, cluster))}
    from einthoven.workflow.together import train_together

    return {"together": partial(train_together, cluster.divide, None)}


def split_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Tell files from overrides, which have an equals sign.

    Raises:
        RecipeError: no file is named.
    """
    overrides = [text for text in arguments if "=" in text and not Path(text).exists()]
    places = [Path(text) for text in arguments if text not in overrides]
    if not places:
        raise RecipeError(f"which recipe? got overrides only: {' '.join(overrides)}")
    return places, overrides


def _version(text: str | None) -> str | int | None:
    if text in (None, "new", "latest"):
        return text
    if text.isdecimal():
        return int(text)
    raise RecipeError(f"--version {text!r}: write new, latest or a number")


def _resume(text: str | None) -> str | int | None:
    if text in (None, "best", "latest"):
        return text
    if text.isdecimal():
        return int(text)
    raise RecipeError(f"--resume {text!r}: write best, latest or the number of an epoch")


def _train_one(recipe: Recipe, runs: Path, *, short: bool = False, **options: Any) -> Run:
    """Train with a bar; what Ctrl-C leaves is told."""
    from einthoven import workflow
    from einthoven.training.runs import list_runs
    from einthoven.workflow.train import shorten

    wanted = shorten(recipe) if short else recipe
    try:
        with TrainingBar(wanted.training.epochs) as reporter:
            return workflow.train(recipe, runs, short=short, reporter=reporter, **options)
    except KeyboardInterrupt:
        known = list_runs(runs, wanted.name, short=short)
        n = len(known[-1].read_history()) if known else 0
        kept = f"epoch {n} of {wanted.training.epochs} is kept in {known[-1].checkpoint}" if n else "no epoch was done"
        raise KeyboardInterrupt(f"; {kept}") from None


def _print(outcomes: Sequence[Outcome]) -> None:
    """Print one run in full, several as a table; then end with what failed.

    Raises:
        EinthovenError: some failed.
    """
    for each in outcomes:
        if each.crossvalidation:
            _print_folds(each.name, each.crossvalidation)
    if len(outcomes) == 1 and outcomes[0].run:
        _print_one(outcomes[0])
    elif len(outcomes) > 1:
        if judged := {each.name: each.judgement for each in outcomes if each.judgement}:
            print_table(judged)
        for each in outcomes:
            if each.run:
                print(f"report  {each.run.path / 'report.html'}")
    if failed := [each for each in outcomes if each.error]:
        reasons = "; ".join(f"{each.name}: {each.error}" for each in failed)
        raise EinthovenError(f"{len(failed)} of {len(outcomes)} failed: {reasons}")


def _print_one(outcome: Outcome) -> None:
    judgement, run = outcome.judgement, outcome.run
    assert judgement is not None
    assert run is not None
    print_judgement(judgement)
    print(f"report  {run.path / 'report.html'}\nbundle  {run.bundle}")
    if judgement["split"] != "test":
        print(f"next    einthoven evaluate {run.path} --split test")
    if "macro" not in judgement:
        raise typer.Exit(2)


def _print_folds(name: str, found: CrossValidation) -> None:
    """The folds, their mean with deviation and interval, and the out-of-fold predictions as a whole."""
    from einthoven.evaluation.wording import decimal

    print(f"{name}: cross-validation of {len(found.folds)} folds")
    print(f"  {'fold':>4}  {'records':>7}  macro AUROC  macro AUPRC    Fmax  run")
    for row in found.folds:
        cells = "  ".join(f"{decimal(row[key], 4):>{w}}" for key, w in (("auroc", 11), ("auprc", 11), ("fmax", 6)))
        print(f"  {row['fold']:>4}  {row['records']:>7,}  {cells}  {row['run']}")
    for row in found.summary:
        if row["class"] == "(macro)":
            low, high = decimal(row["low"], 4), decimal(row["high"], 4)
            print(
                f"  {row['figure']:<6} mean {decimal(row['mean'], 4)}, deviation {decimal(row['deviation'], 4)}, "
                f"interval of the mean [{low}, {high}]"
            )
    print_judgement(found.judgement)
    print(f"report  {found.folder / 'report.html'}")
