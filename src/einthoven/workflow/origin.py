"""Which dataset was a bundle trained on?"""

from __future__ import annotations

from pathlib import Path

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError
from einthoven.training.runs import Run
from einthoven.workflow.checkpoints import dataset_of_run

__all__ = ["dataset_of"]


def dataset_of(where: str | Path, bundle: Bundle, path: str | Path | None) -> Dataset:
    """Open the dataset that a bundle was trained on.

    Args:
        where: a run, its bundle, another bundle or a pretrained name.
        bundle: that lies there.
        path: of the dataset; a run knows its own.

    Raises:
        DatasetError: none was named and the bundle is no run, or another was named.
    """
    home = Path(where) if (Path(where) / "recipe.yaml").is_file() else Path(where).resolve().parent
    if path is None and (home / "recipe.yaml").is_file():
        return dataset_of_run(Run(home), bundle)
    origin = bundle.about["provenance"]["dataset"]
    if path is None:
        raise DatasetError(
            f"{bundle.name} is no run, so name the folder where the dataset that it was trained on, {origin}, was "
            "prepared"
        )
    dataset = open_dataset(path)
    # By name: the same corpus prepared elsewhere holds the same patients in the same folds.
    if dataset.name != origin:
        raise DatasetError(
            f"{dataset.path}: holds {dataset.name}, but {bundle.name} was trained on {origin}, so nothing proves that "
            "no patient crosses its folds; name the dataset that it was trained on"
        )
    return dataset
