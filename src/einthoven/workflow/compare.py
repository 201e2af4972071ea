"""Compare models by their predictions on the same records: run folders, or anyone's prediction files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError
from einthoven.evaluation.comparison import align, compare_predictions
from einthoven.evaluation.predictions import read_predictions

__all__ = ["compare", "predictions_file"]


def compare(
    where: Sequence[str | Path],
    *,
    split: str = "validation",
    classes: Sequence[str] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Say which of two or more models is better, or that the data cannot tell.

    Args:
        where: run folders, whose ``predictions-<split>.parquet`` is read, or such files.
        split: read from run folders.
        classes: which to compare; all by default.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        See ``compare_predictions``.

    Raises:
        DatasetError: a folder without predictions on the split, or see ``align`` and ``compare_predictions``.
    """
    names = [str(each) for each in where]
    if len(set(names)) < len(names):
        raise DatasetError("the same predictions are named twice; a comparison needs different models")
    files = {name: predictions_file(Path(name), split) for name in names}
    models = {name: read_predictions(file) for name, file in files.items()}
    starts = {name: _starts(file) for name, file in files.items()}
    if len(models) > 1:
        models = align(models, starts)
    return compare_predictions(models, classes, n_resamples=n_resamples, seed=seed)


def predictions_file(path: Path, split: str) -> Path:
    """Return a predictions file itself, or that of a split in a folder.

    Raises:
        DatasetError: there is none.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise DatasetError(f"{path}: no such run folder or predictions file")
    found = path / f"predictions-{split}.parquet"
    if not found.is_file():
        known = sorted(p.stem.removeprefix("predictions-") for p in path.glob("predictions-*.parquet"))
        raise DatasetError(
            f"{path}: no predictions on the {split} split (there are: {', '.join(known) or 'none'}); make them with  "
            f"einthoven evaluate {path} --split {split}"
        )
    return found


def _starts(file: Path) -> list[int]:
    import pyarrow.parquet as pq

    if "start" not in pq.read_schema(file).names:
        raise DatasetError(f"{file}: no column start; rows are matched by record_id and start")
    return pq.read_table(file, columns=["start"]).column("start").to_pylist()
