"""Go on from a checkpoint of a run: from the latest in place, from an earlier one under a new number.

A new run begins with the epochs of the old one up to there, so that its history, its best epoch and its numbers are
those of one training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from einthoven.errors import RecipeError
from einthoven.files import atomic_write
from einthoven.training.checkpoints import load_checkpoint, save_checkpoint
from einthoven.training.runs import CRITERIA, Run, begin_run, best_epoch

__all__ = ["checkpoint_of", "resume_run"]


def resume_run(root: Path, source: Run, where: str | int) -> Run:
    """Return the locked run that goes on from a checkpoint; ``Trainer.fit`` trains its remaining epochs.

    Args:
        root: usually ``runs``.
        source: the run whose checkpoint it is.
        where: ``"latest"``, ``"best"`` or the number of an epoch.

    Raises:
        RecipeError: there is no such checkpoint, or no epoch is left to train.
        EinthovenError: another process trains in the run.
    """
    recipe, done = source.recipe(), len(source.read_history())
    path = checkpoint_of(source, where)
    if path == source.checkpoint and not source.finished:
        source.lock()
        return source
    state = load_checkpoint(path)
    history = state["history"]
    if len(history) >= recipe.training.epochs or path == source.checkpoint:
        raise RecipeError(
            f"{source.path}: finished after epoch {done}, so nothing is left to train from there; --resume with "
            "an earlier epoch trains again from it, --version new from the start"
        )
    run = begin_run(
        root, recipe, short=source.short, resumed={"run": source.path.name, "epoch": len(history), "from": path.name}
    )
    kept = {criterion: source.best(criterion) for criterion in CRITERIA}
    for criterion, file in [*kept.items(), (recipe.evaluation.select, source.checkpoint.parent / "best.pt")]:
        # A better epoch after this one will come again, for recipe and seed are the same.
        best = best_epoch(source.read_history(), criterion)
        if best is not None and best <= len(history) and file.is_file():
            with atomic_write(run.path / "checkpoints" / file.name) as temporary:
                shutil.copyfile(file, temporary)
    run.write_history(history)
    save_checkpoint(run.checkpoint, state)
    return run


def checkpoint_of(run: Run, where: str | int) -> Path:
    """Return the file of a checkpoint.

    Raises:
        RecipeError: it is not there; those that are there are named.
    """
    folder, done = run.checkpoint.parent, len(run.read_history())
    if where == "latest" or where == done:
        path = run.checkpoint
    else:
        path = folder / ("best.pt" if where == "best" else f"epoch-{where:0>3}.pt")
    if not path.is_file():
        kept = [str(int(file.stem.removeprefix("epoch-"))) for file in sorted(folder.glob("epoch-*.pt"))]
        kept += [name for name, file in (("best", "best.pt"), ("latest", "last.pt")) if (folder / file).is_file()]
        what = f"of epoch {where}" if isinstance(where, int) else f"{where!r}"
        raise RecipeError(
            f"{run.path}: has no checkpoint {what}; it has {', '.join(kept) or 'none'}; training.keep_every keeps more"
        )
    return path
