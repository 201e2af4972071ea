"""``einthoven predict MODEL DATASET --out FOLDER``: the scores of every record, as Parquet parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from einthoven.cli.interrupts import continuable
from einthoven.cli.machines import cluster_of
from einthoven.cli.progress import bar, say
from einthoven.errors import EinthovenError

__all__ = ["predict_dataset"]


def predict_dataset(
    model: str,
    places: Sequence[Path],
    backend: str,
    of_files: Mapping[str, Any],
    *,
    out: Path | None,
    folds: str | None,
    workers: int | None,
    ray: str | None,
) -> None:
    """Predict a prepared dataset and say where the parts lie.

    Raises:
        EinthovenError: no folder to write into, several datasets, or options that are about single files.
    """
    from einthoven.workflow.predicting import predict_all

    if out is None:
        raise EinthovenError(
            "--folds, --workers and --ray are for a whole dataset; name the folder to write with --out"
        )
    if len(places) != 1 or not places[0].is_dir():
        raise EinthovenError(f"--out takes one prepared dataset, got {' '.join(map(str, places))}")
    for name, value in of_files.items():
        if value not in (None, False):
            raise EinthovenError(f"--{name} is about single files; leave it out with --out")
    read = [places[0], *([Path(model)] if Path(model).exists() else [])]
    with (
        continuable(),
        cluster_of(ray, shared=[out.absolute().parent], needed=read) as cluster,
        bar("predicting") as progress,
    ):
        done = predict_all(
            model,
            places[0],
            out,
            backend=backend,
            folds=_folds(folds),
            workers=workers,
            fan_out=None if cluster is None else cluster.as_finished,
            progress=progress,
            announce=say,
        )
    kept = f", {done.n_parts - done.n_new:,} of them from before" if done.n_new < done.n_parts else ""
    print(f"{done.folder}: {done.n_records:,} records in {done.n_parts:,} parts{kept}")
    print(f"next    einthoven evaluate --predictions {done.folder}")


def _folds(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise EinthovenError(f"--folds {text!r}: write numbers, as 9,10") from None
