"""Is a dataset what its checksums say? Damaged shards stop a run, or are left out where the recipe says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from einthoven.dataset import Dataset, open_dataset

__all__ = ["checked_dataset"]


def checked_dataset(
    where: str | Path, skip_damaged: bool = False, announce: Callable[[str], None] = lambda _: None
) -> Dataset:
    """Open a dataset and check it; what lies at a URL is checked when it arrives, unless damage shall be skipped.

    Args:
        where: folder or URL.
        skip_damaged: leave out the records of damaged shards; every shard is read once to know them.
        announce: told in a sentence what happens.

    Raises:
        DatasetError: no dataset, or a damaged shard that is not to be skipped.
    """
    dataset = open_dataset(where)
    if not skip_damaged:
        if dataset.url is None:
            announce("checking the dataset's checksums")
        dataset.verify()
        return dataset
    announce(f"checking {len(dataset.shards):,} shards; the records of damaged ones are left out")
    dataset = dataset.leave_out_damaged()
    if dataset.damaged:
        names = ", ".join(dataset.shards[k].file for k in sorted(dataset.damaged))
        announce(
            f"warning: left out {dataset.records_of(dataset.damaged):,} records of {len(dataset.damaged):,} damaged "
            f"shards: {names}"
        )
    return dataset
