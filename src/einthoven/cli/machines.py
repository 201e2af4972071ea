"""``--ray``: whether the work of a command is divided among this machine's processes or a cluster's nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from einthoven.cli.progress import say
from einthoven.processes import FanOut, as_finished

if TYPE_CHECKING:
    from einthoven.cluster.tasks import Cluster

__all__ = ["Ray", "cluster_of", "fan_out_of"]

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="divide the work among a Ray cluster: HOST:PORT, auto for the one that runs here, local to start one here",
    ),
]


@contextmanager
def cluster_of(
    address: str | None, shared: Sequence[Path] = (), needed: Sequence[Path] = ()
) -> Iterator[Cluster | None]:
    """Yield the cluster of an address, None without one.

    Args:
        address: see ``cluster.connect``.
        shared: folders that every node writes into; they are made.
        needed: files and folders that every node reads.
    """
    if address is None:
        yield None
        return
    from einthoven.cluster import connect

    with connect(address, say) as cluster:
        for folder in shared:
            cluster.share(folder)
        cluster.need(*needed)
        yield cluster


def fan_out_of(cluster: Cluster | None) -> FanOut:
    """How work is divided: among the cluster's nodes where there is one, else among processes."""
    return as_finished if cluster is None else cluster.as_finished
