"""``einthoven sweep``: search the best values of a recipe's keys, then say which and what mattered."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.machines import Ray, cluster_of
from einthoven.cli.progress import say

__all__ = ["sweep"]


def sweep(
    recipe: Annotated[Path, typer.Argument(help="a YAML recipe with a section sweep")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, for example sweep.trials=50")] = None,
    runs: Annotated[Path, typer.Option(help="folder that gets NAME-sweep")] = Path("runs"),
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="trials at a time; they share the cores  [default: 1, with --ray all there is]"
        ),
    ] = None,
    ray: Ray = None,
) -> None:
    """Search hyperparameters on the validation folds; a rerun goes on to the wanted number of trials."""
    from einthoven.workflow.sweep import sweep as search

    onward = ["einthoven", "sweep", str(recipe), *(overrides or [])]
    onward += [
        *(["--runs", str(runs)] if runs != Path("runs") else []),
        *(["--workers", str(workers)] if workers else []),
    ]
    onward += ["--ray", ray] if ray else []
    with continuable(f"go on with  {shlex.join(onward)}"), cluster_of(ray, shared=[runs]) as cluster:
        found = search(recipe, overrides or [], runs, workers=workers, elsewhere=cluster, announce=say)
    states = [row["state"] for row in found.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(f"{len(states)} trials: {counts}")
    print(
        f"best: trial {found.best['number']}, validation {found.metric} {found.best['value']:.4f}; optimistic, for it"
    )
    print("is the best of several on the folds that chose it")
    width = max(map(len, found.importance), default=0)
    for name, share in found.importance.items():
        print(f"  {name:<{width}}  importance {share:.3f}  best {found.best[name]}")
    print(f"trials  {found.folder / 'trials.csv'}\npicture {found.folder / 'search.png'}")
    print(f"next    einthoven train {found.recipe}")
