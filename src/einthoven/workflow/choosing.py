"""Which model is meant? Shipped bundles and runs, by name and by rank, for people who choose from a list.

One idea: a choice is data (title, place, remark); nothing is loaded until it is chosen, so a broken run stops nobody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einthoven.bundle import about_pretrained, list_pretrained
from einthoven.errors import BundleError, EinthovenError, nearest
from einthoven.training.runs import Run
from einthoven.workflow.runs_table import runs_table

__all__ = ["ENVIRONMENT", "Choice", "Choices", "find_choices"]

ENVIRONMENT = "EINTHOVEN_BUNDLE"

# Ranks by key: in words, the column of the runs' table, its digits, and the folder of a bundle of that epoch.
_RANKS = {
    "auroc": ("Best by AUROC", ".4f", "bundle"),
    "accuracy": ("Best by accuracy", ".4f", "bundle-accuracy"),
    "loss": ("Best by loss", ".4f", "bundle-loss"),
    "date": ("Latest run", "", "bundle"),
}
_ALIASES = {"latest": "date"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A model to choose.

    Attributes:
        key: unique among the choices.
        title: for people.
        where: what ``load_bundle`` takes.
        remark: what must be known about it, a sentence; else empty.
    """

    key: str
    title: str
    where: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen, the first being what is meant; and what cannot, with the reason."""

    every: tuple[Choice, ...]
    problems: tuple[str, ...]


def find_choices(runs: Path, stated: str | None = None, environment: Mapping[str, str] = os.environ) -> Choices:
    """List the models at hand.

    Args:
        runs: folder of run folders; it need not exist.
        stated: what the user named: a bundle, a run, a shipped name, or one of auroc, accuracy, loss and latest.
        environment: its ``EINTHOVEN_BUNDLE`` goes before what was stated.

    Raises:
        BundleError: a rank was stated that no run has.
    """
    shipped = [Choice(f"shipped {name}", f"Shipped: {name}", name) for name in _of_recordings()]
    rows, problems = _rows(runs)
    ranked = _ranked(runs, rows)
    single = [Choice(f"run {row['run']}", f"Run {row['run']}", str(runs / row["run"])) for row in rows]
    every = [*shipped, *ranked, *single]
    if stated:
        every = _first(every, stated, ranked, runs)
    if named := environment.get(ENVIRONMENT):
        every = [Choice("environment", f"{ENVIRONMENT}: {Path(named).name or named}", named), *every]
    return Choices(tuple(every), tuple(problems))


def _of_recordings() -> list[str]:
    """Shipped models that judge a recording as a whole; those of single beats are for ``einthoven beats``."""
    return [name for name, about in about_pretrained().items() if about["provenance"].get("before_r_s") is None]


def _rows(runs: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Runs that have a bundle, newest first, and a sentence about the others."""
    if not runs.is_dir():
        return [], []
    try:
        rows = runs_table(runs, sort="date")
    except EinthovenError as error:
        return [], [str(error)]
    unreadable = [row["run"] for row in rows if row["state"] == "unreadable"]
    bare = [row["run"] for row in rows if row["run"] not in unreadable and not Run(runs / row["run"]).bundle.is_dir()]
    problems = [f"Run {name} cannot be read: its recipe, environment or history is damaged." for name in unreadable]
    if bare:
        problems.append(f"Without a model, because they are not finished: {', '.join(bare)}.")
    return [row for row in rows if row["run"] not in (*unreadable, *bare)], problems


def _ranked(runs: Path, rows: Sequence[Mapping[str, Any]]) -> list[Choice]:
    """The best run by each figure; of short runs, which find nothing, none."""
    long = [row for row in rows if not row["state"].startswith("short")]
    found = []
    for key, (words, form, folder) in _RANKS.items():
        known = [row for row in long if row[key] is not None]
        if known:
            row = (min if key == "loss" else max)(known, key=lambda each: each[key])
            figure = f" ({row[key]:{form}})" if form else ""
            found.append(Choice(key, f"{words}: {row['run']}{figure}", *_epoch(runs / row["run"], folder)))
    return found


def _epoch(run: Path, folder: str) -> tuple[str, str]:
    """The bundle of the epoch that is meant, or the run's own with a remark."""
    prefer, kept = folder.removeprefix("bundle-"), Run(run).recipe().evaluation.select
    if prefer in ("bundle", kept):
        return str(run), ""
    if (run / folder / "bundle.json").is_file():
        return str(run / folder), ""
    return str(run), (
        f"The run is ranked by its best {prefer}; its bundle holds the epoch that was best by {kept}. The other is "
        f"made by: einthoven evaluate {run} --split validation --prefer {prefer}"
    )


def _first(every: list[Choice], stated: str, ranked: Sequence[Choice], runs: Path) -> list[Choice]:
    key = _ALIASES.get(stated, stated)
    if key in _RANKS:
        chosen = next((choice for choice in ranked if choice.key == key), None)
        if chosen is None:
            raise BundleError(
                f"--model {stated}: no finished run in {runs} has that figure; train one, or name a bundle"
            )
        return [chosen, *(choice for choice in every if choice is not chosen)]
    for choice in every:
        if choice.where == stated or (Path(stated).exists() and Path(choice.where) == Path(stated)):
            return [choice, *(other for other in every if other is not choice)]
    if not Path(stated).exists():
        known = [*list_pretrained(), *_RANKS, *_ALIASES]
        raise BundleError(
            f"--model {stated}: no such folder or shipped bundle{nearest(stated, known)}; name a bundle, a run, "
            f"{', '.join(list_pretrained())}, or one of auroc, accuracy, loss and latest"
        )
    return [Choice("stated", f"Named: {Path(stated).name}", stated), *every]
