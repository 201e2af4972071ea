"""``einthoven measure``: every record of a dataset is measured, and what could be measured is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from einthoven.cli.interrupts import continuable
from einthoven.cli.machines import Ray, cluster_of, fan_out_of

if TYPE_CHECKING:
    from einthoven.corpora import FeatureTable

__all__ = ["measure"]

_SHOWN = ("rate_bpm", "p_ms", "pr_ms", "qrs_ms", "qt_ms", "qtc_fridericia_ms", "qrs_axis_deg", "sokolow_lyon_mv")


def measure(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    workers: Annotated[int | None, typer.Option(min=1, help="processes  [default: all cores]")] = None,
    overwrite: Annotated[bool, typer.Option(help="measure again what was measured")] = False,
    ray: Ray = None,
) -> None:
    """Measure rate, intervals, axes and amplitudes of every record, for training with data.facts: [measured]."""
    from einthoven.cli.progress import bar
    from einthoven.dataset import open_dataset
    from einthoven.features import measure_dataset

    opened = open_dataset(dataset)
    with (
        continuable("nothing was written, and the same command begins anew"),
        cluster_of(ray, needed=[dataset]) as cluster,
        bar("measuring") as progress,
    ):
        fan_out = fan_out_of(cluster)
        table = measure_dataset(opened, workers=workers, overwrite=overwrite, progress=progress, fan_out=fan_out)
    print(f"{len(opened):,} records, {len(table.names)} measurements each: {dataset / 'measured.parquet'}")
    print(f"{'':20} {'median':>8}  {'5 % to 95 %':>18}  measured in")
    for name in _SHOWN:
        print(_line(table, name))


def _line(table: FeatureTable, name: str) -> str:
    import numpy as np

    values = table.values[:, table.names.index(name)]
    known = values[np.isfinite(values)]
    if not len(known):
        return f"{name:20} {'-':>8}  {'-':>18}  {0:.1%}"
    low, middle, high = np.percentile(known, [5, 50, 95])
    return f"{name:20} {middle:8.1f}  {f'{low:.1f} to {high:.1f}':>18}  {len(known) / len(values):.1%}"
