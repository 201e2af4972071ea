"""What ``einthoven merge`` does: several datasets become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.progress import bar

__all__ = ["merge"]


def merge(
    places: Annotated[
        list[str], typer.Argument(help="two datasets or more, then the new one", metavar="DATASET... DEST")
    ],
    prefix_ids: Annotated[
        bool, typer.Option("--prefix-ids", help="put each dataset's name before its record and patient ids")
    ] = False,
) -> None:
    """Join datasets of one specification and label system; folders or URLs; an interrupted merge is continued."""
    with continuable():
        merge_places(places, prefix_ids)


def merge_places(places: Sequence[str], prefix_ids: bool) -> None:
    """Join the datasets and say what came of it.

    Raises:
        EinthovenError: see ``merge_datasets``.
    """
    from einthoven.dataset import open_dataset
    from einthoven.dataset.joining import merge_datasets
    from einthoven.errors import EinthovenError

    if len(places) < 3:
        raise EinthovenError(f"merge needs two datasets or more and then the new one, got {' '.join(places)}")
    *sources, dest = places
    with bar("merging") as progress:
        made = merge_datasets([open_dataset(each) for each in sources], dest, prefix_ids=prefix_ids, progress=progress)
    print(f"{made}: {len(made):,} records of {len(sources)} datasets, {len(made.shards):,} shards")
