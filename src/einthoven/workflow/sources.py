"""Judge by source: several runs, each on the source that it never saw, or one model on data from many places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError
from einthoven.evaluation.predictions import read_predictions
from einthoven.evaluation.sources import judge_sources
from einthoven.evaluation.tables import write_csv
from einthoven.workflow.compare import predictions_file

__all__ = ["by_source"]


def by_source(
    where: Sequence[str | Path],
    *,
    split: str = "test",
    table: Path | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge predictions of each model on each source.

    Args:
        where: run or evaluation folders, whose ``predictions-<split>.parquet`` is read, or such files.
        split: read from folders.
        table: write the rows into this CSV file too.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        See ``judge_sources``.

    Raises:
        DatasetError: the same predictions twice, a folder without predictions on the split, or see ``judge_sources``.
    """
    names = [str(each) for each in where]
    if len(set(names)) < len(names):
        raise DatasetError("the same predictions are named twice; name each once")
    models = {name: read_predictions(predictions_file(Path(name), split)) for name in names}
    found = judge_sources(models, n_resamples=n_resamples, seed=seed)
    if table:
        write_csv(table, found["rows"])
    return found
